// SPDX-License-Identifier: Apache-2.0
#include "cygnet/crypto/prf.h"
#include "cygnet/proto/dim/dim_check.h"
#include "spec_support.h"

namespace cygnet::spec {
namespace {

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-5.2.1.1
//= type=test
//# is computed using the peer's public value, and the device's private value.
TEST(DraftSection5, TheSharedSecretIsTheSameFromBothEnds) {
  test::Rng rng(1);
  for (const char* group : {"x25519", "x448", "ecp256", "ecp384", "ecp521", "modp2048"}) {
    const std::vector<std::string> offer = {"aes256gcm16-" + std::string(group) + "-sha256"};
    const Device a("a.mesh", offer, rng);
    const Device b("b.mesh", offer, rng);
    EXPECT_EQ(to_hex(a.privates[0].derive(b.dim.kes[0].value).value().reveal()),
              to_hex(b.privates[0].derive(a.dim.kes[0].value).value().reveal()));
  }
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-5.2.1.2
//= type=test
//# It is RECOMMENDED that nonces are generated as described in [Section 2.10 of \[RFC7296\]](#).
TEST(DraftSection5, ANonceIsLongEnoughForEveryPrf) {
  // "at least 128 bits in size, and … at least half the key size of the negotiated PRF"; the key of
  // these PRFs is as long as what they put out (RFC 4868 section 2.1.1).
  EXPECT_GE(kNonceLength * 8, 128U);
  for (const auto prf :
       {crypto::PrfId::kHmacSha2_256, crypto::PrfId::kHmacSha2_384, crypto::PrfId::kHmacSha2_512}) {
    EXPECT_GE(kNonceLength * 2, crypto::prf_length(prf));
  }
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-5.2.1.2
//= type=test
//# The initiator is chosen as the peer with the larger nonce and the responder is the peer with the
//# smaller.
TEST(DraftSection5, TheLargerNonceInitiates) {
  test::Rng rng(2);
  for (int round = 0; round < 1000; ++round) {
    const Bytes a = test::random_octets(rng, 16 + test::below(rng, 241));
    const Bytes b = test::random_octets(rng, 16 + test::below(rng, 241));
    const bool a_larger = std::lexicographical_compare(b.begin(), b.end(), a.begin(), a.end());
    EXPECT_EQ(role_of_local(a, b).value(), a_larger ? Role::kInitiator : Role::kResponder);
    EXPECT_NE(role_of_local(a, b).value(), role_of_local(b, a).value());
  }
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-5.2.1.2
//= type=test
//# This does mean that the roles can change for each rekey and for each SA within a rekey.
TEST(DraftSection5, RolesChangeFromOneGenerationToTheNext) {
  test::Rng rng(3);
  Device a("a.mesh", kOffer, rng);
  const Device b("b.mesh", kOffer, rng);
  std::array<int, 2> seen{};
  for (int round = 0; round < 64; ++round) {
    a.renew(rng);
    ++seen[static_cast<std::size_t>(role_of_local(a.dim.nonce, b.dim.nonce).value())];
  }
  EXPECT_GT(seen[0], 0);
  EXPECT_GT(seen[1], 0);
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-5.2.1.3
//= type=test
//# \text{prf}+(\text{Ni} \mid \text{Nr}, \text{"SPI generation"})
//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-5.2.1.3
//= type=test
//# SPI values are generated using the IKEv2 prf+ function, where nonces are used as the input to
//# the prf.
TEST(DraftSection5, SpisInTheBareFormAreThePrfPlusOfTheNonces) {
  const Bytes ni(32, 9);
  const Bytes nr(32, 1);
  const auto prf = crypto::PrfId::kHmacSha2_512;
  const auto pair = derive_spis({prf, ni, nr, std::nullopt, 1});
  ASSERT_TRUE(pair.has_value());
  const SecretBytes octets = crypto::prf_plus(prf, concat({ni, nr}), as_bytes("SPI generation"), 8);
  EXPECT_EQ(pair->front().i.value(), load_be32(octets.reveal().data()));
  EXPECT_EQ(pair->front().r.value(), load_be32(octets.reveal().data() + 4));
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-5.2.1.3
//= type=test
//# is taken by the device providing Ni
TEST(DraftSection5, TheInitiatorReceivesUnderSpiI) {
  test::Rng rng(4);
  const Device a("a.mesh", kOffer, rng);
  const Device b("b.mesh", kOffer, rng);
  const auto keys = a.derive(b.dim);
  ASSERT_TRUE(keys.has_value());
  EXPECT_EQ(inbound(keys->lanes[0], Role::kInitiator).spi, keys->lanes[0].spi.i.value());
  EXPECT_EQ(inbound(keys->lanes[0], Role::kResponder).spi, keys->lanes[0].spi.r.value());
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-5.2.1.4
//= type=test
//# $$\text{SKEYSEED} = \text{prf}(\text{Ni} \parallel \text{Nr}, g^{\text{air}})$$
//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-5.2.1.4
//= type=test
//# $$\text{KEYMAT} = \text{prf+}(\text{SK_d}, \text{Ni} \parallel \text{Nr})$$
//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-5.2
//= type=test
//# Keying Material is generated following the method defined in IKEv2, and depends on SPIs, nonces,
//# and the Diffie-Hellman shared secret.
//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-5.2.1.4
//= type=test
//# KEYMAT can be similarly derived as defined by IKEv2 ([Section 2.17 of \[RFC7296\]](#)), although
//# only SK_d is required to be generated
//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-5.2.1.4
//= type=test
//# $$\text{SK_d} = \text{prf+}(\text{SKEYSEED}, \text{Ni} \parallel \text{Nr} \parallel \text{SPIi}
//# \parallel \text{SPIr})$$
TEST(DraftSection5, TheLongFormGoesThroughSkD) {
  const Bytes ni(32, 9);
  const Bytes nr(32, 1);
  const Bytes secret(32, 7);
  const auto prf = crypto::PrfId::kHmacSha2_256;
  const auto suite = test::policy(kOffer[0]).suite;
  const SpiInputs inputs{prf, ni, nr, std::nullopt, 1};
  const auto keys = derive_keymat(inputs, suite, secret, {});
  ASSERT_TRUE(keys.has_value());
  const Bytes nonces = concat({ni, nr});
  ByteWriter seed;
  seed.octets(nonces);
  seed.u32(keys->lanes[0].spi.i.value());
  seed.u32(keys->lanes[0].spi.r.value());
  const SecretBytes skeyseed = crypto::prf(prf, nonces, secret);
  const SecretBytes sk_d = crypto::prf_plus(prf, skeyseed.reveal(), seed.view(), 32);
  EXPECT_EQ(to_hex(keys->skeyseed.reveal()), to_hex(skeyseed.reveal()));
  EXPECT_EQ(to_hex(keys->sk_d.reveal()), to_hex(sk_d.reveal()));
  EXPECT_EQ(to_hex(keys->keymat.reveal()),
            to_hex(crypto::prf_plus(prf, sk_d.reveal(), nonces, 72).reveal()));
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-5.2.1.4
//= type=test
//# the derivation of SK_d could be skipped entirely
//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-5.2.1.4
//= type=test
//# $$\text{KEYMAT} = \text{prf+}(\text{SKEYSEED}, \text{Ni} \parallel \text{Nr} \parallel
//# \text{SPIi} \parallel \text{SPIr})$$
TEST(DraftSection5, TheShortFormSkipsSkD) {
  const Bytes ni(32, 9);
  const Bytes nr(32, 1);
  const Bytes secret(32, 7);
  const auto prf = crypto::PrfId::kHmacSha2_256;
  const auto suite = test::policy(kOffer[0]).suite;
  const auto keys = derive_keymat({prf, ni, nr, std::nullopt, 1}, suite, secret, {}, Kdf::kShort);
  ASSERT_TRUE(keys.has_value());
  ByteWriter seed;
  seed.octets(ni);
  seed.octets(nr);
  seed.u32(keys->lanes[0].spi.i.value());
  seed.u32(keys->lanes[0].spi.r.value());
  EXPECT_TRUE(keys->sk_d.empty());
  EXPECT_EQ(to_hex(keys->keymat.reveal()),
            to_hex(crypto::prf_plus(prf, keys->skeyseed.reveal(), seed.view(), 72).reveal()));
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-5.3
//= type=test
//# The controller protocol MUST be able to describe an identity that a receiver can match against
//# its local PAD database, to ensure that the peer is an authorized peer.
//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-5.3
//= type=test
//# The PAD identifies authorized peers.
TEST(DraftSection5, AReceiverMatchesTheIdentityOfADimAgainstItsPad) {
  const Bytes octets = test::encoded(test::small_dim());
  DimCheckContext context;
  std::vector<std::string> asked;
  context.pad_allows = [&asked](const DeviceName& device) {
    asked.push_back(device.value());
    return false;
  };
  const DimCheckResult result = check_dim(octets, {}, context);
  EXPECT_EQ(asked, std::vector<std::string>{"alpha.mesh"});
  EXPECT_EQ(result.verdict, DimVerdict::kRefused);
  EXPECT_EQ(result.error->code, kErrPad);
}

}  // namespace
}  // namespace cygnet::spec
