// SPDX-License-Identifier: Apache-2.0
#include "cygnet/crypto/prf.h"
#include "spec_support.h"

namespace cygnet::spec {
namespace {

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-7
//= type=test
//# the device first validating a peer's public value to be a safe public value before combining its
//# own private value with it. The tests which MUST be performed are described in
TEST(DraftSection7, NoSecretComesOfAnUnsafePublicValue) {
  test::Rng rng(1);
  const auto refused = [&rng](const char* group, const Bytes& value) {
    const Device a("a.mesh", {"aes256gcm16-" + std::string(group) + "-sha256"}, rng);
    const auto secret = a.privates[0].derive(value);
    return !secret.has_value() && secret.error().code == crypto::kErrPublicValue;
  };
  Bytes one(256, 0);
  one.back() = 1;
  EXPECT_TRUE(refused("modp2048", Bytes(256, 0)));
  EXPECT_TRUE(refused("modp2048", one));
  EXPECT_TRUE(refused("modp2048", Bytes(256, 0xff)));
  EXPECT_TRUE(refused("ecp256", Bytes(64, 1)));  // not on the curve
  EXPECT_TRUE(refused("ecp384", Bytes(96, 0xff)));
  EXPECT_TRUE(refused("ecp521", Bytes(132, 0)));
  EXPECT_TRUE(refused("x25519", Bytes(32, 0)));
  EXPECT_TRUE(refused("x448", Bytes(56, 0)));
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-7
//= type=test
//# PFS is achieved between rekey periods, as DH pairs are required to be generated independently.
TEST(DraftSection7, GenerationsShareNothing) {
  test::Rng rng(2);
  Device a("a.mesh", kOffer, rng);
  const Device b("b.mesh", kOffer, rng);
  const Bytes first_value = a.dim.kes[0].value;
  const auto first = a.derive(b.dim);
  a.renew(rng);
  const auto second = a.derive(b.dim);
  ASSERT_TRUE(first.has_value() && second.has_value());
  EXPECT_NE(first_value, a.dim.kes[0].value);
  EXPECT_NE(to_hex(first->skeyseed.reveal()), to_hex(second->skeyseed.reveal()));
  EXPECT_NE(to_hex(first->keymat.reveal()), to_hex(second->keymat.reveal()));
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-7
//= type=test
//# the controller can distribute a PSK, which could be used to create the SK_d
TEST(DraftSection7, APresharedKeyGoesIntoSkD) {
  test::Rng rng(3);
  const Device a("a.mesh", kOffer, rng);
  const Device b("b.mesh", kOffer, rng);
  const Bytes ppk(32, 0x77);
  const auto plain = a.derive(b.dim);
  const auto at_a = a.derive(b.dim, ppk);
  const auto at_b = b.derive(a.dim, ppk);
  ASSERT_TRUE(plain.has_value() && at_a.has_value() && at_b.has_value());
  EXPECT_EQ(to_hex(at_a->keymat.reveal()), to_hex(at_b->keymat.reveal()));
  EXPECT_NE(to_hex(at_a->keymat.reveal()), to_hex(plain->keymat.reveal()));
  EXPECT_EQ(
      to_hex(at_a->sk_d.reveal()),
      to_hex(
          crypto::prf_plus(crypto::PrfId::kHmacSha2_256, ppk, plain->sk_d.reveal(), 32).reveal()));
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-7
//= type=test
//# having a device sign its Diffie-Hellman public value (e.g, as a CMS Signed data object), where
//# the receiver validates the digital signature on the object.
TEST(DraftSection7, ASwappedPublicValueBreaksTheDevicesSignature) {
  const auto key = crypto::IdentityKey::generate(crypto::KeyType::kEcdsaP256).value();
  crypto::CertificateSpec spec;
  spec.spki = key.spki();
  spec.common_name = "alpha.mesh";
  spec.not_after = ServerTime(std::chrono::hours(1));
  const auto certificate = crypto::issue(spec, key, std::nullopt).value();
  const crypto::MeshId mesh{};
  Dim dim = test::small_dim();
  ASSERT_TRUE(sign_dim(dim, mesh, key).has_value());
  Dim swapped = dim;
  swapped.kes[0].value[0] ^= 1;
  EXPECT_TRUE(verify_dim(dim, test::encoded(dim), mesh, certificate).has_value());
  EXPECT_EQ(verify_dim(swapped, test::encoded(swapped), mesh, certificate).error().code,
            crypto::kErrSignature);
}

}  // namespace
}  // namespace cygnet::spec
