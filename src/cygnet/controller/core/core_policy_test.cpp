// SPDX-License-Identifier: Apache-2.0
// Policy, revocation, rekey orders, and what a restart keeps.
#include <gtest/gtest.h>

#include "cygnet/controller/core/core_test_support.h"

namespace cygnet::controller {
namespace {

using test::CoreWorld;
using test::Device;
using test::kFullMesh;
namespace pb = test::pb;

constexpr const char* kOnlyAB = "rules:\n  - {from: name=a, to: name=b}\n";
constexpr const char* kOnlyAC = "rules:\n  - {from: name=a, to: name=c}\n";

struct Published : CoreWorld {
  Published() {
    for (const char* name : {"a", "b", "c"}) add(name);
    EXPECT_TRUE(apply(kOnlyAB));
    for (auto& [name, device] : devices) {
      attach(device);
      EXPECT_TRUE(publish(device, 1, 1).accepted());
    }
    pull_all();
  }
  Device& operator[](const char* name) { return devices.at(name); }
};

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-1
//= type=test
//# the controller relays the DH public values to authorized peers of that IPsec device as defined
//# by a centralized policy.
TEST(CorePolicy, AnAddedEdgeBringsBothDimsARemovedOneATombstone) {
  Published world;
  EXPECT_TRUE(world["a"].about("b.corp")->has_dim());
  EXPECT_FALSE(world["a"].about("c.corp"));
  ASSERT_TRUE(world.apply(kOnlyAC));
  world.pull_all();
  EXPECT_TRUE(world["a"].about("c.corp")->has_dim());
  EXPECT_TRUE(world["c"].about("a.corp")->has_dim());
  EXPECT_TRUE(world["a"].about("b.corp")->removed());
  EXPECT_TRUE(world["b"].about("a.corp")->removed());
  // What b publishes now is nobody's business.
  world["a"].heard.clear();
  ASSERT_TRUE(world.publish(world["b"], 1, 2).accepted());
  world.pull_all();
  EXPECT_TRUE(world["a"].changes().empty());
}

TEST(CorePolicy, SettingsReachAttachedDevicesWithTheirOwnPrefixes) {
  Published world;
  for (auto& [name, device] : world.devices) device.heard.clear();
  ASSERT_TRUE(world.apply(R"(
rekey: {every: 30m}
devices:
  - {name: a, prefixes: [10.1.0.0/16]}
rules: [{from: name=a, to: name=b}]
)"));
  world.pull_all();
  std::optional<pb::MeshSettings> of_a;
  std::optional<pb::MeshSettings> of_c;
  for (const auto& m : world["a"].heard) {
    if (m.update().has_settings()) of_a = m.update().settings();
  }
  for (const auto& m : world["c"].heard) {
    if (m.update().has_settings()) of_c = m.update().settings();
  }
  ASSERT_TRUE(of_a);
  ASSERT_TRUE(of_c);
  EXPECT_EQ(of_a->rekey_every_ms(), 1'800'000U);
  EXPECT_EQ(of_a->policy_version(), 2U);
  EXPECT_EQ(of_a->own_prefixes_size(), 1);
  EXPECT_EQ(of_c->own_prefixes_size(), 0);
  EXPECT_EQ(world["b"].about("a.corp")->prefixes().items_size(), 1);
}

TEST(CorePolicy, APolicyThatIsNotDurableIsNotInForce) {
  Published world;
  auto document = *policy::parse("mesh: corp\n" + std::string(kOnlyAC), "t");
  const auto specs = world.core->enrolled_specs();
  auto options = world.core->compile_options();
  options.enrolled = specs;
  auto compiled = *policy::CompiledPolicy::compile(document, options, world.core->names());
  const RequestId id = world.request();
  world.core->apply_policy(id, "x", std::move(compiled), std::nullopt, "", "tester", world.now);
  world.collect();
  world.commit_one(Error{store::kErrDiskFull, "no space left", {}, {}});
  EXPECT_EQ(world.finish(id).error().code, store::kErrDiskFull);
  EXPECT_EQ(world.core->policy_version(), 1U);
  EXPECT_TRUE(world.core->pair("a", "b"));
  EXPECT_FALSE(world.core->pair("a", "c"));
}

TEST(CorePolicy, AnExpectedVersionThatIsNotThePresentOneIsRefused) {
  Published world;
  auto document = *policy::parse("mesh: corp\n" + std::string(kOnlyAC), "t");
  auto compiled = *policy::CompiledPolicy::compile(document, world.core->compile_options(),
                                                   world.core->names());
  const RequestId id = world.request();
  world.core->apply_policy(id, "x", std::move(compiled), 7, "", "tester", world.now);
  EXPECT_EQ(world.finish(id).error().code, kErrPolicyVersion);
  EXPECT_TRUE(world.persists.empty());
}

TEST(CorePolicy, TombstonesAreKeptForHardLifetimeAndCertificateLifetime) {
  Published world;
  ASSERT_TRUE(world.apply(kOnlyAC));
  Device& b = world["b"];
  const auto told = [&] {
    b.heard.clear();
    world.attach(b);
    return b.about("a.corp");
  };
  world.pass(std::chrono::hours(24 * 30));
  world.commit_all();
  ASSERT_TRUE(told());
  EXPECT_TRUE(told()->removed());
  b.certificate = *crypto::issue(
      [&] {
        crypto::CertificateSpec spec;
        spec.spki = b.key.spki();
        spec.common_name = "b.corp";
        spec.dns_sans = {"b.corp"};
        spec.uri_sans = {proto::identity_uri(world.mesh_id(), proto::DeviceName("b.corp"))};
        spec.not_before = world.now.wall;
        spec.not_after = world.now.wall + std::chrono::hours(24 * 30);
        return spec;
      }(),
      world.ca.key, world.ca.certificate);
  world.pass(std::chrono::hours(25));
  world.commit_all();
  EXPECT_FALSE(told());
}

TEST(CorePolicy, TokensAreForgottenLongAfterTheyExpired) {
  CoreWorld world;
  (void)world.token("a");
  world.pass(std::chrono::hours(24 * 29));
  world.commit_all();
  EXPECT_EQ(world.core->tokens().size(), 1U);
  world.pass(std::chrono::hours(24 * 2));
  world.commit_all();
  EXPECT_TRUE(world.core->tokens().empty());
  world.restart();
  EXPECT_TRUE(world.core->tokens().empty());
}

TEST(CoreRevoke, TombstonesListAndGoawayInOneRound) {
  Published world;
  for (auto& [name, device] : world.devices) device.heard.clear();
  const auto pin = crypto::sha256({world["b"].key.spki()});
  ASSERT_TRUE(world.revoke("b"));
  world.pull_all();
  EXPECT_TRUE(world["a"].about("b.corp")->removed());
  EXPECT_TRUE(world["b"].goaway().starts_with("revoked: ")) << world["b"].goaway();
  EXPECT_TRUE(world.closed.contains(*world["b"].session));
  for (const char* name : {"a", "c"}) {
    std::optional<pb::Revocations> list;
    for (const auto& m : world[name].heard) {
      if (m.update().has_revocations()) list = m.update().revocations();
    }
    ASSERT_TRUE(list) << name << " hears of it though it is no peer";
    EXPECT_EQ(list->number(), 1U);
    ASSERT_EQ(list->spki_sha256_size(), 1);
    EXPECT_EQ(as_bytes(list->spki_sha256(0)).size(), 32U);
    EXPECT_TRUE(equal(as_bytes(list->spki_sha256(0)), pin));
    EXPECT_EQ(list->serials_size(), 1);
  }
  EXPECT_EQ(world.core->device("b")->status, Core::DeviceStatus::kRevoked);
  EXPECT_EQ(world.core->pair("a", "b")->state, Core::PairView::State::kRevoked);
  // It stays out: a new stream, an old stream's publish, a policy that names it.
  world.drop(world["b"]);
  world["b"].heard.clear();
  world.attach(world["b"]);
  EXPECT_TRUE(world["b"].goaway().starts_with("revoked: "));
  world["a"].heard.clear();
  ASSERT_TRUE(world.apply(kFullMesh));
  world.pull_all();
  EXPECT_FALSE(world["a"].about("b.corp"));
  ASSERT_TRUE(world["a"].about("c.corp"));
}

TEST(CoreRevoke, TheNumberOnlyRisesAndRevokingTwiceIsOnce) {
  Published world;
  ASSERT_TRUE(world.revoke("b"));
  ASSERT_TRUE(world.revoke("b"));
  EXPECT_EQ(world.core->revocation_number(), 1U);
  ASSERT_TRUE(world.revoke("c"));
  EXPECT_EQ(world.core->revocation_number(), 2U);
  world.restart();
  EXPECT_EQ(world.core->revocation_number(), 2U);
  EXPECT_EQ(world.revoke("nobody").error().code, kErrNotFoundHere);
}

TEST(CoreRevoke, TwoAtOnceGetTwoNumbers) {
  Published world;
  const RequestId one = world.request();
  const RequestId two = world.request();
  world.core->revoke(one, "b", "x", "tester", world.now);
  world.core->revoke(two, "c", "x", "tester", world.now);
  EXPECT_TRUE(world.finish(one));
  EXPECT_TRUE(world.finish(two));
  EXPECT_EQ(world.core->revocation_number(), 2U);
}

TEST(CoreRevoke, APublishUnderWayIsNotRelayedAfterIt) {
  Published world;
  world.pull_all();
  world["a"].heard.clear();
  world.publish_octets(world["b"], world.sign(world["b"], world.dim(world["b"], 1, 2)));
  const RequestId id = world.request();
  world.core->revoke(id, "b", "x", "tester", world.now);
  EXPECT_TRUE(world.finish(id));
  world.pull_all();
  ASSERT_TRUE(world["a"].about("b.corp"));
  EXPECT_TRUE(world["a"].about("b.corp")->removed()) << "the tombstone is the last word";
}

TEST(CoreRekey, AttachedDevicesAreOrderedAndAwayOnesWhenTheyCome) {
  Published world;
  world.drop(world["c"]);
  for (auto& [name, device] : world.devices) device.heard.clear();
  ASSERT_TRUE(world.rekey(std::nullopt));
  world.pull_all();
  const auto ordered = [](const Device& device) {
    return std::count_if(device.heard.begin(), device.heard.end(),
                         [](const auto& m) { return m.command().has_rekey(); });
  };
  EXPECT_EQ(ordered(world["a"]), 1);
  EXPECT_EQ(ordered(world["b"]), 1);
  world.attach(world["c"], true);
  EXPECT_EQ(ordered(world["c"]), 1);
  world["c"].heard.clear();
  world.attach(world["c"], true);
  EXPECT_EQ(ordered(world["c"]), 0) << "once";
  EXPECT_EQ(world.rekey("nobody").error().code, kErrNotFoundHere);
}

TEST(CoreRestart, ACursorIsHonouredAndGetsExactlyWhatItMissed) {
  CoreWorld world;
  for (const char* name : {"a", "b", "c", "d"}) world.add(name);
  ASSERT_TRUE(world.apply(kFullMesh));
  for (auto& [name, device] : world.devices) {
    world.attach(device);
    ASSERT_TRUE(world.publish(device, 1, 1).accepted());
  }
  world.pull_all();
  Device& a = world.devices.at("a");
  world.drop(a);
  ASSERT_TRUE(world.publish(world.devices.at("b"), 1, 2).accepted());
  world.restart();
  world.attach(a, true);
  EXPECT_TRUE(a.heard[0].welcome().resumed());
  EXPECT_EQ(a.heard[0].welcome().own_dim().dim().empty(), false);
  ASSERT_EQ(a.changes().size(), 1U);
  EXPECT_EQ(a.changes()[0].first, "b.corp");
}

TEST(CoreRestart, NoPositionIsGivenOutTwice) {
  CoreWorld world;
  Device& a = world.add("a");
  Device& b = world.add("b");
  ASSERT_TRUE(world.apply(kFullMesh));
  world.attach(a);
  world.attach(b);
  // Changes that are not stored: b's endpoints.
  for (int i = 0; i < 5; ++i) {
    pb::FromDevice told;
    auto& item = *told.mutable_endpoint_update()->add_endpoints();
    item.set_address(std::string(4, '\1'));
    item.set_port(static_cast<std::uint32_t>(1000 + i));
    world.say(b, told);
  }
  world.pull_all();
  const Position before = a.cursor->position();
  world.restart();
  EXPECT_GT(world.core->relay().head(), before);
  world.attach(b);
  ASSERT_TRUE(world.publish(b, 1, 1).accepted());
  world.attach(a, true);
  ASSERT_TRUE(a.about("b.corp"));
  EXPECT_TRUE(a.about("b.corp")->has_dim());
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-A.2
//= type=test
//# The controller protocol MUST provide for adequate synchronization of the state.
TEST(CoreRestart, WhatWasAcknowledgedIsThereAfterwardsAndOnlyThat) {
  CoreWorld world;
  Device& a = world.add("a");
  Device& b = world.add("b");
  ASSERT_TRUE(world.apply(kFullMesh));
  world.attach(a);
  world.attach(b);
  ASSERT_TRUE(world.publish(a, 1, 1).accepted());
  world.publish_octets(b, world.sign(b, world.dim(b, 1, 1)));  // not durable
  world.restart();
  EXPECT_EQ(world.core->dims().size(), 1U);
  EXPECT_EQ(world.core->dims()[0].name, "a");
  // Counters of before still count.
  world.attach(a);
  EXPECT_EQ(world.publish(a, 1, 1).refusal().code(), "equivocation");
}

TEST(CoreRestart, RemovalsByPolicyAndByRevocationAreToldAfterwards) {
  Published world;
  world.add("d");
  world.drop(world["a"]);
  ASSERT_TRUE(world.apply("rules:\n  - {from: name=a, to: name=c}\n"));
  world.restart();
  world.attach(world["a"], true);
  EXPECT_TRUE(world["a"].heard[0].welcome().resumed());
  ASSERT_TRUE(world["a"].about("b.corp"));
  EXPECT_TRUE(world["a"].about("b.corp")->removed());
  EXPECT_TRUE(world["a"].about("c.corp")->has_dim());

  world.drop(world["a"]);
  ASSERT_TRUE(world.revoke("c"));
  world.restart();
  world["a"].heard.clear();
  world.attach(world["a"], true);
  ASSERT_TRUE(world["a"].about("c.corp"));
  EXPECT_TRUE(world["a"].about("c.corp")->removed());
  EXPECT_EQ(world["a"].heard[0].welcome().revocations().number(), 1U);
  // In a snapshot too.
  world["a"].heard.clear();
  world.attach(world["a"], false);
  EXPECT_TRUE(world["a"].about("c.corp")->removed());
  EXPECT_TRUE(world["a"].about("b.corp")->removed());
  EXPECT_FALSE(world["a"].about("d.corp"));
}

// Found by the simulator: a restart on a full disk, and another one.
TEST(CoreRestart, ACursorOfARunThatCouldStoreNothingHidesNothing) {
  Published world;
  world.restart(Error{store::kErrDiskFull, "the disk is full"});
  world.attach(world["a"], true);
  world.attach(world["b"], true);
  // A change that is never stored moves the cursor on all the same.
  Cookie cookie{};
  const std::string& given = world["a"].heard[0].welcome().discovery().cookie();
  std::copy(given.begin(), given.end(), cookie.begin());
  world.core->discovered(cookie, Endpoint{{203, 0, 113, 9}, 61000, {}, {}}, world.now);
  world.collect();
  world.pull_all();
  world.now.wall += std::chrono::seconds(1);
  world.restart();
  world.attach(world["a"], true);
  const Bytes newer = world.sign(world["a"], world.dim(world["a"], 1, 2));
  ASSERT_TRUE(world.publish(world["a"], newer).accepted());
  // The log goes on past that cursor.
  world.attach(world["c"], true);
  ASSERT_TRUE(world.publish(world["c"], 1, 2).accepted());
  ASSERT_GE(world.core->relay().head(), world["b"].cursor->position());
  world.attach(world["b"], true);
  ASSERT_TRUE(world["b"].about("a.corp"));
  EXPECT_EQ(world["b"].about("a.corp")->dim().dim(), as_text(newer));
}

TEST(CoreRestart, TokensSettingsAndDevicesAreThere) {
  Published world;
  const std::string token = world.token("e");
  world.restart();
  EXPECT_EQ(world.core->policy_version(), 1U);
  EXPECT_EQ(world.core->devices().size(), 3U);
  Device& e = world.devices["e"];
  e.name = "e";
  EXPECT_EQ(world.enrol(e, token).outcome(), pb::EnrolReply::ISSUED);
  world.attach(world["a"]);
  EXPECT_EQ(world["a"].heard[0].welcome().settings().policy_version(), 1U);
}

}  // namespace
}  // namespace cygnet::controller
