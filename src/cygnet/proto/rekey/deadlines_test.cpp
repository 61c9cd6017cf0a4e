// SPDX-License-Identifier: Apache-2.0
// The knockout tree of deadlines beside an ordered set of them.
#include "cygnet/proto/rekey/deadlines.h"

#include <gtest/gtest.h>

#include <random>
#include <utility>
#include <vector>

namespace cygnet::proto::rekey {
namespace {

Timestamp second(std::uint64_t s) { return Timestamp(std::chrono::seconds(s)); }

/// What the tree has to say, by looking at every slot.
class Looked {
 public:
  void insert(std::size_t slot) {
    at_.insert(at_.begin() + static_cast<std::ptrdiff_t>(slot), std::nullopt);
  }
  void set(std::size_t slot, std::optional<Timestamp> at) { at_[slot] = at; }
  [[nodiscard]] std::optional<std::size_t> first_slot() const {
    std::optional<std::size_t> first;
    for (std::size_t slot = 0; slot < at_.size(); ++slot) {
      if (at_[slot] && (!first || *at_[slot] < *at_[*first])) first = slot;
    }
    return first;
  }
  [[nodiscard]] const std::vector<std::optional<Timestamp>>& all() const { return at_; }

 private:
  std::vector<std::optional<Timestamp>> at_;
};

TEST(Deadlines, WithoutSlotsOrDeadlinesNothingIsDue) {
  Deadlines deadlines;
  EXPECT_EQ(deadlines.first(), std::nullopt);
  deadlines.insert(0);
  EXPECT_EQ(deadlines.first(), std::nullopt);
  EXPECT_EQ(deadlines.of(0), std::nullopt);
}

TEST(Deadlines, OfTwoThatAreDueTogetherTheLowerSlotIsFirst) {
  Deadlines deadlines;
  for (std::size_t slot = 0; slot < 5; ++slot) deadlines.insert(slot);
  deadlines.set(4, second(7));
  deadlines.set(2, second(7));
  EXPECT_EQ(deadlines.first_slot(), 2U);
  deadlines.set(2, second(8));
  EXPECT_EQ(deadlines.first_slot(), 4U);
  EXPECT_EQ(deadlines.first(), second(7));
}

TEST(Deadlines, SayWhatLookingAtEverySlotSays) {
  std::mt19937 draw(5);
  for (int round = 0; round < 40; ++round) {
    Deadlines deadlines;
    Looked looked;
    for (int step = 0; step < 600; ++step) {
      const std::size_t count = looked.all().size();
      if (count == 0 || draw() % 12 == 0) {
        // Mostly behind the last, as peers come.
        const std::size_t slot = draw() % 3 == 0 ? draw() % (count + 1) : count;
        deadlines.insert(slot);
        looked.insert(slot);
      } else {
        const std::size_t slot = draw() % count;
        const auto at = draw() % 5 == 0 ? std::nullopt : std::optional(second(1 + draw() % 20));
        deadlines.set(slot, at);
        looked.set(slot, at);
      }
      const auto first = looked.first_slot();
      ASSERT_EQ(deadlines.first().has_value(), first.has_value());
      if (first) {
        ASSERT_EQ(deadlines.first_slot(), *first);
        ASSERT_EQ(deadlines.first(), looked.all()[*first]);
      }
      for (std::size_t slot = 0; slot < looked.all().size(); ++slot) {
        ASSERT_EQ(deadlines.of(slot), looked.all()[slot]);
      }
    }
  }
}

}  // namespace
}  // namespace cygnet::proto::rekey
