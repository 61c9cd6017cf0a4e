// SPDX-License-Identifier: Apache-2.0
#pragma once

/// "Did you mean": the known word closest to one that is not known. Pure.

#include <string_view>
#include <vector>

namespace cygnet::controller::policy {

/// Empty when nothing is close enough to be meant.
[[nodiscard]] std::string_view nearest(std::string_view word,
                                       const std::vector<std::string_view>& known);

}  // namespace cygnet::controller::policy
