// SPDX-License-Identifier: Apache-2.0
// Claimed pairs: SPIs at once, keys when a packet needs them (docs/protocol.md section 5.2), and
// what a flood at claimed SPIs costs.

#include <set>

#include "cygnet/agent/backend/userspace/e2e/two_devices.h"

namespace cygnet::agent::userspace::e2e {
namespace {

/// Left has its keys from the beginning, right has claimed the pair.
class Claimed : public TwoDevices {
 protected:
  void SetUp() override {
    TwoDevices::SetUp();
    start([](int, UserspaceConfig& config) { config.keepalive = std::chrono::milliseconds(200); });
    introduce();
    device_[0]->on([&](SadBackend& backend) { backend.install(plan_.spec(kOther, 0)); });
    claim(plan_);
    ASSERT_TRUE(eventually([&] { return !device_[0]->events().installed().empty(); }));
  }
  void claim(const PairPlan& plan) {
    const std::size_t before = right().installed().size();
    device_[1]->on([&](SadBackend& backend) { backend.claim(plan.claim(kOther, 1)); });
    ASSERT_TRUE(eventually([&] { return right().installed().size() > before; }));
  }
  void give_keys() {
    device_[1]->on([&](SadBackend& backend) { backend.give_keys(plan_.spec(kOther, 1)); });
  }
  [[nodiscard]] RecordedEvents& right() { return device_[1]->events(); }
  void expect_text(Socket& receiver, const std::string& text) {
    const auto got = receiver.receive();
    ASSERT_TRUE(got.has_value()) << text;
    EXPECT_EQ(as_text(*got), text);
  }

