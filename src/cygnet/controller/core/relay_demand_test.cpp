// SPDX-License-Identifier: Apache-2.0
// On-demand edges: protocol section 7.7, "the controller sends A's DIM to B, awaits B's Ack, then
// sends B's to A".
#include <gtest/gtest.h>

#include "cygnet/controller/core/relay.h"
#include "cygnet/controller/core/relay_test_support.h"

namespace cygnet::controller {
namespace {

using test::RelayWorld;
using Missing = std::pair<std::uint32_t, std::uint32_t>;

class OnDemand : public ::testing::Test {
 protected:
  OnDemand() {
    world.edge(0, 1, kDemand);
    for (DeviceIndex d = 0; d < 3; ++d) world.publish(d);
    for (DeviceIndex d = 0; d < 3; ++d) world.attach(d);
    world.drain_all();
  }
  void tell_and_ack(DeviceIndex d) {
    world.drain(d);
    world.ack(d);
  }
  void wake() {
    world.want(0, 1);
    tell_and_ack(1);
    tell_and_ack(0);
  }

  static inline const EdgePolicy kDemand{true, {}};
  RelayWorld world{3};
};

TEST_F(OnDemand, BothAreToldThatThePairIsAllowedAndNoDim) {
  for (const DeviceIndex d : {0U, 1U}) {
    const auto& updates = world.device(d).updates;
    ASSERT_EQ(updates.back().changes_size(), 1);
    const auto& change = updates.back().changes(0);
    EXPECT_EQ(change.policy().mode(), test::pb::PairPolicy::ON_DEMAND);
    EXPECT_TRUE(change.has_prefixes());
    EXPECT_FALSE(change.has_dim());
    EXPECT_FALSE(change.has_endpoints());
  }
  EXPECT_EQ(world.missing(0), (Missing{0, 0})) << "nobody lacks what nobody wants";
}

TEST_F(OnDemand, NewsOfASleepingPeerGoToNobody) {
  world.publish(0);
  world.relay.set_endpoints(0, {Endpoint{Bytes{192, 0, 2, 1}, 4500, {}, {}}}, world.next());
  EXPECT_FALSE(world.relay.has_update(1));
  policy::PrefixSpec prefix;
  prefix.net = *policy::parse_prefix("10.0.0.0/24");
  world.relay.set_prefixes(0, {prefix}, world.next());
  world.drain(1);
  const auto& change = world.device(1).updates.back().changes(0);
  EXPECT_EQ(change.prefixes().items_size(), 1);
  EXPECT_FALSE(change.has_dim());
}

TEST_F(OnDemand, ThePeerIsToldFirstAndTheOneThatAskedWhenThatIsAcknowledged) {
  world.want(0, 1);
  EXPECT_TRUE(world.drain(0).empty());
  EXPECT_EQ(world.drain(1), std::vector<DeviceIndex>{0});
  EXPECT_EQ(world.heard(1, 0), 1U);
  EXPECT_EQ(world.missing(0), (Missing{1, 0}));
  EXPECT_TRUE(world.drain(0).empty()) << "not before the Ack";
  world.ack(1);
  EXPECT_EQ(world.missing(0), (Missing{0, 0}));
  EXPECT_EQ(world.drain(0), std::vector<DeviceIndex>{1});
  EXPECT_EQ(world.heard(0, 1), 1U);
}

TEST_F(OnDemand, AnAckThatNamesItPendingWakesNobody) {
  world.want(0, 1);
  world.drain(1);
  world.ack(1, {0});
  EXPECT_TRUE(world.drain(0).empty());
  world.ack(1);
  EXPECT_EQ(world.drain(0), std::vector<DeviceIndex>{1});
}

TEST_F(OnDemand, WishesFromBothEndsAtOnceMeet) {
  world.want(0, 1);
  world.want(1, 0);
  tell_and_ack(1);
  tell_and_ack(0);
  EXPECT_EQ(world.heard(0, 1), 1U);
  EXPECT_EQ(world.heard(1, 0), 1U);
}

TEST_F(OnDemand, OnceAwakeItIsAPairLikeAnyOther) {
  wake();
  world.publish(1);
  EXPECT_EQ(world.drain(0), std::vector<DeviceIndex>{1});
  EXPECT_EQ(world.heard(0, 1), 2U);
  EXPECT_EQ(world.missing(1), (Missing{1, 0}));
  world.want(0, 1);
  EXPECT_EQ(world.drain(0), std::vector<DeviceIndex>{1}) << "told again";
}

TEST_F(OnDemand, AnAbsentPeerIsToldWhenItComes) {
  world.detach(1);
  world.want(0, 1);
  EXPECT_EQ(world.missing(0), (Missing{0, 1}));
  EXPECT_TRUE(world.drain(0).empty());
  world.attach(1, true);
  tell_and_ack(1);
  EXPECT_EQ(world.heard(1, 0), 1U) << "published long before its cursor";
  world.drain(0);
  EXPECT_EQ(world.heard(0, 1), 1U);
}

TEST_F(OnDemand, AWishBeforeTheFirstPublishWaitsForIt) {
  RelayWorld fresh(2);
  fresh.edge(0, 1, kDemand);
  fresh.publish(1);
  fresh.attach(0);
  fresh.attach(1);
  fresh.drain_all();
  fresh.want(0, 1);
  fresh.drain(1);
  fresh.ack(1);
  EXPECT_TRUE(fresh.drain(0).empty());
  fresh.publish(0);
  fresh.drain(1);
  fresh.ack(1);
  fresh.drain(0);
  EXPECT_EQ(fresh.heard(0, 1), 1U);
}

// The controller keeps no list of who is awake: another one knows the log and nothing else.
TEST_F(OnDemand, ADeviceThatNamesWhatItHoldsIsAwakeWithThemAfterARestartOfTheController) {
  wake();
  RelayWorld other(3);
  other.edge(0, 1, kDemand);
  for (DeviceIndex d = 0; d < 2; ++d) other.publish(d);
  other.attach(0, false, {1});
  EXPECT_EQ(other.missing(0), (Missing{0, 1}));
  other.drain(0);
  EXPECT_EQ(other.heard(0, 1), 1U);
  other.attach(1, false, {0});
  other.drain(1);
  EXPECT_EQ(other.heard(1, 0), 1U);
  other.publish(0);
  other.drain(1);
  EXPECT_EQ(other.heard(1, 0), 2U);
}

TEST_F(OnDemand, APeerThatForgotIsToldWhatTheOtherStillHolds) {
  RelayWorld other(2);
  other.edge(0, 1, kDemand);
  for (DeviceIndex d = 0; d < 2; ++d) other.publish(d);
  other.attach(1);
  other.drain(1);
  EXPECT_EQ(other.heard(1, 0), 0U);
  other.attach(0, false, {1});
  other.drain(1);
  EXPECT_EQ(other.heard(1, 0), 1U);
}

TEST_F(OnDemand, ADeviceThatLostItsTableStartsAnewWithAll) {
  wake();
  world.detach(0);
  world.attach(0, false);
  world.drain(0);
  EXPECT_FALSE(world.device(0).updates.back().changes(0).has_dim());
  // Its peer is awake still, so with its new generation the pair comes back.
  world.publish(0);
  tell_and_ack(1);
  world.drain(0);
  EXPECT_TRUE(world.device(0).updates.back().changes(0).has_dim());
}

TEST_F(OnDemand, PolicyThatMakesItPermanentWakesItAndAReturnAfterRemovalSleeps) {
  world.edge(0, 1);
  world.drain_all();
  EXPECT_EQ(world.heard(0, 1), 1U);
  EXPECT_EQ(world.heard(1, 0), 1U);
  EXPECT_EQ(world.missing(0), (Missing{1, 0}));
  world.unedge(0, 1);
  world.edge(0, 1, kDemand);
  world.drain_all();
  EXPECT_FALSE(world.device(0).updates.back().changes(0).has_dim());
  EXPECT_EQ(world.missing(0), (Missing{0, 0}));
}

TEST_F(OnDemand, NobodyIsToldAnythingOfAnEdgeThatIsNotThere) {
  world.want(0, 2);
  world.drain_all();
  EXPECT_EQ(world.heard(2, 0), 0U);
  EXPECT_EQ(world.heard(0, 2), 0U);
}

}  // namespace
}  // namespace cygnet::controller
