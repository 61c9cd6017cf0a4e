// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/backend/xfrm/inherited.h"

#include <gtest/gtest.h>

namespace cygnet::agent::xfrm {
namespace {

constexpr Timestamp kStarted{std::chrono::seconds(500)};
constexpr Duration kTick = std::chrono::milliseconds(1);

TEST(Inherited, CarriesPacketsUntilThePeerIsHeardOnAPairOfThisRun) {
  const Timestamp much_later = kStarted + std::chrono::hours(1);
  EXPECT_EQ(next_step({.claimed = true}, kStarted, much_later), InheritedStep::kKeep);
  EXPECT_EQ(next_step({.claimed = true, .chosen = true}, kStarted, much_later),
            InheritedStep::kKeep);
  EXPECT_EQ(next_step({.claimed = true, .heard = true, .chosen = true}, kStarted, kStarted),
            InheritedStep::kLeave);
}

TEST(Inherited, IsNotLeftForNothing) {
  EXPECT_EQ(next_step({.claimed = true, .heard = true}, kStarted, kStarted), InheritedStep::kKeep);
}

TEST(Inherited, DrainsBeforeItGoes) {
  const Timestamp end = kStarted + kInheritedDrain;
  const InheritedFacts left{.claimed = true, .heard = true, .chosen = true, .drains_until = end};
  EXPECT_EQ(next_step(left, kStarted, end - kTick), InheritedStep::kKeep);
  EXPECT_EQ(next_step(left, kStarted, end), InheritedStep::kRemove);
}

TEST(Inherited, OfAPeerThatNobodyClaimsGoesAfterTheStart) {
  const Timestamp end = kStarted + kInheritedUnclaimed;
  EXPECT_EQ(next_step({}, kStarted, end - kTick), InheritedStep::kKeep);
  EXPECT_EQ(next_step({}, kStarted, end), InheritedStep::kRemove);
}

}  // namespace
}  // namespace cygnet::agent::xfrm
