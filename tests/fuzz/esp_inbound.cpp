// SPDX-License-Identifier: Apache-2.0

/// ESP from the outer network (RFC 4303): anybody may send it. What we seal opens to what went in;
/// any change of any octet, of the key or of the high half of an ESN is refused before something of
/// it is used; and whatever a peer with the key puts into a trailer, no octet outside the packet
/// is touched.

#include <cstring>

#include "cygnet/esp/packet.h"
#include "cygnet/esp/test_suites.h"
#include "fuzz.h"

using namespace cygnet;
using namespace cygnet::esp;

FUZZ_TARGET(esp_inbound) {
  fuzz::Input in(octets);
  static const std::vector<NamedSuite> suites = all_suites();
  const crypto::EspSuite suite = suites[in.below(suites.size())].suite;
  const bool esn = in.flag();
  const EspFormat format(suite, esn);
  const Keys keys = keys_for(suite);
  const std::uint8_t what = in.u8() % 3;
  if (what == 0) {  // octets as they come
    Bytes packet(octets.begin(), octets.end());
    const auto header = read_clear_header(format, packet);
    FUZZ_REQUIRE(
        header.has_value() ==
        (packet.size() >= format.min_packet_length() &&
         (packet.size() - format.header_length() - format.icv_length()) % format.block_length() ==
             0));
    // Nobody guesses an ICV. The keys are none that this target seals with: libFuzzer remembers
    // what was compared, a sealed packet among it, and brings it back as input.
    const auto opened = open_packet(suite, keys_for(suite, 3).views(), esn, in.u32(), packet);
    FUZZ_REQUIRE(!opened);
    return;
  }
  if (what == 1) {  // a trailer, as the holder of the key may write it
    Bytes packet = in.exactly(in.size());
    if (!read_clear_header(format, packet)) return;
    const auto opened = read_trailer(format, packet);
    if (!opened) return;
    const std::size_t text = packet.size() - format.icv_length();
    FUZZ_REQUIRE(opened->payload_offset == format.header_length());
    FUZZ_REQUIRE(opened->payload_offset + opened->payload_length + opened->pad_length +
                     kTrailerLength ==
                 text);
    for (std::size_t i = 0; i < opened->pad_length; ++i) {
      FUZZ_REQUIRE(packet[opened->payload_offset + opened->payload_length + i] == i + 1);
    }
    return;
  }
  const std::uint32_t spi = in.u32() | 0x100;
  const std::uint64_t sequence = (std::uint64_t{esn ? in.u8() : 0U} << 32) | in.u32();
  const std::uint8_t next_header = in.u8();
  const Bytes iv = in.exactly(format.iv_length());
  const std::size_t changes = in.below(4);
  std::uint8_t where[3][3];
  for (auto& change : where) {
    for (std::uint8_t& octet : change) octet = in.u8();
  }
  const Bytes payload = in.exactly(in.size());
  const auto sealed =
      seal_packet(suite, keys.views(), esn, spi, sequence, iv, next_header, payload);
  if (!sealed) return;  // sequence 0
  FUZZ_REQUIRE(sealed->size() == format.packet_length(payload.size()));
  Bytes packet = *sealed;
  for (std::size_t i = 0; i < changes; ++i) {
    packet[static_cast<std::size_t>((where[i][0] << 8) | where[i][1]) % packet.size()] ^=
        where[i][2];
  }
  const auto high = static_cast<std::uint32_t>(sequence >> 32);
  const auto opened = open_packet(suite, keys.views(), esn, high, packet);
  if (packet != *sealed) {
    FUZZ_REQUIRE(!opened);
    return;
  }
  FUZZ_REQUIRE(opened.has_value());
  FUZZ_REQUIRE(opened->spi == spi && opened->sequence == sequence);
  FUZZ_REQUIRE(opened->next_header == next_header && opened->payload == payload);
  FUZZ_REQUIRE(!open_packet(suite, keys_for(suite, 2).views(), esn, high, packet));
  if (esn) FUZZ_REQUIRE(!open_packet(suite, keys.views(), esn, high + 1, packet));
}
