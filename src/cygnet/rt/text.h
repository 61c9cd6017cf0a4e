// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Small text functions: nearest known word, quantities with units, lists. Pure; any thread.

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cygnet/base/result.h"
#include "cygnet/base/time.h"

namespace cygnet::rt {

inline constexpr ErrorCode kErrQuantity{"quantity"};
inline constexpr ErrorCode kErrHostPort{"host-port"};

/// Levenshtein distance with transpositions of neighbours counted as one.
[[nodiscard]] std::size_t edit_distance(std::string_view a, std::string_view b);
/// The candidate nearest to `word`, when near enough to be a likely slip.
[[nodiscard]] std::optional<std::string> nearest(std::string_view word,
                                                 std::span<const std::string> candidates);

/// "1h", "90s", "500ms", "1h30m", "10us", "2d": a number needs its unit; "0" alone is zero.
[[nodiscard]] Result<Duration> parse_duration(std::string_view text);
/// The shortest exact spelling: "1h30m", "90s" gives "1m30s", "0s".
[[nodiscard]] std::string format_duration(Duration duration);
/// One or two units, for people: "3d 4h", "12m", "4.2s", "80ms".
[[nodiscard]] std::string format_duration_short(Duration duration);
/// Octets: "64KiB", "1MB", "512B"; kB/MB/GB are powers of ten, KiB/MiB/GiB of two.
[[nodiscard]] Result<std::uint64_t> parse_size(std::string_view text);
[[nodiscard]] std::string format_size(std::uint64_t octets);  ///< "1.4 MiB"
/// Per second: "200/s", "10/min", "3/h".
[[nodiscard]] Result<double> parse_rate(std::string_view text);
/// Bits per second: "1Mbit/s", "500kbit/s", "10Gbit/s".
[[nodiscard]] Result<std::uint64_t> parse_bit_rate(std::string_view text);

[[nodiscard]] std::string_view trim(std::string_view text);
[[nodiscard]] std::vector<std::string> split(std::string_view text, char separator);
[[nodiscard]] std::string join(std::span<const std::string> parts, std::string_view separator);

struct HostPort {
  std::string host;
  std::uint16_t port = 0;
  [[nodiscard]] std::string to_string() const;  ///< IPv6 in brackets
};
/// "host:port", "1.2.3.4:5", "[::1]:5"; without a port only when `default_port` is given.
[[nodiscard]] Result<HostPort> parse_host_port(std::string_view text,
                                               std::optional<std::uint16_t> default_port = {});

/// One lower-case DNS label: letters, digits and inner hyphens, 1 to 63 octets.
[[nodiscard]] bool is_dns_label(std::string_view text);

}  // namespace cygnet::rt
