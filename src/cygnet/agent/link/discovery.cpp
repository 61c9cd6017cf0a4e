// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/link/discovery.h"

#include <algorithm>

namespace cygnet::agent {
namespace {

constexpr std::string_view kMagic = "CYGD";
constexpr std::uint8_t kVersion = 1;
constexpr std::size_t kHeader = 4 + 1 + 16;

}  // namespace

Bytes encode_discovery(const DiscoveryCookie& cookie) {
  ByteWriter out;
  out.octets(as_bytes(kMagic));
  out.u8(kVersion);
  out.octets(cookie);
  return out.take();
}

Result<DiscoveryAnswer> decode_discovery_answer(ByteView datagram) {
  if (datagram.size() < kHeader + 1 || !equal(datagram.first(4), as_bytes(kMagic)) ||
      datagram[4] != kVersion) {
    return fail(kErrDiscovery, "the datagram is no discovery answer of version 1");
  }
  DiscoveryAnswer answer;
  std::copy_n(datagram.begin() + 5, answer.cookie.size(), answer.cookie.begin());
  const std::uint8_t family = datagram[kHeader];
  const std::size_t address_length = family == 4 ? 4 : family == 6 ? 16 : 0;
  if (address_length == 0 || datagram.size() != kHeader + 1 + address_length + 2) {
    return fail(kErrDiscovery, "the discovery answer has a wrong family or length");
  }
  answer.seen.address.is_v6 = family == 6;
  std::copy_n(datagram.begin() + kHeader + 1, address_length, answer.seen.address.octets.begin());
  answer.seen.port = load_be16(datagram.data() + kHeader + 1 + address_length);
  return answer;
}

}  // namespace cygnet::agent
