// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/backend/userspace/segmenter.h"

#include <cstring>

#include "cygnet/agent/backend/userspace/checksum.h"
#include "cygnet/agent/backend/userspace/tcp_header.h"

namespace cygnet::agent::userspace {

std::optional<Segmenter> Segmenter::create(const GsoInfo& gso, const InnerPacket& inner,
                                           ByteView packet) {
  const bool tcp = gso.kind == GsoKind::kTcpV4 || gso.kind == GsoKind::kTcpV6;
  const std::size_t least = tcp ? kTcpHeaderLength : kUdpHeaderLength;
  const ByteView transport = inner.transport(packet);
  if (gso.kind == GsoKind::kNone || gso.segment_size == 0 || transport.size() < least ||
      inner.protocol != (tcp ? kProtocolTcp : kProtocolUdp)) {
    return std::nullopt;
  }
  const std::size_t header = tcp ? tcp_header_length(transport) : kUdpHeaderLength;
  if (header < least || transport.size() <= header) return std::nullopt;
  return Segmenter(inner, packet.first(inner.total_length), header, gso.segment_size);
}

Segmenter::Segmenter(const InnerPacket& inner, ByteView packet, std::size_t transport_header,
                     std::size_t segment_size)
    : packet_(packet),
      v6_(inner.is_v6),
      tcp_(inner.protocol == kProtocolTcp),
      ip_header_(inner.header_length),
      headers_(inner.header_length + transport_header),
      segment_(segment_size),
      count_((packet.size() - headers_ + segment_size - 1) / segment_size) {}

void Segmenter::fix_ip(std::size_t i, std::size_t total, std::uint8_t* out) const {
  if (v6_) {
    store_be16(out + 4, static_cast<std::uint16_t>(total - kIpv6HeaderLength));
    return;
  }
  store_be16(out + 2, static_cast<std::uint16_t>(total));
  store_be16(out + 4, static_cast<std::uint16_t>(load_be16(out + 4) + i));
  store_be16(out + 10, 0);
  store_be16(out + 10, checksum_finish(checksum_add(0, {out, ip_header_})));
}

void Segmenter::write(std::size_t i, std::uint8_t* out) const {
  const std::size_t total = length(i);
  const std::size_t offset = i * segment_;
  std::memcpy(out, packet_.data(), headers_);
  const std::uint64_t payload_sum =
      checksum_copy(0, packet_.subspan(headers_ + offset, payload(i)), out + headers_);
  fix_ip(i, total, out);
  std::uint8_t* const transport = out + ip_header_;
  const std::size_t transport_length = total - ip_header_;
  std::uint8_t* checksum = nullptr;
  if (tcp_) {
    store_be32(transport + kTcpSequence,
               load_be32(transport + kTcpSequence) + static_cast<std::uint32_t>(offset));
    if (i + 1 < count_) {
      transport[kTcpFlags] &= static_cast<std::uint8_t>(~(kTcpFin | kTcpPush));
    }
    // RFC 3168: the sender reduces its window once, not once a segment.
    if (i > 0) transport[kTcpFlags] &= static_cast<std::uint8_t>(~kTcpCwr);
    checksum = transport + kTcpChecksum;
  } else {
    store_be16(transport + 4, static_cast<std::uint16_t>(transport_length));
    checksum = transport + 6;
  }
  store_be16(checksum, 0);
  const auto sum_length = static_cast<std::uint32_t>(transport_length);
  const std::uint8_t protocol = tcp_ ? kProtocolTcp : kProtocolUdp;
  const std::uint64_t pseudo = v6_ ? ipv6_pseudo_sum(out + 8, out + 24, sum_length, protocol)
                                   : ipv4_pseudo_sum(out + 12, out + 16, sum_length, protocol);
  std::uint16_t sum = checksum_finish(
      checksum_add(pseudo + payload_sum, {transport, transport_length - payload(i)}));
  // A UDP checksum of zero would mean "none" (RFC 768).
  if (!tcp_ && sum == 0) sum = 0xffff;
  store_be16(checksum, sum);
}

bool complete_checksum(const GsoInfo& gso, MutableByteView packet) {
  const std::size_t start = gso.checksum_start;
  const std::size_t at = start + gso.checksum_offset;
  if (at + 2 > packet.size()) return false;
  // The field holds the pseudo-header's sum, which is part of what is summed.
  std::uint16_t sum = checksum_finish(checksum_add(0, packet.subspan(start)));
  if (sum == 0 && gso.checksum_offset == 6) sum = 0xffff;  // UDP
  store_be16(packet.data() + at, sum);
  return true;
}

}  // namespace cygnet::agent::userspace
