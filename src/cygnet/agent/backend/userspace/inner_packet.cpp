// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/backend/userspace/inner_packet.h"

#include <algorithm>

namespace cygnet::agent::userspace {
namespace {

constexpr std::uint8_t kHopByHop = 0;
constexpr std::uint8_t kRouting = 43;
constexpr std::uint8_t kFragment = 44;
constexpr std::uint8_t kAuthentication = 51;
constexpr std::uint8_t kDestinationOptions = 60;
// RFC 8200 expects each extension header once, destination options twice; more is an attack on
// whoever walks them.
constexpr int kMaxExtensionHeaders = 8;

IpAddress address_v4(const std::uint8_t* octets) {
  IpAddress address;
  std::copy_n(octets, 4, address.octets.begin());
  return address;
}
IpAddress address_v6(const std::uint8_t* octets) {
  IpAddress address;
  address.is_v6 = true;
  std::copy_n(octets, 16, address.octets.begin());
  return address;
}

tl::expected<InnerPacket, InnerFault> parse_v4(ByteView packet) {
  if (packet.size() < kIpv4HeaderLength) return tl::make_unexpected(InnerFault::kLength);
  InnerPacket inner;
  inner.header_length = std::size_t{packet[0] & 0x0fU} * 4;
  inner.total_length = load_be16(packet.data() + 2);
  if (inner.header_length < kIpv4HeaderLength || inner.total_length < inner.header_length ||
      inner.total_length > packet.size()) {
    return tl::make_unexpected(InnerFault::kLength);
  }
  const std::uint16_t fragment = load_be16(packet.data() + 6);
  inner.dont_fragment = (fragment & 0x4000) != 0;
  inner.later_fragment = (fragment & 0x1fff) != 0;
  inner.ecn = packet[1] & 3;
  inner.dscp = static_cast<std::uint8_t>(packet[1] >> 2);
  inner.protocol = packet[9];
  inner.source = address_v4(packet.data() + 12);
  inner.destination = address_v4(packet.data() + 16);
  return inner;
}

/// Walks the extension headers; on anything odd it stops there and calls that the transport.
void walk_extension_headers(ByteView packet, InnerPacket& inner) {
  for (int i = 0; i < kMaxExtensionHeaders; ++i) {
    const bool known = inner.protocol == kHopByHop || inner.protocol == kRouting ||
                       inner.protocol == kFragment || inner.protocol == kAuthentication ||
                       inner.protocol == kDestinationOptions;
    const std::size_t left = inner.total_length - inner.header_length;
    if (!known || left < 8) return;
    const std::uint8_t* const header = packet.data() + inner.header_length;
    std::size_t length = (std::size_t{header[1]} + 1) * 8;
    if (inner.protocol == kFragment) {
      length = 8;
      if ((load_be16(header + 2) & 0xfff8) != 0) inner.later_fragment = true;
    } else if (inner.protocol == kAuthentication) {
      length = (std::size_t{header[1]} + 2) * 4;
    }
    if (length > left) return;
    inner.protocol = header[0];
    inner.header_length += length;
    if (inner.later_fragment) return;
  }
}

tl::expected<InnerPacket, InnerFault> parse_v6(ByteView packet) {
  if (packet.size() < kIpv6HeaderLength) return tl::make_unexpected(InnerFault::kLength);
  InnerPacket inner;
  inner.is_v6 = true;
  inner.dont_fragment = true;
  inner.header_length = kIpv6HeaderLength;
  inner.total_length = kIpv6HeaderLength + load_be16(packet.data() + 4);
  if (inner.total_length > packet.size()) return tl::make_unexpected(InnerFault::kLength);
  const auto traffic_class = static_cast<std::uint8_t>(load_be16(packet.data()) >> 4);
  inner.ecn = traffic_class & 3;
  inner.dscp = static_cast<std::uint8_t>(traffic_class >> 2);
  inner.protocol = packet[6];
  inner.source = address_v6(packet.data() + 8);
  inner.destination = address_v6(packet.data() + 24);
  walk_extension_headers(packet, inner);
  return inner;
}

bool is_icmp_error_type(const InnerPacket& inner, std::uint8_t type) {
  // RFC 4443 section 2.1: "ICMPv6 error messages are identified as such by a zero in the
  // high-order bit of their message Type field values".
  if (inner.is_v6) return type < 128;
  return type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
}

std::uint64_t mix(std::uint64_t hash, std::uint64_t value) {
  hash = (hash ^ value) * 0x9e3779b97f4a7c15ULL;
  return hash ^ (hash >> 29);
}

}  // namespace

tl::expected<InnerPacket, InnerFault> parse_inner(ByteView packet) {
  if (packet.empty()) return tl::make_unexpected(InnerFault::kLength);
  switch (packet[0] >> 4) {
    case 4:
      return parse_v4(packet);
    case 6:
      return parse_v6(packet);
    default:
      return tl::make_unexpected(InnerFault::kVersion);
  }
}

std::optional<IcmpError> icmp_error(const InnerPacket& inner, ByteView packet) {
  if (inner.protocol != (inner.is_v6 ? kProtocolIcmpv6 : kProtocolIcmp)) return std::nullopt;
  const ByteView icmp = inner.transport(packet);
  if (icmp.empty() || !is_icmp_error_type(inner, icmp[0])) return std::nullopt;
  IcmpError error;
  const std::size_t needed = inner.is_v6 ? kIpv6HeaderLength : kIpv4HeaderLength;
  if (icmp.size() < 8 + needed || (icmp[8] >> 4) != (inner.is_v6 ? 6 : 4)) return error;
  const std::uint8_t* const embedded = icmp.data() + 8;
  error.readable = true;
  error.embedded_source = inner.is_v6 ? address_v6(embedded + 8) : address_v4(embedded + 12);
  error.embedded_destination = inner.is_v6 ? address_v6(embedded + 24) : address_v4(embedded + 16);
  return error;
}

std::uint32_t flow_hash(const InnerPacket& inner, ByteView packet) {
  std::uint64_t hash = inner.protocol;
  for (const IpAddress* address : {&inner.source, &inner.destination}) {
    hash = mix(hash, load_be64(address->octets.data()));
    if (inner.is_v6) hash = mix(hash, load_be64(address->octets.data() + 8));
  }
  // Fragments of one packet must stay together, and only the first has ports.
  const bool fragment = inner.later_fragment ||
                        (!inner.is_v6 && (load_be16(packet.data() + 6) & 0x2000) != 0) ||
                        (inner.is_v6 && packet[6] == kFragment);
  const ByteView transport = inner.transport(packet);
  if (!fragment && (inner.protocol == kProtocolTcp || inner.protocol == kProtocolUdp) &&
      transport.size() >= 4) {
    hash = mix(hash, load_be32(transport.data()));
  }
  return static_cast<std::uint32_t>(hash >> 32);
}

bool is_link_scope(const IpAddress& address) {
  const auto& o = address.octets;
  if (!address.is_v6) {
    return (o[0] == 224 && o[1] == 0 && o[2] == 0) || (o[0] == 169 && o[1] == 254) ||
           load_be32(o.data()) == 0xffffffff;
  }
  // Interface-local and link-local multicast, link-local unicast.
  if (o[0] == 0xff) return (o[1] & 0x0f) <= 2;
  return o[0] == 0xfe && (o[1] & 0xc0) == 0x80;
}

}  // namespace cygnet::agent::userspace
