// SPDX-License-Identifier: Apache-2.0
#include "cygnet/proto/keymat/spi_stream.h"

#include <algorithm>

namespace cygnet::proto {
namespace {

std::optional<Spi> take(const SpiSource& next, const std::vector<SpiPair>& earlier,
                        Spi SpiPair::*direction) {
  while (const std::optional<std::uint32_t> value = next()) {
    const std::optional<Spi> spi = Spi::from(*value);
    if (!spi) continue;
    const bool used = std::any_of(earlier.begin(), earlier.end(),
                                  [&](const SpiPair& pair) { return pair.*direction == *spi; });
    if (!used) return spi;
  }
  return std::nullopt;
}

}  // namespace

Result<std::vector<SpiPair>> select_spis(const SpiSource& next, std::uint16_t lanes) {
  std::vector<SpiPair> out;
  out.reserve(lanes);
  while (out.size() < lanes) {
    const std::optional<Spi> i = take(next, out, &SpiPair::i);
    const std::optional<Spi> r = i ? take(next, out, &SpiPair::r) : std::nullopt;
    if (!r) {
      return fail(kErrLanes,
                  "the SPI stream ended before " + std::to_string(lanes) + " lanes had their SPIs");
    }
    out.push_back({*i, *r});
  }
  return out;
}

}  // namespace cygnet::proto
