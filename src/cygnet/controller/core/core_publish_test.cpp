// SPDX-License-Identifier: Apache-2.0
// The publish pipeline: its order, and every refusal (protocol sections 3 and 7).
#include <gtest/gtest.h>

#include "cygnet/controller/core/core_test_support.h"

namespace cygnet::controller {
namespace {

using test::CoreWorld;
using test::Device;
using test::kFullMesh;
namespace pb = test::pb;

struct Three : CoreWorld {
  explicit Three(Limits limits = {}) : CoreWorld(limits) {
    a = &add("a");
    b = &add("b");
    c = &add("c");
    EXPECT_TRUE(apply(kFullMesh));
    for (Device* device : {a, b, c}) attach(*device);
    pull_all();
    for (Device* device : {a, b, c}) device->heard.clear();
    take_trace();
  }
  Device* a;
  Device* b;
  Device* c;

  /// A refused publish changes nothing but counters.
  pb::PublishResult expect_refused(Device& device, ByteView octets, const std::string& code) {
    const Position head = core->relay().head();
    const auto before = core->dims();
    const std::uint64_t counted = count("publish-refused." + code);
    const std::uint64_t durable = persists.size();
    const auto result = publish(device, octets);
    EXPECT_FALSE(result.accepted());
    EXPECT_EQ(result.refusal().code(), code) << result.refusal().message();
    EXPECT_FALSE(result.refusal().message().empty());
    EXPECT_EQ(count("publish-refused." + code), counted + 1);
    EXPECT_EQ(core->relay().head(), head);
    EXPECT_EQ(persists.size(), durable);
    const auto after = core->dims();
    EXPECT_EQ(after.size(), before.size());
    for (std::size_t i = 0; i < std::min(before.size(), after.size()); ++i) {
      EXPECT_EQ(*after[i].stored.dim, *before[i].stored.dim);
    }
    for (Device* other : {a, b, c}) {
      if (other == &device) continue;
      pull(*other);
      EXPECT_TRUE(other->changes().empty()) << other->name << " heard of a refused DIM";
    }
    return result;
  }
};

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-6
//= type=test
//# The controller then distributes the DIM to all authorized peers of that device.
TEST(CorePublish, DurableThenFanOutThenAcknowledge) {
  Three world;
  world.publish_octets(*world.a, world.sign(*world.a, world.dim(*world.a, 1, 1)));
  EXPECT_EQ(world.take_trace(), std::vector<std::string>{"persist"});
  world.pull_all();
  for (Device* device : {world.a, world.b, world.c}) {
    EXPECT_TRUE(device->heard.empty()) << "nobody hears of what is not durable";
  }
  EXPECT_TRUE(world.core->dims().empty());

  ASSERT_TRUE(world.commit_one());
  const auto trace = world.take_trace();
  const auto at = [&](const std::string& what) {
    const auto it = std::find(trace.begin(), trace.end(), what);
    EXPECT_NE(it, trace.end()) << what;
    return it;
  };
  EXPECT_LT(at("wake b"), at("wake a"));
  EXPECT_LT(at("wake c"), at("wake a"));
  world.pull_all();
  ASSERT_EQ(world.a->results().size(), 1U);
  EXPECT_TRUE(world.a->results()[0].accepted());
  EXPECT_EQ(world.a->results()[0].accepted_at_ms(),
            static_cast<std::uint64_t>(world.now.wall.time_since_epoch().count()));
  ASSERT_TRUE(world.b->about("a.corp"));
  EXPECT_EQ(world.b->about("a.corp")->dim().accepted_at_ms(),
            world.a->results()[0].accepted_at_ms());
}

TEST(CorePublish, AFullDiskRefusesThePublishAndServesOn) {
  Three world;
  ASSERT_TRUE(world.publish(*world.b, 1, 1).accepted());
  world.pull_all();
  const Bytes octets = world.sign(*world.a, world.dim(*world.a, 1, 1));
  world.publish_octets(*world.a, octets);
  world.commit_one(Error{store::kErrDiskFull, "no space left", "store.db", "free some"});
  world.pull_all();
  ASSERT_EQ(world.a->results().size(), 1U);
  EXPECT_EQ(world.a->results()[0].refusal().code(), "disk-full");
  EXPECT_EQ(world.a->results()[0].refusal().cure(), "free some");
  EXPECT_FALSE(world.b->about("a.corp"));
  EXPECT_EQ(world.count("publish-refused.disk-full"), 1U);
  // What it has is still served, and the very same DIM is taken once there is room.
  world.attach(*world.c);
  EXPECT_TRUE(world.c->about("b.corp")->has_dim());
  EXPECT_TRUE(world.publish(*world.a, octets).accepted());
}

TEST(CorePublish, APublishEqualToTheStoredOneIsAcceptedAsItWas) {
  Three world;
  const Bytes octets = world.sign(*world.a, world.dim(*world.a, 1, 1));
  const auto first = world.publish(*world.a, octets);
  ASSERT_TRUE(first.accepted());
  world.pull_all();
  world.b->heard.clear();
  world.pass(std::chrono::minutes(5));
  const auto again = world.publish(*world.a, octets);
  EXPECT_TRUE(again.accepted());
  EXPECT_EQ(again.accepted_at_ms(), first.accepted_at_ms());
  EXPECT_TRUE(world.persists.empty());
  world.pull_all();
  EXPECT_TRUE(world.b->changes().empty()) << "nothing new, nothing relayed";
  EXPECT_EQ(world.count("publish-same"), 1U);
}

TEST(CorePublish, NoDimAtAllIsRefusedByForm) {
  Three world;
  world.expect_refused(*world.a, Bytes{1, 2, 3}, "dim-form");
  world.expect_refused(*world.a, Bytes(proto::kDimLengthMax + 1, 0), "dim-size");
  Bytes cut = world.sign(*world.a, world.dim(*world.a, 1, 1));
  cut.pop_back();
  const auto result = world.expect_refused(*world.a, cut, "dim-form");
  EXPECT_NE(result.refusal().message().find("offset"), std::string::npos);
}

TEST(CorePublish, TheDimOfAnotherDeviceIsRefused) {
  Three world;
  world.expect_refused(*world.a, world.sign(*world.b, world.dim(*world.b, 1, 1)),
                       "identity-mismatch");
  Device stranger;
  stranger.name = "stranger";
  world.expect_refused(*world.a, world.sign(stranger, world.dim(stranger, 1, 1)),
                       "identity-mismatch");
}

TEST(CorePublish, ASignatureThatIsNotTheDevicesIsRefused) {
  Three world;
  // Signed by another key.
  proto::Dim dim = world.dim(*world.a, 1, 1);
  world.expect_refused(*world.a, world.sign(*world.b, dim), "signature");
  // Signed for another mesh.
  crypto::MeshId other = world.mesh_id();
  other[0] ^= 1;
  world.expect_refused(*world.a, *proto::sign_dim(dim, other, world.a->key), "signature");
  // A flipped bit in the nonce.
  Bytes octets = world.sign(*world.a, dim);
  const auto at = std::search(octets.begin(), octets.end(), dim.nonce.begin(), dim.nonce.end());
  ASSERT_NE(at, octets.end());
  *at ^= 1;
  world.expect_refused(*world.a, octets, "signature");
}

TEST(CorePublish, AStaleDimIsRefusedWithTheNewerOne) {
  Three world;
  const Bytes old = world.sign(*world.a, world.dim(*world.a, 1, 1));
  const Bytes newer = world.sign(*world.a, world.dim(*world.a, 1, 2));
  ASSERT_TRUE(world.publish(*world.a, old).accepted());
  ASSERT_TRUE(world.publish(*world.a, newer).accepted());
  world.pull_all();
  for (Device* device : {world.b, world.c}) device->heard.clear();
  const auto result = world.expect_refused(*world.a, old, "stale-dim");
  EXPECT_EQ(result.newer().dim(), std::string(as_text(newer)));
  EXPECT_EQ(result.counter(), proto::RekeyCounter(1, 1).to_wire());
}

TEST(CorePublish, ALowerSequenceUnderAHigherBootCountIsNewer) {
  Three world;
  ASSERT_TRUE(world.publish(*world.a, 1, 7).accepted());
  ASSERT_TRUE(world.publish(*world.a, 2, 1).accepted());
}

TEST(CorePublish, EquivocationIsRefusedAndAlarmedOnlyWhenItsSignatureHolds) {
  Three world;
  ASSERT_TRUE(world.publish(*world.a, 1, 1).accepted());
  world.pull_all();
  for (Device* device : {world.b, world.c}) device->heard.clear();
  // Another DIM of the same counter that the device never signed proves nothing.
  world.expect_refused(*world.a, world.sign(*world.b, world.dim(*world.a, 1, 1)), "signature");
  EXPECT_FALSE(world.saw_event("alarm.equivocation"));
  // One that it did sign is evidence, and kept.
  world.publish_octets(*world.a, world.sign(*world.a, world.dim(*world.a, 1, 1)));
  ASSERT_EQ(world.persists.size(), 1U);
  const auto& op = world.persists.front().batch.ops.front();
  const auto* audit = std::get_if<store::AppendAudit>(&op);
  ASSERT_NE(audit, nullptr);
  EXPECT_EQ(audit->audit.action, "alarm.equivocation");
  EXPECT_FALSE(audit->audit.before.empty());
  EXPECT_FALSE(audit->audit.after.empty());
  world.commit_all();
  world.pull_all();
  EXPECT_EQ(world.a->results().back().refusal().code(), "equivocation");
  EXPECT_TRUE(world.saw_event("alarm.equivocation"));
  EXPECT_EQ(world.count("equivocation"), 1U);
  EXPECT_TRUE(world.b->changes().empty());
}

TEST(CorePublish, InitialContactNeedsAHigherBootCount) {
  Three world;
  ASSERT_TRUE(world.publish(*world.a, 1, 1).accepted());
  world.pull_all();
  for (Device* device : {world.b, world.c}) device->heard.clear();
  proto::Dim dim = world.dim(*world.a, 1, 2);
  dim.initial_contact = true;
  world.expect_refused(*world.a, world.sign(*world.a, dim), "initial-contact");
  dim.counter = proto::RekeyCounter(2, 1);
  EXPECT_TRUE(world.publish(*world.a, world.sign(*world.a, dim)).accepted());
}

TEST(CorePublish, ANonceHeldFromAnotherDeviceIsRefused) {
  Three world;
  proto::Dim of_b = world.dim(*world.b, 1, 1);
  ASSERT_TRUE(world.publish(*world.b, world.sign(*world.b, of_b)).accepted());
  world.pull_all();
  for (Device* device : {world.a, world.c}) device->heard.clear();
  proto::Dim of_a = world.dim(*world.a, 1, 1);
  of_a.nonce = of_b.nonce;
  world.expect_refused(*world.a, world.sign(*world.a, of_a), "nonce-reused");
}

TEST(CorePublish, OfTwoPublishesUnderWayWithOneNonceOnlyTheFirstPasses) {
  Three world;
  proto::Dim of_a = world.dim(*world.a, 1, 1);
  proto::Dim of_b = world.dim(*world.b, 1, 1);
  of_b.nonce = of_a.nonce;
  world.publish_octets(*world.a, world.sign(*world.a, of_a));
  world.publish_octets(*world.b, world.sign(*world.b, of_b));
  world.commit_all();
  world.pull_all();
  EXPECT_TRUE(world.a->results().back().accepted());
  EXPECT_EQ(world.b->results().back().refusal().code(), "nonce-reused");
}

TEST(CorePublish, AnInvalidPublicValueIsRefused) {
  Three world;
  proto::Dim dim = world.dim(*world.a, 1, 1);
  dim.kes[0].value = Bytes(32, 0);  // of small order
  const auto result = world.expect_refused(*world.a, world.sign(*world.a, dim), "public-value");
  EXPECT_FALSE(result.refusal().message().empty());
}

TEST(CorePublish, TheRateIsLimitedByNameAndRecovers) {
  Limits limits;
  limits.publishes_per_minute = 3;
  Three world(limits);
  for (std::uint32_t i = 1; i <= 3; ++i) EXPECT_TRUE(world.publish(*world.a, 1, i).accepted());
  const auto refused = world.publish(*world.a, 1, 4);
  EXPECT_EQ(refused.refusal().code(), "rate-limit");
  EXPECT_NE(refused.refusal().message().find("publishes_per_minute"), std::string::npos);
  EXPECT_TRUE(world.publish(*world.b, 1, 1).accepted()) << "one device's limit is its own";
  world.pass(std::chrono::minutes(1));
  EXPECT_TRUE(world.publish(*world.a, 1, 4).accepted());
}

TEST(CorePublish, WhileOneIsUnderWayTheNewestWaitsAndEachGetsItsAnswer) {
  Three world;
  for (std::uint32_t i = 1; i <= 4; ++i) {
    world.publish_octets(*world.a, world.sign(*world.a, world.dim(*world.a, 1, i)));
  }
  EXPECT_EQ(world.persists.size(), 1U);
  world.commit_all();
  world.pull_all();
  const auto results = world.a->results();
  ASSERT_EQ(results.size(), 4U);
  int accepted = 0;
  for (const auto& result : results) accepted += result.accepted() ? 1 : 0;
  EXPECT_EQ(accepted, 2) << "the first and the last";
  EXPECT_EQ(world.core->dims().front().dim->counter, proto::RekeyCounter(1, 4));
}

TEST(CorePublish, AChangeThatNeedsNoDiskIsNotSeenBeforeOneThatDoes) {
  Three world;
  world.publish_octets(*world.a, world.sign(*world.a, world.dim(*world.a, 1, 1)));
  pb::FromDevice endpoints;
  auto& item = *endpoints.mutable_endpoint_update()->add_endpoints();
  item.set_address(std::string("\xc0\x00\x02\x05", 4));
  item.set_port(4500);
  world.say(*world.b, endpoints);
  world.pull_all();
  EXPECT_TRUE(world.c->changes().empty()) << "b's endpoints took a later place in the log";
  world.commit_all();
  world.pull_all();
  ASSERT_EQ(world.c->changes().size(), 2U);
  EXPECT_EQ(world.c->changes()[0].first, "a.corp");
  EXPECT_EQ(world.c->changes()[1].first, "b.corp");
}

TEST(CorePublish, TheDeliveryMarkNamesWhoAcknowledged) {
  Three world;
  ASSERT_TRUE(world.publish(*world.a, 1, 1).accepted());
  world.pull_all();
  world.acknowledge(*world.b);
  world.pull(*world.a);
  ASSERT_TRUE(world.a->heard.back().has_publish_status());
  auto status = world.a->heard.back().publish_status();
  EXPECT_EQ(status.counter(), proto::RekeyCounter(1, 1).to_wire());
  ASSERT_EQ(status.acknowledged_size(), 1);
  EXPECT_EQ(status.acknowledged(0), "b.corp");
  EXPECT_EQ(status.attached_missing(), 1U);
  world.drop(*world.c);
  world.pull(*world.a);
  status = world.a->heard.back().publish_status();
  EXPECT_EQ(status.attached_missing(), 0U);
  EXPECT_EQ(status.unattached_missing(), 1U);
  // Whoever attaches anew is told who holds its newest DIM.
  world.a->heard.clear();
  world.attach(*world.a, true);
  bool named = false;
  for (const auto& message : world.a->heard) {
    for (const auto& peer : message.publish_status().acknowledged()) named |= peer == "b.corp";
  }
  EXPECT_TRUE(named);
}

}  // namespace
}  // namespace cygnet::controller
