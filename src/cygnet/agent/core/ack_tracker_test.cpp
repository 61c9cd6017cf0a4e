// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/core/ack_tracker.h"

#include <gtest/gtest.h>

namespace cygnet::agent {
namespace {

constexpr proto::PeerId kA{1};
constexpr proto::PeerId kB{2};
AckTracker::Item item(proto::PeerId peer, std::uint32_t sequence) {
  return {peer, proto::RekeyCounter(1, sequence)};
}
Cursor at(std::uint64_t position) { return {{1}, position}; }

TEST(AckTracker, AnUpdateWithoutDimsIsAcknowledgedAtOnce) {
  AckTracker acks;
  acks.open();
  acks.close(at(1));
  EXPECT_EQ(acks.take_judged(), at(1));
  const auto ack = acks.take();
  ASSERT_TRUE(ack);
  EXPECT_EQ(ack->cursor, at(1));
  EXPECT_FALSE(acks.take()) << "and once only";
}

TEST(AckTracker, ALaterUpdateWaitsForAnEarlierOne) {
  AckTracker acks;
  acks.open();
  acks.wait_for_judgement(1);
  acks.close(at(1));
  acks.open();
  acks.close(at(2));
  EXPECT_FALSE(acks.take_judged());
  EXPECT_FALSE(acks.take());
  acks.accepted(1, item(kA, 1));
  EXPECT_EQ(acks.take_judged(), at(2)) << "judged, so the table describes it";
  EXPECT_FALSE(acks.take()) << "but not installed";
  acks.done(item(kA, 1));
  EXPECT_EQ(acks.take()->cursor, at(2));
}

TEST(AckTracker, APendingDimIsNamedUntilItIsDone) {
  AckTracker acks;
  acks.open();
  acks.wait_for_judgement(1);
  acks.close(at(1));
  acks.accepted(1, item(kA, 1));
  acks.pending(item(kA, 1));
  EXPECT_EQ(acks.take()->pending, std::vector<AckTracker::Item>{item(kA, 1)});
  acks.done(item(kA, 1));
  const auto ack = acks.take();
  ASSERT_TRUE(ack);
  EXPECT_TRUE(ack->pending.empty());
  EXPECT_EQ(ack->cursor, at(1));
}

TEST(AckTracker, ANewerDimOfThePeerReplacesOneThatWaits) {
  AckTracker acks;
  acks.open();
  acks.wait_for_judgement(1);
  acks.wait_for_judgement(2);
  acks.close(at(1));
  acks.accepted(1, item(kA, 1));
  acks.accepted(2, item(kA, 2));
  acks.done(item(kA, 2));
  EXPECT_EQ(acks.take()->cursor, at(1));
}

TEST(AckTracker, APeerThatGoesHoldsNothingUp) {
  AckTracker acks;
  acks.open();
  acks.wait_for_judgement(1);
  acks.wait_for_judgement(2);
  acks.close(at(1));
  acks.accepted(1, item(kA, 1));
  acks.accepted(2, item(kB, 1));
  acks.peer_gone(kA);
  EXPECT_FALSE(acks.take());
  acks.done(item(kB, 1));
  EXPECT_EQ(acks.take()->cursor, at(1));
}

TEST(AckTracker, AResumedStreamAcknowledgesItsCursorWhenWhatItCoversIsInstalled) {
  AckTracker acks;
  acks.start(at(7), {item(kA, 1)});
  EXPECT_FALSE(acks.take());
  EXPECT_FALSE(acks.take_judged()) << "the stored table has it already";
  acks.done(item(kA, 1));
  EXPECT_EQ(acks.take()->cursor, at(7));
}

TEST(AckTracker, ANewStreamForgetsTheOldOnesUpdates) {
  AckTracker acks;
  acks.open();
  acks.wait_for_judgement(1);
  acks.close(at(1));
  acks.start(std::nullopt, {});
  acks.accepted(1, item(kA, 1));
  acks.done(item(kA, 1));
  EXPECT_FALSE(acks.take());
}

}  // namespace
}  // namespace cygnet::agent
