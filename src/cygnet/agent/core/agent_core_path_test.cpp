// SPDX-License-Identifier: Apache-2.0
// AgentCore and the size of packets: who is probed, on what, and what is done with the answers.
#include "cygnet/agent/core/core_pair_test_kit.h"

namespace cygnet::agent::testing {
namespace {

class PathPair : public Pair {
 protected:
  static constexpr std::uint32_t kBound = 1400;
  PathPair() {
    a.path_mtu_bound = kBound;
    a.make_core(ca, {});
    meet();
    exchange();
    a.log.clear();
    b.log.clear();
  }
  void traffic() { a.run(a.core().on_user_traffic(a.peer("b"), a.now())); }
  /// What a has sent since the last call reaches b if it fits, and b's answers reach a.
  void pass(std::uint32_t path) {
    for (;;) {
      const auto probes = a.did<SendPathProbe>();
      if (probes.size() == passed) return;
      const SendPathProbe probe = probes[passed++];
      if (48 + probe.payload.size() > path) continue;
      const std::size_t before = b.did<SendProbePayload>().size();
      b.run(b.core().on_probe(b.peer("a"), {probe.pair.remote, probe.pair.local}, probe.payload,
                              b.now()));
      const auto answers = b.did<SendProbePayload>();
      ASSERT_EQ(answers.size(), before + 1) << "one answer a probe";
      EXPECT_LT(answers.back().payload.size(), 32U) << "a small one";
      a.run(a.core().on_probe(a.peer("b"), {answers.back().pair.remote, answers.back().pair.local},
                              answers.back().payload, a.now()));
    }
  }
  void settle(std::uint32_t path) {
    pass(path);
    for (int i = 0; i < 60; ++i) {
      a.advance(std::chrono::milliseconds(500));
      b.advance(std::chrono::milliseconds(500));
      pass(path);
    }
  }
  [[nodiscard]] PathMtuState state() { return a.view("b").path_mtu->state(); }

  std::size_t passed = 0;
};

TEST_F(PathPair, APairWithoutUserPacketsIsNotProbed) {
  a.advance(std::chrono::seconds(30));
  EXPECT_TRUE(a.did<SendPathProbe>().empty());
  EXPECT_FALSE(a.view("b").path_mtu);
}

TEST_F(PathPair, ProbesGoOnTheChosenPairAndFillTheInnerPacketToTheSizeUnderTest) {
  traffic();
  settle(9000);
  const auto probes = a.did<SendPathProbe>();
  ASSERT_EQ(probes.size(), 3U);
  for (const SendPathProbe& probe : probes) {
    EXPECT_EQ(probe.pair, *a.outbound[a.peer("b")]);
    EXPECT_EQ(proto::decode_probe(probe.payload)->type, proto::ProbeType::kPmtu);
  }
  EXPECT_EQ(probes[0].payload.size(), proto::kProbeHeaderLength);
  EXPECT_EQ(48 + probes[1].payload.size(), 1280U);
  EXPECT_EQ(48 + probes[2].payload.size(), kBound);
  EXPECT_EQ(state(), PathMtuState::kSearchComplete);
  EXPECT_TRUE(a.did<SetPathMtu>().empty()) << "what was assumed is true";
}

TEST_F(PathPair, TheDataPlaneIsToldWhatIsFound) {
  traffic();
  settle(1338);
  ASSERT_FALSE(a.did<SetPathMtu>().empty());
  EXPECT_EQ(a.did<SetPathMtu>().back().peer, a.peer("b"));
  EXPECT_EQ(a.did<SetPathMtu>().back().limit, (PathMtuLimit{1338, true}));
  EXPECT_EQ(a.view("b").path_mtu->limit().inner, 1338U);
}

TEST_F(PathPair, ProbesAreNoUserTrafficAndOrderNoRekey) {
  const std::size_t published = a.published.size();
  const std::size_t there = a.pairs_with("b");
  traffic();
  settle(1338);
  EXPECT_EQ(a.published.size(), published);
  EXPECT_EQ(a.pairs_with("b"), there);
  EXPECT_TRUE(a.did<InstallPair>().empty());
  EXPECT_TRUE(b.did<InstallPair>().empty());
}

TEST_F(PathPair, ADeviceThatProbesNothingAnswersAllTheSame) {
  traffic();
  settle(9000);
  EXPECT_TRUE(b.did<SendPathProbe>().empty());
  EXPECT_FALSE(b.view("a").path_mtu);
  EXPECT_EQ(b.did<SendProbePayload>().size(), 3U);
}

TEST_F(PathPair, AnswersAreAtMostTenASecond) {
  proto::Probe probe;
  probe.type = proto::ProbeType::kPmtu;
  const auto pair = *b.outbound[b.peer("a")];
  for (int i = 0; i < 25; ++i) {
    b.run(b.core().on_probe(b.peer("a"), pair, *proto::encode_probe(probe), b.now()));
  }
  EXPECT_EQ(b.did<SendProbePayload>().size(), 10U);
  b.advance(std::chrono::seconds(1));
  b.run(b.core().on_probe(b.peer("a"), pair, *proto::encode_probe(probe), b.now()));
  EXPECT_EQ(b.did<SendProbePayload>().size(), 11U);
}

TEST_F(PathPair, AnAnswerWithoutASizeIsRefused) {
  proto::Probe answer;
  answer.type = proto::ProbeType::kPmtu;
  answer.tlvs.push_back({proto::kTlvReceived, Bytes(3)});
  const auto pair = *a.outbound[a.peer("b")];
  a.run(a.core().on_probe(a.peer("b"), pair, *proto::encode_probe(answer), a.now()));
  EXPECT_EQ(a.core().refusals().at("probe"), 1U);
  EXPECT_TRUE(a.did<SendProbePayload>().empty());
}

TEST_F(PathPair, WhatThisHostRefusesToSendIsAnAnswer) {
  traffic();
  pass(1280);
  EXPECT_EQ(48 + a.did<SendPathProbe>().back().payload.size(), kBound);
  a.run(a.core().on_path_probe_too_large(a.peer("b"), kBound, a.now()));
  EXPECT_EQ(a.did<SetPathMtu>().back().limit, (PathMtuLimit{1280, true}));
}

TEST_F(PathPair, APeerThatMovedIsSearchedAnewAtTheNextTraffic) {
  traffic();
  settle(1338);
  a.run(a.core().on_peer_moved(a.peer("b"), a.now()));
  EXPECT_EQ(a.did<SetPathMtu>().back().limit, (PathMtuLimit{kBound, true}));
  EXPECT_EQ(state(), PathMtuState::kDisabled);
  traffic();
  settle(9000);
  EXPECT_EQ(state(), PathMtuState::kSearchComplete);
}

TEST_F(PathPair, APeerThatPolicyTakesAwayIsForgottenWithItsTimers) {
  traffic();
  PeerChange gone;
  gone.device = b.name();
  gone.removed = true;
  a.update({gone}, 9);
  const std::size_t sent = a.did<SendPathProbe>().size();
  EXPECT_FALSE(a.view("b").path_mtu);
  a.advance(std::chrono::seconds(30));
  EXPECT_EQ(a.did<SendPathProbe>().size(), sent);
}

}  // namespace
}  // namespace cygnet::agent::testing
