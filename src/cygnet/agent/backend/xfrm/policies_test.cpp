// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/backend/xfrm/policies.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <set>

#include "cygnet/agent/backend/api/ip_text.h"
#include "cygnet/agent/backend/userspace/e2e/network.h"
#include "cygnet/agent/backend/xfrm/kernel_check.h"
#include "cygnet/agent/backend/xfrm/spi_sampler.h"
#include "cygnet/agent/backend/xfrm/xfrm_backend.h"

namespace cygnet::agent::xfrm {
namespace {

IpPrefix net(const std::string& text) { return *parse_ip_prefix(text); }

/// The policy that the kernel takes for a packet: the best priority among those that match.
std::optional<PolicyConfig> taken(const std::vector<PolicyConfig>& policies, Direction direction,
                                  const std::string& source, const std::string& destination) {
  const PolicyConfig* best = nullptr;
  for (const PolicyConfig& policy : policies) {
    if (policy.key.direction != direction || policy.key.mark != 0 ||
        policy.key.selector.protocol != 0 ||
        !contains(policy.key.selector.source, *parse_ip_address(source)) ||
        !contains(policy.key.selector.destination, *parse_ip_address(destination))) {
      continue;
    }
    if (best == nullptr || policy.priority < best->priority) best = &policy;
  }
  if (best == nullptr) return std::nullopt;
  return *best;
}

/// A device with 10.1.0.0/16 and a peer with all of 10.0.0.0/8.
std::vector<PolicyConfig> device() {
  std::vector<PolicyConfig> all{outbound_policy(net("10.0.0.0/8"), {})};
  const auto add = [&](std::vector<PolicyConfig> more) {
    all.insert(all.end(), more.begin(), more.end());
  };
  add(inbound_blocks(net("10.0.0.0/8")));
  add(inbound_policies(net("10.0.0.0/8"), net("10.1.0.0/16"), 5));
  add(own_policies(net("10.1.0.0/16")));
  add(base_policies(0x4379));
  return all;
}

TEST(Policies, WhatComesFromAPeerToUsMustHaveComeByItsSas) {
  for (const Direction direction : {Direction::kIn, Direction::kForward}) {
    const auto policy = taken(device(), direction, "10.9.0.1", "10.1.0.1");
    ASSERT_TRUE(policy);
    ASSERT_EQ(policy->action, Action::kProtect);
    EXPECT_EQ(policy->protect->reqid, 5U);
  }
}

TEST(Policies, WhatComesFromAPeerToSomebodyElseIsBlocked) {
  for (const Direction direction : {Direction::kIn, Direction::kForward}) {
    const auto policy = taken(device(), direction, "10.9.0.1", "203.0.113.1");
    ASSERT_TRUE(policy);
    EXPECT_EQ(policy->action, Action::kBlock);
  }
}

TEST(Policies, OurOwnNetworkInsideAPeersStaysInClear) {
  EXPECT_EQ(taken(device(), Direction::kOut, "10.1.0.1", "10.1.0.7")->action, Action::kPass);
  EXPECT_EQ(taken(device(), Direction::kIn, "10.1.0.7", "10.1.0.1")->action, Action::kPass);
  EXPECT_EQ(taken(device(), Direction::kForward, "10.1.0.7", "203.0.113.1")->action, Action::kPass);
  EXPECT_EQ(taken(device(), Direction::kOut, "10.1.0.1", "10.9.0.1")->action, Action::kProtect);
}

TEST(Policies, ThePrefixInsideAnotherGoesFirst) {
  std::vector<PolicyConfig> all = device();
  all.push_back(outbound_policy(net("10.9.0.0/16"), {Outbound::Kind::kBlock, 0, {}}));
  EXPECT_EQ(taken(all, Direction::kOut, "10.1.0.1", "10.9.0.1")->action, Action::kBlock);
  EXPECT_EQ(taken(all, Direction::kOut, "10.1.0.1", "10.8.0.1")->action, Action::kProtect);
}

TEST(Policies, HoldingAndProtectingAndBlockingAreTheSamePolicyToTheKernel) {
  const IpPrefix prefix = net("2001:db8:2::/64");
  const Template protect{*parse_ip_address("192.0.2.1"), *parse_ip_address("192.0.2.2"), 0x1234, 9};
  const PolicyConfig hold = outbound_policy(prefix, {Outbound::Kind::kHold, 5, {}});
  const PolicyConfig send = outbound_policy(prefix, {Outbound::Kind::kProtect, 9, protect});
  const PolicyConfig block = outbound_policy(prefix, {Outbound::Kind::kBlock, 0, {}});
  EXPECT_EQ(hold.key, send.key);
  EXPECT_EQ(hold.key, block.key);
  EXPECT_EQ(hold.protect->spi, 0U);
  EXPECT_EQ(hold.protect->reqid, 5U);
  EXPECT_EQ(send.protect, protect);
  EXPECT_FALSE(block.protect.has_value());
}

TEST(Policies, TheSamePrefixHasOneKeyForEachOfOurs) {
  std::set<PolicyKey> keys;
  const std::vector<PolicyConfig> all = device();
  for (const PolicyConfig& policy : all) EXPECT_TRUE(keys.insert(policy.key).second);
}

TEST(PolicyIndexes, AreOursTellTheDirectionAndAreNotGivenTwice) {
  PolicyIndexes indexes(17235);
  std::set<std::uint32_t> given;
  for (const Direction direction : {Direction::kIn, Direction::kOut, Direction::kForward}) {
    for (int i = 0; i < 100; ++i) {
      const std::uint32_t index = indexes.next(direction);
      EXPECT_TRUE(indexes.ours(index));
      EXPECT_EQ(index & 7U, static_cast<std::uint32_t>(direction));
      EXPECT_TRUE(given.insert(index).second);
    }
  }
  PolicyIndexes again(17235);
  for (const std::uint32_t index : given) again.seen(index);
  EXPECT_FALSE(given.contains(again.next(Direction::kOut)));
  // What the kernel numbers itself, for others.
  for (const std::uint32_t index : {8U, 17U, 4001U}) EXPECT_FALSE(again.ours(index));
  EXPECT_FALSE(PolicyIndexes(17236).ours(*given.begin()));
}

TEST(Reqids, ComeFromTheAgentsOwnRangeAndAreNotGivenTwice) {
  Reqids reqids(17235);
  std::set<std::uint32_t> used;
  const auto taken = [&](std::uint32_t reqid) { return used.contains(reqid); };
  for (int i = 0; i < 1000; ++i) {
    const auto peer = reqids.peer(taken);
    const auto outbound = reqids.outbound(taken);
    ASSERT_TRUE(peer && outbound);
    EXPECT_TRUE(reqids.ours(*peer));
    EXPECT_TRUE(reqids.ours(*outbound));
    EXPECT_TRUE(used.insert(*peer).second);
    EXPECT_TRUE(used.insert(*outbound).second);
  }
  EXPECT_FALSE(reqids.ours(17235U << 16));
  EXPECT_FALSE(reqids.ours(7));
}

TEST(Reqids, RunOutRatherThanRepeat) {
  Reqids reqids(1);
  EXPECT_FALSE(reqids.peer([](std::uint32_t) { return true; }).has_value());
  const std::uint32_t free = (1U << 16) | 0x9000;
  EXPECT_EQ(reqids.outbound([&](std::uint32_t reqid) { return reqid != free; }), free);
}

// ---- Refusals ----

TEST(Refusals, NameTheModuleThatIsMissingAndTheWayOut) {
  const crypto::EspSuite gcm{};
  const Error esp = explain_sa_refusal(gcm, true, EPROTONOSUPPORT, {});
  EXPECT_EQ(esp.code, kErrKernelEsp);
  EXPECT_NE(esp.message.find("esp6"), std::string::npos) << esp.message;
  EXPECT_NE(esp.cure.find("modprobe esp6"), std::string::npos) << esp.cure;
  EXPECT_NE(esp.cure.find("data_plane: userspace"), std::string::npos) << esp.cure;
  const Error algorithm =
      explain_sa_refusal(gcm, false, ENOSYS, "Requested AEAD algorithm not found");
  EXPECT_EQ(algorithm.code, kErrKernelAlgorithm);
  EXPECT_NE(algorithm.message.find("aes-gcm-16-256"), std::string::npos) << algorithm.message;
  EXPECT_NE(algorithm.message.find("AEAD algorithm not found"), std::string::npos);
  EXPECT_NE(algorithm.cure.find("modprobe gcm seqiv"), std::string::npos) << algorithm.cure;
  EXPECT_EQ(explain_sa_refusal(gcm, false, EEXIST, {}).code, kErrSpiCollision);
  EXPECT_EQ(explain_sa_refusal(gcm, false, EINVAL, "odd").code, kErrKernelRefused);
}

// ---- Unknown SPIs ----

TEST(SpiSampler, FindsTheSpiOfEspInUdpAndNothingElse) {
  Bytes udp{0x11, 0x95, 0x11, 0x94, 0, 16, 0, 0, 1, 2, 3, 4, 0, 0, 0, 1};
  const auto found = sampled_esp(udp, true, 4500);
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->spi, 0x01020304U);
  EXPECT_EQ(found->source_port, 4501);
  EXPECT_FALSE(sampled_esp(udp, true, 4501).has_value());
  Bytes ipv4(20, 0);
  ipv4[0] = 0x45;
  ipv4.insert(ipv4.end(), udp.begin(), udp.end());
  EXPECT_TRUE(sampled_esp(ipv4, false, 4500).has_value());
  ipv4[7] = 1;  // a later fragment
  EXPECT_FALSE(sampled_esp(ipv4, false, 4500).has_value());
  for (std::size_t size = 0; size < udp.size(); ++size) {
    EXPECT_FALSE(sampled_esp(ByteView(udp).first(size), true, 4500).has_value());
  }
  udp[8] = udp[9] = udp[10] = udp[11] = 0;  // the non-ESP marker
  EXPECT_FALSE(sampled_esp(udp, true, 4500).has_value());
}

TEST(SpiSampler, LooksOnlyWhileTheKernelsCounterRises) {
  SpiSampler sampler(4500);
  EXPECT_TRUE(sampler.look(7, {}, Timestamp{}).empty());
  EXPECT_FALSE(sampler.sampling());
  EXPECT_TRUE(sampler.look(7, {}, Timestamp{}).empty());
  EXPECT_FALSE(sampler.sampling());
  EXPECT_TRUE(sampler.look(8, {}, Timestamp{}).empty());
  EXPECT_TRUE(sampler.sampling());
  EXPECT_TRUE(sampler.look(8, {}, Timestamp{}).empty());
  EXPECT_FALSE(sampler.sampling());
}

// On a kernel with ESP the backend comes up; without, it names the module. `ip` says which it is.
TEST(KernelBackend, ComesUpOrNamesWhatTheKernelLacks) {
  const userspace::e2e::Namespace ns;
  const std::string status = ns.output(
      "ip xfrm state add src 192.0.2.1 dst 192.0.2.2 proto esp spi 0x1000 mode tunnel aead "
      "'rfc4106(gcm(aes))' 0x000102030405060708090a0b0c0d0e0f10111213 128 2>&1 && echo made");
  class Nobody final : public BackendEvents {
    void on_installed(proto::PeerId, proto::SaPairId) override {}
    void on_install_failed(proto::PeerId, proto::SaPairId, bool, const Error&) override {}
    void on_evidence(proto::PeerId, proto::SaPairId, EvidenceKind) override {}
    void on_user_traffic(proto::PeerId) override {}
    void on_packet_waiting(proto::PeerId) override {}
    void on_soft_limit(proto::PeerId, proto::SaPairId) override {}
    void on_unknown_spi(std::uint32_t, const UdpEndpoint&, std::uint64_t) override {}
    void on_peer_moved(proto::PeerId, const UdpEndpoint&) override {}
    void on_probe(proto::PeerId, proto::SaPairId, Bytes) override {}
    void on_control_datagram(const UdpEndpoint&, Bytes) override {}
  } events;
  std::string error;
  std::string cure;
  bool made = false;
  ns.run([&] {
    XfrmConfig config;
    config.tun_name = "cygxt0";
    const auto backend = XfrmBackend::create(config, events, [](const std::function<void()>&) {});
    made = backend.has_value();
    if (made) {
      (*backend)->shut_down(true);
    } else {
      error = std::string(backend.error().code.name());
      cure = backend.error().cure;
    }
  });
  if (status == "made\n") {
    EXPECT_TRUE(made) << error;
  } else {
    EXPECT_FALSE(made);
    // An algorithm is looked for first.
    EXPECT_EQ(error,
              status.find("algorithm") != std::string::npos ? "kernel-algorithm" : "kernel-esp");
    EXPECT_NE(cure.find("modprobe esp4"), std::string::npos) << cure;
    EXPECT_NE(cure.find("data_plane: userspace"), std::string::npos) << cure;
    EXPECT_EQ(ns.output("ip -br link show cygxt0 2>/dev/null"), "");
  }
}

}  // namespace
}  // namespace cygnet::agent::xfrm
