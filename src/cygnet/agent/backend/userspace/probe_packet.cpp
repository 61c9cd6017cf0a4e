// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/backend/userspace/probe_packet.h"

#include <algorithm>

#include "cygnet/agent/backend/userspace/checksum.h"

namespace cygnet::agent::userspace {
namespace {

std::uint64_t udp_sum(const std::uint8_t* ip, ByteView udp) {
  return checksum_add(
      ipv6_pseudo_sum(ip + 8, ip + 24, static_cast<std::uint32_t>(udp.size()), kProtocolUdp), udp);
}

}  // namespace

std::size_t build_probe(const IpAddress& from, const IpAddress& to, ByteView payload,
                        MutableByteView out) {
  const std::size_t udp_length = kUdpHeaderLength + payload.size();
  std::fill_n(out.begin(), kProbeOverhead, std::uint8_t{0});
  out[0] = 0x60;
  store_be16(out.data() + 4, static_cast<std::uint16_t>(udp_length));
  out[6] = kProtocolUdp;
  out[7] = kHopLimit;
  std::copy(from.octets.begin(), from.octets.end(), out.data() + 8);
  std::copy(to.octets.begin(), to.octets.end(), out.data() + 24);
  std::uint8_t* const udp = out.data() + kIpv6HeaderLength;
  store_be16(udp, proto::kProbePort);
  store_be16(udp + 2, proto::kProbePort);
  store_be16(udp + 4, static_cast<std::uint16_t>(udp_length));
  std::copy(payload.begin(), payload.end(), udp + kUdpHeaderLength);
  const std::uint16_t checksum = checksum_finish(udp_sum(out.data(), {udp, udp_length}));
  // RFC 8200 section 8.1: a computed zero is sent as 0xffff.
  store_be16(udp + 6, checksum == 0 ? 0xffff : checksum);
  return kIpv6HeaderLength + udp_length;
}

bool is_probe(const InnerPacket& inner, ByteView packet, const IpAddress& peer,
              const IpAddress& own) {
  const ByteView udp = inner.transport(packet);
  return inner.protocol == kProtocolUdp && udp.size() >= kUdpHeaderLength &&
         load_be16(udp.data() + 2) == proto::kProbePort && inner.destination == own &&
         inner.source == peer;
}

std::optional<ByteView> probe_payload(const InnerPacket& inner, ByteView packet) {
  const ByteView udp = inner.transport(packet);
  if (udp.size() < kUdpHeaderLength || load_be16(udp.data() + 4) != udp.size() ||
      load_be16(udp.data() + 6) == 0 || checksum_finish(udp_sum(packet.data(), udp)) != 0) {
    return std::nullopt;
  }
  return udp.subspan(kUdpHeaderLength);
}

}  // namespace cygnet::agent::userspace
