// SPDX-License-Identifier: Apache-2.0
#pragma once

/// How messages show a word that somebody gave. Pure.

#include <string>
#include <string_view>

namespace cygnet {

[[nodiscard]] inline std::string in_quotes(std::string_view text) {
  return "\"" + std::string(text) + "\"";
}

}  // namespace cygnet
