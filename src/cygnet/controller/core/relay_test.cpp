// SPDX-License-Identifier: Apache-2.0
#include "cygnet/controller/core/relay.h"

#include <gtest/gtest.h>

#include "cygnet/controller/core/relay_test_support.h"

namespace cygnet::controller {
namespace {

using test::RelayWorld;

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-3
//= type=test
//# The controller forwards the DH public value to all authorized peers
TEST(Relay, APeerHearsWhatChangedAndNobodyElseDoes) {
  RelayWorld world(4);
  world.edge(0, 1);
  world.edge(0, 2);
  for (DeviceIndex d = 0; d < 4; ++d) world.attach(d);
  world.drain_all();
  world.publish(0);
  world.drain_all();
  EXPECT_EQ(world.heard(1, 0), 1U);
  EXPECT_EQ(world.heard(2, 0), 1U);
  EXPECT_EQ(world.heard(3, 0), 0U);
  EXPECT_EQ(world.heard(0, 0), 0U);
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-A.2
//= type=test
//# The controller protocol MUST provide for adequate synchronization of the state.
TEST(Relay, ACursorGetsExactlyWhatItMissedCompactedToTheNewest) {
  RelayWorld world(5);
  for (DeviceIndex d = 1; d < 5; ++d) world.edge(0, d);
  for (DeviceIndex d = 0; d < 5; ++d) world.publish(d);
  world.attach(0);
  world.drain(0);
  world.detach(0);
  world.publish(2);
  world.publish(2);
  world.publish(3);
  ASSERT_TRUE(world.attach(0, true));
  const auto changes = world.drain(0);
  EXPECT_EQ(changes, (std::vector<DeviceIndex>{2, 3})) << "in the order of the log, 2 only once";
  EXPECT_EQ(world.heard(0, 2), 3U);
}

TEST(Relay, ASnapshotHasABeginAndAnEndAndIsCutIntoBatches) {
  RelayWorld world(40);
  for (DeviceIndex d = 1; d < 40; ++d) {
    world.edge(0, d);
    world.publish(d);
  }
  EXPECT_FALSE(world.attach(0));
  world.drain(0, 200);
  const auto& updates = world.device(0).updates;
  ASSERT_GT(updates.size(), 5U);
  Position last = 0;
  for (std::size_t i = 0; i < updates.size(); ++i) {
    EXPECT_EQ(updates[i].snapshot_begin(), i == 0);
    EXPECT_EQ(updates[i].snapshot_end(), i + 1 == updates.size());
    EXPECT_GE(updates[i].cursor().position(), last);
    last = updates[i].cursor().position();
  }
  EXPECT_EQ(last, world.relay.head());
}

TEST(Relay, AnInterruptedSnapshotGoesOnFromItsCursorWithoutALoss) {
  RelayWorld world(30);
  for (DeviceIndex d = 1; d < 30; ++d) {
    world.edge(0, d);
    world.publish(d);
  }
  world.attach(0);
  (void)world.pull(0, 300);
  (void)world.pull(0, 300);
  world.detach(0);
  world.publish(1);
  ASSERT_TRUE(world.attach(0, true));
  world.drain(0);
  for (DeviceIndex d = 1; d < 30; ++d) EXPECT_EQ(world.heard(0, d), world.newest(d)) << d;
}

TEST(Relay, ACursorOfAnotherEpochOrFromTheFutureGetsASnapshot) {
  RelayWorld world(2);
  world.edge(0, 1);
  world.publish(1);
  const Bytes other(16, 9);
  EXPECT_FALSE(world.relay.attach(0, SessionId(1), Relay::Resume{other, 1}, world.now));
  EXPECT_FALSE(world.relay.attach(
      0, SessionId(2), Relay::Resume{world.relay.epoch(), world.relay.head() + 1}, world.now));
  EXPECT_FALSE(
      world.relay.attach(0, SessionId(3), Relay::Resume{world.relay.epoch(), 0}, world.now));
  EXPECT_TRUE(world.relay.attach(
      0, SessionId(4), Relay::Resume{world.relay.epoch(), world.relay.head()}, world.now));
}

TEST(Relay, AnEdgeCountsAsIfBothDimsWereWrittenAtItsPosition) {
  RelayWorld world(3);
  world.publish(0);
  world.publish(1);
  world.attach(0);
  world.attach(1);
  world.drain_all();
  EXPECT_EQ(world.heard(0, 1), 0U);
  world.edge(0, 1);
  world.drain_all();
  EXPECT_EQ(world.heard(0, 1), 1U);
  EXPECT_EQ(world.heard(1, 0), 1U);
}

TEST(Relay, ARemovedEdgeIsATombstoneAndComesBackWhole) {
  RelayWorld world(2);
  world.edge(0, 1);
  world.publish(1);
  world.attach(0);
  world.drain(0);
  world.detach(0);
  world.unedge(0, 1);
  ASSERT_TRUE(world.attach(0, true));
  world.drain(0);
  EXPECT_TRUE(world.device(0).table["d1.corp"].removed);
  world.edge(0, 1);
  world.drain(0);
  EXPECT_FALSE(world.device(0).table["d1.corp"].removed);
  EXPECT_EQ(world.heard(0, 1), 1U);
}

TEST(Relay, ATombstoneIsPartOfASnapshotUntilItIsDropped) {
  RelayWorld world(2);
  world.edge(0, 1);
  world.unedge(0, 1);
  world.attach(0);
  world.drain(0);
  EXPECT_TRUE(world.device(0).table["d1.corp"].removed);
  EXPECT_EQ(world.relay.drop_tombstones(world.wall + std::chrono::hours(1)), 2U);
  world.detach(0);
  world.device(0).table.clear();
  world.attach(0);
  world.drain(0);
  EXPECT_FALSE(world.device(0).table.contains("d1.corp"));
}

TEST(Relay, WhatWaitsForASlowDeviceIsBoundedByItsPeers) {
  RelayWorld world(4);
  for (DeviceIndex d = 1; d < 4; ++d) world.edge(0, d);
  world.attach(0);
  world.drain(0);
  for (int i = 0; i < 10'000; ++i) world.publish(static_cast<DeviceIndex>(1 + i % 3));
  EXPECT_LE(world.relay.backlog(0), 40U);
  const auto changes = world.drain(0);
  EXPECT_EQ(changes.size(), 3U);
}

TEST(Relay, SessionsInTheSameStateShareTheVeryOctets) {
  RelayWorld world(4);
  for (DeviceIndex d = 1; d < 4; ++d) world.edge(0, d);
  for (DeviceIndex d = 0; d < 4; ++d) world.attach(d);
  world.drain_all();
  world.publish(0);
  const SharedOctets one = world.relay.next_update(1, 65536);
  const SharedOctets two = world.relay.next_update(2, 65536);
  ASSERT_TRUE(one);
  EXPECT_EQ(one.get(), two.get());
}

TEST(Relay, AckCountsForWhatWasToldAndNotForWhatIsPending) {
  RelayWorld world(3);
  world.edge(0, 1);
  world.edge(0, 2);
  world.attach(0);
  world.attach(1);
  world.attach(2);
  world.drain_all();
  world.publish(0);
  EXPECT_EQ(world.missing(0), (std::pair<std::uint32_t, std::uint32_t>{2, 0}));
  (void)world.pull(1, 65536);
  (void)world.pull(2, 65536);
  world.ack(1);
  EXPECT_EQ(world.missing(0).first, 1U);
  world.ack(2, {0});
  EXPECT_EQ(world.missing(0).first, 1U) << "pending DIMs do not count as acknowledged";
  world.ack(2);
  EXPECT_EQ(world.missing(0).first, 0U) << "named no more: installed since";
}

TEST(Relay, AnAckOfAnOlderGenerationIsNoneOfTheNewer) {
  RelayWorld world(2);
  world.edge(0, 1);
  world.attach(1);
  world.drain(1);
  world.publish(0);
  (void)world.pull(1, 65536);
  const Position before = world.device(1).cursor;
  world.publish(0);
  (void)world.pull(1, 65536);
  EXPECT_TRUE(world.relay.acknowledge(1, world.relay.epoch(), before, {}, world.now));
  EXPECT_EQ(world.missing(0).first, 1U);
  world.ack(1);
  EXPECT_EQ(world.missing(0).first, 0U);
}

TEST(Relay, AnAckOfWhatWasNeverToldIsIgnored) {
  RelayWorld world(2);
  world.edge(0, 1);
  world.attach(1);
  world.publish(0);
  EXPECT_FALSE(world.relay.acknowledge(1, world.relay.epoch(), world.relay.head(), {}, world.now));
  EXPECT_EQ(world.missing(0).first, 1U);
  EXPECT_FALSE(world.relay.acknowledge(1, Bytes(16, 1), 1, {}, world.now));
}

TEST(Relay, AResumedDeviceCountsAgainOnlyOnceItHasAcknowledged) {
  RelayWorld world(2);
  world.edge(0, 1);
  world.attach(1);
  world.publish(0);
  world.drain(1);
  world.detach(1);
  EXPECT_EQ(world.missing(0), (std::pair<std::uint32_t, std::uint32_t>{0, 1}))
      << "it has the DIM and never said that it is installed";
  world.attach(1, true);
  EXPECT_EQ(world.missing(0).first, 1U);
  (void)world.pull(1, 65536);  // the greeting: an update without a change
  world.ack(1);
  EXPECT_EQ(world.missing(0), (std::pair<std::uint32_t, std::uint32_t>{0, 0}));
  // A device that lost its peer table has to acknowledge everything anew.
  world.detach(1);
  world.attach(1, false);
  EXPECT_EQ(world.missing(0).first, 1U);
}

TEST(Relay, AResendIsToldAgainToThatDeviceAlone) {
  RelayWorld world(3);
  world.edge(0, 1);
  world.edge(0, 2);
  world.publish(0);
  world.attach(1);
  world.attach(2);
  world.drain_all();
  world.relay.resend(1, 0, world.next());
  EXPECT_EQ(world.drain(1), std::vector<DeviceIndex>{0});
  EXPECT_TRUE(world.drain(2).empty());
}

}  // namespace
}  // namespace cygnet::controller
