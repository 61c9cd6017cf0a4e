// SPDX-License-Identifier: Apache-2.0
// Traffic between two devices: delivery, holding, rekeying, roaming, probes.

#include <atomic>
#include <set>
#include <thread>

#include "cygnet/agent/backend/userspace/e2e/two_devices.h"

namespace cygnet::agent::userspace::e2e {
namespace {

class Suites : public TwoDevices, public testing::WithParamInterface<esp::NamedSuite> {};
INSTANTIATE_TEST_SUITE_P(All, Suites, testing::ValuesIn(esp::all_suites()),
                         [](const auto& suite) { return suite.param.test_name; });

TEST_P(Suites, CarriesIpv4AndIpv6BothWays) {
  PairPlan plan;
  plan.suite = GetParam().suite;
  bring_up(plan);
  for (const int end : {0, 1}) {
    EXPECT_TRUE(passes(end, false));
    EXPECT_TRUE(passes(end, true));
  }
  expect_no_losses();
}

TEST_F(TwoDevices, CarriesBothFamiliesOverAnIpv6Underlay) {
  bring_up({}, true);
  for (const int end : {0, 1}) {
    EXPECT_TRUE(passes(end, false));
    EXPECT_TRUE(passes(end, true));
  }
  expect_no_losses();
}

TEST_F(TwoDevices, ReachesALinkLocalEndpointByItsScope) {
  start();
  introduce();
  PairPlan plan;
  install(plan);
  for (const int end : {0, 1}) {
    const auto i = static_cast<std::size_t>(end);
    ns_[i].shell("ip addr add fe80::" + std::to_string(end + 1) + "/64 dev u0 nodad");
    const std::string index = ns_[i].output("ip -o link show u0 | cut -d: -f1");
    device_[i]->with([&](UserspaceBackend& backend) {
      PeerConfig peer = other_of(end);
      peer.endpoints = {at("fe80::" + std::to_string(2 - end), 4500,
                           static_cast<std::uint32_t>(std::stoul(index)))};
      EXPECT_TRUE(backend.set_peer(peer).has_value());
    });
  }
  choose_both(plan);
  EXPECT_TRUE(passes(0, false));
  EXPECT_TRUE(passes(1, true));
  expect_no_losses();
}

TEST_F(TwoDevices, CarriesPacketsUpToTheMtuAndFragmentsOnTheWay) {
  bring_up();
  EXPECT_TRUE(passes(0, false, std::string(1400 - 28, 'x')));
  EXPECT_TRUE(passes(1, true, std::string(1400 - 48, 'y')));
  EXPECT_TRUE(passes(0, false, std::string(9000, 'z')));  // fragmented by the sender's kernel
  expect_no_losses();
}

TEST_F(TwoDevices, WorksWithoutEsn) {
  PairPlan plan;
  plan.esn = false;
  bring_up(plan);
  EXPECT_TRUE(passes(0, false));
  EXPECT_TRUE(passes(1, true));
  expect_no_losses();
}

TEST_F(TwoDevices, AnswersPingAtTheMeshAddress) {
  bring_up();
  EXPECT_NE(ns_[0].output("ping -c 2 -i 0.2 -W 2 " + kSites[1].mesh).find(" 2 received"),
            std::string::npos);
  expect_no_losses();
}

TEST_F(TwoDevices, SpreadsFlowsOverLanesAndKeepsEachFlowOnOne) {
  PairPlan plan;
  plan.lanes = 4;
  bring_up(plan);
  Socket receiver(ns_[1], kSites[1].lan4, kTrafficPort);
  for (int flow = 0; flow < 32; ++flow) {
    Socket sender(ns_[0], "0.0.0.0", 0);
    sender.send(kSites[1].lan4, kTrafficPort, as_bytes("x"));
    ASSERT_TRUE(receiver.receive().has_value());
  }
  const auto rows = device_[0]->counters();
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_EQ(rows[0].out.user_packets, 32U);
  EXPECT_EQ(rows[0].spis.size(), 4U);
  // With one lane in use the highest number would be 32.
  EXPECT_LT(rows[0].highest_seq_out, 32U);
  expect_no_losses();
}

TEST_F(TwoDevices, HoldsFirstPacketsAndSendsThemInOrderWhenAnOutboundIsChosen) {
  start();
  introduce();
  PairPlan plan;
  install(plan);
  Socket receiver(ns_[1], kSites[1].lan4, kTrafficPort);
  Socket sender(ns_[0], "0.0.0.0", 0);
  for (std::uint8_t i = 0; i < 20; ++i) sender.send(kSites[1].lan4, kTrafficPort, Bytes{i});
  ASSERT_TRUE(eventually([&] { return !device_[0]->events().waiting().empty(); }));
  device_[0]->settle();
  choose(0, plan);
  for (int i = 0; i < 20; ++i) {
    const auto got = receiver.receive();
    ASSERT_TRUE(got.has_value());
    EXPECT_EQ((*got)[0], i);
  }
  EXPECT_EQ(device_[0]->events().waiting().size(), 1U);
  EXPECT_EQ(device_[0]->paths()[0].held_dropped, 0U);
  expect_no_losses();
}

TEST_F(TwoDevices, DropsTheOldestHeldPacketsAndThoseOlderThanASecond) {
  start();
  introduce();
  Socket sender(ns_[0], "0.0.0.0", 0);
  for (int i = 0; i < 74; ++i) sender.send(kSites[1].lan4, kTrafficPort, Bytes{1});
  ASSERT_TRUE(eventually([&] { return device_[0]->drops("held-dropped") >= 10; }));
  ASSERT_TRUE(eventually([&] { return device_[0]->drops("held-dropped") == 74; }));
  EXPECT_EQ(device_[0]->drops("no-sa"), 0U);
  EXPECT_EQ(device_[0]->paths()[0].held_dropped, 74U);
  // Once something went out, what cannot be sent is called no-sa.
  PairPlan plan;
  install(plan);
  choose(0, plan);
  EXPECT_TRUE(passes(0, false));
  device_[0]->with([&](UserspaceBackend& b) { b.choose_outbound(kOther, std::nullopt); });
  sender.send(kSites[1].lan4, kTrafficPort, Bytes{1});
  ASSERT_TRUE(eventually([&] { return device_[0]->drops("no-sa") == 1; }));
  EXPECT_EQ(device_[0]->paths()[0].no_sa, 1U);
}

/// Sends numbered datagrams until told to stop; the receiver collects what arrives.
class Stream {
 public:
  Stream(const Namespace& from, const Namespace& to, const std::string& address)
      : sender_(from, "0.0.0.0", 0), receiver_(to, address, kTrafficPort) {
    receiving_ = std::thread([this] {
      while (const auto got = receiver_.receive(stop_ ? std::chrono::milliseconds(500)
                                                      : std::chrono::milliseconds(5000))) {
        const auto number = load_be32(got->data());
        duplicated_ += seen_.insert(number).second ? 0U : 1U;
        arrived_ = static_cast<std::uint32_t>(seen_.size());
      }
    });
    sending_ = std::thread([this, address] {
      while (!stop_) {
        // A queue that overflows on a busy machine says nothing about SAs.
        if (sent_ - arrived_ >= kInFlightMax) {
          std::this_thread::yield();
          continue;
        }
        Bytes payload(200);
        store_be32(payload.data(), sent_);
        sender_.send(address, kTrafficPort, payload);
        ++sent_;
      }
    });
  }
  void finish() {
    stop_ = true;
    sending_.join();
    receiving_.join();
  }
  [[nodiscard]] std::uint32_t sent() const { return sent_; }
  [[nodiscard]] std::size_t received() const { return seen_.size(); }
  [[nodiscard]] std::size_t duplicated() const { return duplicated_; }

