// SPDX-License-Identifier: Apache-2.0
#pragma once

/// IP prefixes and endpoints as the policy names them (RFC 4301 section 4.4.3: what a device may
/// protect is its PAD entry). Pure; value types.

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "cygnet/base/bytes.h"
#include "cygnet/base/result.h"

namespace cygnet::controller::policy {

inline constexpr ErrorCode kErrPrefix{"policy-prefix"};
inline constexpr ErrorCode kErrEndpoint{"policy-endpoint"};

enum class Family : std::uint8_t { kIpv4, kIpv6 };

/// An IPv4 or IPv6 network. Host bits are zero, always; IPv4 uses the first four octets.
struct IpPrefix {
  Family family = Family::kIpv4;
  std::array<std::uint8_t, 16> address{};
  std::uint8_t length = 0;
  friend auto operator<=>(const IpPrefix&, const IpPrefix&) = default;

  /// 4 or 16 octets, as the device stream's Prefix.address carries them.
  [[nodiscard]] ByteView octets() const {
    return {address.data(), family == Family::kIpv4 ? std::size_t{4} : std::size_t{16}};
  }
  /// True when every address of `other` lies inside this prefix.
  [[nodiscard]] bool contains(const IpPrefix& other) const;
  [[nodiscard]] bool overlaps(const IpPrefix& other) const {
    return contains(other) || other.contains(*this);
  }
};

/// "10.4.17.0/24", "fd00:4:17::/48"; an address without a length is a host (/32, /128).
/// @retval kErrPrefix no prefix, a length out of range, host bits set (the cure names the network),
/// or a network no device can own: multicast, loopback, link-local, IPv4-mapped.
[[nodiscard]] Result<IpPrefix> parse_prefix(std::string_view text);
[[nodiscard]] std::string to_string(const IpPrefix& prefix);

/// An outer address and UDP port.
struct IpEndpoint {
  Family family = Family::kIpv4;
  std::array<std::uint8_t, 16> address{};
  std::uint16_t port = 0;
  friend auto operator<=>(const IpEndpoint&, const IpEndpoint&) = default;

  [[nodiscard]] ByteView octets() const {
    return {address.data(), family == Family::kIpv4 ? std::size_t{4} : std::size_t{16}};
  }
};

/// "198.51.100.17:4500", "[2001:db8::17]:4500". Addresses only: a name would have to be resolved by
/// somebody whose answer nobody signed.
/// @retval kErrEndpoint
[[nodiscard]] Result<IpEndpoint> parse_endpoint(std::string_view text);
[[nodiscard]] std::string to_string(const IpEndpoint& endpoint);

}  // namespace cygnet::controller::policy

template <>
struct std::hash<cygnet::controller::policy::IpPrefix> {
  std::size_t operator()(const cygnet::controller::policy::IpPrefix& prefix) const noexcept;
};
