// SPDX-License-Identifier: Apache-2.0

/// Section 4, sentence by sentence, on two production rekey machines with a controller and a wire
/// between them (tests/scenarios/play.h). Every safety property is checked at every step as well.

#include <gtest/gtest.h>

#include <span>
#include <vector>

#include "cygnet/proto/rekey/outbound_decision.h"
#include "play.h"

namespace cygnet::spec {
namespace {

using namespace scenarios;  // NOLINT: the tests read like the draft

class DraftSection4 : public ::testing::Test {
 protected:
  void TearDown() override { EXPECT_EQ(play.failure(), ""); }

  /// A new DH pair, and its SAs installed; not distributed yet.
  void rekey(std::size_t device) {
    play.act(Act::kRekey, device);
    play.installed(device);
  }
  void distribute(std::size_t device) { play.act(Act::kDurable, device); }
  /// The device gets the other one's newest DH public value and follows Rule 2.
  void receive(std::size_t device) {
    play.act(Act::kDim, device);
    play.installed(device);
  }
  [[nodiscard]] SaPairId transmits(std::size_t i) const {
    return play.towards(i).choice.value_or(SaPairId{});
  }
  [[nodiscard]] std::size_t sets(std::size_t i) const { return play.towards(i).inbound.size(); }
  /// One outbound and one inbound SA.
  [[nodiscard]] bool has_set(std::size_t i, SaPairId id) const {
    return play.has_inbound(i, id) && play.has_outbound(i, id);
  }

