// SPDX-License-Identifier: Apache-2.0
#include "cygnet/proto/rekey/rekey_core.h"
#include "spec_support.h"

namespace cygnet::spec {
namespace {

namespace payload = proto::ikev2::payload;
//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-3
//= type=test
//# When an IPsec device begins operation, it generates a DH pair, using an algorithm defined in the
//# IKEv2 Diffie-Hellman Group Transform IDs
TEST(DraftSection3, AGenerationHasAPairOfAnIanaGroup) {
  test::Rng rng(1);
  for (const auto& [group, number] :
       std::vector<std::pair<std::string, std::uint16_t>>{{"modp2048", 14},
                                                          {"ecp256", 19},
                                                          {"ecp384", 20},
                                                          {"ecp521", 21},
                                                          {"x25519", 31},
                                                          {"x448", 32}}) {
    const Device device("a.mesh", {"aes256gcm16-" + group + "-sha256"}, rng);
    ASSERT_EQ(device.dim.kes.size(), 1U);
    EXPECT_EQ(device.dim.kes.front().group, number);
    const auto known = crypto::dh_group_from(number);
    ASSERT_TRUE(known.has_value());
    EXPECT_TRUE(crypto::check_public_value(*known, device.dim.kes.front().value).has_value());
  }
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-3
//= type=test
//# Whenever DH public values are transmitted, they are transmitted with the corresponding nonce.
TEST(DraftSection3, NoDimHasValuesWithoutNonceOrNonceWithoutValues) {
  test::RawDim without_nonce = test::RawDim::of(test::small_dim());
  without_nonce.payloads.erase(without_nonce.payloads.begin() +
                               static_cast<long>(without_nonce.index_of(payload::kNonce)));
  EXPECT_FALSE(decode_dim(without_nonce.octets()).has_value());
  test::RawDim without_value = test::RawDim::of(test::small_dim());
  without_value.payloads.erase(without_value.payloads.begin() +
                               static_cast<long>(without_value.index_of(payload::kKe)));
  EXPECT_FALSE(decode_dim(without_value.octets()).has_value());
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-3
//= type=test
//# Whenever a DH private or DH public value is used, it is used along with the corresponding nonce.
TEST(DraftSection3, AnotherNonceBesideTheSameValueGivesOtherKeys) {
  test::Rng rng(2);
  const Device a("a.mesh", kOffer, rng);
  Device b("b.mesh", kOffer, rng);
  const auto keys = a.derive(b.dim);
  b.dim.nonce = test::random_octets(rng, kNonceLength);
  const auto other = a.derive(b.dim);
  ASSERT_TRUE(keys.has_value() && other.has_value());
  EXPECT_NE(to_hex(keys->keymat.reveal()), to_hex(other->keymat.reveal()));
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-3
//= type=test
//# When each device receives the peer's DH public value, a pair of IPsec SAs are generated: one
//# outbound and one inbound.
//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-3
//= type=test
//# B generates the same IPsec SA as an inbound SA, which is labeled Rx(a1-b1).
TEST(DraftSection3, TxOfOneDeviceIsRxOfTheOther) {
  test::Rng rng(3);
  for (int round = 0; round < 20; ++round) {
    const Device a("a.mesh", {"aes128-sha256-ecp256-sha384"}, rng);
    const Device b("b.mesh", {"aes128-sha256-ecp256-sha384"}, rng);
    const auto at_a = a.derive(b.dim);
    const auto at_b = b.derive(a.dim);
    ASSERT_TRUE(at_a.has_value() && at_b.has_value());
    const Role role_a = role_of_local(a.dim.nonce, b.dim.nonce).value();
    const Role role_b = role_of_local(b.dim.nonce, a.dim.nonce).value();
    EXPECT_EQ(outbound(at_a->lanes[0], role_a), inbound(at_b->lanes[0], role_b));
    EXPECT_EQ(inbound(at_a->lanes[0], role_a), outbound(at_b->lanes[0], role_b));
    EXPECT_NE(outbound(at_a->lanes[0], role_a), inbound(at_a->lanes[0], role_a));
  }
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-3
//= type=test
//# This process repeats on both A and B as they discover other IPsec devices with which they are
//# authorized to communicate.
TEST(DraftSection3, EachPeerThatComesGetsAPairOfItsOwnAndAStrangerNone) {
  constexpr PeerId kFirst{1}, kSecond{2}, kStranger{3};
  const RekeyCounter one(1, 1);
  const Timestamp now{std::chrono::hours(1)};
  rekey::RekeyCore core;
  const auto installs = [&](const rekey::Event& event) {
    std::vector<rekey::InstallSaPair> asked;
    for (const rekey::Effect& effect : core.handle(event, now).list) {
      if (const auto* install = std::get_if<rekey::InstallSaPair>(&effect)) {
        asked.push_back(*install);
      }
    }
    return asked;
  };
  EXPECT_TRUE(installs(rekey::Start{1, 0, true}).empty());
  EXPECT_TRUE(installs(rekey::GenerationReady{one, 0}).empty());
  for (const PeerId peer : {kFirst, kSecond}) {
    EXPECT_TRUE(installs(rekey::PeerAdded{peer, std::nullopt}).empty());
    const auto asked = installs(rekey::PeerDim{peer, one, true, now});
    ASSERT_EQ(asked.size(), 1U);
    EXPECT_EQ(asked[0].peer, peer);
    EXPECT_EQ(asked[0].pair, (SaPairId{one, one}));
  }
  EXPECT_TRUE(installs(rekey::PeerDim{kStranger, one, true, now}).empty());
}

}  // namespace
}  // namespace cygnet::spec
