// SPDX-License-Identifier: Apache-2.0
#include "cygnet/crypto/prf.h"
#include "cygnet/proto/dim/dim_check.h"
#include "cygnet/proto/dim/sa_payload.h"
#include "spec_support.h"

namespace cygnet::spec {
namespace {

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-A.2
//= type=test
//# One possible method for distributing a DIM within a controller protocol is to use a set of IKEv2
//# payloads.
//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-A.3.1
//= type=test
//# ID, [N(INITIAL_CONTACT),] [SA,] KE, [KE,] Ni
TEST(DraftAppendixA, ADimIsAChainOfIkev2PayloadsInThisOrder) {
  const test::RawDim raw = test::RawDim::of(test::full_dim());
  std::vector<int> types;
  for (const auto& [type, body] : raw.payloads) {
    if (types.empty() || types.back() != type) types.push_back(type);
  }
  EXPECT_EQ(types, (std::vector<int>{35, 41, 33, 34, 40, 39}));
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-A.2
//= type=test
//# Any new peer that receives and acts upon a "stale" controller message (containing the old DH
//# public number) will still be able to setup IPsec SAs using the old DH public number
TEST(DraftAppendixA, TheOldDimStillGivesAWorkingSaWithItsOldPrivateValue) {
  test::Rng rng(1);
  const Device a_old("a.mesh", kOffer, rng);
  const Device a_new("a.mesh", kOffer, rng);
  const Device b("b.mesh", kOffer, rng);
  const auto at_b = b.derive(a_old.dim);
  ASSERT_TRUE(at_b.has_value());
  EXPECT_EQ(to_hex(a_old.derive(b.dim)->keymat.reveal()), to_hex(at_b->keymat.reveal()));
  EXPECT_NE(to_hex(a_new.derive(b.dim)->keymat.reveal()), to_hex(at_b->keymat.reveal()));
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-A.2
//= type=test
//# it is often necessary for the protocol to indicate when a device has rebooted and thinks that it
//# is contacting peers for the first time. This alerts peers to destroy earlier keying state that
//# they may still believe is current.
TEST(DraftAppendixA, AHigherBootCountDestroysEarlierState) {
  Dim dim = test::small_dim();
  dim.counter = RekeyCounter(5, 1);
  const KnownDim last{RekeyCounter(4, 77), {}};
  EXPECT_EQ(judge_counter(last, dim, {}), CounterVerdict::kNewer);
  dim.initial_contact = true;
  EXPECT_EQ(judge_counter(last, dim, {}), CounterVerdict::kNewer);
  dim.counter = RekeyCounter(4, 78);  // claims a reboot that did not happen
  EXPECT_EQ(judge_counter(last, dim, {}), CounterVerdict::kInitialContact);
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-A.3.1
//= type=test
//# each proposal within the SA payload MUST contain at most a single transform for each Transform
//# type
//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-A.3.1
//= type=test
//# more than one transform of each type MUST NOT be present, and no error notifications are
//# returned to the peer
TEST(DraftAppendixA, AProposalWithTwoTransformsOfATypeIsRefused) {
  const Proposal whole = make_proposal(1, test::policy("aes128-sha256-x25519-sha256-beet"));
  ASSERT_TRUE(decode_sa(encode_sa({whole}), 0).has_value());
  for (std::size_t i = 0; i < whole.transforms.size(); ++i) {
    Proposal twice = whole;
    Transform second = whole.transforms[i];
    second.id = static_cast<std::uint16_t>(second.id + 1);
    twice.transforms.insert(twice.transforms.begin() + static_cast<long>(i) + 1, second);
    const auto result = decode_sa(encode_sa({twice}), 0);
    ASSERT_FALSE(result.has_value());
    EXPECT_NE(result.error().message.find("two transforms of type"), std::string::npos);
  }
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-A.3.1
//= type=test
//# Each peer will independently compare each Proposal in the Responder's SA payload to each
//# Proposal in the Initiator's SA payload and choose the first match.
TEST(DraftAppendixA, BothPeersChooseTheSameProposalOnTheirOwn) {
  test::Rng rng(2);
  int matched = 0;
  for (int round = 0; round < 1000; ++round) {
    const Dim a = test::random_dim(rng);
    const Dim b = test::random_dim(rng);
    const auto at_a = negotiate(a, b);
    const auto at_b = negotiate(b, a);
    ASSERT_EQ(at_a.has_value(), at_b.has_value());
    if (!at_a) continue;
    ++matched;
    EXPECT_EQ(at_a->policy, at_b->policy);
    EXPECT_EQ(at_a->spn_i, at_b->spn_i);
    EXPECT_EQ(at_a->spn_r, at_b->spn_r);
  }
  EXPECT_GT(matched, 50);
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-A.3.1
//= type=test
//# $$\{SPI_i \mid SPI_r\} = prf+(Ni \mid Nr, "SPI\ generation" \mid SPNi \mid SPNr)$$
TEST(DraftAppendixA, ProposalNumbersGoIntoTheSpis) {
  const Bytes ni(32, 9);
  const Bytes nr(32, 1);
  const auto prf = crypto::PrfId::kHmacSha2_256;
  const auto pair = derive_spis({prf, ni, nr, std::pair<std::uint8_t, std::uint8_t>{3, 2}, 1});
  ASSERT_TRUE(pair.has_value());
  const SecretBytes octets =
      crypto::prf_plus(prf, concat({ni, nr}), concat({as_bytes("SPI generation"), Bytes{3, 2}}), 8);
  EXPECT_EQ(pair->front().i.value(), load_be32(octets.reveal().data()));
  EXPECT_EQ(pair->front().r.value(), load_be32(octets.reveal().data() + 4));
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-A.3.1
//= type=test
//# A KE payload must be included for each D-H Group that is offered in the SA payload.
TEST(DraftAppendixA, AGroupWithoutItsKeIsRefused) {
  Dim dim = test::full_dim();
  ASSERT_EQ(dim.kes.size(), 2U);
  for (std::size_t i = 0; i < dim.kes.size(); ++i) {
    Dim lacking = dim;
    lacking.kes.erase(lacking.kes.begin() + static_cast<long>(i));
    EXPECT_FALSE(encode_dim(lacking).has_value());
  }
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-A.3.2
//= type=test
//# It is RECOMMENDED that the ordering be defined by a monotonically increasing counter value
TEST(DraftAppendixA, TheCounterOrdersADevicesDims) {
  Dim dim = test::small_dim();
  dim.counter = RekeyCounter(3, 5);
  EXPECT_EQ(judge_counter(KnownDim{RekeyCounter(3, 4), {}}, dim, {}), CounterVerdict::kNewer);
  EXPECT_EQ(judge_counter(KnownDim{RekeyCounter(3, 6), {}}, dim, {}), CounterVerdict::kStale);
  EXPECT_EQ(judge_counter(KnownDim{RekeyCounter(4, 1), {}}, dim, {}), CounterVerdict::kStale);
  EXPECT_EQ(judge_counter(std::nullopt, dim, {}), CounterVerdict::kNewer);
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-A.3.2
//= type=test
//# the counter could be a 64-bit counter where the high order 32 bits are a "boot count", followed
//# by the counter that begins at 1 following the increment of the "boot count".
TEST(DraftAppendixA, TheCounterIsBootCountThenSequenceFromOne) {
  EXPECT_EQ(RekeyCounter(2, 1).to_wire(), 0x0000000200000001ULL);
  EXPECT_LT(RekeyCounter(1, 0xffffffff), RekeyCounter(2, 1));
  Dim dim = test::small_dim();
  dim.counter = RekeyCounter(2, 0);
  EXPECT_FALSE(encode_dim(dim).has_value());
}

}  // namespace
}  // namespace cygnet::spec
