// SPDX-License-Identifier: Apache-2.0
#include "cygnet/proto/keymat/spi_stream.h"

#include <gtest/gtest.h>

namespace cygnet::proto {
namespace {

// Draws from a list, so that values turn up which no hash would give in a lifetime.
struct Stream {
  std::vector<std::uint32_t> values;
  std::size_t taken = 0;
  SpiSource source() {
    return [this]() -> std::optional<std::uint32_t> {
      if (taken == values.size()) return std::nullopt;
      return values[taken++];
    };
  }
};

std::vector<std::pair<std::uint32_t, std::uint32_t>> select(Stream& stream, std::uint16_t lanes) {
  const auto pairs = select_spis(stream.source(), lanes);
  std::vector<std::pair<std::uint32_t, std::uint32_t>> out;
  if (!pairs) return out;
  for (const SpiPair& pair : *pairs) out.push_back({pair.i.value(), pair.r.value()});
  return out;
}
using Pairs = std::vector<std::pair<std::uint32_t, std::uint32_t>>;

TEST(SpiSelection, AlternatesInitiatorAndResponder) {
  Stream stream{{1000, 2000, 3000, 4000, 5000}};
  EXPECT_EQ(select(stream, 2), (Pairs{{1000, 2000}, {3000, 4000}}));
  EXPECT_EQ(stream.taken, 4U);
}

TEST(SpiSelection, SkipsTheReservedValues) {
  Stream stream{{0, 255, 256, 1, 0xffffffff}};
  EXPECT_EQ(select(stream, 1), (Pairs{{256, 0xffffffff}}));
}

TEST(SpiSelection, TheNextValueOfTheStreamTakesTheSkippedPlace) {
  Stream stream{{1000, 7, 2000, 3000, 4000}};
  EXPECT_EQ(select(stream, 2), (Pairs{{1000, 2000}, {3000, 4000}}));
}

TEST(SpiSelection, SkipsARepetitionInTheSameDirection) {
  Stream stream{{1000, 2000, 1000, 3000, 2000, 4000}};
  EXPECT_EQ(select(stream, 2), (Pairs{{1000, 2000}, {3000, 4000}}));
}

TEST(SpiSelection, BothDirectionsMayHaveOneValue) {
  Stream stream{{1000, 1000, 2000, 2000}};
  EXPECT_EQ(select(stream, 2), (Pairs{{1000, 1000}, {2000, 2000}}));
}

TEST(SpiSelection, RefusesWhenTheStreamEnds) {
  for (const std::size_t n : {std::size_t{0}, std::size_t{1}, std::size_t{3}}) {
    Stream stream{{1000, 2000, 3000}};
    stream.values.resize(n);
    const auto pairs = select_spis(stream.source(), 2);
    ASSERT_FALSE(pairs.has_value());
    EXPECT_EQ(pairs.error().code, kErrLanes);
  }
}

}  // namespace
}  // namespace cygnet::proto
