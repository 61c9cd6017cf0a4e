// SPDX-License-Identifier: Apache-2.0
#pragma once

/// How messages about a policy document show its words. Pure.

#include <string>
#include <string_view>

namespace cygnet::controller::policy {

[[nodiscard]] inline std::string in_quotes(std::string_view text) {
  return "\"" + std::string(text) + "\"";
}

}  // namespace cygnet::controller::policy
