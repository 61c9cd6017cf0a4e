// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Addresses, prefixes and endpoints of the backend interface as text (RFC 5952 for IPv6). Any
/// thread.

#include <string>
#include <string_view>

#include "cygnet/agent/backend/api/backend.h"
#include "cygnet/base/result.h"

namespace cygnet::agent {

inline constexpr ErrorCode kErrAddressText{"address"};

/// "192.0.2.1", "2001:db8::1".
[[nodiscard]] std::string to_string(const IpAddress& address);
/// "192.0.2.0/24".
[[nodiscard]] std::string to_string(const IpPrefix& prefix);
/// "192.0.2.1:4500", "[2001:db8::1]:4500", "[fe80::1%3]:4500".
[[nodiscard]] std::string to_string(const UdpEndpoint& endpoint);

/// @retval kErrAddressText  names the text
[[nodiscard]] Result<IpAddress> parse_ip_address(std::string_view text);
/// Refuses a length beyond the address and bits set behind it. A bare address is a host prefix.
[[nodiscard]] Result<IpPrefix> parse_ip_prefix(std::string_view text);

/// The prefix with all bits behind its length zero.
[[nodiscard]] IpPrefix masked(IpPrefix prefix);
/// True when `address` lies in `prefix`.
[[nodiscard]] bool contains(const IpPrefix& prefix, const IpAddress& address);
/// Bits of an address: 32 or 128.
[[nodiscard]] inline std::uint8_t address_bits(const IpAddress& address) {
  return address.is_v6 ? 128 : 32;
}

}  // namespace cygnet::agent