 private:
  static constexpr std::uint32_t kInFlightMax = 128;
  Socket sender_;
  Socket receiver_;
  std::atomic<bool> stop_ = false;
  std::atomic<std::uint32_t> arrived_ = 0;
  std::atomic<std::uint32_t> sent_ = 0;
  std::set<std::uint32_t> seen_;
  std::size_t duplicated_ = 0;
  std::thread sending_;
  std::thread receiving_;
};

TEST_F(TwoDevices, LosesNothingWhileTheOutboundMovesUnderTraffic) {
  PairPlan plan;
  bring_up(plan);
  ASSERT_TRUE(passes(0, false));
  Stream stream(ns_[0], ns_[1], kSites[1].lan4);
  for (std::uint32_t generation = 2; generation <= 8; ++generation) {
    const std::uint32_t from = stream.sent();
    ASSERT_TRUE(eventually([&] { return stream.sent() > from + 500; }));
    PairPlan next = plan;
    next.generation = generation;
    install(next);
    choose_both(next);
    // The old outbound goes at once, the old inbound when the new one has been heard on.
    for (const auto& device : device_) {
      device->with([&](UserspaceBackend& b) { b.remove_outbound(kOther, plan.id()); });
    }
    ASSERT_TRUE(eventually([&] {
      for (const auto& e : device_[1]->events().evidence()) {
        if (e.pair == next.id()) return true;
      }
      return false;
    }));
    const std::uint32_t heard = stream.sent();
    ASSERT_TRUE(eventually([&] { return stream.sent() > heard + 500; }));
    plan = next;
  }
  stream.finish();
  EXPECT_GT(stream.sent(), 5000U);
  EXPECT_EQ(stream.received(), stream.sent());
  EXPECT_EQ(stream.duplicated(), 0U);
  expect_no_losses();
}

TEST_F(TwoDevices, FollowsAPeerThatMoves) {
  PairPlan plan;
  bring_up(plan);
  ASSERT_TRUE(passes(0, false));
  ASSERT_TRUE(passes(1, false));
  EXPECT_TRUE(device_[1]->events().moved().empty());
  // A newer packet of the same SA from another address and port: left has moved.
  ns_[0].shell("ip addr add 192.0.2.77/24 dev u0");
  Socket moved(ns_[0], "192.0.2.77", 9999);
  moved.send("192.0.2.2", 4500, forge(plan, 1, 500, udp4("10.1.0.1", "10.2.0.1")));
  ASSERT_TRUE(eventually([&] { return !device_[1]->events().moved().empty(); }));
  EXPECT_EQ(device_[1]->events().moved()[0], at("192.0.2.77", 9999));
  EXPECT_EQ(device_[1]->paths()[0].endpoint, at("192.0.2.77", 9999));
  EXPECT_TRUE(device_[1]->paths()[0].endpoint_learned);
  Socket right(ns_[1], "0.0.0.0", 0);
  right.send("10.1.0.1", kTrafficPort, Bytes{1});
  const auto at_new_place = moved.receive();
  ASSERT_TRUE(at_new_place.has_value());
  EXPECT_EQ(load_be32(at_new_place->data()), plan.spi(0).value());
}

TEST_F(TwoDevices, OlderForgedAndReplayedPacketsDoNotMoveAPeer) {
  PairPlan plan;
  bring_up(plan);
  ASSERT_TRUE(passes(0, false));
  Socket elsewhere(ns_[0], "192.0.2.1", 9999);
  const Bytes newer = forge(plan, 1, 500, udp4("10.1.0.1", "10.2.0.1"));
  const Bytes older = forge(plan, 1, 400, udp4("10.1.0.1", "10.2.0.1"));
  Bytes forged = forge(plan, 1, 600, udp4("10.1.0.1", "10.2.0.1"));
  forged.back() = static_cast<std::uint8_t>(forged.back() ^ 1);
  Socket first(ns_[0], "192.0.2.1", 9998);
  first.send("192.0.2.2", 4500, newer);
  ASSERT_TRUE(eventually([&] { return device_[1]->events().moved().size() == 1; }));
  elsewhere.send("192.0.2.2", 4500, older);  // valid, but late
  elsewhere.send("192.0.2.2", 4500, newer);  // replayed
  elsewhere.send("192.0.2.2", 4500, forged);
  ASSERT_TRUE(eventually([&] { return device_[1]->drops("icv") == 1; }));
  EXPECT_EQ(device_[1]->drops("replay"), 1U);
  EXPECT_EQ(device_[1]->paths()[0].endpoint, at("192.0.2.1", 9998));
}

TEST_F(TwoDevices, ProbesPassWithoutTouchingTheTunnelDevice) {
  PairPlan plan;
  bring_up(plan);
  const Bytes payload = {1, 2, 3, 4, 5};
  device_[0]->with([&](UserspaceBackend& b) { b.send_probe(kOther, plan.id(), payload); });
  ASSERT_TRUE(eventually([&] { return !device_[1]->events().probes().empty(); }));
  EXPECT_EQ(device_[1]->events().probes()[0], payload);
  const auto evidence = device_[1]->events().evidence();
  ASSERT_EQ(evidence.size(), 1U);
  EXPECT_EQ(evidence[0].kind, EvidenceKind::kProbe);
  EXPECT_TRUE(device_[1]->events().user_traffic().empty());
  EXPECT_EQ(device_[1]->counters()[0].in.packets, 1U);
  EXPECT_EQ(device_[1]->counters()[0].in.user_packets, 0U);
  expect_no_losses();
}

TEST_F(TwoDevices, ProbesGoToEveryCandidateUntilOneIsProven) {
  start();
  introduce();
  PairPlan plan;
  install(plan);
  choose(0, plan);
  choose(1, plan);
  // The first candidate is a place where nobody is, the second has no route, the third is right.
  device_[0]->with([&](UserspaceBackend& backend) {
    PeerConfig peer = other_of(0);
    peer.endpoints = {at("192.0.2.99", 4500), at("198.51.100.1", 4500), at("192.0.2.2", 4500)};
    EXPECT_TRUE(backend.set_peer(peer).has_value());
    backend.send_probe(kOther, plan.id(), {1});
  });
  ASSERT_TRUE(eventually([&] { return device_[1]->events().probes().size() == 1; }));
  EXPECT_EQ(device_[0]->paths()[0].endpoint, at("192.0.2.99", 4500));
  // The answer proves the address it comes from; from then on there is one copy only.
  device_[1]->with([&](UserspaceBackend& b) { b.send_probe(kOther, plan.id(), {2}); });
  ASSERT_TRUE(eventually([&] { return device_[0]->events().probes().size() == 1; }));
  EXPECT_EQ(device_[0]->paths()[0].endpoint, at("192.0.2.2", 4500));
  const auto sent_before = device_[0]->counters()[0].out.packets;
  device_[0]->with([&](UserspaceBackend& b) { b.send_probe(kOther, plan.id(), {3}); });
  ASSERT_TRUE(eventually([&] { return device_[1]->events().probes().size() == 2; }));
  EXPECT_EQ(device_[0]->counters()[0].out.packets, sent_before + 1);
  EXPECT_EQ(device_[1]->drops("replay"), 0U);
  expect_no_losses();
}

TEST_F(TwoDevices, UserPacketsSkipACandidateThatCannotBeReachedAtAll) {
  start();
  introduce();
  PairPlan plan;
  install(plan);
  choose_both(plan);
  device_[0]->with([&](UserspaceBackend& backend) {
    PeerConfig peer = other_of(0);
    peer.endpoints = {at("198.51.100.1", 4500), at("2001:db8:77::1", 4500), at("192.0.2.2", 4500)};
    EXPECT_TRUE(backend.set_peer(peer).has_value());
  });
  EXPECT_TRUE(passes(0, false));
  expect_no_losses();
}

TEST_F(TwoDevices, LearnsWhereAPeerWithoutEndpointsIs) {
  start();
  introduce();
  PairPlan plan;
  install(plan);
  device_[1]->with([&](UserspaceBackend& backend) {
    PeerConfig peer = other_of(1);
    peer.endpoints.clear();
    EXPECT_TRUE(backend.set_peer(peer).has_value());
  });
  // What waits at right goes out as soon as left has been heard.
  Socket receiver(ns_[0], "10.1.0.1", kTrafficPort);
  Socket sender(ns_[1], "0.0.0.0", 0);
  choose_both(plan);
  // The endpoint set before is forgotten with the candidates.
  sender.send("10.1.0.1", kTrafficPort, as_bytes("held"));
  ASSERT_TRUE(eventually([&] { return !device_[1]->events().waiting().empty(); }));
  device_[0]->with([&](UserspaceBackend& b) { b.send_probe(kOther, plan.id(), {1}); });
  const auto got = receiver.receive();
  ASSERT_TRUE(got.has_value());
  EXPECT_EQ(as_text(*got), "held");
  expect_no_losses();
}

TEST_F(TwoDevices, KeepsNatMappingsOpen) {
  start([](int, UserspaceConfig& config) { config.keepalive = std::chrono::milliseconds(80); });
  introduce();
  // Watch from a place of our own: left believes that right is there.
  Socket watcher(ns_[1], "192.0.2.2", 7777);
  device_[0]->with([&](UserspaceBackend& backend) {
    PeerConfig peer = other_of(0);
    peer.endpoints = {at("192.0.2.2", 7777)};
    EXPECT_TRUE(backend.set_peer(peer).has_value());
  });
  EXPECT_FALSE(watcher.receive(std::chrono::milliseconds(300)).has_value())
      << "no SA, no keepalive";
  install({});
  for (int i = 0; i < 3; ++i) {
    const auto keepalive = watcher.receive();
    ASSERT_TRUE(keepalive.has_value());
    EXPECT_EQ(*keepalive, Bytes{0xff});
  }
}

TEST_F(TwoDevices, AKeepaliveTellsThePeerWhereWeAre) {
  start([](int side, UserspaceConfig& config) {
    if (side == 0) config.keepalive = std::chrono::milliseconds(80);
  });
  introduce();
  // Right believes that left is somewhere else, as after a change at left's NAT; both are silent.
  device_[1]->with([&](UserspaceBackend& backend) {
    PeerConfig peer = other_of(1);
    peer.endpoints = {at("192.0.2.1", 7777)};
    EXPECT_TRUE(backend.set_peer(peer).has_value());
  });
  const PairPlan plan;
  install(plan);
  choose_both(plan);
  EXPECT_TRUE(eventually([&] { return !device_[1]->events().moved().empty(); }));
  EXPECT_TRUE(passes(1, false));
}

TEST_F(TwoDevices, TellsTheSoftLimitOnceAPair) {
  PairPlan plan;
  bring_up(plan);
  device_[0]->with([](UserspaceBackend& b) { b.set_soft_packet_limit(5); });
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(passes(0, false));
  device_[0]->settle();
  EXPECT_TRUE(device_[0]->events().soft_limit().empty());
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(passes(0, false));
  ASSERT_TRUE(eventually([&] { return device_[0]->events().soft_limit().size() == 1; }));
  EXPECT_EQ(device_[0]->events().soft_limit()[0], plan.id());
}

TEST_F(TwoDevices, CountsWhatPasses) {
  PairPlan plan;
  bring_up(plan);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(passes(0, false, "12345678"));
  const auto out = device_[0]->counters();
  const auto in = device_[1]->counters();
  ASSERT_EQ(out.size(), 1U);
  ASSERT_EQ(in.size(), 1U);
  EXPECT_EQ(out[0].out.packets, 3U);
  EXPECT_EQ(out[0].out.octets, 3U * 36);
  EXPECT_EQ(out[0].highest_seq_out, 3U);
  EXPECT_EQ(in[0].in.packets, 3U);
  EXPECT_EQ(in[0].in.user_packets, 3U);
  EXPECT_EQ(in[0].in.octets, 3U * 36);
  EXPECT_EQ(in[0].highest_seq_in, 3U);
  EXPECT_EQ(in[0].spis[0], std::pair(plan.spi(1), plan.spi(0)));
  EXPECT_FALSE(device_[0]->events().user_traffic().empty());
  EXPECT_FALSE(device_[1]->events().user_traffic().empty());
}

}  // namespace
}  // namespace cygnet::agent::userspace::e2e
