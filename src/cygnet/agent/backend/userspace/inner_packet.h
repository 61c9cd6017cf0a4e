// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Reads the IP packet inside a tunnel, as far as routing, checks, flow hashing and MSS clamping
/// need it. Every offset it gives lies inside the octets it was given. Pure; no allocation.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <tl/expected.hpp>

#include "cygnet/agent/backend/api/backend.h"
#include "cygnet/base/bytes.h"

namespace cygnet::agent::userspace {

inline constexpr std::uint8_t kProtocolIcmp = 1;
inline constexpr std::uint8_t kProtocolTcp = 6;
inline constexpr std::uint8_t kProtocolUdp = 17;
inline constexpr std::uint8_t kProtocolIcmpv6 = 58;

inline constexpr std::size_t kIpv4HeaderLength = 20;
inline constexpr std::size_t kIpv6HeaderLength = 40;
inline constexpr std::size_t kUdpHeaderLength = 8;
inline constexpr std::uint8_t kHopLimit = 64;  ///< of packets that start here

enum class InnerFault : std::uint8_t {
  kVersion,  ///< neither 4 nor 6
  kLength,   ///< a header or the total length goes beyond the octets
};

struct InnerPacket {
  IpAddress source;
  IpAddress destination;
  std::size_t total_length = 0;   ///< what the IP header says; the rest is TFC padding
  std::size_t header_length = 0;  ///< up to the transport header, extension headers included
  std::uint8_t protocol = 0;      ///< of the transport header
  std::uint8_t ecn = 0;
  std::uint8_t dscp = 0;
  bool is_v6 = false;
  bool later_fragment = false;  ///< has no transport header
  bool dont_fragment = false;   ///< IPv6, or IPv4 with DF

  /// Octets behind the headers; empty for a later fragment.
  [[nodiscard]] ByteView transport(ByteView packet) const {
    if (later_fragment) return {};
    return packet.first(total_length).subspan(header_length);
  }
};

[[nodiscard]] tl::expected<InnerPacket, InnerFault> parse_inner(ByteView packet);

/// Source and destination of the packet an ICMP error is about, when this is an ICMP error: IPv4
/// types 3, 4, 5, 11, 12; IPv6 types below 128.
struct IcmpError {
  bool readable = false;  ///< false: an error that embeds no IP header of its own family
  IpAddress embedded_source;
  IpAddress embedded_destination;
};
[[nodiscard]] std::optional<IcmpError> icmp_error(const InnerPacket& inner, ByteView packet);

/// Equal for all packets of one flow: addresses, protocol and, where there are any, ports.
[[nodiscard]] std::uint32_t flow_hash(const InnerPacket& inner, ByteView packet);

/// Multicast or unicast that never leaves a link: nothing a mesh carries.
[[nodiscard]] bool is_link_scope(const IpAddress& address);

}  // namespace cygnet::agent::userspace
