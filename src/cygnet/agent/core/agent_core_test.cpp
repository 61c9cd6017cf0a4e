// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/core/agent_core.h"

#include <gmock/gmock.h>

#include "cygnet/agent/core/core_pair_test_kit.h"

namespace cygnet::agent::testing {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Not;

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-3
//= type=test
//# Upon receiving a peer's DH public value and nonce, the receiver creates IPsec SAs
//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-3
//= type=test
//# For each peer, a pair of IPsec SAs are created combining the IPsec device's own DH private value
//# with the DH public number received from the Controller.
TEST_F(Pair, TwoDevicesThatGetEachOthersDimDeriveTheSameKeysCrosswise) {
  meet();
  ASSERT_EQ(a.installed.size(), 1U);
  ASSERT_EQ(b.installed.size(), 1U);
  const SaPairSpec& at_a = a.installed.begin()->second;
  const SaPairSpec& at_b = b.installed.begin()->second;
  ASSERT_EQ(at_a.lanes.size(), 1U);
  EXPECT_EQ(at_a.lanes[0].outbound, at_b.lanes[0].inbound);
  EXPECT_EQ(at_a.lanes[0].inbound, at_b.lanes[0].outbound);
  EXPECT_TRUE(equal(at_a.lanes[0].outbound_encr.reveal(), at_b.lanes[0].inbound_encr.reveal()));
  EXPECT_TRUE(equal(at_a.lanes[0].inbound_encr.reveal(), at_b.lanes[0].outbound_encr.reveal()));
  EXPECT_EQ(a.outbound[a.peer("b")], (proto::SaPairId{newest(a), newest(b)}));
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-5.2
//= type=test
//# The SAD is constructed from IPsec policy (e.g., ciphers) obtained (depending on the controller
//# protocol method) either from the controller or distributed by a peer
TEST_F(Pair, AnSaHasTheSuiteThatTheControllerNamedAndThePeersDimOffers) {
  MeshSettings both = test_settings();
  both.proposals = {"chacha20poly1305-x25519-sha256", "aes128-sha256-x25519-sha256-noesn"};
  a.welcome(both);
  both.proposals.erase(both.proposals.begin());
  b.welcome(both);
  static_cast<void>(accept_publish(a));
  dim_b = accept_publish(b);
  a.update({change_with(b.name(), dim_b)}, 2);
  ASSERT_EQ(a.installed.size(), 1U);
  const SaPairSpec& spec = a.installed.begin()->second;
  EXPECT_EQ(spec.suite.encr, crypto::EncrId::kAesCbc);
  EXPECT_EQ(spec.suite.integ, crypto::IntegId::kHmacSha2_256_128);
  EXPECT_FALSE(spec.esn);
}

TEST_F(Pair, AnUpdateIsAcknowledgedOnceItsDimsAreInstalledAndNotBefore) {
  a.welcome();
  b.welcome();
  static_cast<void>(accept_publish(a));
  dim_b = accept_publish(b);
  a.hold_installs = true;
  a.update({change_with(b.name(), dim_b)}, 5);
  EXPECT_THAT(a.did<SendAck>(), IsEmpty());
  ASSERT_EQ(a.held.size(), 1U);
  a.run(a.held.front()());
  const auto acks = a.did<SendAck>();
  ASSERT_EQ(acks.size(), 1U);
  EXPECT_EQ(acks[0].cursor.position, 5U);
  EXPECT_THAT(acks[0].pending, IsEmpty());
}

TEST_F(Pair, ADimWhoseInstallFailsIsNamedPendingInTheAckAndGoesWhenItIsCompleted) {
  meet();
  exchange();
  bool fails = true;
  const proto::RekeyCounter first = newest(b);
  a.install_fails = [&](proto::SaPairId pair) { return fails && pair.remote > first; };
  b.run(b.core().on_rekey_ordered(proto::rekey::RekeyCause::kCommand, b.now()));
  dim_b = accept_publish(b);
  a.update({change_with(b.name(), dim_b)}, 9);
  ASSERT_FALSE(a.did<SendAck>().empty());
  const SendAck pending = a.did<SendAck>().back();
  ASSERT_EQ(pending.pending.size(), 1U);
  EXPECT_EQ(pending.pending[0].device, b.name());
  fails = false;
  // The device rolls over because of it; the new generation takes the pending one in.
  a.advance(std::chrono::minutes(10));
  static_cast<void>(accept_publish(a));
  a.advance(std::chrono::minutes(10));
  EXPECT_THAT(a.did<SendAck>().back().pending, IsEmpty());
}

TEST_F(Pair, ARekeyInstallsBeforeItPublishesAndMovesOverWhenThePeerIsHeard) {
  meet();
  exchange();
  const auto first = newest(a);
  a.hold_installs = true;
  a.run(a.core().on_rekey_ordered(proto::rekey::RekeyCause::kCommand, a.now()));
  EXPECT_EQ(newest(a), first);  // nothing published with an install under way
  a.hold_installs = false;
  for (const auto& answer : std::exchange(a.held, {})) a.run(answer());
  ASSERT_GT(newest(a), first);
  dim_a = accept_publish(a);
  b.update({change_with(a.name(), dim_a)}, 3);
  mark_delivered(a, {b.name()});
  EXPECT_EQ(b.outbound[b.peer("a")]->remote, newest(a));
  exchange();
  EXPECT_EQ(a.outbound[a.peer("b")]->local, newest(a));
  exchange();
  a.advance(std::chrono::minutes(5));
  b.advance(std::chrono::minutes(5));
  EXPECT_EQ(a.pairs_with("b"), 1U);
  EXPECT_EQ(b.pairs_with("a"), 1U);
  EXPECT_EQ(a.erased[first], 1);
  for (const auto& [counter, times] : a.erased) EXPECT_EQ(times, 1);
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-A.3.1
//= type=test
//# If there is no match, then this is considered a controller error, and the IPsec devices SHOULD
//# report the error to the controller.
//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-6.1
//= type=test
//# These devices MUST NOT establish new SAs until a DIM is received that does produce a match.
TEST_F(Pair, ADimThatSharesNoProposalGivesNoSaAndIsReported) {
  a.welcome();
  MeshSettings other = test_settings();
  other.proposals = {"chacha20poly1305-x25519-sha256"};
  b.welcome(other);
  static_cast<void>(accept_publish(a));
  dim_b = accept_publish(b);
  a.update({change_with(b.name(), dim_b)}, 2);
  EXPECT_TRUE(a.installed.empty());
  ASSERT_EQ(a.reported<NoProposalReport>().size(), 1U);
  EXPECT_EQ(a.reported<NoProposalReport>()[0].peer, b.name());
  EXPECT_TRUE(a.view("b").no_agreement.has_value());
  EXPECT_THAT(a.did<SendAck>(), Not(IsEmpty()));
}

// ---- Pins ----

TEST_F(Pair, ARekeyedEntryLetsAKeyChangeOnceAPolicyVersionAndCriesAlarm) {
  meet();
  TestDevice again(ca, "b");  // the replaced hardware: same name, new key
  Restored fresh;
  fresh.boot_count = 9;
  again.make_core(ca, fresh);
  again.welcome();
  const StoredDim dim = accept_publish(again);
  a.update({change_with(b.name(), dim)}, 3);
  EXPECT_THAT(a.alarms(), ElementsAre("peer-key-changed"));

  Update allow;
  allow.settings = test_settings();
  allow.settings->policy_version = 2;
  allow.settings->rekeyed = {"b"};
  allow.cursor = Cursor{{1}, 4};
  a.run(a.core().on_update(allow, a.now()));
  a.update({change_with(b.name(), dim)}, 5);
  EXPECT_THAT(a.alarms(), ElementsAre("peer-key-changed", "peer-key-replaced"));
  EXPECT_EQ(a.core().pins().entries().at(b.name()).spki_sha256, again.certificate().spki_hash());

  // The entry is still in the list, but the old key may not come back by it.
  proto::Dim old = *proto::decode_dim(dim_b.dim);
  old.counter = proto::RekeyCounter(20, 1);
  old.nonce = crypto::system_random().octets(32);
  a.update({change_with(b.name(), StoredDim{*proto::sign_dim(old, test_mesh(), b.key()),
                                            b.certificate().der(), a.now().wall})},
           6);
  EXPECT_THAT(a.alarms(), ElementsAre("peer-key-changed", "peer-key-replaced", "peer-key-changed"));
}

TEST_F(Pair, AnOperatorOnTheDeviceMayConfirmANewKey) {
  meet();
  TestDevice again(ca, "b");
  Restored fresh;
  fresh.boot_count = 9;
  again.make_core(ca, fresh);
  again.welcome();
  const StoredDim dim = accept_publish(again);
  a.run(a.core().on_key_confirmed(b.name(), again.certificate().spki_hash(), a.now()));
  EXPECT_FALSE(a.core().cursor().has_value()) << "a snapshot brings the refused DIM again";
  a.update({change_with(b.name(), dim)}, 5);
  EXPECT_THAT(a.alarms(), ElementsAre("peer-key-replaced"));
}

// ---- Own DIM in the Welcome ----

// ---- Snapshots, removal, revocation ----

TEST_F(Pair, APeerThatASnapshotLeavesOutStaysUpAndIsShownUnconfirmed) {
  meet();
  exchange();
  const auto before = a.outbound[a.peer("b")];
  a.run(a.core().on_link_down(a.now()));
  a.welcome(test_settings(), dim_a);
  Update begin;
  begin.snapshot_begin = true;
  a.run(a.core().on_update(begin, a.now()));
  EXPECT_FALSE(a.view("b").unconfirmed) << "absence is judged at the end";
  Update end;
  end.snapshot_end = true;
  end.cursor = Cursor{{2}, 10};
  a.run(a.core().on_update(end, a.now()));
  EXPECT_TRUE(a.view("b").unconfirmed);
  EXPECT_EQ(a.outbound[a.peer("b")], before);
  a.update({change_with(b.name(), dim_b)}, 11);
  EXPECT_FALSE(a.view("b").unconfirmed);
}

TEST_F(Pair, ACursorIsKeptOnlyWithTheTableItDescribes) {
  a.welcome();
  b.welcome();
  static_cast<void>(accept_publish(a));
  dim_b = accept_publish(b);
  a.hold_judgement = true;
  a.update({change_with(b.name(), dim_b)}, 5);
  EXPECT_FALSE(a.core().cursor().has_value()) << "the DIM it covers is not judged yet";
  a.hold_judgement = false;
  for (const auto& answer : std::exchange(a.held, {})) a.run(answer());
  EXPECT_EQ(a.core().cursor()->position, 5U);
  Update begin;
  begin.snapshot_begin = true;
  begin.cursor = Cursor{{2}, 1};
  a.run(a.core().on_update(begin, a.now()));
  EXPECT_EQ(a.core().cursor()->position, 5U) << "half a snapshot describes nothing";
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-5.3
//= type=test
//# PAD entries are either statically configured, or may be dynamically updated by the controller.
TEST_F(Pair, ARemovedPeerThatReturnsIsInstalledOnceAndOnlyWithAnotherGeneration) {
  meet();
  exchange();
  const proto::SaPairId first = *a.outbound[a.peer("b")];
  PeerChange gone;
  gone.device = b.name();
  gone.removed = true;
  a.update({gone}, 3);
  EXPECT_EQ(a.pairs_with("b"), 0U);
  EXPECT_FALSE(a.view("b").allowed);
  // Back with the same DIM: the kit asserts that no pair is installed a second time.
  a.update({change_with(b.name(), dim_b)}, 4);
  EXPECT_TRUE(a.view("b").allowed);
  if (a.published.size() > 1) static_cast<void>(accept_publish(a));
  a.advance(std::chrono::minutes(5));
  EXPECT_NE(a.outbound[a.peer("b")], first);
}

TEST_F(Pair, TheLastAcceptedCounterSurvivesRemovalAndReturn) {
  meet();
  const StoredDim first = dim_b;
  b.run(b.core().on_rekey_ordered(proto::rekey::RekeyCause::kCommand, b.now()));
  dim_b = accept_publish(b);
  a.update({change_with(b.name(), dim_b)}, 3);
  PeerChange gone;
  gone.device = b.name();
  gone.removed = true;
  a.update({gone}, 4);
  a.update({change_with(b.name(), first)}, 5);
  EXPECT_EQ(a.core().refusals().at("stale-dim"), 1U);
  EXPECT_FALSE(a.view("b").newest.has_value());
}

TEST_F(Pair, ARevokedPeerLosesItsSasAndItsNextDimIsRefused) {
  meet();
  exchange();
  Update update;
  update.cursor = Cursor{{1}, 3};
  update.revocations = Revocations{1, {b.certificate().spki_hash()}, {}};
  a.run(a.core().on_update(update, a.now()));
  EXPECT_EQ(a.pairs_with("b"), 0U);
  EXPECT_TRUE(a.view("b").revoked);
  EXPECT_THAT(a.did<StoreRevocations>(), Not(IsEmpty()));
  b.run(b.core().on_rekey_ordered(proto::rekey::RekeyCause::kCommand, b.now()));
  a.update({change_with(b.name(), accept_publish(b))}, 4);
  EXPECT_EQ(a.core().refusals().at("revoked"), 1U);
  EXPECT_EQ(a.pairs_with("b"), 0U);
}

TEST_F(Pair, ALowerRevocationNumberIsReportedAndTheListStays) {
  meet();
  Update update;
  update.cursor = Cursor{{1}, 3};
  update.revocations = Revocations{5, {}, {Bytes{1, 2, 3}}};
  a.run(a.core().on_update(update, a.now()));
  update.cursor = Cursor{{1}, 4};
  update.revocations = Revocations{4, {}, {}};
  a.run(a.core().on_update(update, a.now()));
  EXPECT_THAT(a.alarms(), ElementsAre("revocations-rolled-back"));
  EXPECT_EQ(a.core().revocations().number, 5U);
  EXPECT_EQ(a.core().revocations().serials.size(), 1U);
}

// ---- Judging on a worker while the world moves on ----

TEST_F(Pair, ADimJudgedWhileItsPeerIsRevokedIsLookedAtAgain) {
  a.welcome();
  b.welcome();
  static_cast<void>(accept_publish(a));
  dim_b = accept_publish(b);
  a.hold_judgement = true;
  a.update({change_with(b.name(), dim_b)}, 2);
  Update update;
  update.cursor = Cursor{{1}, 3};
  update.revocations = Revocations{1, {b.certificate().spki_hash()}, {}};
  a.run(a.core().on_update(update, a.now()));
  a.hold_judgement = false;
  for (const auto& answer : std::exchange(a.held, {})) a.run(answer());
  EXPECT_EQ(a.core().refusals().at("revoked"), 1U);
  EXPECT_TRUE(a.installed.empty());
}

TEST_F(Pair, OfTwoDimsThatComeWhileOneIsJudgedOnlyTheLatestIsLookedAt) {
  a.welcome();
  b.welcome();
  static_cast<void>(accept_publish(a));
  std::vector<StoredDim> dims{accept_publish(b)};
  for (int i = 0; i < 2; ++i) {
    b.run(b.core().on_rekey_ordered(proto::rekey::RekeyCause::kCommand, b.now()));
    b.advance(std::chrono::minutes(4));
    dims.push_back(accept_publish(b));
  }
  a.hold_judgement = true;
  for (std::size_t i = 0; i < dims.size(); ++i) {
    a.update({change_with(b.name(), dims[i])}, 2 + i);
  }
  a.hold_judgement = false;
  for (const auto& answer : std::exchange(a.held, {})) a.run(answer());
  EXPECT_EQ(a.did<JudgeDim>().size(), 2U);
  EXPECT_EQ(a.view("b").newest, newest(b));
  EXPECT_EQ(a.did<SendAck>().back().cursor.position, 4U);
}

// ---- Settings, probes, the rest ----

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-2
//= type=test
//# All algorithms are selected by the controller
TEST_F(Pair, AChangeOfProposalsRollsTheDeviceOver) {
  meet();
  exchange();
  const auto before = newest(a);
  Update update;
  update.settings = test_settings();
  update.settings->proposals = {"chacha20poly1305-x25519-sha256", "aes256gcm16-x25519-sha256"};
  update.settings->policy_version = 2;
  update.cursor = Cursor{{1}, 3};
  a.run(a.core().on_update(update, a.now()));
  EXPECT_GT(newest(a), before);
  EXPECT_EQ(proto::decode_dim(a.published.back())->proposals.size(), 2U);
}

TEST_F(Pair, ProposalsThisDeviceCannotDoAreLeftOutInOrderAndShown) {
  MeshSettings settings = test_settings();
  settings.proposals = {"kyber-of-tomorrow", "aes256gcm16-x25519-sha256",
                        "aes128gcm16-ecp256-sha256-transport", "aes128gcm16-ecp256-sha256"};
  a.welcome(settings);
  const auto dim = *proto::decode_dim(a.published.back());
  ASSERT_EQ(dim.proposals.size(), 2U);
  EXPECT_EQ(dim.proposals[0].number, 1);
  EXPECT_EQ(dim.kes.size(), 2U);
  EXPECT_EQ(a.core().proposals_left_out().size(), 2U);
}

TEST_F(Pair, SettingsWithNothingUsableAreAnAlarmAndTheOldOnesStay) {
  meet();
  Update update;
  update.settings = test_settings();
  update.settings->proposals = {"kyber-of-tomorrow"};
  update.cursor = Cursor{{1}, 3};
  const std::size_t published = a.published.size();
  a.run(a.core().on_update(update, a.now()));
  EXPECT_THAT(a.alarms(), Contains("no-usable-proposal"));
  EXPECT_EQ(a.published.size(), published);
}

TEST_F(Pair, EveryProbeRequestIsAnsweredWithItsCookieOnTheCurrentChoiceUpToTenASecond) {
  meet();
  exchange();
  const auto out = *a.outbound[a.peer("b")];
  proto::Probe request;
  request.cookie = {1, 2, 3, 4, 5, 6, 7, 8};
  const Bytes payload = *proto::encode_probe(request);
  for (int i = 0; i < 15; ++i) {
    a.run(a.core().on_probe(a.peer("b"), out, payload, a.now()));
  }
  const auto sent = a.did<SendProbePayload>();
  ASSERT_EQ(sent.size(), 10U);
  EXPECT_EQ(sent[0].pair, out);
  const auto reply = proto::decode_probe(sent[0].payload);
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->type, proto::ProbeType::kReply);
  EXPECT_EQ(reply->cookie, request.cookie);
  a.run(a.core().on_probe(a.peer("b"), out, Bytes{9, 9}, a.now()));
  EXPECT_EQ(a.core().refusals().at("probe"), 1U);
}

TEST_F(Pair, AnUnpublishedDimThatCannotBeStoredIsNotSent) {
  // The kit answers SignDim at once; here the disk is full.
  TestDevice c(ca, "c");
  Restored restored;
  restored.table.settings = test_settings();
  AgentCore core(c.core().identity(), Features{}, Abilities{}, restored, kStart);
  const Now now = c.now();
  Effects effects = core.start(now);
  const auto made = std::find_if(effects.begin(), effects.end(), [](const Effect& e) {
    return std::holds_alternative<MakeGeneration>(e);
  });
  ASSERT_NE(made, effects.end());
  const auto counter = std::get<MakeGeneration>(*made).counter;
  const auto dh = *crypto::DhPrivate::generate(crypto::DhGroup::kX25519);
  Welcome welcome;
  welcome.server_time = now.wall;
  welcome.settings = test_settings();
  static_cast<void>(core.on_welcome(welcome, now));
  effects = core.on_generation_made(counter, {{31, dh.public_value()}},
                                    crypto::system_random().octets(32), 0, now);
  effects = core.on_dim_not_signed(counter, Error{ErrorCode("disk-full"), "no room"}, now);
  for (const Effect& effect : effects) EXPECT_FALSE(std::holds_alternative<SendPublish>(effect));
  // It is tried again after a pause, and then it goes out.
  Now later = now;
  later.mono += std::chrono::seconds(6);
  effects = core.on_time(later);
  const auto sign = std::find_if(effects.begin(), effects.end(), [](const Effect& e) {
    return std::holds_alternative<SignDim>(e);
  });
  EXPECT_NE(sign, effects.end());
}

TEST_F(Pair, UnknownSpisAreReportedWhileThereIsAStream) {
  meet();
  a.run(a.core().on_unknown_spi(0x12345678, UdpEndpoint{}, 3, a.now()));
  ASSERT_EQ(a.reported<BadSpiReport>().size(), 1U);
  EXPECT_EQ(a.reported<BadSpiReport>()[0].spi, 0x12345678U);
  a.run(a.core().on_link_down(a.now()));
  a.run(a.core().on_unknown_spi(0x12345678, UdpEndpoint{}, 3, a.now()));
  EXPECT_EQ(a.reported<BadSpiReport>().size(), 1U);
}

TEST_F(Pair, ADrawnNonceThatWouldCollideIsCounted) {
  meet();
  EXPECT_EQ(a.core().nonce_collisions(crypto::system_random().octets(32)), 0U);
  // Our own nonce again gives every SPI a second time.
  EXPECT_EQ(a.core().nonce_collisions(proto::decode_dim(dim_a.dim)->nonce), 1U);
}

// Ten thousand DIMs at once must not keep the control thread from its other work.
TEST_F(Pair, TheCertificateOfADimIsDecodedWhereItIsJudged) {
  struct Counting final : proto::DimProofs {
    Result<crypto::Certificate> certificate(ByteView der) const override {
      ++decoded;
      return DimProofs::certificate(der);
    }
    mutable int decoded = 0;
  } proofs;
  meet();
  a.installed.clear();
  a.seams.proofs = &proofs;
  a.hold_judgement = true;
  a.make_core(ca, {});
  a.welcome();
  a.update({change_with(b.name(), dim_b)}, 1);
  ASSERT_EQ(a.held.size(), 1U);
  EXPECT_EQ(proofs.decoded, 0);
  a.run(a.held.front()());
  EXPECT_EQ(proofs.decoded, 1);
  EXPECT_EQ(a.did<InstallPair>().back().pair.remote, proto::decode_dim(dim_b.dim)->counter);
}

TEST_F(Pair, ATableThatIsPutTogetherLaterIsOfTheTimeItWasAskedFor) {
  meet();
  const auto later = a.core().table_later();
  const StoredTable now = a.core().table();
  a.run(a.core().on_update(
      [&] {
        Update update;
        update.changes.emplace_back().device = b.name();
        update.changes.back().removed = true;
        update.cursor = Cursor{{1}, 77};
        return update;
      }(),
      a.now()));
  const StoredTable then = later();
  EXPECT_EQ(then.cursor, now.cursor);
  EXPECT_NE(then.cursor, a.core().cursor());
  ASSERT_EQ(then.peers.size(), 1U);
  EXPECT_TRUE(then.peers[0].allowed);
  EXPECT_EQ(then.peers[0].dim->dim, dim_b.dim);
  EXPECT_EQ(then.peers[0].dim->certificate, dim_b.certificate);
}

TEST(TrustedTimeTest, AClockSetBackRevivesNothing) {
  const ServerTime build{std::chrono::milliseconds(1000)};
  TrustedTime time(build, ServerTime(std::chrono::milliseconds(5000)));
  const Now early{Timestamp{}, ServerTime(std::chrono::milliseconds(10))};
  EXPECT_EQ(time.now(early), ServerTime(std::chrono::milliseconds(5000)));
  time.take_server_time(ServerTime(std::chrono::milliseconds(9000)), Timestamp{});
  EXPECT_EQ(time.now(early), ServerTime(std::chrono::milliseconds(9000)));
  EXPECT_EQ(time.on_our_clock(ServerTime(std::chrono::milliseconds(8000)), early),
            Timestamp{} - std::chrono::seconds(1));
}

}  // namespace
}  // namespace cygnet::agent::testing
