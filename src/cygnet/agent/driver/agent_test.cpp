// SPDX-License-Identifier: Apache-2.0
// Two agents in one process, over real streams to a fake controller and a fake data plane: the
// driver as a whole.
#include "cygnet/agent/driver/agent.h"

#include <gmock/gmock.h>

#include "cygnet/agent/driver/fake_network.h"
#include "cygnet/agent/driver/local_api.h"
#include "cygnet/agent/driver/status.h"
#include "cygnet/agent/link/fake_controller.h"
#include "cygnet/proto/dim/dim_codec.h"
#include "cygnet/rt/json.h"
#include "cygnet/rt/test_directory.h"

namespace cygnet::agent::testing {
namespace {

using rt::Json;

constexpr Duration kLimit = std::chrono::seconds(20);

/// One device's state directory and, while it runs, its agent.
struct Host {
  Host(rt::Loop& on, FakeNetwork& in, const TestCa& ca, const std::string& with_label,
       std::uint16_t controller_port)
      : loop(on),
        network(in),
        label(with_label),
        key(*crypto::IdentityKey::generate(crypto::KeyType::kEcdsaP256)) {
    const StateDir state(scratch.path());
    MeshRecord mesh;
    mesh.mesh = test_mesh();
    mesh.mesh_name = "m";
    mesh.device = device_name(label);
    mesh.controllers = {"127.0.0.1:" + std::to_string(controller_port)};
    const bool stored = state.store_identity_key(key) &&
                        state.store_certificate(ca.device(label, key)) &&
                        state.store_trust({ca.certificate()}) && state.store_mesh(mesh);
    CYGNET_ASSERT(stored);
  }
  [[nodiscard]] AgentOptions options() {
    AgentOptions options;
    options.state_dir = scratch.path();
    options.workers = 1;
    options.software = "test";
    options.make_backend = [this](rt::Loop&,
                                  BackendEvents& events) -> Result<std::unique_ptr<SadBackend>> {
      auto made = std::make_unique<FakeBackend>(network, events);
      backend = made.get();
      return std::unique_ptr<SadBackend>(std::move(made));
    };
    return options;
  }
  void start() {
    auto made = Agent::create(loop, options());
    ASSERT_TRUE(made) << made.error().to_string();
    agent = std::move(*made);
    agent->start();
  }
  [[nodiscard]] proto::PeerId peer(const std::string& of) const {
    return *agent->core().find(device_name(of));
  }
  [[nodiscard]] bool settled(const std::string& with) const {
    const auto id = agent ? agent->core().find(device_name(with)) : std::nullopt;
    if (!id) return false;
    const PeerSummary summary = summarize(*agent, *agent->core().view(*id));
    return summary.state == "up" && summary.newest_on_newest && summary.confirmed &&
           summary.pairs == 1;
  }
  [[nodiscard]] proto::RekeyCounter generation() const {
    return agent->core().rekey().device_status().generations.back().counter;
  }

  rt::Loop& loop;
  FakeNetwork& network;
  std::string label;
  crypto::IdentityKey key;
  rt::test::TempDirectory scratch;
  FakeBackend* backend = nullptr;
  std::unique_ptr<Agent> agent;
};

class TwoAgents : public ::testing::Test {
 protected:
  void SetUp() override { controller.start(); }
  void start_both() {
    a = std::make_unique<Host>(loop, network, ca, "a", controller.port());
    b = std::make_unique<Host>(loop, network, ca, "b", controller.port());
    a->start();
    b->start();
    ASSERT_TRUE(until([&] { return both_settled(); })) << "the pair did not come up";
  }
  [[nodiscard]] bool both_settled() const { return a->settled("b") && b->settled("a"); }
  template <class F>
  [[nodiscard]] bool until(F done) {
    return loop.run_until(done, kLimit);
  }

