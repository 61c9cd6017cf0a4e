// SPDX-License-Identifier: Apache-2.0
#include "cygnet/proto/rekey/rekey_core.h"

#include <gtest/gtest.h>

#include "cygnet/proto/rekey/effect_text.h"

namespace cygnet::proto::rekey {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr PeerId kB{1};
constexpr Timestamp kT0{seconds(1000)};

RekeyCounter gen(std::uint32_t sequence, std::uint32_t boot = 1) { return {boot, sequence}; }
SaPairId pair(std::uint32_t own, std::uint32_t remote) { return {gen(own), gen(remote)}; }

/// One device A with peer B; effects as text, observations left out.
class RekeyCoreTest : public ::testing::Test {
 protected:
  std::string step(const Event& event) {
    const RekeyCore before = core;
    const Effects effects = core.handle(event, now);
    if (effects.rejected) {
      EXPECT_TRUE(before == core) << "a refused event changed the state";
      return "rejected: " + std::string(to_string(*effects.rejected));
    }
    return to_text(effects, names, /*observations=*/false);
  }
  std::string advance(Duration by) {
    now += by;
    std::string text;
    while (core.next_deadline() && *core.next_deadline() <= now) {
      text += step(TimePassed{});
    }
    return text;
  }
  PeerStatus b() { return *core.peer_status(kB); }

  /// A and B each on their first generation, A transmitting on Tx(a1-b1), both seen.
  void settle_first() {
    step(Start{1, 0, true});
    step(GenerationReady{gen(1), 1U << 31});
    step(PublishAccepted{gen(1), now});
    step(PeerAdded{kB, std::nullopt});
    step(PeerDim{kB, gen(1), true, now});
    step(SaPairInstalled{kB, pair(1, 1)});
    step(DeliveryMark{gen(1), {kB}, 0, 0});
    step(InboundEvidence{kB, pair(1, 1), Evidence::kUser});
    ASSERT_EQ(b().outbound, pair(1, 1));
  }

  /// A is on its second generation; B has not been heard on it.
  void roll_over() {
    step(RekeyRequired{RekeyCause::kCommand});
    step(GenerationReady{gen(2), 0});
    step(SaPairInstalled{kB, pair(2, 1)});
    step(PublishAccepted{gen(2), now});
  }

