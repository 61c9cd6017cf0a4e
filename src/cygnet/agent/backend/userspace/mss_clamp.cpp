// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/backend/userspace/mss_clamp.h"

#include "cygnet/agent/backend/userspace/checksum.h"
#include "cygnet/agent/backend/userspace/tcp_header.h"

namespace cygnet::agent::userspace {
namespace {

constexpr std::uint8_t kOptionEnd = 0;
constexpr std::uint8_t kOptionNop = 1;
constexpr std::uint8_t kOptionMss = 2;

void replace_octets(std::uint8_t* tcp, std::size_t at, std::uint16_t value) {
  const auto update = [&](std::uint16_t before, std::uint16_t after) {
    store_be16(tcp + kTcpChecksum, checksum_replace(load_be16(tcp + kTcpChecksum), before, after));
  };
  // The checksum is a sum of words: a value at an odd offset lies in two of them. One at an even
  // offset may be the packet's last word: nothing behind it is touched.
  const std::size_t first = at & ~std::size_t{1};
  const bool two = at != first;
  const std::uint16_t word = load_be16(tcp + first);
  const std::uint16_t next = two ? load_be16(tcp + first + 2) : std::uint16_t{0};
  store_be16(tcp + at, value);
  update(word, load_be16(tcp + first));
  if (two) update(next, load_be16(tcp + first + 2));
}

}  // namespace

bool clamp_mss(MutableByteView packet, const InnerPacket& inner, std::size_t inner_mtu) {
  if (inner.protocol != kProtocolTcp || inner.later_fragment) return false;
  const std::size_t available = inner.total_length - inner.header_length;
  if (available < kTcpHeaderLength) return false;
  std::uint8_t* const tcp = packet.data() + inner.header_length;
  if ((tcp[13] & kTcpSyn) == 0) return false;
  const std::size_t header = tcp_header_length({tcp, available});
  if (header < kTcpHeaderLength || header > available) return false;
  const std::size_t headers =
      (inner.is_v6 ? kIpv6HeaderLength : kIpv4HeaderLength) + kTcpHeaderLength;
  if (inner_mtu <= headers) return false;
  const std::size_t limit = inner_mtu - headers;
  for (std::size_t at = kTcpHeaderLength; at < header;) {
    if (tcp[at] == kOptionEnd) return false;
    if (tcp[at] == kOptionNop) {
      ++at;
      continue;
    }
    if (at + 1 >= header || tcp[at + 1] < 2 || at + tcp[at + 1] > header) return false;
    if (tcp[at] == kOptionMss && tcp[at + 1] == 4) {
      if (load_be16(tcp + at + 2) <= limit) return false;
      // Option at an odd offset near the end: the word behind it lies inside the header still,
      // because a TCP header is a multiple of four octets.
      replace_octets(tcp, at + 2, static_cast<std::uint16_t>(limit));
      return true;
    }
    at += tcp[at + 1];
  }
  return false;
}

}  // namespace cygnet::agent::userspace
