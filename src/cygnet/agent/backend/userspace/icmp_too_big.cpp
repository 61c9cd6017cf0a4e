// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/backend/userspace/icmp_too_big.h"

#include <algorithm>

#include "cygnet/agent/backend/userspace/checksum.h"

namespace cygnet::agent::userspace {
namespace {

constexpr std::size_t kIcmpHeaderLength = 8;
// RFC 1812 section 4.3.2.3: as much as fits 576 octets.
constexpr std::size_t kMaxIpv4ErrorLength = 576;

bool may_answer(const InnerPacket& inner, ByteView packet) {
  const auto& s = inner.source.octets;
  const bool multicast = inner.is_v6 ? s[0] == 0xff : s[0] >= 224;
  const bool unspecified = std::all_of(s.begin(), s.end(), [](std::uint8_t o) { return o == 0; });
  return !inner.later_fragment && !multicast && !unspecified &&
         !icmp_error(inner, packet).has_value();
}

std::size_t build_v4(ByteView packet, std::size_t mtu, MutableByteView out) {
  const std::size_t quoted =
      std::min(packet.size(), kMaxIpv4ErrorLength - kIpv4HeaderLength - kIcmpHeaderLength);
  const std::size_t total = kIpv4HeaderLength + kIcmpHeaderLength + quoted;
  std::fill_n(out.begin(), kIpv4HeaderLength + kIcmpHeaderLength, std::uint8_t{0});
  out[0] = 0x45;
  out[1] = 0xc0;  // internetwork control, RFC 1812 section 4.3.2.5
  store_be16(out.data() + 2, static_cast<std::uint16_t>(total));
  out[8] = kHopLimit;
  out[9] = kProtocolIcmp;
  std::copy_n(packet.data() + 16, 4, out.data() + 12);
  std::copy_n(packet.data() + 12, 4, out.data() + 16);
  store_be16(out.data() + 10, checksum_finish(checksum_add(0, out.first(kIpv4HeaderLength))));
  std::uint8_t* const icmp = out.data() + kIpv4HeaderLength;
  icmp[0] = 3;
  icmp[1] = 4;
  store_be16(icmp + 6, static_cast<std::uint16_t>(std::min<std::size_t>(mtu, 0xffff)));
  std::copy_n(packet.data(), quoted, icmp + kIcmpHeaderLength);
  store_be16(icmp + 2, checksum_finish(checksum_add(0, {icmp, kIcmpHeaderLength + quoted})));
  return total;
}

std::size_t build_v6(ByteView packet, std::size_t mtu, MutableByteView out) {
  const std::size_t quoted =
      std::min(packet.size(), kMaxTooBigLength - kIpv6HeaderLength - kIcmpHeaderLength);
  const std::size_t length = kIcmpHeaderLength + quoted;
  std::fill_n(out.begin(), kIpv6HeaderLength + kIcmpHeaderLength, std::uint8_t{0});
  out[0] = 0x60;
  store_be16(out.data() + 4, static_cast<std::uint16_t>(length));
  out[6] = kProtocolIcmpv6;
  out[7] = kHopLimit;
  std::copy_n(packet.data() + 24, 16, out.data() + 8);
  std::copy_n(packet.data() + 8, 16, out.data() + 24);
  std::uint8_t* const icmp = out.data() + kIpv6HeaderLength;
  icmp[0] = 2;
  store_be32(icmp + 4, static_cast<std::uint32_t>(mtu));
  std::copy_n(packet.data(), quoted, icmp + kIcmpHeaderLength);
  const std::uint64_t pseudo = ipv6_pseudo_sum(out.data() + 8, out.data() + 24,
                                               static_cast<std::uint32_t>(length), kProtocolIcmpv6);
  store_be16(icmp + 2, checksum_finish(checksum_add(pseudo, {icmp, length})));
  return kIpv6HeaderLength + length;
}

}  // namespace

std::size_t build_too_big(const InnerPacket& inner, ByteView packet, std::size_t mtu,
                          MutableByteView out) {
  if (out.size() < kMaxTooBigLength || !may_answer(inner, packet)) return 0;
  const ByteView whole = packet.first(inner.total_length);
  return inner.is_v6 ? build_v6(whole, mtu, out) : build_v4(whole, mtu, out);
}

}  // namespace cygnet::agent::userspace
