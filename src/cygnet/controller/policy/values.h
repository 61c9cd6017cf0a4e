// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Quantities as the policy writes them: always with their unit. Pure.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace cygnet::controller::policy {

/// "1h", "90s", "1h30m", "500ms"; units d, h, m, s, ms, each once and falling.
[[nodiscard]] std::optional<std::chrono::milliseconds> parse_duration(std::string_view text);
/// The shortest such text: "1h30m".
[[nodiscard]] std::string format_duration(std::chrono::milliseconds duration);
/// "10%", "2.5%" in thousandths.
[[nodiscard]] std::optional<std::uint32_t> parse_percent(std::string_view text);
[[nodiscard]] std::string format_permille(std::uint32_t permille);
/// "1000", "10k", "2M", "1G" (powers of ten).
[[nodiscard]] std::optional<std::uint64_t> parse_count(std::string_view text);

}  // namespace cygnet::controller::policy