  Play play{stage(true)};
};

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-4
//= type=test
//# Any IPsec device may initiate a rekey at any time.
TEST_F(DraftSection4, EitherDeviceRekeysAlsoInTheMidstOfTheOthersRekey) {
  rekey(kA);
  EXPECT_EQ(play.device(kA).privates.size(), 2U);
  rekey(kB);
  EXPECT_EQ(play.device(kB).privates.size(), 2U);
  play.rest();
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-4
//= type=test
//# If rekeying is performed with multiple peers simultaneously, then the decision process and rules
//# described in this rekey are performed independently for each peer.
TEST(DraftSection4Peers, WhatOnePeerSendsMovesOnlyTheSaWithThatPeer) {
  namespace rekey = proto::rekey;
  constexpr proto::PeerId kPeerB{1}, kPeerC{2};
  const Timestamp now{std::chrono::hours(1)};
  rekey::RekeyCore core;
  const auto feed = [&](const rekey::Event& event) { (void)core.handle(event, now); };
  feed(rekey::Start{1, 0, true});
  feed(rekey::GenerationReady{RekeyCounter(1, 1), 0});
  feed(rekey::PublishAccepted{RekeyCounter(1, 1), now});
  for (const proto::PeerId peer : {kPeerB, kPeerC}) {
    feed(rekey::PeerAdded{peer, std::nullopt});
    feed(rekey::PeerDim{peer, RekeyCounter(1, 1), true, now});
    feed(rekey::SaPairInstalled{peer, pair(1, 1)});
    feed(rekey::InboundEvidence{peer, pair(1, 1)});
  }
  feed(rekey::RekeyRequired{});
  feed(rekey::GenerationReady{RekeyCounter(1, 2), 0});
  for (const proto::PeerId peer : {kPeerB, kPeerC}) {
    feed(rekey::SaPairInstalled{peer, pair(2, 1)});
  }
  feed(rekey::PublishAccepted{RekeyCounter(1, 2), now});
  feed(rekey::InboundEvidence{kPeerB, pair(2, 1)});
  EXPECT_EQ(core.peer_status(kPeerB)->outbound, pair(2, 1));
  EXPECT_EQ(core.peer_status(kPeerC)->outbound, pair(1, 1));
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-4
//= type=test
//# 1. Determine the outbound SAs with the remote peer's most recently distributed DH public value.
//# 2. Determine which of those outbound SAs are "live". A "live" outbound SA is one built from a DH
//# value from the local peer for which it has observed inbound traffic using any SA based on the
//# same local DH pair. This proves that the remote peer is prepared to receive traffic protected by
//# that DH pair.
//# 3. Choose the "live" outbound SA built from the local peer's most recent DH public value.
TEST(DraftSection4Decision, NewestRemoteThenLiveThenNewestLocal) {
  proto::rekey::DecisionFacts facts;
  facts.choice = pair(1, 1);
  facts.remote = RekeyCounter(1, 2);
  const std::vector<RekeyCounter> usable = {RekeyCounter(1, 1), RekeyCounter(1, 2),
                                            RekeyCounter(1, 3)};
  const std::vector<RekeyCounter> live = {RekeyCounter(1, 1), RekeyCounter(1, 2)};
  const std::vector<RekeyCounter> stranger = {RekeyCounter(1, 4)};
  facts.usable = usable;
  facts.live = live;
  EXPECT_EQ(choose_outbound(facts).choice, pair(2, 2)) << "a3 is newer but not live";
  facts.live = std::span(live).first(1);
  EXPECT_EQ(choose_outbound(facts).choice, pair(1, 2));
  facts.live = stranger;
  EXPECT_EQ(choose_outbound(facts).choice, pair(1, 1)) << "nothing to choose: it stays";
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-4
//= type=test
//# A "live" outbound SA is one built from a DH value from the local peer for which it has observed
//# inbound traffic using any SA based on the same local DH pair.
TEST_F(DraftSection4, TrafficOnAnySaOfTheLocalValueMakesItLive) {
  rekey(kA);
  rekey(kB);
  distribute(kA);
  receive(kB);
  play.packet(kB);  // B transmits old × new: Tx(b1-a2)
  distribute(kB);
  receive(kA);
  // A never heard b2, yet a2 is live: the SA with b2 that is built from it may be used.
  EXPECT_EQ(transmits(kA), pair(2, 2));
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-4
//= type=test
//# The same decision process is followed regardless of whether the device is performing a rekey or
//# responding to a peer's rekey.
TEST_F(DraftSection4, WhoRekeysAndWhoRespondsBothTransmitOnNewestRemoteTimesNewestLive) {
  // What the three steps come to, from what this device received and heard.
  const auto decided = [&](std::size_t i, std::uint32_t remote, std::uint32_t live) {
    EXPECT_EQ(transmits(i), pair(live, remote)) << "device " << i;
  };
  rekey(kA);
  distribute(kA);
  decided(kA, 1, 1);
  receive(kB);
  decided(kB, 2, 1);  // B responds: nothing of its own is new
  play.packet(kB);
  decided(kA, 1, 2);  // A performs: nothing of B is new
  rekey(kB);
  distribute(kB);
  receive(kA);
  decided(kA, 2, 2);  // now A responds, by the same rule
  play.packet(kA);
  decided(kB, 2, 2);
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-4
//= type=test
//# Rule 1 When an IPsec device needs to perform a rekey with a remote peer, it creates a new pair of
//# IPsec SAs by combining the new DH private value with the peer's DH public values.
TEST_F(DraftSection4, Rule1MakesAPairOfSasWithTheNewValue) {
  rekey(kA);
  EXPECT_TRUE(has_set(kA, pair(2, 1)));
  EXPECT_EQ(sets(kA), 2U);
  EXPECT_EQ(sets(kB), 1U) << "nothing was distributed";
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-4
//= type=test
//# If the remote peer is also in the midst of a rollover and its DH public value has already been
//# received, then this may result in creating two sets of SAs: one pair with the remote peer's old
//# DH public value, and one pair with the remote peer's new DH public value.
TEST_F(DraftSection4, Rule1MakesTwoSetsWhenThePeerIsInTheMidstOfARollover) {
  rekey(kB);
  distribute(kB);
  receive(kA);
  rekey(kA);
  EXPECT_TRUE(has_set(kA, pair(2, 1)));
  EXPECT_TRUE(has_set(kA, pair(2, 2)));
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-4
//= type=test
//# Rule 2 When an IPsec device receives a new remote peer's DH public value from the controller it
//# creates and installs a new pair of IPsec SAs by combining the remote peer's new DH public value
//# with its own current local DH private values.
TEST_F(DraftSection4, Rule2MakesAPairOfSasWithThePeersNewValue) {
  rekey(kA);
  distribute(kA);
  receive(kB);
  EXPECT_TRUE(play.has_inbound(kB, pair(1, 2)));
  EXPECT_EQ(sets(kB), 2U);
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-4
//= type=test
//# If both devices are in the midst of a rollover, this may result in creating two sets of SAs with
//# the remote peer's new DH public value: one with the local old DH private value, and one with the
//# local new DH private value. The outbound SA decision process is performed.
TEST_F(DraftSection4, Rule2MakesTwoSetsInTheMidstOfARolloverAndDecides) {
  rekey(kA);
  rekey(kB);
  distribute(kB);
  receive(kA);
  EXPECT_TRUE(has_set(kA, pair(1, 2)));
  EXPECT_TRUE(has_set(kA, pair(2, 2)));
  EXPECT_EQ(transmits(kA), pair(1, 2)) << "the decision";
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-4
//= type=test
//# Rule 3 The first IPsec packet received by a rekeying IPsec device on an inbound SA using its new
//# DH pair causes it to perform the outbound SA decision process. It may also shorten the lifetime
//# of IPsec SAs using its own old DH pair that are shared with this peer, as they are no longer in
//# use (other than the inbound SA might receive packets in transit).
TEST_F(DraftSection4, Rule3MovesOnTheFirstPacketAndKeepsTheOldInboundForWhatIsInTransit) {
  rekey(kA);
  distribute(kA);
  receive(kB);
  EXPECT_EQ(transmits(kA), pair(1, 1));
  play.packet(kB);
  EXPECT_EQ(transmits(kA), pair(2, 1));
  EXPECT_FALSE(play.has_outbound(kA, pair(1, 1)));
  EXPECT_TRUE(play.has_inbound(kA, pair(1, 1)));
  play.rest();
  EXPECT_FALSE(play.has_inbound(kA, pair(1, 1)));
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-4
//= type=test
//# Rule 4 The first IPsec packet received from a remote rekeying IPsec device using the remote
//# peer's new DH pair allows the IPsec device to shorten the lifetime of IPsec SAs shared with this
//# peer using unused remote DH pairs.
TEST_F(DraftSection4, Rule4ShortensWhatUsesThePeersOldValue) {
  rekey(kA);
  distribute(kA);
  receive(kB);
  play.packet(kB);
  const auto drains = [&] { return play.text().find("Rx(a1-b1) drains") != std::string::npos; };
  EXPECT_FALSE(drains());
  play.packet(kA);
  EXPECT_TRUE(drains());
  play.rest();
  EXPECT_EQ(sets(kB), 1U);
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-4.1
//= type=test
//# Only when the new IPsec SAs have been installed and the device is prepared to receive on those
//# new SAs does it then distribute the new DH public value to the Controller
TEST_F(DraftSection4, NothingIsDistributedBeforeItIsInstalled) {
  play.act(Act::kRekey, kA);
  ASSERT_FALSE(play.towards(kA).installing.empty());
  EXPECT_FALSE(play.device(kA).publishing.has_value());
  play.installed(kA);
  ASSERT_TRUE(play.device(kA).publishing.has_value());
  EXPECT_EQ(play.device(kA).publishing->counter, RekeyCounter(1, 2));
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-4.1
//= type=test
//# It continues to transmit on the old SAs for each peer until it observes that peer begin to
//# transmit on the new SAs.
TEST_F(DraftSection4, TheOldSaIsUsedUntilThePeerIsSeenOnTheNew) {
  rekey(kA);
  EXPECT_EQ(transmits(kA), pair(1, 1));
  distribute(kA);
  EXPECT_EQ(transmits(kA), pair(1, 1));
  play.packet(kB);  // on the old one
  EXPECT_EQ(transmits(kA), pair(1, 1));
  receive(kB);
  EXPECT_EQ(transmits(kA), pair(1, 1)) << "that the peer could is not that it does";
  play.packet(kB);
  EXPECT_EQ(transmits(kA), pair(2, 1));
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-4.2
//= type=test
//# they must be prepared to use IPsec SAs using each permutation of DH values: a1-b1, a1-b2, a2-b1,
//# a2-b2.
//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-4.2
//= type=test
//# During a simultaneous rekey up to four pairs of IPsec SAs may be temporarily created, but the
//# four rules ensure that they converge on a single new set of IPsec SAs.
TEST_F(DraftSection4, CrossingRekeysMakeFourSetsAndLeaveOne) {
  rekey(kA);
  rekey(kB);
  distribute(kA);
  distribute(kB);
  receive(kA);
  receive(kB);
  for (const std::size_t i : {kA, kB}) {
    EXPECT_EQ(sets(i), 4U);
    for (const SaPairId id : {pair(1, 1), pair(1, 2), pair(2, 1), pair(2, 2)}) {
      EXPECT_TRUE(play.has_inbound(i, id)) << i;
    }
    EXPECT_EQ(transmits(i), pair(1, 2));
  }
  play.rest();
  for (const std::size_t i : {kA, kB}) {
    EXPECT_EQ(sets(i), 1U);
    EXPECT_TRUE(has_set(i, pair(2, 2)));
    EXPECT_EQ(play.device(i).privates.size(), 1U);
  }
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-4.2
//= type=test
//# This allows A to follow Rule 3 and change its outbound IPsec SA to Use Tx(a2-b2).
TEST_F(DraftSection4, OldTimesNewHeardLeadsToNewTimesNew) {
  rekey(kA);
  rekey(kB);
  distribute(kA);
  distribute(kB);
  receive(kA);
  receive(kB);
  play.packet(kB);  // Tx(b1-a2)
  EXPECT_EQ(transmits(kA), pair(2, 2));
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-A.2
//= type=test
//# Any new peer that receives and acts upon a "stale" controller message (containing the old DH
//# public number) will still be able to setup IPsec SAs using the old DH public number, and can use
//# them until the new DH public number is received.
TEST(DraftSection4Stale, APeerThatHasTheOldValueOnlyIsHeardThroughoutTheRekey) {
  Play play(stage(false));
  play.act(Act::kDrawn, kA);
  play.act(Act::kDurable, kA);
  play.act(Act::kDrawn, kB);
  play.act(Act::kDurable, kB);
  play.act(Act::kDim, kA);
  play.installed(kA);
  play.act(Act::kDim, kB);  // B has a1 …
  play.installed(kB);
  play.act(Act::kMark, kB);
  play.act(Act::kRekey, kA);  // … and A has moved on
  play.act(Act::kDrawn, kA);
  play.installed(kA);
  play.act(Act::kDurable, kA);
  play.packet(kB);
  EXPECT_NE(play.text().find("A receives on Rx(b1-a1)"), std::string::npos) << play.text();
  play.rest();
  EXPECT_EQ(play.failure(), "");
}

}  // namespace
}  // namespace cygnet::spec
