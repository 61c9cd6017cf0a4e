// SPDX-License-Identifier: Apache-2.0
// Device streams: who may attach, what they are told, what they report.
#include <gtest/gtest.h>

#include "cygnet/controller/core/core_test_support.h"
#include "cygnet/proto/keymat/keymat.h"
#include "cygnet/proto/negotiate/negotiate.h"

namespace cygnet::controller {
namespace {

using test::CoreWorld;
using test::Device;
using test::kFullMesh;
namespace pb = test::pb;

TEST(CoreSession, WelcomeTellsTheMeshAndTheDevicesOwnDim) {
  CoreWorld world;
  Device& a = world.add("a");
  world.attach(a);
  ASSERT_FALSE(a.heard.empty());
  ASSERT_TRUE(a.heard[0].has_welcome());
  const pb::Welcome& first = a.heard[0].welcome();
  EXPECT_EQ(first.version(), 1U);
  EXPECT_EQ(first.mesh_name(), "corp");
  EXPECT_EQ(as_bytes(first.mesh_id()).size(), 16U);
  EXPECT_FALSE(first.has_own_dim());
  EXPECT_EQ(first.discovery().cookie().size(), 16U);
  EXPECT_EQ(first.trust_der_size(), 1);
  EXPECT_EQ(first.settings().policy_version(), 0U);
  EXPECT_GT(first.settings().proposals_size(), 0);
  // One update follows even though there is nothing to tell: the cursor to acknowledge.
  ASSERT_EQ(a.heard.size(), 2U);
  EXPECT_TRUE(a.heard[1].update().snapshot_begin());
  EXPECT_TRUE(a.heard[1].update().snapshot_end());

  const Bytes octets = world.sign(a, world.dim(a, 1, 1));
  ASSERT_TRUE(world.publish(a, octets).accepted());
  a.heard.clear();
  world.attach(a, true);
  EXPECT_EQ(a.heard[0].welcome().own_dim().dim(), std::string(as_text(octets)));
  EXPECT_TRUE(a.heard[0].welcome().resumed());
  EXPECT_FALSE(a.heard[1].update().snapshot_begin());
}

TEST(CoreSession, APeerThatPolicyAllowsIsToldBeforeItHasADim) {
  CoreWorld world;
  Device& a = world.add("a");
  ASSERT_TRUE(world.apply(R"(
devices:
  - {name: a}
  - {name: b, prefixes: [{net: 10.2.0.0/24, priority: 7}], endpoints: ["192.0.2.7:4500"]}
rules:
  - {from: any, to: any}
)"));
  world.attach(a);
  const auto b = a.about("b.corp");
  ASSERT_TRUE(b);
  EXPECT_FALSE(b->has_dim());
  EXPECT_EQ(b->prefixes().items(0).priority(), 7U);
  EXPECT_EQ(b->endpoints().items(0).port(), 4500U);
  EXPECT_EQ(b->policy().mode(), pb::PairPolicy::ALWAYS);
}

TEST(CoreSession, OnlyHelloMayComeFirstAndOnlyOnce) {
  CoreWorld world;
  Device& a = world.add("a");
  world.connect(a);
  pb::FromDevice want;
  want.mutable_want()->set_device("b.corp");
  world.say(a, want);
  world.pull(a);
  EXPECT_TRUE(a.goaway().starts_with("protocol: ")) << a.goaway();
  world.drop(a);
  a.heard.clear();
  world.attach(a);
  pb::FromDevice hello;
  hello.mutable_hello()->set_version_min(1);
  hello.mutable_hello()->set_version_max(1);
  world.say(a, hello);
  world.pull(a);
  EXPECT_TRUE(a.goaway().starts_with("protocol: ")) << a.goaway();
}

TEST(CoreSession, OctetsThatAreNoMessageEndTheStreamWithAReason) {
  CoreWorld world;
  Device& a = world.add("a");
  world.attach(a);
  world.core->received(*a.session, Bytes{0x0a, 0xff, 0xff, 0xff, 0x01}, world.now);
  world.collect();
  world.pull(a);
  EXPECT_TRUE(a.goaway().starts_with("protocol: ")) << a.goaway();
  EXPECT_TRUE(world.closed.contains(*a.session));
}

TEST(CoreSession, AMessageOfANewerVersionIsIgnoredAndCounted) {
  CoreWorld world;
  Device& a = world.add("a");
  world.attach(a);
  // Field 500, a length-delimited one: "unknown fields are kept and ignored".
  world.core->received(*a.session, Bytes{0xa2, 0x1f, 0x01, 0x00}, world.now);
  world.collect();
  EXPECT_EQ(a.goaway(), "");
  EXPECT_EQ(world.count("messages-unknown"), 1U);
}

TEST(CoreSession, WithoutACommonVersionTheDeviceIsToldBoth) {
  CoreWorld world;
  Device& a = world.add("a");
  world.connect(a);
  pb::FromDevice hello;
  hello.mutable_hello()->set_version_min(2);
  hello.mutable_hello()->set_version_max(3);
  world.say(a, hello);
  world.pull(a);
  EXPECT_TRUE(a.goaway().starts_with("version: ")) << a.goaway();
  EXPECT_NE(a.goaway().find("2 to 3"), std::string::npos);
}

TEST(CoreSession, CertificatesThatDoNotBelongHereAreRefusedInWords) {
  CoreWorld world;
  Device& a = world.add("a");
  const auto with = [&](const std::string& dns, const std::string& uri, const Bytes& spki) {
    crypto::CertificateSpec spec;
    spec.spki = spki;
    spec.common_name = dns;
    spec.dns_sans = {dns};
    spec.uri_sans = {uri};
    spec.not_before = world.now.wall - std::chrono::hours(1);
    spec.not_after = world.now.wall + std::chrono::hours(1);
    world.connect(a, *crypto::issue(spec, world.ca.key, world.ca.certificate));
    world.pull(a);
    const std::string reason = a.goaway();
    EXPECT_TRUE(world.closed.contains(*a.session));
    world.drop(a);
    a.heard.clear();
    return reason;
  };
  const auto uri = [&](const std::string& name) {
    return proto::identity_uri(world.mesh_id(), proto::DeviceName(name + ".corp"));
  };
  crypto::MeshId other = world.mesh_id();
  other[3] ^= 1;
  const auto key = *crypto::IdentityKey::generate(crypto::KeyType::kEcdsaP256);
  EXPECT_TRUE(with("a.corp", proto::identity_uri(other, proto::DeviceName("a.corp")), a.key.spki())
                  .starts_with("identity-mismatch: "));
  EXPECT_TRUE(with("ghost.corp", uri("ghost"), a.key.spki()).starts_with("unknown-device: "));
  EXPECT_TRUE(with("a.corp", uri("a"), key.spki()).starts_with("identity-mismatch: "));
  EXPECT_TRUE(with("a.corp", uri("b"), a.key.spki()).starts_with("certificate-identity: "));
  EXPECT_EQ(world.count("session-refused.unknown-device"), 1U);
}

TEST(CoreSession, ANewSessionReplacesTheOld) {
  CoreWorld world;
  Device& a = world.add("a");
  world.attach(a);
  const SessionId old = *a.session;
  a.session.reset();  // the test forgets it; the controller does not
  Device clone = a;
  world.attach(a);
  EXPECT_TRUE(world.closed.contains(old));
  EXPECT_EQ(world.count("sessions-replaced"), 1U);
  const SharedOctets last = world.core->next_message(old, 65536);
  ASSERT_TRUE(last);
  pb::FromController message;
  ASSERT_TRUE(message.ParseFromArray(last->data(), static_cast<int>(last->size())));
  EXPECT_TRUE(message.goaway().reason().starts_with("replaced: "));
  world.core->disconnected(old, world.now);
  EXPECT_EQ(world.core->device("a")->status, Core::DeviceStatus::kAttached)
      << "the end of the old one does not end the new one";
}

TEST(CoreSession, AFloodOfMessagesEndsTheStream) {
  Limits limits;
  limits.messages_per_minute = 50;
  CoreWorld world(limits);
  Device& a = world.add("a");
  world.attach(a);
  for (int i = 0; i < 60; ++i) world.acknowledge(a);
  world.pull(a);
  EXPECT_TRUE(a.goaway().starts_with("rate-limit: ")) << a.goaway();
}

TEST(CoreSession, WhoAsksWithoutReadingTheAnswersIsSentAway) {
  Limits limits;
  limits.direct_messages_max = 10;
  CoreWorld world(limits);
  Device& a = world.add("a");
  world.attach(a);
  for (int i = 0; i < 20; ++i) world.publish_octets(a, Bytes{1});
  world.pull(a);
  EXPECT_TRUE(a.goaway().starts_with("backlog: ")) << a.goaway();
}

TEST(CoreSession, AnOnDemandPairWakesByWantThePeerFirstAndByHelloAfterARestart) {
  CoreWorld world;
  Device& a = world.add("a");
  Device& b = world.add("b");
  Device& c = world.add("c");
  ASSERT_TRUE(world.apply("rules:\n  - {from: any, to: any}\n"));
  ASSERT_TRUE(world.apply("rules:\n  - {from: any, to: any, mode: on-demand}\n"));
  for (Device* device : {&a, &b}) {
    world.attach(*device);
    ASSERT_TRUE(world.publish(*device, 1, 1).accepted());
  }
  world.pull_all();
  EXPECT_FALSE(a.about("b.corp")->has_dim());
  EXPECT_EQ(a.about("b.corp")->policy().mode(), pb::PairPolicy::ON_DEMAND);
  pb::FromDevice want;
  want.mutable_want()->set_device("b.corp");
  world.say(a, want);
  world.pull_all();
  EXPECT_TRUE(b.about("a.corp")->has_dim());
  EXPECT_FALSE(a.about("b.corp")->has_dim());
  world.acknowledge(b);
  world.pull_all();
  EXPECT_TRUE(a.about("b.corp")->has_dim());
  world.acknowledge(a);

  world.restart();
  for (Device* device : {&a, &b}) device->heard.clear();
  world.attach(a, true, {"b.corp", "nobody.corp", "no such, name"});
  world.attach(b, true, {"a.corp"});
  world.pull_all();
  for (Device* device : {&a, &b}) device->heard.clear();
  ASSERT_TRUE(world.publish(a, 1, 2).accepted());
  world.pull_all();
  ASSERT_TRUE(b.about("a.corp"));
  EXPECT_TRUE(b.about("a.corp")->has_dim()) << "awake, as b said";
  world.attach(c);
  world.pull_all();
  EXPECT_FALSE(c.about("a.corp")->has_dim()) << "an earlier version of the policy counts no more";
}

TEST(CoreSession, WantIsAnsweredForAllowedPeersAndWithATombstoneForOthers) {
  CoreWorld world;
  Device& a = world.add("a");
  Device& b = world.add("b");
  world.add("c");
  ASSERT_TRUE(world.apply("rules:\n  - {from: name=a, to: name=b}\n"));
  world.attach(a);
  world.attach(b);
  ASSERT_TRUE(world.publish(b, 1, 1).accepted());
  world.pull(a);
  const auto want = [&](const std::string& device) {
    a.heard.clear();
    pb::FromDevice message;
    message.mutable_want()->set_device(device);
    world.say(a, message);
    world.pull(a);
    return a.about(device);
  };
  const auto about_b = want("b.corp");
  ASSERT_TRUE(about_b);
  EXPECT_TRUE(about_b->has_dim());
  const auto about_c = want("c.corp");
  ASSERT_TRUE(about_c);
  EXPECT_TRUE(about_c->removed());
  EXPECT_FALSE(about_c->has_dim());
  EXPECT_TRUE(want("nobody.corp")->removed());
  EXPECT_EQ(world.count("wants-refused"), 2U);
  // What is no name is not repeated back: an agent could not read it.
  EXPECT_FALSE(want("no such, name"));
  EXPECT_EQ(world.count("wants-refused"), 3U);
}

TEST(CoreSession, EndpointsOfPolicyDeviceAndDiscoveryReachThePeers) {
  CoreWorld world;
  Device& a = world.add("a");
  Device& b = world.add("b");
  ASSERT_TRUE(world.apply(R"(
devices:
  - {name: a, endpoints: ["192.0.2.1:4500"]}
  - {name: b}
rules: [{from: any, to: any}]
)"));
  world.attach(a);
  world.attach(b);
  pb::FromDevice told;
  auto* list = told.mutable_endpoint_update();
  const auto add = [&](const std::string& address, std::uint32_t port) {
    auto& item = *list->add_endpoints();
    item.set_address(address);
    item.set_port(port);
  };
  add(std::string("\xc0\x00\x02\x01", 4), 4500);  // the policy says so already
  add(std::string("\xc0\x00\x02\x02", 4), 4501);
  add("bad", 4500);
  add(std::string(4, '\1'), 0);
  add(std::string(4, '\1'), 70000);
  world.say(a, told);
  Cookie cookie{};
  const std::string& given = a.heard[0].welcome().discovery().cookie();
  std::copy(given.begin(), given.end(), cookie.begin());
  world.core->discovered(cookie, Endpoint{{203, 0, 113, 9}, 61000, {}, {}}, world.now);
  world.collect();
  world.pull(b);
  const auto about = b.about("a.corp");
  ASSERT_TRUE(about);
  const auto last = b.changes().back().second.endpoints();
  ASSERT_EQ(last.items_size(), 3);
  EXPECT_EQ(last.items(0).port(), 4500U);
  EXPECT_EQ(last.items(1).port(), 4501U);
  EXPECT_EQ(last.items(2).port(), 61000U);
  EXPECT_EQ(last.items(2).origin(), pb::Endpoint::DISCOVERED);
  // The same mapping again is no news; an unknown cookie is none at all.
  const Position head = world.core->relay().head();
  world.core->discovered(cookie, Endpoint{{203, 0, 113, 9}, 61000, {}, {}}, world.now);
  world.core->discovered(Cookie{}, Endpoint{{203, 0, 113, 9}, 61001, {}, {}}, world.now);
  EXPECT_EQ(world.core->relay().head(), head);
  EXPECT_EQ(world.count("discovery-unknown-cookie"), 1U);
}

TEST(CoreSession, ReportsBecomeEventsAndCounters) {
  CoreWorld world;
  Device& a = world.add("a");
  world.attach(a);
  pb::FromDevice message;
  auto& refused = *message.mutable_report()->mutable_refused();
  refused.set_device("b.corp");
  refused.set_counter(proto::RekeyCounter(1, 3).to_wire());
  refused.set_code("peer-key-changed");
  refused.set_message("line\nbreak");
  world.say(a, message);
  ASSERT_FALSE(world.events.empty());
  EXPECT_EQ(world.events.back().kind, "dim.refused");
  EXPECT_EQ(world.events.back().text.find('\n'), std::string::npos);
  EXPECT_EQ(world.count("reports.refused.peer-key-changed"), 1U);
  message.Clear();
  message.mutable_report()->mutable_alarm()->set_code("revocation-number");
  world.say(a, message);
  EXPECT_TRUE(world.saw_event("alarm.revocation-number"));
}

TEST(CoreSession, ADeviceCannotMakeTheCountersGrowWithCodesOfItsOwn) {
  Limits limits;
  limits.report_codes_max = 3;
  CoreWorld world(limits);
  Device& a = world.add("a");
  world.attach(a);
  const auto report = [&](const std::string& code) {
    pb::FromDevice message;
    message.mutable_report()->mutable_refused()->set_code(code);
    world.say(a, message);
  };
  report("Not A Code");
  EXPECT_EQ(world.count("reports.refused.other"), 1U);
  for (int i = 0; i < 10; ++i) report("code-" + std::to_string(i));
  report("code-2");
  EXPECT_EQ(world.count("reports.refused.code-2"), 2U);
  EXPECT_EQ(world.count("reports.refused.code-3"), 0U);
  EXPECT_EQ(world.count("reports.refused.other"), 8U);
  EXPECT_EQ(world.count("reports.refused"), 12U);
}

TEST(CoreSession, ADeviceThatKnowsMoreRevocationsThanWeDoRaisesAnAlarm) {
  CoreWorld world;
  Device& a = world.add("a");
  world.connect(a);
  pb::FromDevice hello;
  hello.mutable_hello()->set_version_min(1);
  hello.mutable_hello()->set_version_max(1);
  hello.mutable_hello()->set_revocation_number(9);
  world.say(a, hello);
  EXPECT_TRUE(world.saw_event("alarm.revocation-number"));
  EXPECT_EQ(world.count("revocation-number-behind"), 1U);
}

TEST(CoreSession, ShutDownSaysGoawayToEveryone) {
  CoreWorld world;
  Device& a = world.add("a");
  Device& b = world.add("b");
  world.attach(a);
  world.attach(b);
  world.core->shut_down(1500, world.now);
  world.collect();
  world.pull_all();
  for (Device* device : {&a, &b}) {
    EXPECT_TRUE(device->goaway().starts_with("shutdown: "));
    EXPECT_EQ(device->heard.back().goaway().reconnect_after_ms(), 1500U);
    EXPECT_TRUE(world.closed.contains(*device->session));
  }
}

TEST(CoreSession, AHeldRelayLetsGoWhenEnoughIsDurable) {
  CoreWorld world;
  Device& a = world.add("a");
  Device& b = world.add("b");
  ASSERT_TRUE(world.apply(kFullMesh));
  world.attach(a);
  world.attach(b);
  world.pull_all();
  a.heard.clear();
  b.heard.clear();
  world.core->hold_relay(2);
  EXPECT_TRUE(world.publish(a, 1, 1).accepted()) << "answers go on";
  world.pull(b);
  EXPECT_TRUE(b.changes().empty());
  EXPECT_TRUE(world.core->relay_held());
  EXPECT_TRUE(world.publish(b, 1, 1).accepted());
  EXPECT_FALSE(world.core->relay_held());
  world.pull_all();
  EXPECT_TRUE(a.about("b.corp")->has_dim());
  EXPECT_TRUE(b.about("a.corp")->has_dim());
}

// ---- Bad SPI.

struct SpiWorld : CoreWorld {
  SpiWorld() {
    a = &add("a");
    b = &add("b");
    c = &add("c");
    EXPECT_TRUE(apply("rules:\n  - {from: name=a, to: name=b}\n"));
    for (Device* device : {a, b, c}) attach(*device);
    for (std::uint32_t i = 1; i <= 2; ++i) {
      for (Device* device : {a, b, c}) {
        dims[device->name].push_back(dim(*device, 1, i));
        EXPECT_TRUE(publish(*device, sign(*device, dims[device->name].back())).accepted());
      }
    }
    pull_all();
    for (Device* device : {a, b, c}) device->heard.clear();
  }
  /// SPI of packets that `self` gets from `peer`.
  std::uint32_t inbound(const Device& self, std::size_t self_gen, const Device& peer,
                        std::size_t peer_gen) {
    const auto& mine = dims[self.name][self_gen];
    const auto& theirs = dims[peer.name][peer_gen];
    const auto agreed = *proto::negotiate(mine, theirs);
    const bool initiator = agreed.local_role == proto::Role::kInitiator;
    const auto spis = *proto::derive_spis({agreed.policy.prf, initiator ? mine.nonce : theirs.nonce,
                                           initiator ? theirs.nonce : mine.nonce,
                                           std::pair{agreed.spn_i, agreed.spn_r}, agreed.lanes});
    return (initiator ? spis[0].i : spis[0].r).value();
  }
  void report(Device& device, std::uint32_t spi) {
    pb::FromDevice message;
    message.mutable_report()->mutable_bad_spi()->set_spi(spi);
    message.mutable_report()->mutable_bad_spi()->set_count(3);
    say(device, message);
    pull_all();
  }
  static std::size_t commands(const Device& device) {
    std::size_t n = 0;
    for (const auto& m : device.heard)
      if (m.command().has_missing_newest()) ++n;
    return n;
  }
  Device* a;
  Device* b;
  Device* c;
  std::map<std::string, std::vector<proto::Dim>> dims;
};

TEST(CoreBadSpi, TheNewestPairGetsBothDimsAndThenTheCommand) {
  SpiWorld world;
  world.report(*world.a, world.inbound(*world.a, 1, *world.b, 1));
  for (const auto& [device, peer] : {std::pair{world.a, "b.corp"}, std::pair{world.b, "a.corp"}}) {
    ASSERT_TRUE(device->about(peer)) << device->name;
    EXPECT_TRUE(device->about(peer)->has_dim());
    EXPECT_EQ(SpiWorld::commands(*device), 1U);
    ASSERT_TRUE(device->heard.back().has_command()) << "the command comes after the DIM";
    EXPECT_EQ(device->heard.back().command().missing_newest().peer(), peer);
  }
  EXPECT_TRUE(world.c->heard.empty());
  // "at most once a minute"
  world.report(*world.a, world.inbound(*world.a, 1, *world.b, 1));
  world.report(*world.b, world.inbound(*world.b, 1, *world.a, 1));
  EXPECT_EQ(SpiWorld::commands(*world.a), 1U);
  EXPECT_EQ(SpiWorld::commands(*world.b), 1U);
  world.pass(std::chrono::seconds(61));
  world.report(*world.b, world.inbound(*world.b, 1, *world.a, 1));
  EXPECT_EQ(SpiWorld::commands(*world.a), 2U);
}

TEST(CoreBadSpi, AnOlderGenerationGetsTheDimsOnly) {
  SpiWorld world;
  world.report(*world.a, world.inbound(*world.a, 0, *world.b, 1));
  EXPECT_TRUE(world.a->about("b.corp")->has_dim());
  EXPECT_TRUE(world.b->about("a.corp")->has_dim());
  EXPECT_EQ(SpiWorld::commands(*world.a) + SpiWorld::commands(*world.b), 0U);
}

TEST(CoreBadSpi, AnSpiOfNobodyOrOfAForbiddenPairTellsNothing) {
  SpiWorld world;
  world.report(*world.a, 0xdeadbeef);
  world.report(*world.a, world.inbound(*world.a, 1, *world.c, 1));
  EXPECT_TRUE(world.a->heard.empty());
  EXPECT_TRUE(world.c->heard.empty());
  EXPECT_EQ(world.count("bad-spi-unmapped"), 2U);
}

TEST(CoreBadSpi, ReportsAreLimited) {
  SpiWorld world;
  for (int i = 0; i < 80; ++i) world.report(*world.a, 0xdeadbeef);
  EXPECT_GT(world.count("bad-spi-limited"), 0U);
}

}  // namespace
}  // namespace cygnet::controller
