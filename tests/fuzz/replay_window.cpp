// SPDX-License-Identifier: Apache-2.0

/// The replay window against one that remembers every number it was ever shown.

#include "cygnet/esp/replay_window.h"

#include <set>

#include "fuzz.h"

using namespace cygnet;

FUZZ_TARGET(replay_window) {
  fuzz::Input in(octets);
  static constexpr std::uint32_t kSizes[] = {32, 33, 64, 100, 128, 1024};
  const std::uint32_t size = kSizes[in.below(6)];
  const bool esn = in.flag();
  const std::uint64_t last = esn ? ~std::uint64_t{0} : 0xffffffff;
  esp::ReplayWindow window(size, esn);
  std::set<std::uint64_t> seen;
  std::uint64_t highest = 0;
  while (!in.empty()) {
    std::uint64_t sequence = 0;
    switch (in.u8() % 6) {
      case 0:
        sequence = highest + in.u8();
        break;
      case 1:
        sequence = highest - in.u16();
        break;
      case 2:
        sequence = highest + in.u32();
        break;
      case 3:
        sequence = in.u64();
        break;
      case 4:
        sequence = last - in.u8();
        break;
      default:
        sequence = highest - size + in.u8() % 4;
        break;
    }
    sequence &= last;
    const bool fresh = sequence != 0 && !seen.contains(sequence) &&
                       (sequence > highest || highest - sequence <= size - 1);
    FUZZ_REQUIRE(window.check(sequence) == fresh);
    // The number a sender means: the one with these low bits that lies within 2^32 of the window's
    // left edge (RFC 4303 appendix A2).
    const std::uint64_t edge = highest >= size - 1 ? highest - (size - 1) : 0;
    const std::uint64_t ahead = static_cast<std::uint32_t>(sequence - edge);
    if (!esn) {
      FUZZ_REQUIRE(window.infer(static_cast<std::uint32_t>(sequence)) == sequence);
    } else if (highest >= size - 1 && edge <= last - ahead) {
      FUZZ_REQUIRE(window.infer(static_cast<std::uint32_t>(sequence)) == edge + ahead);
    }
    const bool new_highest = window.update(sequence);
    FUZZ_REQUIRE(new_highest == (fresh && sequence > highest));
    if (fresh) seen.insert(sequence);
    if (new_highest) highest = sequence;
    FUZZ_REQUIRE(window.highest() == highest);
    FUZZ_REQUIRE(!window.check(sequence));
  }
}
