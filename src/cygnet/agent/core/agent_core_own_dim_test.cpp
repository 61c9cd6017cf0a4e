// SPDX-License-Identifier: Apache-2.0
// What a device makes of its own DIM at the controller, and of what it kept over a restart.

#include <gmock/gmock.h>

#include "cygnet/agent/core/core_pair_test_kit.h"

namespace cygnet::agent::testing {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST_F(Pair, TheSameOwnDimCountsAsAccepted) {
  a.welcome();
  ASSERT_EQ(a.published.size(), 1U);
  const StoredDim stored{a.published.back(), a.certificate().der(), a.now().wall};
  a.run(a.core().on_link_down(a.now()));
  a.welcome(test_settings(), stored);
  EXPECT_EQ(a.published.size(), 1U) << "nothing to publish again";
  EXPECT_EQ(a.core().rekey().device_status().generations.back().phase,
            proto::rekey::GenerationPhase::kAccepted);
}

TEST_F(Pair, ADeviceWithANewerDimPublishesTheSameOctetsAgain) {
  a.welcome();
  a.run(a.core().on_link_down(a.now()));
  a.welcome();
  ASSERT_EQ(a.published.size(), 2U);
  EXPECT_EQ(a.published[0], a.published[1]);
}

TEST_F(Pair, ANewerOwnDimAtTheControllerRaisesTheBootCountAboveItAndIsAnAlarm) {
  a.welcome();
  proto::Dim newer = *proto::decode_dim(a.published.back());
  newer.counter = proto::RekeyCounter(6, 3);
  newer.nonce = crypto::system_random().octets(32);
  const StoredDim stored{*proto::sign_dim(newer, test_mesh(), a.key()), a.certificate().der(),
                         a.now().wall};
  a.run(a.core().on_link_down(a.now()));
  a.welcome(test_settings(), stored);
  EXPECT_THAT(a.alarms(), Contains("own-dim-newer"));
  ASSERT_EQ(a.did<StoreBootCount>().size(), 1U);
  EXPECT_EQ(a.did<StoreBootCount>()[0].boot_count, 7U);
  const auto dim = *proto::decode_dim(a.published.back());
  EXPECT_EQ(dim.counter, proto::RekeyCounter(7, 1));
  EXPECT_TRUE(dim.initial_contact);
}

TEST_F(Pair, AnOwnDimThisDeviceNeverSignedIsAnAlarmAndIsNotBelieved) {
  a.welcome();
  proto::Dim forged = *proto::decode_dim(a.published.back());
  forged.counter = proto::RekeyCounter(0xffffffff, 1);
  const auto other = *crypto::IdentityKey::generate(crypto::KeyType::kEcdsaP256);
  const StoredDim stored{*proto::sign_dim(forged, test_mesh(), other), a.certificate().der(),
                         a.now().wall};
  a.run(a.core().on_link_down(a.now()));
  a.welcome(test_settings(), stored);
  EXPECT_THAT(a.alarms(), ElementsAre("own-dim-forged"));
  EXPECT_THAT(a.did<StoreBootCount>(), IsEmpty());
}

TEST_F(Pair, WhatWasStoredBringsThePairBackWithTheNextBootCount) {
  meet();
  exchange();
  Restored restored;
  restored.boot_count = 2;
  restored.table = a.core().table();
  restored.pins = a.core().pins();
  restored.last_server_time = a.now().wall;
  restored.own_dims = {dim_a.dim};
  a.log.clear();
  a.installed.clear();
  a.make_core(ca, restored);
  ASSERT_EQ(a.installed.size(), 1U) << "installed before the controller is there";
  EXPECT_TRUE(a.published.size() == 1) << "nothing goes out without a stream";
  a.welcome(test_settings(), dim_a, true);
  ASSERT_EQ(a.published.size(), 2U);
  const auto dim = *proto::decode_dim(a.published.back());
  EXPECT_EQ(dim.counter, proto::RekeyCounter(2, 1));
  EXPECT_TRUE(dim.initial_contact);
  EXPECT_THAT(a.alarms(), IsEmpty());
  dim_a = accept_publish(a);
  b.update({change_with(a.name(), dim_a)}, 8);
  b.advance(std::chrono::seconds(2));  // Start waits for the delivery mark, but not for ever
  ASSERT_TRUE(b.outbound[b.peer("a")]);
  EXPECT_EQ(b.outbound[b.peer("a")]->remote, dim.counter);
}

// "A start that takes over live SAs … keeps it and continues the sequence …, with no
// INITIAL_CONTACT": the peer keeps what it has until it hears the new generation.
TEST_F(Pair, AStartThatTookOverItsSasIsARekeyToThePeer) {
  meet();
  exchange();
  Restored restored;
  const auto before = proto::decode_dim(dim_a.dim)->counter;
  restored.boot_count = before.boot_count();
  restored.last_sequence = before.sequence();
  restored.sa_state_lost = false;
  restored.table = a.core().table();
  restored.pins = a.core().pins();
  restored.last_server_time = a.now().wall;
  restored.own_dims = {dim_a.dim};
  const auto live = b.outbound[b.peer("a")];
  ASSERT_TRUE(live);
  a.log.clear();
  a.make_core(ca, restored);
  a.welcome(test_settings(), dim_a, true);
  EXPECT_THAT(a.alarms(), IsEmpty());
  const auto dim = *proto::decode_dim(a.published.back());
  EXPECT_EQ(dim.counter, proto::RekeyCounter(before.boot_count(), before.sequence() + 1));
  EXPECT_FALSE(dim.initial_contact);
  dim_a = accept_publish(a);
  b.log.clear();
  b.update({change_with(a.name(), dim_a)}, 8);
  ASSERT_TRUE(b.outbound[b.peer("a")]);
  EXPECT_EQ(b.outbound[b.peer("a")]->remote, dim.counter);
  EXPECT_EQ(b.outbound[b.peer("a")]->local, live->local);
  EXPECT_TRUE(b.did<RemoveInbound>().empty()) << "what we still send on";
}

// Found by the simulator: an older copy of the disk came back, and with it a boot count that was
// used already. The first DIM may be lower than what this start has drawn meanwhile.
TEST_F(Pair, AnOwnDimOfThisBootThatThisStartNeverSignedMeansARestoredDisk) {
  meet();
  Restored restored;
  restored.boot_count = proto::decode_dim(dim_a.dim)->counter.boot_count();
  restored.table = a.core().table();
  a.log.clear();
  a.installed.clear();
  a.make_core(ca, restored);
  a.run(a.core().on_rekey_ordered(proto::rekey::RekeyCause::kCommand, a.now()));
  a.welcome(test_settings(), dim_a);
  EXPECT_THAT(a.alarms(), ElementsAre("own-dim-newer"));
  ASSERT_FALSE(a.published.empty());
  const auto dim = *proto::decode_dim(a.published.back());
  EXPECT_EQ(dim.counter.boot_count(), restored.boot_count + 1);
  EXPECT_TRUE(dim.initial_contact);
}

TEST_F(Pair, AnOwnDimOfTheLastBootThatIsNotOnDiskLooksLikeAClone) {
  meet();
  Restored restored;
  restored.boot_count = 2;
  restored.table = a.core().table();
  restored.own_dims = {dim_b.dim};
  a.log.clear();
  a.installed.clear();
  a.make_core(ca, restored);
  a.welcome(test_settings(), dim_a);
  EXPECT_THAT(a.alarms(), ElementsAre("own-dim-unknown"));
}

// Found by the simulator (crypto, seed 343): after a restored disk this start signs anew what a
// former life signed before. Counters do not tell whose a DIM is.
TEST_F(Pair, AnOwnDimUnderACounterSignedSinceIsOfAFormerLifeWhenItsOctetsDiffer) {
  a.welcome();
  proto::Dim former = *proto::decode_dim(accept_publish(a).dim);
  a.run(a.core().on_rekey_ordered(proto::rekey::RekeyCause::kCommand, a.now()));
  const auto newest = proto::decode_dim(accept_publish(a).dim)->counter;
  a.advance(test_settings().forget_cap);
  ASSERT_LT(former.counter, newest) << "and its generation is forgotten";
  former.nonce = crypto::system_random().octets(32);
  const StoredDim stored{*proto::sign_dim(former, test_mesh(), a.key()), a.certificate().der(),
                         a.now().wall};
  a.run(a.core().on_link_down(a.now()));
  a.welcome(test_settings(), stored);
  EXPECT_THAT(a.alarms(), ElementsAre("own-dim-newer"));
  const auto dim = *proto::decode_dim(a.published.back());
  EXPECT_EQ(dim.counter.boot_count(), former.counter.boot_count() + 1);
  EXPECT_TRUE(dim.initial_contact);
}

}  // namespace
}  // namespace cygnet::agent::testing
