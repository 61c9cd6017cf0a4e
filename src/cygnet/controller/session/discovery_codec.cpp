// SPDX-License-Identifier: Apache-2.0
#include "cygnet/controller/session/discovery_codec.h"

#include <algorithm>

namespace cygnet::controller {
namespace {

constexpr std::array<std::uint8_t, 9> kHead = {0, 0, 0, 0, 'C', 'Y', 'G', 'D', kDiscoveryVersion};

bool starts_right(ByteView datagram) {
  return datagram.size() >= kDiscoveryRequestLength &&
         equal(datagram.first(kHead.size()), ByteView(kHead));
}

Cookie cookie_of(ByteView datagram) {
  Cookie cookie{};
  std::copy_n(datagram.begin() + kHead.size(), cookie.size(), cookie.begin());
  return cookie;
}

}  // namespace

Bytes encode_discovery_request(const Cookie& cookie) { return concat({kHead, cookie}); }

std::optional<Cookie> decode_discovery_request(ByteView datagram) {
  if (datagram.size() != kDiscoveryRequestLength || !starts_right(datagram)) return std::nullopt;
  return cookie_of(datagram);
}

Bytes encode_discovery_answer(const DiscoveryAnswer& answer) {
  ByteWriter out;
  out.octets(kHead);
  out.octets(answer.cookie);
  out.u8(answer.address.size() == 4 ? 4 : 6);
  out.octets(answer.address);
  out.u16(answer.port);
  return out.take();
}

std::optional<DiscoveryAnswer> decode_discovery_answer(ByteView datagram) {
  if (datagram.size() <= kDiscoveryRequestLength || !starts_right(datagram)) return std::nullopt;
  const std::uint8_t family = datagram[kDiscoveryRequestLength];
  const std::size_t length = family == 4 ? 4 : family == 6 ? 16 : 0;
  const ByteView rest = datagram.subspan(kDiscoveryRequestLength + 1);
  if (length == 0 || rest.size() != length + 2) return std::nullopt;
  DiscoveryAnswer answer;
  answer.cookie = cookie_of(datagram);
  answer.address.assign(rest.begin(), rest.begin() + static_cast<std::ptrdiff_t>(length));
  answer.port = load_be16(rest.data() + length);
  return answer;
}

}  // namespace cygnet::controller
