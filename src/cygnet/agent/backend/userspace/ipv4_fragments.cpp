// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/backend/userspace/ipv4_fragments.h"

#include <algorithm>
#include <array>

#include "cygnet/agent/backend/userspace/checksum.h"

namespace cygnet::agent::userspace {
namespace {

constexpr std::uint16_t kMoreFragments = 0x2000;
constexpr std::uint16_t kOffsetMask = 0x1fff;
constexpr std::uint8_t kEndOfOptions = 0;
constexpr std::uint8_t kNoOperation = 1;
constexpr std::uint8_t kCopied = 0x80;
constexpr std::size_t kUnit = 8;
constexpr std::size_t kMaxOptions = 40;

/// The options that every fragment carries, padded. @return how many octets
std::size_t copied_options(ByteView options, std::array<std::uint8_t, kMaxOptions>& out) {
  std::size_t used = 0;
  for (std::size_t at = 0; at < options.size() && options[at] != kEndOfOptions;) {
    if (options[at] == kNoOperation) {
      ++at;
      continue;
    }
    // A malformed rest is left out: no router would understand it either.
    if (at + 1 >= options.size()) break;
    const std::size_t length = options[at + 1];
    if (length < 2 || length > options.size() - at) break;
    if ((options[at] & kCopied) != 0) {
      std::copy_n(options.begin() + static_cast<std::ptrdiff_t>(at), length,
                  out.begin() + static_cast<std::ptrdiff_t>(used));
      used += length;
    }
    at += length;
  }
  while (used % 4 != 0) out[used++] = kEndOfOptions;
  return used;
}

ByteView options_of(ByteView packet) {
  return packet.first(std::size_t{packet[0] & 0x0fU} * 4).subspan(kIpv4HeaderLength);
}

}  // namespace

std::optional<Ipv4Fragments> Ipv4Fragments::create(const InnerPacket& inner, ByteView packet,
                                                   std::size_t mtu) {
  if (inner.is_v6 || inner.dont_fragment) return std::nullopt;
  const ByteView whole = packet.first(inner.total_length);
  const ByteView options = options_of(whole);
  std::array<std::uint8_t, kMaxOptions> copied{};
  const std::size_t first_header = kIpv4HeaderLength + options.size();
  const std::size_t later_header = kIpv4HeaderLength + copied_options(options, copied);
  if (mtu < first_header + kUnit) return std::nullopt;
  if (whole.size() <= mtu) {
    return Ipv4Fragments(whole, first_header, later_header, whole.size() - first_header, kUnit);
  }
  const auto room = [mtu](std::size_t header) { return (mtu - header) / kUnit * kUnit; };
  return Ipv4Fragments(whole, first_header, later_header, room(first_header), room(later_header));
}

Ipv4Fragments::Ipv4Fragments(ByteView packet, std::size_t first_header, std::size_t later_header,
                             std::size_t first_payload, std::size_t later_payload)
    : packet_(packet),
      first_header_(first_header),
      later_header_(later_header),
      first_payload_(std::min(first_payload, packet.size() - first_header)),
      later_payload_(later_payload),
      count_(1 +
             (packet.size() - first_header - first_payload_ + later_payload - 1) / later_payload) {}

std::size_t Ipv4Fragments::payload(std::size_t i) const {
  if (i == 0) return first_payload_;
  return std::min(later_payload_, packet_.size() - first_header_ - offset(i));
}

void Ipv4Fragments::write(std::size_t i, std::uint8_t* out) const {
  std::copy_n(packet_.begin(), kIpv4HeaderLength, out);
  if (i == 0) {
    std::copy_n(packet_.begin() + kIpv4HeaderLength, first_header_ - kIpv4HeaderLength,
                out + kIpv4HeaderLength);
  } else {
    std::array<std::uint8_t, kMaxOptions> copied{};
    std::copy_n(copied.begin(), copied_options(options_of(packet_), copied),
                out + kIpv4HeaderLength);
  }
  const std::size_t header_length = header(i);
  const std::uint16_t flags = load_be16(packet_.data() + 6);
  const bool more = i + 1 < count_ || (flags & kMoreFragments) != 0;
  const std::size_t at = (flags & kOffsetMask) + offset(i) / kUnit;
  out[0] = static_cast<std::uint8_t>(0x40 | header_length / 4);
  store_be16(out + 2, static_cast<std::uint16_t>(length(i)));
  store_be16(out + 6, static_cast<std::uint16_t>((more ? kMoreFragments : 0) | at));
  store_be16(out + 10, 0);
  store_be16(out + 10, checksum_finish(checksum_add(0, {out, header_length})));
  std::copy_n(packet_.begin() + static_cast<std::ptrdiff_t>(first_header_ + offset(i)), payload(i),
              out + header_length);
}

}  // namespace cygnet::agent::userspace
