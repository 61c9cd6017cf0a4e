// SPDX-License-Identifier: Apache-2.0
// On-demand edges: protocol section 7.7, "the controller sends A's DIM to B, awaits B's Ack, then
// sends B's to A".
#include <gtest/gtest.h>

#include <random>
#include <set>

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

TEST_F(OnDemand, ADeviceThatLostItsTableIsToldOfWhoeverIsAwakeWithIt) {
  wake();
  world.detach(0);
  world.attach(0, false);
  world.drain(0);
  EXPECT_TRUE(world.device(0).updates.back().changes(0).has_dim()) << "its peer may send to it";
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

TEST_F(OnDemand, APermanentEdgeThatWasToldStaysAwakeAndOneThatWasNotSleeps) {
  world.edge(0, 2);
  world.drain(2);
  world.edge(0, 2, kDemand);
  EXPECT_EQ(world.missing(0), (Missing{1, 0}));
  world.drain(0);
  EXPECT_EQ(world.heard(0, 2), 1U) << "d2 was told and may send";
  world.edge(1, 2);
  EXPECT_EQ(world.missing(1), (Missing{1, 0}));
  world.edge(1, 2, kDemand);
  EXPECT_EQ(world.missing(1), (Missing{0, 0}));
  world.drain_all();
  EXPECT_EQ(world.heard(1, 2), 0U);
  EXPECT_EQ(world.heard(2, 1), 0U);
}

TEST_F(OnDemand, NobodyIsToldAnythingOfAnEdgeThatIsNotThere) {
  world.want(0, 2);
  world.drain_all();
  EXPECT_EQ(world.heard(2, 0), 0U);
  EXPECT_EQ(world.heard(0, 2), 0U);
}

// Random wishes, publishes, removals, losses of memory and Acks. At every step: the marks count
// what is awake and unacknowledged, and nobody is told a DIM before the peer has acknowledged its
// own.
class DemandTrial {
 public:
  static constexpr DeviceIndex kDevices = 6;

  explicit DemandTrial(std::uint32_t seed) : random_(seed), world_(kDevices) {
    for (DeviceIndex d = 0; d < kDevices; ++d) {
      for (DeviceIndex e = 0; e < d; ++e) world_.edge(d, e, EdgePolicy{true, {}});
    }
  }

  void step() {
    const DeviceIndex d = pick(kDevices);
    DeviceIndex e = pick(kDevices - 1);
    if (e >= d) ++e;
    switch (pick(9)) {
      case 0:
        world_.publish(d);
        break;
      case 1:
      case 2:
        if (attached_[d] && world_.relay.edge(d, e)) {
          const bool waits = asleep(d, e);
          world_.want(d, e);
          if (waits && !asleep(d, e)) expect_acknowledged(e, d);
          wanted_.insert({d, e});
        }
        break;
      case 3:
        if (attached_[d]) {
          world_.detach(d);
          attached_[d] = false;
        } else {
          attach(d, pick(4) == 0);
        }
        break;
      case 4:
        if (pick(6) == 0) {
          if (world_.relay.edge(d, e)) {
            world_.unedge(d, e);
            wanted_.erase({d, e});
            wanted_.erase({e, d});
            for (const auto& [a, b] : {std::pair{d, e}, std::pair{e, d}}) forget(a, b);
          } else {
            world_.edge(d, e, EdgePolicy{true, {}});
          }
        }
        break;
      default:
        if (attached_[d]) hear(d);
    }
    check_marks();
  }

  void finish() {
    // Each round is a message to everyone and an Ack; a wish needs two.
    for (int round = 0; round < 4; ++round) {
      for (DeviceIndex d = 0; d < kDevices; ++d) {
        if (world_.newest(d) == 0) world_.publish(d);
        if (!attached_[d]) attach(d, false);
        hear(d);
      }
    }
    for (const auto& [d, e] : wanted_) {
      EXPECT_EQ(world_.heard(d, e), world_.newest(e)) << d << " wanted " << e;
      EXPECT_EQ(world_.heard(e, d), world_.newest(d)) << d << " wanted " << e;
    }
    for (DeviceIndex d = 0; d < kDevices; ++d) {
      EXPECT_EQ(world_.missing(d), (Missing{0, 0})) << d;
    }
  }

 private:
  DeviceIndex pick(DeviceIndex n) { return static_cast<DeviceIndex>(random_() % n); }

  void forget(DeviceIndex d, DeviceIndex e) {
    world_.device(d).table.erase("d" + std::to_string(e) + ".corp");
  }

  void attach(DeviceIndex d, bool forgets) {
    if (forgets) {
      world_.device(d).table.clear();
      world_.device(d).cursor = 0;
      for (DeviceIndex e = 0; e < kDevices; ++e) wanted_.erase({d, e});
    }
    std::vector<DeviceIndex> held;
    for (DeviceIndex e = 0; e < kDevices; ++e) {
      if (e != d && world_.heard(d, e) != 0) held.push_back(e);
    }
    world_.attach(d, world_.device(d).cursor != 0, held);
    attached_[d] = true;
  }

  void hear(DeviceIndex d) {
    const auto& updates = world_.device(d).updates;
    const std::size_t heard = updates.size();
    world_.drain(d);
    if (updates.size() == heard) return;
    bool waits[kDevices] = {};
    for (DeviceIndex e = 0; e < kDevices; ++e) waits[e] = asleep(e, d);
    world_.ack(d);
    for (DeviceIndex e = 0; e < kDevices; ++e) {
      if (waits[e] && !asleep(e, d)) expect_acknowledged(d, e);
    }
  }

  bool asleep(DeviceIndex d, DeviceIndex e) const {
    const Link* const link = world_.relay.find_link(d, e);
    return link != nullptr && link->asleep;
  }
  void expect_acknowledged(DeviceIndex by, DeviceIndex of) const {
    EXPECT_EQ(world_.relay.find_link(by, of)->acked, world_.relay.counter_of(of))
        << of << " is told of " << by;
  }

  void check_marks() {
    for (DeviceIndex x = 0; x < kDevices; ++x) {
      const auto counter = world_.relay.counter_of(x);
      if (!counter) continue;
      Missing expected{0, 0};
      for (DeviceIndex y = 0; y < kDevices; ++y) {
        const Link* const link = world_.relay.find_link(y, x);
        if (link == nullptr || link->removed || link->asleep || link->acked == *counter) continue;
        ++(attached_[y] ? expected.first : expected.second);
      }
      EXPECT_EQ(world_.missing(x), expected) << "device " << x;
    }
  }

  std::mt19937 random_;
  RelayWorld world_;
  bool attached_[kDevices] = {};
  std::set<std::pair<DeviceIndex, DeviceIndex>> wanted_;
};

TEST(OnDemandModel, RandomRunsKeepTheOrderAndEveryWishIsGranted) {
  for (std::uint32_t seed = 1; seed <= 500; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    DemandTrial trial(seed);
    for (int i = 0; i < 300; ++i) {
      trial.step();
      if (testing::Test::HasFailure()) FAIL() << "at step " << i;
    }
    trial.finish();
    if (testing::Test::HasFailure()) FAIL() << "at the end";
  }
}

}  // namespace
}  // namespace cygnet::controller
