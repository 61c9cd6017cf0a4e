// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Unified line difference of two texts, for `cygnet diff`. Pure.

#include <string>
#include <string_view>

namespace cygnet::cli {

/// Empty when the texts are equal; else hunks with three lines around each change.
[[nodiscard]] std::string line_diff(std::string_view before, std::string_view after,
                                    const std::string& before_name, const std::string& after_name);

}  // namespace cygnet::cli