  RekeyCore core;
  Timestamp now = kT0;
  GenerationNames names{'a', {{kB, 'b'}}};
};

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-3
//= type=test
//# If the device does not have any active peers it simply distributes its DH public value to the
//# Controller, along with a nonce used during SA creation.
TEST_F(RekeyCoreTest, FirstGenerationIsDrawnPublishedAndAccepted) {
  EXPECT_EQ(step(Start{1, 0, true}), "generate a1\n");
  EXPECT_EQ(step(GenerationReady{gen(1), 0}), "publish a1 [IC]\n");
  EXPECT_EQ(step(PublishAccepted{gen(1), now}), "");
  EXPECT_EQ(core.device_status().generations.size(), 1U);
}

// The first may be stored although its answer was lost; INITIAL_CONTACT on another one with the
// same boot count would be refused for ever.
TEST_F(RekeyCoreTest, OnlyTheFirstDimPublishedWithABootCountClaimsInitialContact) {
  step(Start{1, 0, true});
  EXPECT_EQ(step(GenerationReady{gen(1), 0}), "publish a1 [IC]\n");
  step(LinkDown{});
  step(LinkUp{});
  EXPECT_EQ(step(OwnDimReported{}), "publish a1 [IC]\n") << "the same octets";
  step(PublishRefused{gen(1), PublishRefusal::kRedraw, std::nullopt});
  EXPECT_EQ(step(GenerationReady{gen(2), 0}), "publish a2\n");
}

TEST_F(RekeyCoreTest, Figure2PeerDimInstallsOnePairAndStartsOnItAfterTheMark) {
  step(Start{1, 0, true});
  step(GenerationReady{gen(1), 0});
  step(PublishAccepted{gen(1), now});
  EXPECT_EQ(step(PeerAdded{kB, std::nullopt}), "");
  EXPECT_EQ(step(PeerDim{kB, gen(1), true, now}), "install Tx(a1-b1) Rx(b1-a1)\n");
  EXPECT_EQ(step(SaPairInstalled{kB, pair(1, 1)}), "acknowledge b1: installed\n");
  EXPECT_EQ(step(DeliveryMark{gen(1), {kB}, 0, 0}), "transmit on Tx(a1-b1)\n");
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-4.1
//= type=test
//# it first generates a new DH pair and generates new IPsec SA pairs for each peer with which it is
//# communicating. It does this by combining the new DH private value with each peer's existing DH
//# public value.
//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-7
//= type=test
//# However, the DH private key value and the nonce distributed with it may be forgotten only once
//# the last IPsec SA that uses the private key value is removed from the SAD and there is no chance
//# that a new IPsec SA could be setup that requires the private key value.
TEST_F(RekeyCoreTest, Figure3SingleRekey) {
  settle_first();
  EXPECT_EQ(step(RekeyRequired{RekeyCause::kCommand}), "generate a2\n");
  EXPECT_EQ(step(GenerationReady{gen(2), 0}), "install Tx(a2-b1) Rx(b1-a2)\n");
  EXPECT_EQ(step(SaPairInstalled{kB, pair(2, 1)}), "publish a2\n");
  EXPECT_EQ(step(PublishAccepted{gen(2), now}), "");
  EXPECT_EQ(b().outbound, pair(1, 1));
  EXPECT_EQ(step(InboundEvidence{kB, pair(2, 1), Evidence::kUser}),
            "transmit on Tx(a2-b1)\nremove Tx(a1-b1)\n");
  EXPECT_EQ(advance(seconds(10)), "remove Rx(b1-a1)\nerase a1\n");
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-4
//= type=test
//# Common reasons to perform a rekey include a local time or volume based policy
TEST_F(RekeyCoreTest, TheSoftLifetimeBeginsARekey) {
  settle_first();  // its random number stands for a jitter of nothing
  EXPECT_EQ(advance(core.params().soft - seconds(1)).find("generate"), std::string::npos);
  EXPECT_NE(advance(seconds(1)).find("generate a2"), std::string::npos);
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-4
//= type=test
//# Common reasons to perform a rekey include a local time or volume based policy
TEST_F(RekeyCoreTest, AnSaThatCarriedItsShareBeginsARekeyOnce) {
  settle_first();
  EXPECT_EQ(step(SoftLimit{kB, pair(1, 1)}), "generate a2\n");
  EXPECT_EQ(step(GenerationReady{gen(2), 0}), "install Tx(a2-b1) Rx(b1-a2)\n");
  EXPECT_EQ(step(SoftLimit{kB, pair(1, 1)}), "rejected: unknown generation");
}

// Found by killing agents at random: B died, A rolled over, B came back and was told only a2. A
// began on a1, which B never had, and B's packets did not reach A (a NAT between them), so that
// nothing ever became live.
TEST_F(RekeyCoreTest, APeerThatRestartedIsMetOnTheGenerationItAcknowledged) {
  settle_first();
  roll_over();
  const SaPairId old{gen(1), gen(1, 2)};
  const SaPairId good{gen(2), gen(1, 2)};
  step(PeerDim{kB, gen(1, 2), true, now});
  step(SaPairInstalled{kB, old});
  step(SaPairInstalled{kB, good});
  EXPECT_EQ(b().outbound, std::nullopt) << "the first packets wait for the mark";
  step(DeliveryMark{gen(2), {kB}, 0, 0});
  EXPECT_EQ(b().outbound, good);
}

TEST_F(RekeyCoreTest, AMarkThatOvertakesTheDimOfARestartRulesOutWhatIsOlder) {
  settle_first();
  roll_over();
  step(DeliveryMark{gen(2), {kB}, 0, 0});
  step(PeerDim{kB, gen(1, 2), true, now});
  EXPECT_EQ(step(SaPairInstalled{kB, SaPairId{gen(1), gen(1, 2)}}), "rejected: unknown pair");
  step(SaPairInstalled{kB, SaPairId{gen(2), gen(1, 2)}});
  EXPECT_EQ(b().outbound, std::nullopt) << "which life acknowledged is not known";
  advance(seconds(1));
  EXPECT_EQ(b().outbound, (SaPairId{gen(2), gen(1, 2)}));
}

// A peer that resumes at its cursor acknowledges nothing anew: what its earlier lives had counts
// through any number of restarts.
TEST_F(RekeyCoreTest, WhatAPeerOnceAcknowledgedOutlivesItsSecondRestart) {
  settle_first();
  roll_over();
  step(DeliveryMark{gen(2), {kB}, 0, 0});
  for (const std::uint32_t boot : {2U, 3U}) {
    step(PeerDim{kB, gen(1, boot), true, now});
    EXPECT_EQ(step(SaPairInstalled{kB, SaPairId{gen(1), gen(1, boot)}}), "rejected: unknown pair");
    step(SaPairInstalled{kB, SaPairId{gen(2), gen(1, boot)}});
  }
  advance(seconds(1));
  EXPECT_EQ(b().outbound, (SaPairId{gen(2), gen(1, 3)}));
}

TEST_F(RekeyCoreTest, StartMovesUpWhenTheMarkComesAfterTheWait) {
  settle_first();
  roll_over();
  step(PeerDim{kB, gen(1, 2), true, now});
  step(SaPairInstalled{kB, SaPairId{gen(1), gen(1, 2)}});
  step(SaPairInstalled{kB, SaPairId{gen(2), gen(1, 2)}});
  advance(seconds(1));
  EXPECT_EQ(b().outbound, (SaPairId{gen(1), gen(1, 2)})) << "a guess is better than silence";
  step(DeliveryMark{gen(2), {kB}, 0, 0});
  EXPECT_EQ(b().outbound, (SaPairId{gen(2), gen(1, 2)}));
}

// The peer is heard on a generation that is not complete here: it has begun there, having no older
// one with us. Nothing is sent on the older one any more, nor yet on the newer.
TEST_F(RekeyCoreTest, PacketsWaitWhileThePeerIsHeardOnAGenerationThatIsStillBeingInstalled) {
  settle_first();
  roll_over();
  step(PeerDim{kB, gen(2), false, now});
  step(SaPairInstalled{kB, pair(1, 2)});
  EXPECT_EQ(b().outbound, pair(1, 1));
  step(InboundEvidence{kB, pair(1, 2), Evidence::kUser});
  EXPECT_EQ(b().outbound, std::nullopt);
  advance(minutes(2));
  EXPECT_EQ(b().outbound, std::nullopt);
  step(SaPairInstalled{kB, pair(2, 2)});
  EXPECT_EQ(b().outbound, pair(1, 2));
}

TEST_F(RekeyCoreTest, WhenThatInstallFailsTheRollOverEndsTheWait) {
  settle_first();
  roll_over();
  step(DeliveryMark{gen(2), {}, 0, 1});
  step(PeerDim{kB, gen(2), false, now});
  step(SaPairInstalled{kB, pair(1, 2)});
  step(InboundEvidence{kB, pair(1, 2), Evidence::kUser});
  step(SaPairFailed{kB, pair(2, 2), InstallFailure::kTransient});
  EXPECT_EQ(b().outbound, std::nullopt);
  advance(seconds(10));
  ASSERT_EQ(core.generations().back().counter, gen(3)) << "a third, one drain after the mark";
  step(GenerationReady{gen(3), 0});
  for (const std::uint32_t own : {2U, 3U}) step(SaPairInstalled{kB, pair(own, 2)});
  EXPECT_EQ(b().outbound, pair(1, 2));
}

// SAs flushed by hand. A generation that was never sent to the controller is drawn again: published
// with a hole it would make the peer send where nobody receives.
TEST_F(RekeyCoreTest, AFlushedGenerationThatNobodyCanHaveSeenIsDrawnAgain) {
  settle_first();
  step(RekeyRequired{RekeyCause::kCommand});
  step(GenerationReady{gen(2), 0});
  EXPECT_EQ(step(SaPairInstalled{kB, pair(2, 1)}), "publish a2\n") << "there is no link";
  EXPECT_EQ(step(SaPairLost{kB, pair(2, 1)}),
            "remove Tx(a2-b1)\nremove Rx(b1-a2)\nerase a2\ngenerate a3\n");
  EXPECT_EQ(step(GenerationReady{gen(3), 0}), "install Tx(a3-b1) Rx(b1-a3)\n");
  EXPECT_EQ(step(SaPairInstalled{kB, pair(3, 1)}), "publish a3\n");
  EXPECT_EQ(b().outbound, pair(1, 1));
}

TEST_F(RekeyCoreTest, AFlushedGenerationThatMayHaveBeenStoredIsPublishedAndRolledOver) {
  settle_first();
  step(LinkUp{});
  step(OwnDimReported{OwnDimVerdict::kSame, gen(1), now});
  step(RekeyRequired{RekeyCause::kCommand});
  step(GenerationReady{gen(2), 0});
  step(SaPairInstalled{kB, pair(2, 1)});
  step(LinkDown{});
  EXPECT_EQ(step(SaPairLost{kB, pair(2, 1)}), "remove Tx(a2-b1)\nremove Rx(b1-a2)\n");
  EXPECT_EQ(core.rekey_wanted(), true);
  step(LinkUp{});
  EXPECT_EQ(step(OwnDimReported{OwnDimVerdict::kDeviceNewer, gen(1), std::nullopt}),
            "publish a2\n");
}

// Nobody needs its counters any more: it is not chosen, and a spent pair is not made again.
TEST_F(RekeyCoreTest, APairLostWhileItDrainsIsDroppedAndNothingRollsOver) {
  settle_first();
  step(LinkUp{});
  step(OwnDimReported{OwnDimVerdict::kSame, gen(1), now});
  step(RekeyRequired{RekeyCause::kCommand});
  step(GenerationReady{gen(2), 0});
  step(SaPairInstalled{kB, pair(2, 1)});
  step(PublishAccepted{gen(2), now});
  step(DeliveryMark{gen(2), {kB}, 0, 0});
  step(InboundEvidence{kB, pair(2, 1), Evidence::kUser});
  ASSERT_EQ(b().pairs.front().state, PairState::kDraining);
  EXPECT_EQ(step(SaPairLost{kB, pair(1, 1)}), "remove Rx(b1-a1)\nerase a1\n");
  EXPECT_FALSE(core.rekey_wanted());
  advance(core.params().forget_cap);
  EXPECT_EQ(b().outbound, pair(2, 1));
}

TEST_F(RekeyCoreTest, CountersThatAreAllUnknownMakeAnUnseenGenerationDrawnAgainToo) {
  settle_first();
  step(RekeyRequired{RekeyCause::kCommand});
  step(GenerationReady{gen(2), 0});
  const std::string text = step(CountersUnknown{});
  EXPECT_NE(text.find("erase a2\ngenerate a3\n"), std::string::npos) << text;
}

TEST_F(RekeyCoreTest, TheGenerationDrawnInsteadOfAnUnseenFirstOneClaimsInitialContact) {
  step(Start{2, 0, true});
  step(PeerAdded{kB, std::nullopt});
  step(PeerDim{kB, gen(1), false, now});
  step(GenerationReady{gen(1, 2), 0});
  EXPECT_EQ(step(SaPairInstalled{kB, {gen(1, 2), gen(1)}}),
            "acknowledge b1: installed\npublish a2.1 [IC]\n");
  step(SaPairLost{kB, {gen(1, 2), gen(1)}});
  step(GenerationReady{gen(2, 2), 0});
  EXPECT_EQ(step(SaPairInstalled{kB, {gen(2, 2), gen(1)}}), "publish a2.2 [IC]\n");
}

// "Dead end": B may have lost the pair a1-b1 and be silent, and a1 never gets one with b2.
TEST_F(RekeyCoreTest, WhatIsLiveAndCannotGoOnGivesWayToWhatThePeerAcknowledged) {
  settle_first();
  step(PeerDim{kB, gen(2), false, now});
  step(SaPairFailed{kB, pair(1, 2), InstallFailure::kTransient});
  step(GenerationReady{gen(2), 0});
  step(SaPairFailed{kB, pair(1, 2), InstallFailure::kTransient});
  step(SaPairInstalled{kB, pair(2, 1)});
  step(SaPairInstalled{kB, pair(2, 2)});
  step(PublishAccepted{gen(2), now});
  step(DeliveryMark{gen(2), {kB}, 0, 0});
  EXPECT_EQ(b().outbound, pair(1, 1)) << "b2 is pending: nothing is sent on it";
  advance(core.params().forget_cap);
  EXPECT_EQ(b().outbound, pair(2, 2)) << "a1 is erased, so b2 is complete without it";
}

}  // namespace
}  // namespace cygnet::proto::rekey
