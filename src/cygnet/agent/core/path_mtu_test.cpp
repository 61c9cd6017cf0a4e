// SPDX-License-Identifier: Apache-2.0
// The search for the largest packet, against paths that carry so much and no more.
#include "cygnet/agent/core/path_mtu.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <vector>

namespace cygnet::agent {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

/// One PathMtu and a path to a peer that answers what reaches it.
class PathMtuTest : public ::testing::Test {
 protected:
  static constexpr std::uint32_t kBound = 1400;
  static constexpr Duration kRoundTrip = milliseconds(20);

  /// User packets, and time until the search rests.
  void traffic() {
    drive(mtu.on_traffic(now));
    while (const auto deadline = mtu.next_deadline()) {
      ASSERT_GE(*deadline, now) << "a timer left due would keep its owner busy";
      now = *deadline;
      drive(mtu.on_time(now));
      ASSERT_LT(sent.size(), 500U) << "the search must end";
    }
  }
  void drive(std::optional<PathMtu::Probe> probe) {
    while (probe) {
      sent.push_back(*probe);
      if (probe->size > interface) {
        probe = mtu.on_too_large(probe->size, now);
        continue;
      }
      if (!carries(*probe)) return;
      now += kRoundTrip;
      probe = mtu.on_answer(probe->number, probe->size == 0 ? 60 : probe->size, now);
    }
  }
  [[nodiscard]] bool carries(const PathMtu::Probe& probe) {
    return !dead && probe.size <= path && !lose();
  }
  [[nodiscard]] std::vector<std::uint32_t> sizes() const {
    std::vector<std::uint32_t> out;
    out.reserve(sent.size());
    for (const PathMtu::Probe& probe : sent) out.push_back(probe.size);
    return out;
  }

