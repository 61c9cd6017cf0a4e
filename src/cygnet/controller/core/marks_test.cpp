// SPDX-License-Identifier: Apache-2.0
#include "cygnet/controller/core/marks.h"

#include <gtest/gtest.h>

namespace cygnet::controller {
namespace {

using std::chrono::milliseconds;

constexpr DeviceIndex kSelf = 0;
const proto::RekeyCounter kFirst{1, 1};
const proto::RekeyCounter kSecond{1, 2};

Timestamp at(int ms) { return Timestamp{} + std::chrono::hours(1) + milliseconds(ms); }

TEST(Marks, TheFirstAcknowledgementIsToldAtOnce) {
  Marks marks;
  marks.listener_attached(kSelf, {}, at(0));
  marks.begin(kSelf, kFirst, 3, 1, at(0));
  EXPECT_FALSE(marks.next_due()) << "nobody has it yet: there is nothing to tell";
  marks.acknowledged(kSelf, 7, true, at(5));
  const auto due = marks.take_due(at(5));
  ASSERT_EQ(due.size(), 1U);
  EXPECT_EQ(due[0].second.counter, kFirst);
  EXPECT_EQ(due[0].second.acknowledged, std::vector<DeviceIndex>{7});
  EXPECT_EQ(due[0].second.attached_missing, 2U);
  EXPECT_EQ(due[0].second.unattached_missing, 1U);
}

TEST(Marks, NobodyAttachedMissingIsToldAtOnce) {
  Marks marks;
  marks.listener_attached(kSelf, {}, at(0));
  marks.begin(kSelf, kFirst, 0, 2, at(0));
  ASSERT_EQ(marks.take_due(at(0)).size(), 1U);

  marks.begin(kSelf, kSecond, 3, 0, at(10));
  marks.acknowledged(kSelf, 1, true, at(11));
  ASSERT_EQ(marks.take_due(at(11)).size(), 1U);
  marks.acknowledged(kSelf, 2, true, at(12));
  EXPECT_TRUE(marks.take_due(at(12)).empty()) << "not ten milliseconds after the first";
  marks.acknowledged(kSelf, 3, true, at(13));
  const auto due = marks.take_due(at(13));
  ASSERT_EQ(due.size(), 1U);
  EXPECT_EQ(due[0].second.acknowledged, (std::vector<DeviceIndex>{2, 3}));
  EXPECT_EQ(due[0].second.attached_missing, 0U);
}

TEST(Marks, BetweenThemTenASecondForTwoSecondsThenOne) {
  Marks marks;
  marks.listener_attached(kSelf, {}, at(0));
  marks.begin(kSelf, kFirst, 10'000, 0, at(0));
  std::vector<int> sent;
  for (int ms = 1; ms <= 6000; ++ms) {
    marks.acknowledged(kSelf, static_cast<DeviceIndex>(ms), true, at(ms));
    for (const auto& mark : marks.take_due(at(ms))) {
      sent.push_back(ms);
      EXPECT_FALSE(mark.second.acknowledged.empty());
    }
  }
  ASSERT_FALSE(sent.empty());
  EXPECT_EQ(sent.front(), 1);
  int fast = 0;
  for (std::size_t i = 1; i < sent.size(); ++i) {
    const int gap = sent[i] - sent[i - 1];
    EXPECT_GE(gap, 100);
    if (sent[i] < 2000) ++fast;
    if (sent[i - 1] >= 2000) {
      EXPECT_GE(gap, 1000);
    }
  }
  EXPECT_GE(fast, 15);
  EXPECT_LE(fast, 20);
}

TEST(Marks, NothingIsDueForADeviceThatDoesNotListen) {
  Marks marks;
  marks.begin(kSelf, kFirst, 1, 0, at(0));
  marks.acknowledged(kSelf, 1, true, at(1));
  EXPECT_FALSE(marks.next_due());
  // It comes back: what it missed is due at once.
  marks.listener_attached(kSelf, {1}, at(2));
  const auto due = marks.take_due(at(2));
  ASSERT_EQ(due.size(), 1U);
  EXPECT_EQ(due[0].second.acknowledged, std::vector<DeviceIndex>{1});
  marks.listener_detached(kSelf);
  marks.missing_changed(kSelf, 1, 0, at(3));
  EXPECT_FALSE(marks.next_due());
}

TEST(Marks, APeerThatLeavesMakesTheRestComplete) {
  Marks marks;
  marks.listener_attached(kSelf, {}, at(0));
  marks.begin(kSelf, kFirst, 2, 0, at(0));
  marks.acknowledged(kSelf, 1, true, at(1));
  ASSERT_EQ(marks.take_due(at(1)).size(), 1U);
  marks.missing_changed(kSelf, -1, 1, at(2));
  const auto due = marks.take_due(at(2));
  ASSERT_EQ(due.size(), 1U) << "nobody attached misses it: told at once";
  EXPECT_EQ(due[0].second.unattached_missing, 1U);
}

TEST(Marks, AStormOfComingsIsNoStormOfMarks) {
  Marks marks;
  marks.listener_attached(kSelf, {}, at(0));
  marks.begin(kSelf, kFirst, 0, 1000, at(0));
  std::size_t sent = marks.take_due(at(0)).size();
  for (int i = 0; i < 1000; ++i) {
    marks.missing_changed(kSelf, 1, -1, at(1));
    sent += marks.take_due(at(1)).size();
  }
  EXPECT_LE(sent, 2U);
}

}  // namespace
}  // namespace cygnet::controller