  rt::Loop loop{test_clock()};
  TestCa ca;
  FakeController controller{loop, ca};
  FakeNetwork network{loop};
  std::unique_ptr<Host> a, b;
};

TEST_F(TwoAgents, ComeUpThroughTheControllerAndConfirmByProbes) {
  start_both();
  EXPECT_EQ(network.lost, 0U);
  EXPECT_EQ(a->backend->pair_count(), 1U);
  EXPECT_EQ(a->agent->keys().alive(), 1U);
  EXPECT_EQ(a->backend->peers.at(a->peer("b")).prefixes.size(), 1U);
}

TEST_F(TwoAgents, ARekeyByCommandOfTheControllerEndsOnNewestByNewestWithOnePair) {
  start_both();
  const auto before = a->generation();
  controller.order_rekey("a.m");
  ASSERT_TRUE(until([&] { return a->generation() > before && both_settled(); }));
  EXPECT_EQ(network.lost, 0U);
  ASSERT_TRUE(until([&] { return a->agent->keys().alive() == 1; })) << "the old value is erased";
  EXPECT_EQ(a->agent->keys().alive_max(), 2U);
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-3
//= type=test
//# Whenever a DH pair is created, a new nonce MUST also be created.
//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-5.2.1.2
//= type=test
//# It is RECOMMENDED that nonces are generated as described in [Section 2.10 of \[RFC7296\]](#).
TEST_F(TwoAgents, EveryDhPairOfEveryDeviceComesWithANonceOfItsOwn) {
  start_both();
  std::set<Bytes> nonces, values;
  const auto take = [&](const std::string& name) {
    const auto dim = proto::decode_dim(as_bytes(controller.devices.at(name).dim->dim()));
    ASSERT_TRUE(dim);
    nonces.insert(dim->nonce);
    values.insert(dim->kes.front().value);
  };
  take("a.m");
  take("b.m");
  for (int rekey = 0; rekey < 3; ++rekey) {
    const auto before = a->generation();
    controller.order_rekey("a.m");
    ASSERT_TRUE(until([&] { return a->generation() > before && both_settled(); }));
    take("a.m");
  }
  EXPECT_EQ(values.size(), 5U);
  EXPECT_EQ(nonces.size(), 5U);
}

TEST_F(TwoAgents, RekeyAtTheSameMomentAndSettle) {
  start_both();
  const auto a_before = a->generation();
  const auto b_before = b->generation();
  // Traffic by a timer: from the predicate it would fill the loop faster than the loop works.
  rt::Timer traffic(loop);
  const std::function<void()> send = [&] {
    a->backend->send_user(a->peer("b"));
    b->backend->send_user(b->peer("a"));
    traffic.arm_after(std::chrono::milliseconds(5), [&] { send(); });
  };
  send();
  a->agent->order_rekey();
  b->agent->order_rekey();
  ASSERT_TRUE(until(
      [&] { return a->generation() > a_before && b->generation() > b_before && both_settled(); }));
  EXPECT_EQ(network.lost, 0U);
  EXPECT_EQ(network.held, 0U);
}

TEST_F(TwoAgents, KeepWorkingWhileTheControllerIsAwayAndRekeyWhenItIsBack) {
  start_both();
  const auto before = a->generation();
  controller.stop();
  ASSERT_TRUE(until([&] { return a->agent->link().state() != ControllerLink::State::kUp; }));
  a->agent->order_rekey();
  ASSERT_TRUE(until([&] { return a->agent->core().publish_waits(); }));
  a->backend->send_user(a->peer("b"));
  EXPECT_EQ(network.lost, 0U);
  EXPECT_EQ(network.held, 0U);
  controller.start();
  ASSERT_TRUE(until([&] { return a->generation() > before && both_settled(); }));
  EXPECT_EQ(network.lost, 0U);
  EXPECT_TRUE(controller.devices.at("b.m").said_hello.back().has_resume());
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-A.3.2
//= type=test
//# It is further RECOMMENDED that to ensure ordering after a device reboot that the counter include
//# a "boot count", which increments after each reboot.
//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-A.2
//= type=test
//# it is often necessary for the protocol to indicate when a device has rebooted and thinks that it
//# is contacting peers for the first time. This alerts peers to destroy earlier keying state that
//# they may still believe is current.
TEST_F(TwoAgents, ARestartComesBackWithTheNextBootCountFromWhatItStored) {
  start_both();
  a->agent.reset();
  a->start();
  const auto at_start = loop.now();
  ASSERT_TRUE(until([&] { return both_settled(); }));
  EXPECT_LT(loop.now() - at_start, std::chrono::seconds(10));
  EXPECT_EQ(a->generation().boot_count(), 2U);
  EXPECT_TRUE(controller.devices.at("a.m").said_hello.back().has_resume())
      << "the stored table spares the snapshot";
  EXPECT_TRUE(controller.devices.at("a.m").reports.empty());
}

TEST_F(TwoAgents, AStateDirectoryThatWasLostIsMadeGoodByTheControllersOwnDim) {
  start_both();
  a->agent->order_rekey();
  ASSERT_TRUE(until([&] { return a->generation().sequence() == 2 && both_settled(); }));
  a->agent.reset();
  ASSERT_TRUE(rt::remove_file(a->scratch.path() / "device.state"));
  ASSERT_TRUE(rt::remove_file(a->scratch.path() / "peers.state"));
  a->start();
  ASSERT_TRUE(until([&] { return both_settled(); }));
  EXPECT_EQ(a->generation().boot_count(), 2U);
  EXPECT_EQ(StateDir(a->scratch.path()).load_device()->boot_count, 2U);
  EXPECT_EQ(a->agent->alarms().count("own-dim-newer"), 1U);
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-7
//= type=test
//# when a connection is closed each endpoint MUST forget not only the keys used by the connection
TEST_F(TwoAgents, APeerThatIsRemovedLosesItsSas) {
  start_both();
  controller.remove("b.m");
  ASSERT_TRUE(until([&] { return a->backend->pair_count() == 0; }));
  EXPECT_FALSE(a->agent->core().view(a->peer("b"))->allowed);
}

TEST_F(TwoAgents, ASecondAgentOnTheStateDirectoryIsRefusedWithThePidOfTheFirst) {
  start_both();
  const auto second = Agent::create(loop, a->options());
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, rt::kErrStateLocked);
  EXPECT_NE(second.error().to_string().find(std::to_string(getpid())), std::string::npos);
  EXPECT_EQ(StateDir(a->scratch.path()).load_device()->boot_count, 1U) << "nothing changed";
}

TEST_F(TwoAgents, ADamagedPeerTableIsSetAsideAndTheControllerSendsThePeersAgain) {
  start_both();
  a->agent.reset();
  const Bytes junk{1, 2, 3};
  ASSERT_TRUE(rt::write_file_atomic(a->scratch.path() / "peers.state", ByteView(junk), 0600));
  a->start();
  ASSERT_TRUE(until([&] { return both_settled(); }));
  EXPECT_TRUE(std::filesystem::exists(a->scratch.path() / "peers.state.damaged"));
  EXPECT_FALSE(controller.devices.at("a.m").said_hello.back().has_resume());
}

TEST_F(TwoAgents, DamagedStateThatMattersStopsTheStartByName) {
  start_both();
  a->agent.reset();
  const Bytes junk{1, 2, 3};
  for (const char* name : {"device.state", "pins.state", "revocations.state", "clock.state"}) {
    const rt::Path path = a->scratch.path() / name;
    const auto good = rt::read_file_if_exists(path);
    ASSERT_TRUE(good);
    ASSERT_TRUE(rt::write_file_atomic(path, ByteView(junk), 0600));
    const auto agent = Agent::create(loop, a->options());
    ASSERT_FALSE(agent) << name;
    EXPECT_NE(agent.error().to_string().find(name), std::string::npos);
    EXPECT_FALSE(agent.error().cure.empty());
    if (*good) {
      ASSERT_TRUE(rt::write_file_atomic(path, ByteView(**good), 0600));
    } else {
      ASSERT_TRUE(rt::remove_file(path));
    }
  }
  a->start();
  EXPECT_TRUE(until([&] { return both_settled(); }));
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-7
//= type=test
//# when a connection is closed each endpoint MUST forget not only the keys used by the connection
//# but also any information that could be used to recompute those keys.
TEST_F(TwoAgents, AStopZeroesTheKeysAndLeavesTheRoutesClosed) {
  start_both();
  Agent& agent = *a->agent;
  agent.stop(false);
  EXPECT_EQ(agent.keys().alive(), 0U);
  EXPECT_EQ(a->backend->shut_open, false);
}

TEST_F(TwoAgents, ACertificatePastHalfItsLifeIsRenewedOverTheStream) {
  a = std::make_unique<Host>(loop, network, ca, "a", controller.port());
  // Valid since an hour, for half an hour more.
  const auto old = ca.device("a", a->key, kStart + std::chrono::minutes(30));
  ASSERT_TRUE(StateDir(a->scratch.path()).store_certificate(old));
  a->start();
  ASSERT_TRUE(until([&] { return !controller.renewals.empty(); }));
  const auto csr = crypto::parse_csr(controller.renewals.front());
  ASSERT_TRUE(csr);
  EXPECT_EQ(csr->spki, a->key.spki()) << "renewal keeps the key";
  pb::FromController message;
  const auto fresh = ca.device("a", a->key);
  message.mutable_certificate_renewed()->set_certificate_der(std::string(as_text(fresh.der())));
  controller.send("a.m", message);
  ASSERT_TRUE(until(
      [&] { return a->agent->core().identity().certificate.not_after() == fresh.not_after(); }));
  a->agent.reset();
  EXPECT_EQ(StateDir(a->scratch.path()).load_certificate()->der(), fresh.der());
}

TEST_F(TwoAgents, ANewCertificateForAnotherKeyIsNotTaken) {
  start_both();
  const auto other = *crypto::IdentityKey::generate(crypto::KeyType::kEcdsaP256);
  const auto before = a->agent->core().identity().certificate.der();
  pb::FromController message;
  message.mutable_certificate_renewed()->set_certificate_der(
      std::string(as_text(ca.device("a", other).der())));
  controller.send("a.m", message);
  controller.order_rekey("a.m");  // comes after it on the same stream
  const auto generation = a->generation();
  ASSERT_TRUE(until([&] { return a->generation() > generation; }));
  EXPECT_EQ(a->agent->core().identity().certificate.der(), before);
}

TEST_F(TwoAgents, ATrustAnchorThatNoTrustedOneSignedIsLeftOut) {
  start_both();
  const TestCa foreign;
  pb::FromController message;
  auto* renewed = message.mutable_certificate_renewed();
  renewed->set_certificate_der(std::string(as_text(a->agent->core().identity().certificate.der())));
  renewed->add_trust_der(std::string(as_text(ca.certificate().der())));
  renewed->add_trust_der(std::string(as_text(foreign.certificate().der())));
  controller.send("a.m", message);
  ASSERT_TRUE(until([&] { return a->agent->alarms().count("trust-unproven") == 1; }));
  EXPECT_EQ(a->agent->core().identity().trust.size(), 1U);
}

// ---- The local interface ----

class Api : public TwoAgents {
 protected:
  void SetUp() override {
    TwoAgents::SetUp();
    start_both();
  }
  [[nodiscard]] Json status() {
    Json json;
    bool done = false;
    a->agent->with_data_plane([&](const DataPlaneView& view) {
      json = *rt::parse_json(status_json(*a->agent, view));
      done = true;
    });
    EXPECT_TRUE(until([&] { return done; }));
    return json;
  }
};

TEST_F(Api, StatusHasTheDocumentedKeys) {
  const Json json = status();
  for (const char* key :
       {"name", "mesh", "mesh_address", "version", "backend", "notes", "controller", "generation",
        "dh_private_values_alive", "dh_private_values_alive_max", "sa_pairs_per_peer_max",
        "sa_pairs", "peers", "drops", "certificate_not_after"}) {
    EXPECT_TRUE(json.contains(key)) << key;
  }
  EXPECT_EQ(json["name"], "a.m");
  EXPECT_EQ(json["controller"]["state"], "connected");
  EXPECT_EQ(json["generation"]["state"], "accepted");
  EXPECT_EQ(json["peers"]["wanted"], 1);
  EXPECT_EQ(json["peers"]["proven"], 1);
  EXPECT_TRUE(json["drops"].contains("no-sa"));
  EXPECT_FALSE(json["drops"].contains("dummy")) << "discarded by design is no loss";
}

TEST_F(Api, AnswersFromTheLastLookWhenTheDataPlaneIsSilent) {
  static_cast<void>(status());
  a->backend->silent = true;
  const auto from = loop.now();
  const Json json = status();
  EXPECT_LT(loop.now() - from, std::chrono::seconds(5));
  EXPECT_TRUE(json["drops"].contains("no-sa")) << "as it was last";
}

TEST_F(Api, PeersSaAndWhyTellOfTheSettledPair) {
  DataPlaneView view;
  const Json peers = *rt::parse_json(peers_json(*a->agent, view));
  ASSERT_EQ(peers["items"].size(), 1U);
  const Json& peer = peers["items"][0];
  EXPECT_EQ(peer["name"], "b.m");
  EXPECT_EQ(peer["state"], "up");
  EXPECT_EQ(peer["outbound"], "Tx(a1-b1)");
  EXPECT_EQ(peer["newest_on_newest"], true);
  EXPECT_EQ(peer["pairs"], 1);
  EXPECT_EQ(peer["remote_counter"], "1.1");
  const Json sa = *rt::parse_json(sa_json(*a->agent, view, std::nullopt));
  ASSERT_EQ(sa["items"].size(), 1U);
  EXPECT_EQ(sa["items"][0]["pair"], "a1-b1");
  EXPECT_EQ(sa["items"][0]["state"], "chosen");
  EXPECT_EQ(sa["items"][0]["suite"], "aes-gcm-16-256");
  EXPECT_EQ(sa["items"][0]["spi_in"].get<std::string>().size(), 10U);
  EXPECT_GT(sa["items"][0]["expires_in_ms"], 1000);
  const Json why = *rt::parse_json(why_json(*a->agent, view, a->peer("b")));
  EXPECT_THAT(why["verdict"].get<std::string>(), ::testing::StartsWith("fine"));
  for (const Json& step : why["steps"]) EXPECT_NE(step["outcome"], "fail") << step.dump();
}

TEST_F(Api, WhyOfARemovedPeerSaysThatPolicyDeniesIt) {
  controller.remove("b.m");
  ASSERT_TRUE(until([&] { return !a->agent->core().view(a->peer("b"))->allowed; }));
  const Json why = *rt::parse_json(why_json(*a->agent, DataPlaneView{}, a->peer("b")));
  EXPECT_THAT(why["verdict"].get<std::string>(), ::testing::StartsWith("denied"));
}

TEST_F(Api, PeersAreFoundByLabelAndByFullNameAndASlipIsPointedOut) {
  EXPECT_EQ(*find_peer(*a->agent, "b"), a->peer("b"));
  EXPECT_EQ(*find_peer(*a->agent, "b.m"), a->peer("b"));
  const auto slip = find_peer(*a->agent, "bb");
  ASSERT_FALSE(slip);
  EXPECT_EQ(slip.error().code, rt::kErrNotFound);
}

TEST_F(Api, PingMeasuresThroughTheTunnel) {
  std::optional<Result<PingResult>> result;
  a->agent->ping(a->peer("b"), 3, std::chrono::milliseconds(20),
                 [&](Result<PingResult> r) { result = std::move(r); });
  ASSERT_TRUE(until([&] { return result.has_value(); }));
  ASSERT_TRUE(*result);
  EXPECT_EQ((*result)->sent, 3U);
  EXPECT_EQ((*result)->rtt_ms.size(), 3U);
}

TEST_F(Api, PingWithoutAnSaSaysSo) {
  controller.remove("b.m");
  ASSERT_TRUE(until([&] { return !a->agent->core().view(a->peer("b"))->allowed; }));
  std::optional<Result<PingResult>> result;
  a->agent->ping(a->peer("b"), 1, std::chrono::milliseconds(20),
                 [&](Result<PingResult> r) { result = std::move(r); });
  ASSERT_TRUE(result.has_value());
  EXPECT_FALSE(*result);
}

// ---- Lazy derivation ----

class LazyAgents : public TwoAgents {
 protected:
  void SetUp() override {
    network.lazy = true;
    TwoAgents::SetUp();
  }
  /// Orders a rekey of a and waits until b has dealt with it.
  void rekey() {
    const auto before = a->generation();
    controller.order_rekey("a.m");
    ASSERT_TRUE(until([&] { return a->generation() > before && both_settled(); }));
  }
};

TEST_F(LazyAgents, ClaimPairsAndDeriveEachOnceWhenItsFirstPacketNeedsIt) {
  start_both();
  EXPECT_EQ(network.lost, 0U);
  EXPECT_EQ(a->backend->claims, 1U);
  EXPECT_EQ(a->backend->keys_given, 1U) << "the probe needed them";
  EXPECT_EQ(a->agent->keying().derivations, 1U);
  EXPECT_EQ(a->agent->keying().claimed, 0U);
}

TEST_F(LazyAgents, ARekeyOfAnIdlePairEndsOnNewestByNewestWithoutALoss) {
  start_both();
  for (int i = 0; i < 3; ++i) rekey();
  EXPECT_EQ(network.lost, 0U);
  EXPECT_EQ(a->backend->claims, 4U) << "every pair was claimed first";
  EXPECT_LE(a->agent->keying().derivations, a->backend->claims);
  ASSERT_TRUE(until([&] { return a->agent->keys().alive() == 1; })) << "the old value is erased";
}

TEST_F(LazyAgents, DeriveAtOnceWhereUserPacketsFlow) {
  start_both();
  a->backend->send_user(a->peer("b"));
  const auto claims = a->backend->claims;
  rekey();
  EXPECT_EQ(a->backend->claims, claims) << "nothing was claimed: the keys were there first";
  EXPECT_EQ(a->backend->claimed(), 0U);
  EXPECT_EQ(network.lost, 0U);
}

TEST_F(LazyAgents, DeriveAtOnceWhenThePolicySaysEager) {
  controller.settings.set_derive_eager(true);
  start_both();
  EXPECT_EQ(a->backend->claims, 0U);
  EXPECT_EQ(b->backend->claims, 0U);
  EXPECT_EQ(network.lost, 0U);
}

TEST_F(LazyAgents, AFloodAtClaimedSpisCostsOneDerivationAPair) {
  a = std::make_unique<Host>(loop, network, ca, "a", controller.port());
  b = std::make_unique<Host>(loop, network, ca, "b", controller.port());
  a->start();
  b->start();
  ASSERT_TRUE(until([&] { return a->backend->claimed() == 1; })) << "nothing was claimed";
  for (int i = 0; i < 1000; ++i) a->backend->flood();
  ASSERT_TRUE(until([&] { return a->backend->claimed() == 0; }));
  EXPECT_EQ(a->backend->keys_given, 1U);
  EXPECT_EQ(a->agent->keying().derivations, 1U);
  EXPECT_EQ(a->agent->keying().by_data_plane, 1U) << "what it cost is counted";
  ASSERT_TRUE(until([&] { return both_settled(); })) << "real packets get through";
  EXPECT_EQ(a->backend->keys_given, 1U);
}

TEST_F(LazyAgents, APairRemovedWhileItIsDerivedDoesNotComeBack) {
  a = std::make_unique<Host>(loop, network, ca, "a", controller.port());
  b = std::make_unique<Host>(loop, network, ca, "b", controller.port());
  a->start();
  b->start();
  ASSERT_TRUE(until([&] { return a->backend->claimed() == 1; }));
  a->backend->flood();
  ASSERT_TRUE(until([&] { return a->agent->keying().derivations == 1; }));
  a->agent->flush();  // before the worker's answer is looked at, or right after
  ASSERT_TRUE(until([&] { return both_settled(); }));
  EXPECT_LE(a->backend->keys_given, a->agent->keying().derivations);
  EXPECT_EQ(a->backend->pair_count(), 1U);
}

TEST_F(LazyAgents, StatusSaAndWhyTellAClaimedPair) {
  a = std::make_unique<Host>(loop, network, ca, "a", controller.port());
  b = std::make_unique<Host>(loop, network, ca, "b", controller.port());
  a->start();
  b->start();
  ASSERT_TRUE(until([&] { return a->agent->keying().claimed == 1; }));
  const DataPlaneView view;
  EXPECT_EQ((*rt::parse_json(status_json(*a->agent, view)))["sa_pairs"]["claimed"], 1);
  const auto keys = [&] {
    return (*rt::parse_json(sa_json(*a->agent, view, std::nullopt)))["items"][0]["keys"];
  };
  EXPECT_EQ(keys(), "claimed");
  ASSERT_TRUE(until([&] { return both_settled(); }));
  EXPECT_EQ(keys(), "derived");
  EXPECT_EQ((*rt::parse_json(status_json(*a->agent, view)))["sa_pairs"]["claimed"], 0);
  const Json why = *rt::parse_json(why_json(*a->agent, view, a->peer("b")));
  EXPECT_THAT(why.dump(), ::testing::HasSubstr("\"name\":\"keys\""));
}

}  // namespace
}  // namespace cygnet::agent::testing
