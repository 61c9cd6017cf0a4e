// SPDX-License-Identifier: Apache-2.0
#pragma once

/// IP addresses from text, without a sockets header (this layer is pure). IPv4: four decimal
/// octets, no leading zeros; IPv6: RFC 4291 section 2.2 (proto/ids/mesh_address.h writes it). Pure.

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace cygnet::controller::policy {

[[nodiscard]] std::optional<std::array<std::uint8_t, 16>> parse_ipv4(std::string_view text);
[[nodiscard]] std::optional<std::array<std::uint8_t, 16>> parse_ipv6(std::string_view text);
/// The first four octets.
[[nodiscard]] std::string format_ipv4(const std::array<std::uint8_t, 16>& address);

}  // namespace cygnet::controller::policy
