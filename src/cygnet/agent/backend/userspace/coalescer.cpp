// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/backend/userspace/coalescer.h"

#include <algorithm>
#include <cstring>

#include "cygnet/agent/backend/userspace/checksum.h"
#include "cygnet/agent/backend/userspace/tcp_header.h"

namespace cygnet::agent::userspace {
namespace {

std::uint64_t pseudo_sum(bool v6, ByteView packet, std::size_t length, std::uint8_t protocol) {
  const auto n = static_cast<std::uint32_t>(length);
  return v6 ? ipv6_pseudo_sum(packet.data() + 8, packet.data() + 24, n, protocol)
            : ipv4_pseudo_sum(packet.data() + 12, packet.data() + 16, n, protocol);
}

bool checksum_is_right(const InnerPacket& inner, ByteView packet) {
  const ByteView transport = packet.subspan(inner.header_length);
  return checksum_finish(checksum_add(
             pseudo_sum(inner.is_v6, packet, transport.size(), inner.protocol), transport)) == 0;
}

/// No options, no fragment, a right header checksum: what the kernel writes again as it was.
bool plain_ip_header(const InnerPacket& inner, ByteView packet) {
  if (inner.is_v6) return inner.header_length == kIpv6HeaderLength;
  return inner.header_length == kIpv4HeaderLength && (load_be16(packet.data() + 6) & 0xbfff) == 0 &&
         checksum_finish(checksum_add(0, packet.first(kIpv4HeaderLength))) == 0;
}

const std::uint8_t* octets_of(const iovec& piece) {
  return static_cast<const std::uint8_t*>(piece.iov_base);
}

/// Everything of the IP header but length, checksum and the IPv4 identification.
bool same_ip_header(bool v6, const std::uint8_t* a, const std::uint8_t* b) {
  if (v6) {
    return std::memcmp(a, b, 4) == 0 && std::memcmp(a + 6, b + 6, kIpv6HeaderLength - 6) == 0;
  }
  return a[0] == b[0] && a[1] == b[1] && std::memcmp(a + 6, b + 6, 4) == 0 &&
         std::memcmp(a + 12, b + 12, 8) == 0;
}

}  // namespace

std::optional<Coalescer::Candidate> Coalescer::candidate(const InnerPacket& inner,
                                                         ByteView packet) const {
  Candidate c;
  c.tcp = inner.protocol == kProtocolTcp;
  if (!(c.tcp ? offloads_.tcp : inner.protocol == kProtocolUdp && offloads_.udp)) return {};
  if (!plain_ip_header(inner, packet)) return {};
  const ByteView transport = packet.subspan(inner.header_length);
  std::size_t header = kUdpHeaderLength;
  if (c.tcp) {
    if (transport.size() < kTcpHeaderLength) return {};
    header = tcp_header_length(transport);
    const std::uint8_t flags = transport[kTcpFlags];
    if (header < kTcpHeaderLength || (flags & ~kTcpPush) != kTcpAck) return {};
  } else if (transport.size() < header || load_be16(transport.data() + 4) != transport.size() ||
             load_be16(transport.data() + 6) == 0) {
    return {};
  }
  if (transport.size() <= header || !checksum_is_right(inner, packet)) return {};
  c.headers = inner.header_length + header;
  c.payload = packet.size() - c.headers;
  return c;
}

bool Coalescer::same_flow(const Group& group, const InnerPacket& inner, ByteView packet) {
  const std::uint8_t* const first = octets_of(group.pieces[0]);
  const std::size_t addresses = inner.is_v6 ? 8 : 12;
  return group.v6 == inner.is_v6 && group.first.tcp == (inner.protocol == kProtocolTcp) &&
         std::memcmp(first + addresses, packet.data() + addresses, inner.is_v6 ? 32 : 8) == 0 &&
         std::memcmp(first + group.ip_header, packet.data() + inner.header_length, 4) == 0;
}

bool Coalescer::continues(const Group& group, const Candidate& candidate, ByteView packet) {
  const std::uint8_t* const first = octets_of(group.pieces[0]);
  if (!group.open || candidate.headers != group.first.headers ||
      candidate.payload > group.first.payload || group.packets == Tun::kMaxPieces ||
      group.octets + candidate.payload > kMaxOctets ||
      !same_ip_header(group.v6, first, packet.data())) {
    return false;
  }
  if (!group.v6) {
    // Cut again, identifications count up; with DF they mean nothing (RFC 6864).
    const std::uint16_t id = load_be16(packet.data() + 4);
    const std::uint16_t first_id = load_be16(first + 4);
    const bool counts = id == static_cast<std::uint16_t>(first_id + group.packets);
    const bool atomic = (packet[6] & 0x40) != 0 && id == first_id;
    if (!counts && !atomic) return false;
  }
  if (!candidate.tcp) return true;
  const std::uint8_t* const tcp = packet.data() + group.ip_header;
  const std::uint8_t* const before = first + group.ip_header;
  // Acknowledgement, header length, window, urgent pointer, options; the flags are all alike.
  return load_be32(tcp + kTcpSequence) == group.next_sequence &&
         std::memcmp(tcp + 8, before + 8, 5) == 0 && std::memcmp(tcp + 14, before + 14, 2) == 0 &&
         std::memcmp(tcp + 18, before + 18, candidate.headers - group.ip_header - 18) == 0;
}

void Coalescer::add(MutableByteView packet, const InnerPacket& inner) {
  const bool has_ports =
      !inner.later_fragment && (inner.protocol == kProtocolTcp || inner.protocol == kProtocolUdp);
  if (!has_ports || packet.size() < inner.header_length + 4) {
    // A fragment belongs to a flow that nothing here tells.
    if (inner.protocol == kProtocolTcp || inner.protocol == kProtocolUdp) flush();
    return write_single(packet, false);
  }
  const auto c = candidate(inner, packet);
  const std::uint32_t hash = flow_hash(inner, packet);
  bool known = false;
  for (std::size_t i = used_; i > 0; --i) {
    Group& group = groups_[i - 1];
    if (group.hash != hash || !same_flow(group, inner, packet)) continue;
    if (c && continues(group, *c, packet)) return append(group, *c, packet);
    // It can grow no more: what comes later must not overtake this packet.
    group.open = false;
    known = true;
    break;
  }
  if (c) return begin(inner, *c, hash, packet);
  if (known) flush();
  write_single(packet, false);
}

void Coalescer::begin(const InnerPacket& inner, const Candidate& candidate, std::uint32_t hash,
                      MutableByteView packet) {
  if (used_ == kGroups) flush();
  Group& group = groups_[used_++];
  group.open = true;
  group.v6 = inner.is_v6;
  group.hash = hash;
  group.first = candidate;
  group.ip_header = inner.header_length;
  group.octets = candidate.headers;
  group.packets = 0;
  group.last_flags = 0;
  append(group, candidate, packet);
}

void Coalescer::append(Group& group, const Candidate& candidate, MutableByteView packet) {
  const bool first = group.packets == 0;
  group.pieces[group.packets++] = first
                                      ? iovec{packet.data(), packet.size()}
                                      : iovec{packet.data() + candidate.headers, candidate.payload};
  group.octets += candidate.payload;
  if (candidate.tcp) {
    const std::uint8_t* const tcp = packet.data() + group.ip_header;
    group.next_sequence =
        load_be32(tcp + kTcpSequence) + static_cast<std::uint32_t>(candidate.payload);
    group.last_flags = tcp[kTcpFlags];
  }
  // A short one is the last of its packet; so is one that asks to be handed on at once.
  group.open = candidate.payload == group.first.payload && (group.last_flags & kTcpPush) == 0;
}

void Coalescer::write(Group& group) {
  auto* const packet = static_cast<std::uint8_t*>(group.pieces[0].iov_base);
  if (group.packets == 1) return write_single({packet, group.pieces[0].iov_len}, true);
  const std::size_t transport_length = group.octets - group.ip_header;
  const bool tcp = group.first.tcp;
  if (group.v6) {
    store_be16(packet + 4, static_cast<std::uint16_t>(transport_length));
  } else {
    store_be16(packet + 2, static_cast<std::uint16_t>(group.octets));
    store_be16(packet + 10, 0);
    store_be16(packet + 10, checksum_finish(checksum_add(0, {packet, kIpv4HeaderLength})));
  }
  std::uint8_t* const transport = packet + group.ip_header;
  if (tcp) {
    transport[kTcpFlags] |= group.last_flags & kTcpPush;
  } else {
    store_be16(transport + 4, static_cast<std::uint16_t>(transport_length));
  }
  GsoInfo gso;
  gso.kind = !tcp ? GsoKind::kUdp : group.v6 ? GsoKind::kTcpV6 : GsoKind::kTcpV4;
  gso.segment_size = static_cast<std::uint16_t>(group.first.payload);
  gso.partial_checksum = true;
  gso.header_length = static_cast<std::uint16_t>(group.first.headers);
  gso.checksum_start = static_cast<std::uint16_t>(group.ip_header);
  gso.checksum_offset = tcp ? kTcpChecksum : 6;
  const std::uint64_t pseudo = pseudo_sum(group.v6, {packet, group.first.headers}, transport_length,
                                          tcp ? kProtocolTcp : kProtocolUdp);
  store_be16(transport + gso.checksum_offset,
             static_cast<std::uint16_t>(~checksum_finish(pseudo) & 0xffff));
  sink_.write({group.pieces.data(), group.packets}, gso, group.packets);
}

void Coalescer::write_single(ByteView packet, bool checksum_valid) {
  GsoInfo gso;
  gso.checksum_valid = checksum_valid;
  const iovec piece{const_cast<std::uint8_t*>(packet.data()), packet.size()};
  sink_.write({&piece, 1}, gso, 1);
}

void Coalescer::flush() {
  for (std::size_t i = 0; i < used_; ++i) write(groups_[i]);
  used_ = 0;
}

}  // namespace cygnet::agent::userspace
