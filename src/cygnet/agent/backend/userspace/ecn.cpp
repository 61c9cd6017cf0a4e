// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/backend/userspace/ecn.h"

#include <array>

#include "cygnet/agent/backend/userspace/checksum.h"

namespace cygnet::agent::userspace {

EcnDecap ecn_decap(Ecn inner, Ecn outer) {
  constexpr EcnDecap kNot{Ecn::kNotEct, false};
  constexpr EcnDecap kZero{Ecn::kEct0, false};
  constexpr EcnDecap kOne{Ecn::kEct1, false};
  constexpr EcnDecap kCongestion{Ecn::kCe, false};
  constexpr EcnDecap kDrop{Ecn::kNotEct, true};
  // Rows: inner; columns: outer; both by code point Not-ECT, ECT(1), ECT(0), CE.
  constexpr std::array<std::array<EcnDecap, 4>, 4> kTable{{
      {kNot, kNot, kNot, kDrop},
      {kOne, kOne, kOne, kCongestion},
      {kZero, kOne, kZero, kCongestion},
      {kCongestion, kCongestion, kCongestion, kCongestion},
  }};
  return kTable[static_cast<std::size_t>(inner)][static_cast<std::size_t>(outer)];
}

void write_ecn(MutableByteView packet, const InnerPacket& inner, Ecn ecn) {
  const auto bits = static_cast<std::uint8_t>(ecn);
  if (inner.is_v6) {
    packet[1] = static_cast<std::uint8_t>((packet[1] & 0xcf) | (bits << 4));
    return;
  }
  const std::uint16_t before = load_be16(packet.data());
  packet[1] = static_cast<std::uint8_t>((packet[1] & 0xfc) | bits);
  store_be16(packet.data() + 10,
             checksum_replace(load_be16(packet.data() + 10), before, load_be16(packet.data())));
}

}  // namespace cygnet::agent::userspace