  PairPlan plan_;
};

TEST_F(Claimed, PacketsThatComeInWaitForTheKeysAndAreDeliveredInOrder) {
  choose(0, plan_);
  Socket receiver(ns_[1], kSites[1].lan4, kTrafficPort);
  Socket sender(ns_[0], "0.0.0.0", 0);
  for (int i = 0; i < 20; ++i) {
    sender.send(kSites[1].lan4, kTrafficPort, as_bytes(std::to_string(i)));
  }
  ASSERT_TRUE(eventually([&] { return !right().wanted().empty(); }));
  ASSERT_TRUE(eventually([&] { return device_[0]->counters()[0].out.user_packets == 20; }));
  give_keys();
  for (int i = 0; i < 20; ++i) expect_text(receiver, std::to_string(i));
  EXPECT_EQ(right().wanted().size(), 1U) << "asked for once";
  expect_no_losses();
  EXPECT_TRUE(passes(0, false));
}

TEST_F(Claimed, PacketsThatAreToLeaveWaitForTheKeysAndGoInOrder) {
  Socket receiver(ns_[0], kSites[0].lan4, kTrafficPort);
  Socket sender(ns_[1], "0.0.0.0", 0);
  sender.send(kSites[0].lan4, kTrafficPort, as_bytes(std::string("0")));
  ASSERT_TRUE(eventually([&] { return !right().waiting().empty(); }));
  EXPECT_TRUE(right().wanted().empty()) << "nothing is chosen yet";
  choose(1, plan_);
  ASSERT_TRUE(eventually([&] { return !right().wanted().empty(); }));
  for (int i = 1; i < 10; ++i) {
    sender.send(kSites[0].lan4, kTrafficPort, as_bytes(std::to_string(i)));
  }
  device_[1]->settle();
  give_keys();
  for (int i = 0; i < 10; ++i) expect_text(receiver, std::to_string(i));
  EXPECT_EQ(right().wanted().size(), 1U);
  expect_no_losses();
}

TEST_F(Claimed, AProbeWaitsForTheKeysAndAKeepaliveAsksForNone) {
  choose(1, plan_);
  // Keepalives are due every 200 ms; one that sealed would ask for the keys.
  EXPECT_FALSE(
      eventually([&] { return !right().wanted().empty(); }, std::chrono::milliseconds(600)));
  device_[1]->on([&](SadBackend& b) { b.send_probe(kOther, plan_.id(), Bytes{1, 2, 3}); });
  ASSERT_TRUE(eventually([&] { return right().wanted().size() == 1; }));
  give_keys();
  ASSERT_TRUE(eventually([&] { return device_[0]->events().probes().size() == 1; }));
  EXPECT_EQ(device_[0]->events().probes()[0], (Bytes{1, 2, 3}));
  EXPECT_EQ(right().wanted().size(), 1U);
}

TEST_F(Claimed, APairRemovedWhileItsKeysAreDerivedDoesNotComeBack) {
  choose(0, plan_);
  Socket sender(ns_[0], "0.0.0.0", 0);
  sender.send(kSites[1].lan4, kTrafficPort, as_bytes(std::string("x")));
  ASSERT_TRUE(eventually([&] { return !right().wanted().empty(); }));
  device_[1]->on([&](SadBackend& b) {
    b.remove_outbound(kOther, plan_.id());
    b.remove_inbound(kOther, plan_.id());
  });
  give_keys();
  device_[1]->settle();
  EXPECT_TRUE(device_[1]->counters().empty());
  // A keepalive of the other side, due every 200 ms, may have waited too.
  EXPECT_GE(device_[1]->drops("keys-pending"), 1U) << "what waited is counted";
  sender.send(kSites[1].lan4, kTrafficPort, as_bytes(std::string("y")));
  EXPECT_TRUE(eventually([&] { return device_[1]->drops("unknown-spi") >= 1; }));
}

TEST_F(Claimed, ADirectionRemovedMeanwhileStaysRemoved) {
  choose(1, plan_);
  device_[1]->on([&](SadBackend& b) { b.remove_outbound(kOther, plan_.id()); });
  give_keys();
  choose(1, plan_);
  device_[1]->on([&](SadBackend& b) { b.send_probe(kOther, plan_.id(), Bytes{1}); });
  EXPECT_TRUE(eventually([&] { return device_[1]->drops("probe-no-sa") == 1; }));
  choose(0, plan_);
  EXPECT_TRUE(passes(0, false)) << "the other direction has its keys";
}

TEST_F(Claimed, KeysGivenTwiceDoNotSetTheCountersBack) {
  choose_both(plan_);
  give_keys();
  EXPECT_TRUE(passes(1, false));
  EXPECT_TRUE(passes(0, false));
  const auto before = device_[1]->counters().at(0);
  EXPECT_GE(before.highest_seq_out, 1U);
  EXPECT_GE(before.highest_seq_in, 1U);
  give_keys();
  device_[1]->on([&](SadBackend& b) { b.claim(plan_.claim(kOther, 1)); });
  ASSERT_TRUE(eventually([&] { return !right().failed().empty(); }));
  EXPECT_EQ(right().failed()[0], "installed-twice");
  const auto after = device_[1]->counters().at(0);
  EXPECT_GE(after.highest_seq_out, before.highest_seq_out);
  EXPECT_GE(after.highest_seq_in, before.highest_seq_in);
  EXPECT_TRUE(passes(1, false));
}

TEST_F(Claimed, AFloodAtClaimedAndAtUnknownSpisCostsOneDerivationAPairAndBoundedMemory) {
  constexpr std::uint32_t kPairs = 200;
  constexpr int kRounds = 100;
  device_[1]->on([&](SadBackend& b) {
    for (std::uint32_t i = 0; i < kPairs; ++i) {
      PairPlan plan;
      plan.generation = 100 + i;
      b.claim(plan.claim(kOther, 1));
    }
  });
  ASSERT_TRUE(eventually([&] { return right().installed().size() == kPairs + 1; }));
  Socket outside(ns_[0], "192.0.2.1", 5555);
  Bytes packet(1200, 0x5a);
  std::uint64_t sent = 0;
  for (int round = 0; round < kRounds; ++round) {
    for (std::uint32_t i = 0; i < kPairs; ++i) {
      PairPlan plan;
      plan.generation = 100 + i;
      store_be32(packet.data(), plan.spi(1).value());
      outside.send("192.0.2.2", 4500, packet);
      ++sent;
    }
    store_be32(packet.data(), 0xf0000000U + static_cast<std::uint32_t>(round));
    outside.send("192.0.2.2", 4500, packet);
    ++sent;
  }
  // Every one ends under a name, the last ones a second later.
  ASSERT_TRUE(eventually([&] {
    return device_[1]->drops("keys-pending") + device_[1]->drops("unknown-spi") +
               device_[1]->drops("socket-overflow") ==
           sent;
  })) << device_[1]->all_losses();
  EXPECT_LE(right().wanted().size(), kPairs);
  EXPECT_GE(right().wanted().size(), kPairs / 2);
  std::set<proto::SaPairId> once;
  for (const proto::SaPairId pair : right().wanted()) {
    EXPECT_TRUE(once.insert(pair).second) << "asked for twice";
  }
  EXPECT_FALSE(once.contains(plan_.id())) << "nobody has sent to this one";
  // A pair that real packets use gets through, in the middle of it.
  choose_both(plan_);
  Socket receiver(ns_[1], kSites[1].lan4, kTrafficPort);
  Socket sender(ns_[0], "0.0.0.0", 0);
  const auto flood = [&] {
    for (std::uint32_t i = 0; i < kPairs; ++i) {
      PairPlan plan;
      plan.generation = 100 + i;
      store_be32(packet.data(), plan.spi(1).value());
      outside.send("192.0.2.2", 4500, packet);
    }
  };
  flood();
  sender.send(kSites[1].lan4, kTrafficPort, as_bytes(std::string("real")));
  ASSERT_TRUE(eventually([&] { return right().wanted().size() > once.size(); }));
  flood();
  give_keys();
  expect_text(receiver, "real");
  // Forged packets for it meet the ICV.
  const std::uint64_t icv = device_[1]->drops("icv");
  store_be32(packet.data(), plan_.spi(1).value());
  store_be32(packet.data() + 4, 1000);
  outside.send("192.0.2.2", 4500, packet);
  EXPECT_TRUE(eventually([&] { return device_[1]->drops("icv") == icv + 1; }));
}

TEST_F(Claimed, PacketsForOneSpiOfTwoPeersAreTriedOnTheOneThatHasKeysFirst) {
  // A third party with the same inbound SPI, whose keys are not derived.
  device_[1]->on([&](SadBackend& b) {
    PeerConfig third = other_of(1);
    third.peer = proto::PeerId(8);
    third.mesh_address = ip("fd01:203:405:0:3::1");
    third.prefixes = {net("10.3.0.0/16")};
    third.endpoints = {at("192.0.2.3", 4500)};
    ASSERT_TRUE(b.set_peer(third));
    SaPairClaim claim = plan_.claim(proto::PeerId(8), 1);
    b.claim(std::move(claim));
  });
  ASSERT_TRUE(eventually([&] { return right().installed().size() == 2; }));
  give_keys();
  choose_both(plan_);
  EXPECT_TRUE(passes(0, false));
  EXPECT_TRUE(right().wanted().empty()) << "the keys that are there opened it";
  Bytes forged = forge(plan_, 1, 500, udp4("10.1.0.1", "10.2.0.1"));
  forged.back() = static_cast<std::uint8_t>(forged.back() ^ 1);
  Socket outside(ns_[0], "192.0.2.1", 5555);
  outside.send("192.0.2.2", 4500, forged);
  ASSERT_TRUE(eventually([&] { return right().wanted().size() == 1; })) << "it may be the other's";
  EXPECT_TRUE(eventually([&] { return device_[1]->drops("keys-pending") == 1; }));
}

}  // namespace
}  // namespace cygnet::agent::userspace::e2e