  std::uint32_t path = 9000;       ///< the largest inner packet the path carries
  std::uint32_t interface = 9000;  ///< … and this host's interface
  bool dead = false;
  std::function<bool()> lose = [] { return false; };
  Timestamp now{seconds(1000)};
  std::vector<PathMtu::Probe> sent;
  PathMtu mtu{{kBound, PathMtu::kRaise}};
};

TEST_F(PathMtuTest, NothingIsSentAndNoTimerRunsBeforeTraffic) {
  EXPECT_EQ(mtu.state(), PathMtuState::kDisabled);
  EXPECT_EQ(mtu.limit(), (PathMtuLimit{kBound, true}));
  EXPECT_FALSE(mtu.next_deadline());
  EXPECT_FALSE(mtu.on_time(now));
}

TEST_F(PathMtuTest, APathThatCarriesTheBoundIsKnownAfterThreeProbes) {
  traffic();
  EXPECT_EQ(sizes(), (std::vector<std::uint32_t>{0, 1280, kBound}));
  EXPECT_EQ(mtu.state(), PathMtuState::kSearchComplete);
  EXPECT_EQ(mtu.limit(), (PathMtuLimit{kBound, true}));
  EXPECT_FALSE(mtu.next_deadline());
}

TEST_F(PathMtuTest, EverySizeOfPathIsFoundWithinTheStepOfAnEspPayload) {
  for (std::uint32_t carried = 1280; carried <= kBound; ++carried) {
    mtu = PathMtu({kBound, PathMtu::kRaise});
    sent.clear();
    path = carried;
    traffic();
    ASSERT_EQ(mtu.state(), PathMtuState::kSearchComplete);
    const std::uint32_t found = mtu.limit().inner;
    ASSERT_LE(found, carried);
    ASSERT_GT(found + PathMtu::kResolution, carried) << "on a path of " << carried;
    ASSERT_TRUE(mtu.limit().whole);
  }
}

TEST_F(PathMtuTest, NoProbeAndNoLimitIsEverAboveTheBoundOrBelowTheFloor) {
  for (const std::uint32_t bound : {1280U, 1281U, 1284U, 1500U, 8900U, 65535U}) {
    for (const std::uint32_t carried : {500U, 1280U, 1300U, 1499U, 4000U, 70000U}) {
      mtu = PathMtu({bound, PathMtu::kRaise});
      sent.clear();
      path = carried;
      for (int i = 0; i < 4; ++i) {
        traffic();
        ASSERT_LE(mtu.limit().inner, bound);
        ASSERT_GE(mtu.limit().inner, PathMtu::kFloor);
        now += PathMtu::kRaise;
      }
      for (const std::uint32_t size : sizes()) {
        ASSERT_LE(size, bound);
        ASSERT_TRUE(size == 0 || size >= PathMtu::kFloor) << size;
      }
    }
  }
}

TEST_F(PathMtuTest, ALostProbeOrTwoChangeNothingOfWhatIsFound) {
  path = 1338;
  int n = 0;
  lose = [&n] { return ++n % 3 != 0; };  // of three, one passes
  traffic();
  EXPECT_EQ(mtu.state(), PathMtuState::kSearchComplete);
  EXPECT_EQ(mtu.limit().inner, 1338U);
}

TEST_F(PathMtuTest, APathTooSmallForTheFloorIsToldAndTriedAgainLessAndLessOften) {
  path = 1198;
  traffic();
  EXPECT_EQ(mtu.state(), PathMtuState::kError);
  EXPECT_EQ(mtu.limit(), (PathMtuLimit{PathMtu::kFloor, false}));
  // RFC 8899 section 5.1.2: so many of the size, and no more.
  EXPECT_EQ(sizes(), (std::vector<std::uint32_t>{0, 1280, 1280, 1280, 0}));
  sent.clear();
  traffic();
  EXPECT_TRUE(sent.empty()) << "traffic alone is no reason to try again at once";
  std::size_t rounds = 0;
  for (int i = 0; i < 3600; ++i) {
    now += seconds(1);
    sent.clear();
    traffic();
    rounds += sent.empty() ? 0U : 1U;
  }
  EXPECT_GT(rounds, 5U);
  EXPECT_LT(rounds, 14U);
  path = 1338;
  now += PathMtu::kRaise;
  traffic();
  EXPECT_EQ(mtu.limit(), (PathMtuLimit{1338, true}));
}

TEST_F(PathMtuTest, TheAssumptionHoldsUntilTheBoundIsDisprovedButIsNoLongerTrustedAfterALoss) {
  path = 1338;
  std::optional<PathMtu::Probe> probe = mtu.on_traffic(now);
  probe = mtu.on_answer(probe->number, 60, now);
  probe = mtu.on_answer(probe->number, 1280, now);
  EXPECT_EQ(probe->size, kBound);
  EXPECT_EQ(mtu.limit(), (PathMtuLimit{kBound, true}));
  now = *mtu.next_deadline();
  probe = mtu.on_time(now);
  EXPECT_EQ(probe->size, kBound);
  EXPECT_EQ(mtu.limit(), (PathMtuLimit{kBound, false}));
  traffic();
  EXPECT_EQ(mtu.limit(), (PathMtuLimit{1338, true}));
}

TEST_F(PathMtuTest, WhatIsFoundIsConfirmedAgainWhileThereIsTrafficOnly) {
  traffic();
  sent.clear();
  now += PathMtu::kConfirm * 20;
  EXPECT_FALSE(mtu.next_deadline());
  traffic();
  EXPECT_EQ(sizes(), std::vector<std::uint32_t>{kBound});
  sent.clear();
  now += PathMtu::kConfirm - seconds(1);
  traffic();
  EXPECT_TRUE(sent.empty());
}

TEST_F(PathMtuTest, APathThatShrinksIsNoticedAndSearchedAnew) {
  traffic();
  path = 1300;
  now += PathMtu::kConfirm;
  const Timestamp noticed = now;
  drive(mtu.on_traffic(now));
  while (mtu.limit().inner == kBound) {
    ASSERT_TRUE(mtu.next_deadline());
    now = *mtu.next_deadline();
    drive(mtu.on_time(now));
  }
  EXPECT_LE(now - noticed, PathMtu::kProbeTimerMin * PathMtu::kMaxProbes + 2 * kRoundTrip);
  EXPECT_EQ(mtu.black_holes(), 1U);
  traffic();
  EXPECT_EQ(mtu.state(), PathMtuState::kSearchComplete);
  EXPECT_EQ(mtu.limit(), (PathMtuLimit{1298, true}));
  for (const PathMtu::Probe& probe : sent) EXPECT_LE(probe.size, kBound);
}

TEST_F(PathMtuTest, ABlackHoleIsNoticedHoweverOftenMoreIsSearchedFor) {
  mtu = PathMtu({kBound, seconds(1)});
  path = 1338;
  traffic();
  path = 1298;
  const Timestamp shrunk = now;
  while (mtu.limit().inner > path && now < shrunk + PathMtu::kRaise) {
    now += seconds(1);
    traffic();
  }
  EXPECT_EQ(mtu.limit(), (PathMtuLimit{1298, true}));
  EXPECT_LT(now - shrunk, seconds(60));
}

TEST_F(PathMtuTest, APathThatShrinksBelowTheFloorIsAnError) {
  traffic();
  path = 1000;
  now += PathMtu::kConfirm;
  traffic();
  EXPECT_EQ(mtu.state(), PathMtuState::kError);
  EXPECT_EQ(mtu.limit(), (PathMtuLimit{PathMtu::kFloor, false}));
}

TEST_F(PathMtuTest, APathThatGrowsIsFoundAfterTheRaiseTimerAndTheLimitDoesNotDipMeanwhile) {
  path = 1298;
  traffic();
  EXPECT_EQ(mtu.limit().inner, 1298U);
  path = 9000;
  const Timestamp grown = now;
  while (now - grown < PathMtu::kRaise - PathMtu::kConfirm) {
    now += seconds(1);
    traffic();
    ASSERT_EQ(mtu.limit(), (PathMtuLimit{1298, true}));
  }
  now = grown + PathMtu::kRaise;
  traffic();  // confirms what there is
  traffic();
  EXPECT_EQ(mtu.limit(), (PathMtuLimit{kBound, true}));
}

TEST_F(PathMtuTest, ASearchForMoreThatFindsNothingKeepsWhatThereIs) {
  path = 1338;
  traffic();
  now += PathMtu::kRaise;
  traffic();  // confirms what there is
  sent.clear();
  drive(mtu.on_traffic(now));
  ASSERT_EQ(sizes(), std::vector<std::uint32_t>{kBound});
  while (const auto deadline = mtu.next_deadline()) {
    EXPECT_EQ(mtu.limit(), (PathMtuLimit{1338, true}));
    now = *deadline;
    drive(mtu.on_time(now));
  }
  EXPECT_EQ(mtu.state(), PathMtuState::kSearchComplete);
}

TEST_F(PathMtuTest, ADeadPathOrAPeerThatKnowsNoSuchProbesSaysNothingAboutSizes) {
  dead = true;
  traffic();
  EXPECT_EQ(mtu.state(), PathMtuState::kDisabled);
  EXPECT_EQ(mtu.limit(), (PathMtuLimit{kBound, true}));
  EXPECT_EQ(sent.size(), PathMtu::kMaxProbes);
  dead = false;
  now += PathMtu::kConfirm;
  traffic();
  EXPECT_EQ(mtu.state(), PathMtuState::kSearchComplete);
  sent.clear();
  dead = true;
  now += PathMtu::kConfirm;
  traffic();
  EXPECT_EQ(mtu.state(), PathMtuState::kSearchComplete);
  EXPECT_EQ(mtu.limit(), (PathMtuLimit{kBound, true}));
  EXPECT_EQ(mtu.black_holes(), 0U);
}

TEST_F(PathMtuTest, APathThatDiesInTheMiddleOfTheFirstSearchIsAssumedAgain) {
  std::optional<PathMtu::Probe> probe = mtu.on_traffic(now);
  probe = mtu.on_answer(probe->number, 60, now);
  EXPECT_EQ(mtu.state(), PathMtuState::kBase);
  dead = true;
  traffic();
  EXPECT_EQ(mtu.state(), PathMtuState::kDisabled);
  EXPECT_EQ(mtu.limit(), (PathMtuLimit{kBound, true}));
}

TEST_F(PathMtuTest, AnInterfaceThatIsTooSmallAnswersAtOnce) {
  interface = 1338;
  const Timestamp begin = now;
  traffic();
  EXPECT_EQ(mtu.limit(), (PathMtuLimit{1338, true}));
  EXPECT_LT(now - begin, PathMtu::kProbeTimerMin);
  interface = 1300;  // the operator lowers it
  now += PathMtu::kConfirm;
  traffic();
  EXPECT_EQ(mtu.limit(), (PathMtuLimit{1298, true}));
}

TEST_F(PathMtuTest, StaleDoubledForeignAndContradictoryAnswersChangeNothing) {
  const auto small = mtu.on_traffic(now);
  ASSERT_TRUE(small);
  EXPECT_FALSE(mtu.on_answer(small->number + 1, 60, now)) << "a number never sent";
  EXPECT_FALSE(mtu.on_answer(0, 60, now));
  const auto base = mtu.on_answer(small->number, 60, now);
  ASSERT_TRUE(base);
  EXPECT_FALSE(mtu.on_answer(small->number, 60, now)) << "the same again";
  EXPECT_FALSE(mtu.on_answer(base->number, 1279, now)) << "not what was sent";
  EXPECT_FALSE(mtu.on_too_large(1400, now)) << "not what is under way";
  EXPECT_EQ(mtu.state(), PathMtuState::kBase);
  now = *mtu.next_deadline();
  const auto repeated = mtu.on_time(now);
  ASSERT_TRUE(repeated);
  EXPECT_NE(repeated->number, base->number);
  const auto bound = mtu.on_answer(base->number, 1280, now);
  ASSERT_TRUE(bound) << "a late answer to the first attempt is as good";
  EXPECT_FALSE(mtu.on_answer(repeated->number, 1280, now)) << "the answer to the second is stale";
  EXPECT_EQ(mtu.state(), PathMtuState::kSearching);
}

TEST_F(PathMtuTest, AnotherPathBeginsAnew) {
  path = 1338;
  traffic();
  const std::uint64_t last = sent.back().number;
  mtu.on_path_changed();
  EXPECT_EQ(mtu.state(), PathMtuState::kDisabled);
  EXPECT_EQ(mtu.limit(), (PathMtuLimit{kBound, true}));
  EXPECT_FALSE(mtu.next_deadline());
  path = 1298;
  sent.clear();
  traffic();
  EXPECT_EQ(mtu.limit(), (PathMtuLimit{1298, true}));
  EXPECT_GT(sent.front().number, last) << "an answer from the path before is told apart";
}

TEST_F(PathMtuTest, ALongRoundTripIsWaitedFor) {
  std::optional<PathMtu::Probe> probe = mtu.on_traffic(now);
  now += milliseconds(900);
  probe = mtu.on_answer(probe->number, 60, now);
  EXPECT_EQ(*mtu.next_deadline() - now, milliseconds(2700));
}

TEST_F(PathMtuTest, TrafficWhileAProbeIsUnderWayIsNoReasonForAnother) {
  ASSERT_TRUE(mtu.on_traffic(now));
  EXPECT_FALSE(mtu.on_traffic(now));
  EXPECT_FALSE(mtu.on_time(now + milliseconds(999)));
  EXPECT_TRUE(mtu.on_time(now + seconds(1)));
}

}  // namespace
}  // namespace cygnet::agent
