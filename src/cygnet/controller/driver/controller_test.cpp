// SPDX-License-Identifier: Apache-2.0
// The controller on loopback: real TLS, real signed DIMs, both stores.
#include "cygnet/controller/driver/controller.h"

#include <gtest/gtest.h>

#include "cygnet/controller/driver/test_mesh.h"

namespace cygnet::controller::test {
namespace {

class ControllerLoopback : public testing::TestWithParam<TestMesh::Engine> {};

INSTANTIATE_TEST_SUITE_P(Stores, ControllerLoopback,
                         testing::Values(TestMesh::Engine::kMemory, TestMesh::Engine::kSqlite),
                         [](const auto& engine) {
                           return engine.param == TestMesh::Engine::kMemory ? "Memory" : "Sqlite";
                         });

constexpr const char* kStar = R"(
devices:
  - {name: hub, prefixes: [10.0.0.0/8]}
  - {name: a, prefixes: [10.1.0.0/24], endpoints: ["198.51.100.1:4500"]}
  - {name: b, prefixes: [10.2.0.0/24]}
rules:
  - {from: name=hub, to: any}
)";

TEST_P(ControllerLoopback, ADeviceJoinsPublishesAndItsAllowedPeersHearIt) {
  TestMesh mesh(GetParam());
  ASSERT_TRUE(mesh.apply(kStar));
  const auto hub = mesh.joined("hub");
  const auto a = mesh.joined("a");
  const auto b = mesh.joined("b");
  for (auto* device : {hub.get(), a.get(), b.get()}) {
    ASSERT_TRUE(device->attach()) << device->name;
    EXPECT_FALSE(device->welcome->has_own_dim());
    EXPECT_FALSE(device->welcome->resumed());
    EXPECT_EQ(device->welcome->settings().policy_version(), 1U);
  }
  EXPECT_TRUE(a->publish(1, 1).accepted());
  ASSERT_TRUE(mesh.wait([&] { return hub->peers["a.corp"].counter != 0; }));
  EXPECT_EQ(hub->peers["a.corp"].counter, proto::RekeyCounter(1, 1).to_wire());
  EXPECT_TRUE(hub->publish(1, 1).accepted());
  ASSERT_TRUE(mesh.wait(
      [&] { return a->peers["hub.corp"].counter != 0 && b->peers["hub.corp"].counter != 0; }));
  // "Peers get only DIMs that policy allows."
  b->settle();
  EXPECT_FALSE(b->peers.contains("a.corp"));
  EXPECT_FALSE(a->peers.contains("b.corp"));
  // The delivery mark names the hub, and then nobody is missing.
  ASSERT_TRUE(mesh.wait(
      [&] { return !a->statuses.empty() && a->statuses.back().attached_missing() == 0; }));
  bool named = false;
  for (const auto& status : a->statuses) {
    for (const auto& peer : status.acknowledged()) named |= peer == "hub.corp";
  }
  EXPECT_TRUE(named);
  // What policy says of the peer travels with it.
  EXPECT_EQ(hub->peers["a.corp"].dims_heard, 1);
  bool prefix = false;
  bool endpoint = false;
  for (const auto& update : hub->updates) {
    for (const auto& change : update.changes()) {
      if (change.device() != "a.corp") continue;
      prefix |= change.prefixes().items_size() == 1 && change.prefixes().items(0).length() == 24;
      endpoint |=
          change.endpoints().items_size() == 1 && change.endpoints().items(0).port() == 4500;
    }
  }
  EXPECT_TRUE(prefix);
  EXPECT_TRUE(endpoint);
}

constexpr const char* kFullMesh = "rules: [{from: any, to: any}]\n";

TEST_P(ControllerLoopback, AfterACrashEverythingAcknowledgedIsThereAndCursorsGoOn) {
  TestMesh mesh(GetParam());
  const auto a = mesh.joined("a");
  const auto b = mesh.joined("b");
  const auto c = mesh.joined("c");
  ASSERT_TRUE(mesh.apply(kFullMesh));
  for (auto* device : {a.get(), b.get(), c.get()}) {
    ASSERT_TRUE(device->attach());
    ASSERT_TRUE(device->publish(1, 1).accepted());
  }
  ASSERT_TRUE(mesh.wait(
      [&] { return a->peers["b.corp"].counter != 0 && a->peers["c.corp"].counter != 0; }));
  const pb::Cursor cursor = *a->cursor;
  a->drop();
  ASSERT_TRUE(b->publish(1, 2).accepted());

  mesh.restart();
  for (auto* device : {a.get(), b.get(), c.get()}) device->set_port(mesh.controller->port());
  a->updates.clear();
  ASSERT_TRUE(a->attach(cursor));
  EXPECT_TRUE(a->welcome->resumed());
  EXPECT_TRUE(a->welcome->has_own_dim());
  ASSERT_TRUE(mesh.wait([&] { return !a->updates.empty(); }));
  std::vector<std::string> told;
  for (const auto& update : a->updates) {
    EXPECT_FALSE(update.snapshot_begin());
    for (const auto& change : update.changes()) told.push_back(change.device());
  }
  EXPECT_EQ(told, std::vector<std::string>{"b.corp"}) << "exactly what it missed";
  EXPECT_EQ(a->peers["b.corp"].counter, proto::RekeyCounter(1, 2).to_wire());
}

TEST_P(ControllerLoopback, NobodyHearsOfADimBeforeItIsDurable) {
  TestMesh mesh(GetParam());
  const auto a = mesh.joined("a");
  const auto b = mesh.joined("b");
  ASSERT_TRUE(mesh.apply(kFullMesh));
  ASSERT_TRUE(a->attach());
  ASSERT_TRUE(b->attach());
  mesh.faults->hold(store::FaultControl::Point::kBeforeDurable);
  proto::Dim dim = a->make_dim(proto::RekeyCounter(1, 1));
  a->publish(a->sign(dim));
  ASSERT_TRUE(mesh.wait([&] { return mesh.count("publishes") == 1; }));
  ASSERT_TRUE(
      mesh.faults->wait_until_held(std::chrono::steady_clock::now() + std::chrono::seconds(20)));
  b->settle();  // answered without the disk
  EXPECT_TRUE(a->results.empty());
  EXPECT_FALSE(b->peers.contains("a.corp") && b->peers["a.corp"].counter != 0);
  EXPECT_TRUE(mesh.controller->core().dims().empty());
  mesh.faults->release();
  EXPECT_TRUE(a->await_result().accepted());
  ASSERT_TRUE(mesh.wait([&] { return b->peers["a.corp"].counter != 0; }));
}

TEST_P(ControllerLoopback, AFullDiskIsToldToTheDeviceAndTheRestGoesOn) {
  TestMesh mesh(GetParam());
  const auto a = mesh.joined("a");
  const auto b = mesh.joined("b");
  ASSERT_TRUE(mesh.apply(kFullMesh));
  ASSERT_TRUE(a->attach());
  ASSERT_TRUE(a->publish(1, 1).accepted());
  mesh.faults->fail_commits(
      Error{store::kErrDiskFull, "no space left on device", "store.db", "free some space"});
  const auto refused = a->publish(1, 2);
  EXPECT_EQ(refused.refusal().code(), "disk-full");
  EXPECT_FALSE(refused.refusal().cure().empty());
  EXPECT_TRUE(mesh.controller->store_failing());
  ASSERT_TRUE(b->attach());
  ASSERT_TRUE(mesh.wait([&] { return b->peers["a.corp"].counter != 0; }));
  EXPECT_EQ(b->peers["a.corp"].counter, proto::RekeyCounter(1, 1).to_wire());
  mesh.faults->clear_failure();
  EXPECT_TRUE(a->publish(1, 2).accepted());
  EXPECT_FALSE(mesh.controller->store_failing());
}

TEST_P(ControllerLoopback, ARevokedDeviceIsSentAwayAndItsPeersForgetIt) {
  TestMesh mesh(GetParam());
  const auto a = mesh.joined("a");
  const auto b = mesh.joined("b");
  const auto c = mesh.joined("c");
  ASSERT_TRUE(mesh.apply("rules: [{from: name=a, to: name=b}]\n"));
  for (auto* device : {a.get(), b.get(), c.get()}) {
    ASSERT_TRUE(device->attach());
    ASSERT_TRUE(device->publish(1, 1).accepted());
  }
  ASSERT_TRUE(mesh.wait([&] { return a->peers["b.corp"].counter != 0; }));
  ASSERT_TRUE(mesh.ask([&](Controller::Done done) {
    mesh.controller->revoke("b", "stolen", "test", std::move(done));
  }));
  ASSERT_TRUE(mesh.wait([&] { return a->peers["b.corp"].removed && b->closed.has_value(); }));
  ASSERT_TRUE(b->goaway);
  EXPECT_TRUE(b->goaway->reason().starts_with("revoked: ")) << b->goaway->reason();
  ASSERT_TRUE(mesh.wait([&] {
    return !c->updates.empty() && c->updates.back().revocations().number() == 1;
  })) << "the list reaches everyone";
  // It comes back in vain, and still after a restart.
  for (int i = 0; i < 2; ++i) {
    EXPECT_FALSE(b->attach());
    ASSERT_TRUE(b->goaway);
    EXPECT_TRUE(b->goaway->reason().starts_with("revoked: ")) << b->goaway->reason();
    if (i == 0) {
      mesh.restart();
      b->set_port(mesh.controller->port());
    }
  }
}

TEST_P(ControllerLoopback, ATokenWorksOnceOverTheRealThingToo) {
  TestMesh mesh(GetParam());
  const std::string token = mesh.token(std::nullopt);
  TestDevice a(mesh.loop, mesh.controller->port(), "a");
  TestDevice b(mesh.loop, mesh.controller->port(), "b");
  EXPECT_EQ(a.join(token, mesh.controller->ca_fingerprint()).outcome(), pb::EnrolReply::ISSUED);
  const auto refused = b.join(token, mesh.controller->ca_fingerprint());
  EXPECT_EQ(refused.outcome(), pb::EnrolReply::REFUSED);
  EXPECT_EQ(refused.refusal().code(), "token-used");
  mesh.restart();
  b.set_port(mesh.controller->port());
  EXPECT_EQ(b.join(token, mesh.controller->ca_fingerprint()).refusal().code(), "token-used");
}

// ---- What does not depend on the store.

class ControllerStream : public testing::Test {
 protected:
  TestMesh mesh{TestMesh::Engine::kMemory};
};

TEST_F(ControllerStream, RefusedPublishesAreToldWhyAndChangeNothing) {
  const auto a = mesh.joined("a");
  const auto b = mesh.joined("b");
  ASSERT_TRUE(mesh.apply(kFullMesh));
  ASSERT_TRUE(a->attach());
  ASSERT_TRUE(b->attach());
  ASSERT_TRUE(a->publish(1, 5).accepted());
  ASSERT_TRUE(b->publish(1, 5).accepted());
  const auto refused = [&](Bytes octets) {
    a->publish(octets);
    const auto result = a->await_result();
    EXPECT_FALSE(result.accepted());
    EXPECT_FALSE(result.refusal().message().empty());
    EXPECT_EQ(mesh.count("publish-refused." + result.refusal().code()), 1U);
    return result.refusal().code();
  };
  proto::Dim dim = a->make_dim(proto::RekeyCounter(1, 6));
  EXPECT_EQ(refused(Bytes{}), "dim-form");
  EXPECT_EQ(refused(Bytes(proto::kDimLengthMax + 1)), "dim-size");
  EXPECT_EQ(refused(b->sign(dim)), "signature");
  proto::Dim foreign = b->make_dim(proto::RekeyCounter(1, 6));
  EXPECT_EQ(refused(b->sign(foreign)), "identity-mismatch");
  proto::Dim stale = a->make_dim(proto::RekeyCounter(1, 4));
  EXPECT_EQ(refused(a->sign(stale)), "stale-dim");
  EXPECT_TRUE(a->results.back().has_newer());
  proto::Dim again = a->make_dim(proto::RekeyCounter(1, 5));
  EXPECT_EQ(refused(a->sign(again)), "equivocation");
  proto::Dim flagged = a->make_dim(proto::RekeyCounter(1, 6), true);
  EXPECT_EQ(refused(a->sign(flagged)), "initial-contact");
  proto::Dim small = a->make_dim(proto::RekeyCounter(1, 6));
  small.kes[0].value = Bytes(32, 0);
  EXPECT_EQ(refused(a->sign(small)), "public-value");
  ASSERT_TRUE(mesh.wait([&] { return b->peers["a.corp"].counter != 0; }));
  b->settle();
  EXPECT_EQ(b->peers["a.corp"].counter, proto::RekeyCounter(1, 5).to_wire());
  EXPECT_EQ(b->peers["a.corp"].dims_heard, 1);
}

TEST_F(ControllerStream, ACertificateOfAnotherCaFailsTheHandshakeAndIsCounted) {
  const auto a = mesh.joined("a");
  const auto other = *Authority::make("corp", mesh.loop.wall_now());
  const auto key = *crypto::IdentityKey::generate(crypto::KeyType::kEcdsaP256);
  crypto::CertificateSpec spec;
  spec.spki = key.spki();
  spec.common_name = "a.corp";
  spec.dns_sans = {"a.corp"};
  spec.uri_sans = {"cygnet://x/a"};
  spec.not_before = mesh.loop.wall_now() - std::chrono::hours(1);
  spec.not_after = mesh.loop.wall_now() + std::chrono::hours(1);
  spec.client_auth = true;
  a->adopt({key, {*other.sign(spec)}}, a->trust, a->mesh_id);
  EXPECT_FALSE(a->attach());
  ASSERT_TRUE(mesh.wait([&] { return mesh.count("connections-refused") >= 1; }));
  EXPECT_EQ(mesh.count("sessions"), 0U);
}

TEST_F(ControllerStream, AnExpiredCertificateIsToldSoInWords) {
  const auto a = mesh.joined("a");
  crypto::CertificateSpec spec;
  spec.spki = a->key->spki();
  spec.common_name = "a.corp";
  spec.dns_sans = {"a.corp"};
  spec.uri_sans = {*a->certificate->uri_san()};
  spec.not_before = mesh.loop.wall_now() - std::chrono::hours(24 * 90);
  spec.not_after = mesh.loop.wall_now() - std::chrono::hours(24 * 40);
  spec.client_auth = true;
  // The CA is younger than this leaf: it is verified as of the leaf's end, before the CA began.
  a->adopt({*a->key, {*mesh.authority().sign(spec)}}, a->trust, a->mesh_id);
  EXPECT_FALSE(a->attach());

  spec.not_before = mesh.loop.wall_now() - std::chrono::minutes(30);
  spec.not_after = mesh.loop.wall_now() - std::chrono::minutes(1);
  a->adopt({*a->key, {*mesh.authority().sign(spec)}}, a->trust, a->mesh_id);
  ASSERT_TRUE(a->attach()) << "within the grace it may come, to renew";
  EXPECT_EQ(a->publish(1, 1).refusal().code(), "certificate-expired");
  pb::FromDevice renew;
  renew.mutable_renew_certificate()->set_csr_der(
      std::string(as_text(*a->key->make_csr("a.corp", "cygnet://x/a"))));
  a->send(renew);
  ASSERT_TRUE(mesh.wait([&] { return !a->renewals.empty(); }));
  a->certificate = *crypto::Certificate::from_der(as_bytes(a->renewals.back().certificate_der()));
  ASSERT_TRUE(a->attach());
  EXPECT_TRUE(a->publish(1, 1).accepted());
}

TEST_F(ControllerStream, ANewStreamTakesTheOldOnesPlace) {
  const auto a = mesh.joined("a");
  ASSERT_TRUE(a->attach());
  TestDevice clone(mesh.loop, mesh.controller->port(), "a");
  clone.adopt({*a->key, {*a->certificate}}, a->trust, a->mesh_id);
  ASSERT_TRUE(clone.attach());
  ASSERT_TRUE(mesh.wait([&] { return a->closed.has_value(); }));
  ASSERT_TRUE(a->goaway);
  EXPECT_TRUE(a->goaway->reason().starts_with("replaced: ")) << a->goaway->reason();
  EXPECT_TRUE(clone.publish(1, 1).accepted());
}

TEST_F(ControllerStream, WithoutACommonVersionTheStreamEndsWithAGoaway) {
  const auto a = mesh.joined("a");
  ASSERT_TRUE(a->connect());
  a->hello({}, 7, 9);
  ASSERT_TRUE(mesh.wait([&] { return a->closed.has_value(); }));
  ASSERT_TRUE(a->goaway);
  EXPECT_TRUE(a->goaway->reason().starts_with("version: "));
}

TEST_F(ControllerStream, ShutDownSaysGoawayAndIsDoneWhenAllAreGone) {
  const auto a = mesh.joined("a");
  ASSERT_TRUE(a->attach());
  bool done = false;
  mesh.controller->shut_down(std::chrono::seconds(20), [&] { done = true; });
  ASSERT_TRUE(mesh.wait([&] { return done; }));
  ASSERT_TRUE(mesh.wait([&] { return a->closed.has_value(); }));
  ASSERT_TRUE(a->goaway);
  EXPECT_TRUE(a->goaway->reason().starts_with("shutdown: "));
  EXPECT_GT(a->goaway->reconnect_after_ms(), 0U);
}

TEST_F(ControllerStream, TestVerbsNeedTheirSwitch) {
  EXPECT_EQ(mesh.controller->hold_relay(1).error().code, ErrorCode("denied"));
  EXPECT_EQ(mesh.controller->release_relay().error().code, ErrorCode("denied"));
  EXPECT_EQ(mesh.controller->crash_after_durable().error().code, ErrorCode("denied"));
}

TEST_F(ControllerStream, AHeldRelayMakesDimsCross) {
  mesh.options.test_verbs = true;
  mesh.restart();
  const auto a = mesh.joined("a");
  const auto b = mesh.joined("b");
  ASSERT_TRUE(mesh.apply(kFullMesh));
  ASSERT_TRUE(a->attach());
  ASSERT_TRUE(b->attach());
  ASSERT_TRUE(mesh.controller->hold_relay(2));
  EXPECT_TRUE(a->publish(1, 1).accepted());
  EXPECT_EQ(b->peers["a.corp"].counter, 0U);
  EXPECT_TRUE(b->publish(1, 1).accepted());
  ASSERT_TRUE(mesh.wait(
      [&] { return a->peers["b.corp"].counter != 0 && b->peers["a.corp"].counter != 0; }));
}

TEST(ControllerDeadlines, WhoSaysNothingIsClosed) {
  TestMesh mesh(TestMesh::Engine::kMemory);
  mesh.options.streams.first_message = std::chrono::milliseconds(50);
  mesh.restart();
  TestDevice a(mesh.loop, mesh.controller->port(), "a");
  ASSERT_EQ(a.join(mesh.token("a"), mesh.controller->ca_fingerprint()).outcome(),
            pb::EnrolReply::ISSUED);
  ASSERT_TRUE(a.connect());
  ASSERT_TRUE(mesh.wait([&] { return a.closed.has_value(); }));
  EXPECT_EQ(mesh.count("connections-refused.stream-timeout"), 1U);
}

TEST(ControllerLimits, AMessageAboveTheLimitEndsTheStreamAndIsCounted) {
  TestMesh mesh(TestMesh::Engine::kMemory);
  mesh.options.streams.stream.message_max = 4096;
  mesh.restart();
  const auto a = mesh.joined("a");
  ASSERT_TRUE(a->attach());
  a->send_raw(Bytes(8192, 0));
  ASSERT_TRUE(mesh.wait([&] { return a->closed.has_value(); }));
  EXPECT_EQ(mesh.count("connections-refused.stream-oversize"), 1U);
}

TEST(ControllerListen, APortInUseIsRefusedByName) {
  TestMesh mesh(TestMesh::Engine::kMemory);
  ControllerOptions options;
  options.listen = {"127.0.0.1", mesh.controller->port()};
  auto snapshot = mesh.store().load();
  ASSERT_TRUE(snapshot);
  const auto key = *crypto::IdentityKey::generate(crypto::KeyType::kEcdsaP256);
  crypto::CertificateSpec spec;
  spec.spki = key.spki();
  spec.common_name = "x";
  spec.dns_sans = {"x"};
  spec.not_before = mesh.loop.wall_now() - std::chrono::hours(1);
  spec.not_after = mesh.loop.wall_now() + std::chrono::hours(1);
  spec.server_auth = true;
  const auto second = Controller::start(mesh.loop, options, mesh.store(), snapshot->meshes.front(),
                                        mesh.authority(), mesh.authority().certificate(),
                                        {key, {*mesh.authority().sign(spec)}});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, rt::kErrListen);
  EXPECT_NE(second.error().message.find(std::to_string(mesh.controller->port())),
            std::string::npos);
}

}  // namespace
}  // namespace cygnet::controller::test
