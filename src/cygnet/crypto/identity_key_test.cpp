// SPDX-License-Identifier: Apache-2.0
// Identity keys, their signatures and the strictness of verification.
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

#include "cygnet/crypto/identity.h"
#include "cygnet/crypto/identity_fixtures_test.h"

namespace cygnet::crypto {
namespace {

constexpr ServerTime kNow{std::chrono::milliseconds{1'700'000'000'000}};

const std::vector<KeyType> kTypes{KeyType::kEcdsaP256, KeyType::kEcdsaP384, KeyType::kEd25519};

SecretBytes secret(std::string_view text) { return SecretBytes(as_bytes(text)); }

Certificate self_signed(const IdentityKey& key) {
  CertificateSpec spec;
  spec.spki = key.spki();
  spec.common_name = "a device";
  spec.not_before = kNow;
  spec.not_after = kNow + std::chrono::hours(24);
  auto certificate = issue(spec, key, std::nullopt);
  EXPECT_TRUE(certificate.has_value());
  return *certificate;
}

bool verifies(const Certificate& certificate, ByteView message, const Signature& signature) {
  const Status status = certificate.verify(message, signature);
  if (!status.has_value()) {
    EXPECT_EQ(status.error().code, kErrSignature);
  }
  return status.has_value();
}

class EveryKeyType : public testing::TestWithParam<KeyType> {};

TEST_P(EveryKeyType, SignsWhatItsCertificateVerifies) {
  const auto key = IdentityKey::generate(GetParam());
  ASSERT_TRUE(key.has_value());
  EXPECT_EQ(key->type(), GetParam());
  const Certificate certificate = self_signed(*key);
  EXPECT_EQ(certificate.spki(), key->spki());
  for (const std::size_t length : {0U, 1U, 8192U}) {
    const Bytes message(length, 0x42);
    const auto signature = key->sign(message);
    ASSERT_TRUE(signature.has_value());
    EXPECT_TRUE(verifies(certificate, message, *signature));
    Bytes other = message;
    other.push_back(0);
    EXPECT_FALSE(verifies(certificate, other, *signature));
  }
}

TEST_P(EveryKeyType, AlgorithmIdentifiersAreThoseOfTheRfcs) {
  const auto key = IdentityKey::generate(GetParam());
  ASSERT_TRUE(key.has_value());
  const auto signature = key->sign(as_bytes("x"));
  ASSERT_TRUE(signature.has_value());
  // RFC 7427 appendix A.3; RFC 8420 appendix A.
  EXPECT_EQ(to_hex(signature->algorithm),
            GetParam() == KeyType::kEcdsaP256   ? "300a06082a8648ce3d040302"
            : GetParam() == KeyType::kEcdsaP384 ? "300a06082a8648ce3d040303"
                                                : "300506032b6570");
}

TEST_P(EveryKeyType, AnyOtherAlgorithmIdentifierIsRefused) {
  const auto key = IdentityKey::generate(GetParam());
  ASSERT_TRUE(key.has_value());
  const Certificate certificate = self_signed(*key);
  const Bytes message{1, 2, 3};
  const auto good = key->sign(message);
  ASSERT_TRUE(good.has_value());
  const std::string own = to_hex(good->algorithm);
  for (const std::string& text :
       {std::string("300a06082a8648ce3d040302"), std::string("300a06082a8648ce3d040303"),
        std::string("300506032b6570"), std::string("300c06082a8648ce3d0403020500"),  // NULL
        std::string("300706032b65700500"), std::string("300a06082a8648ce3d040304"),  // SHA-512
        std::string("30810a06082a8648ce3d040302"),  // a long form of the length
        own + "00", own.substr(0, own.size() - 2), std::string()}) {
    if (text == own) continue;
    Signature changed = *good;
    changed.algorithm = from_hex(text).value();
    EXPECT_FALSE(verifies(certificate, message, changed)) << text;
  }
}

TEST_P(EveryKeyType, AnyFlippedBitOfTheSignatureIsRefused) {
  const auto key = IdentityKey::generate(GetParam());
  ASSERT_TRUE(key.has_value());
  const Certificate certificate = self_signed(*key);
  const Bytes message{1, 2, 3};
  const auto good = key->sign(message);
  ASSERT_TRUE(good.has_value());
  for (std::size_t i = 0; i < good->value.size(); ++i) {
    Signature changed = *good;
    changed.value[i] ^= static_cast<std::uint8_t>(1U << i % 8);
    EXPECT_FALSE(verifies(certificate, message, changed)) << i;
  }
  for (const int delta : {-1, 1}) {
    Signature changed = *good;
    changed.value.resize(changed.value.size() + static_cast<std::size_t>(delta));
    EXPECT_FALSE(verifies(certificate, message, changed));
  }
  EXPECT_FALSE(verifies(certificate, message, {good->algorithm, {}}));
}

TEST_P(EveryKeyType, AnotherKeyOfTheTypeVerifiesNothing) {
  const auto key = IdentityKey::generate(GetParam());
  const auto other = IdentityKey::generate(GetParam());
  ASSERT_TRUE(key.has_value() && other.has_value());
  const auto signature = key->sign(as_bytes("x"));
  ASSERT_TRUE(signature.has_value());
  EXPECT_FALSE(verifies(self_signed(*other), as_bytes("x"), *signature));
}

TEST_P(EveryKeyType, PemBringsTheSameKeyBack) {
  const auto key = IdentityKey::generate(GetParam());
  ASSERT_TRUE(key.has_value());
  const SecretBytes pem = key->to_pem();
  EXPECT_EQ(as_text(pem.reveal()).substr(0, 27), "-----BEGIN PRIVATE KEY-----");
  const auto again = IdentityKey::from_pem(pem);
  ASSERT_TRUE(again.has_value()) << again.error().to_string();
  EXPECT_EQ(again->spki(), key->spki());
  const auto signature = again->sign(as_bytes("x"));
  ASSERT_TRUE(signature.has_value());
  EXPECT_TRUE(verifies(self_signed(*key), as_bytes("x"), *signature));
}

INSTANTIATE_TEST_SUITE_P(Identity, EveryKeyType, testing::ValuesIn(kTypes),
                         [](const testing::TestParamInfo<KeyType>& row) {
                           return row.param == KeyType::kEcdsaP256   ? "p256"
                                  : row.param == KeyType::kEcdsaP384 ? "p384"
                                                                     : "ed25519";
                         });

/// A signature's two numbers, to spell them in ways that are not DER.
struct EcdsaParts {
  Bytes r, s;
};
EcdsaParts parts_of(const Signature& signature) {
  const Bytes& v = signature.value;
  const std::size_t r_length = v[3];
  const auto at = [&](std::size_t i) { return v.begin() + static_cast<std::ptrdiff_t>(i); };
  return {Bytes(at(4), at(4 + r_length)), Bytes(at(6 + r_length), v.end())};
}
Bytes integer(ByteView value) {
  return concat({Bytes{0x02, static_cast<std::uint8_t>(value.size())}, value});
}
Bytes sequence(ByteView content) {
  return concat({Bytes{0x30, static_cast<std::uint8_t>(content.size())}, content});
}

TEST(EcdsaSignature, OnlyStrictDerIsTaken) {
  const auto key = IdentityKey::generate(KeyType::kEcdsaP256);
  ASSERT_TRUE(key.has_value());
  const Certificate certificate = self_signed(*key);
  const Bytes message{9};
  // Numbers without a sign octet, so that both spellings with one are wrong.
  Signature good;
  EcdsaParts parts;
  do {
    good = *key->sign(message);
    parts = parts_of(good);
  } while (parts.r.size() != 32 || parts.s.size() != 32);
  const Bytes r = integer(parts.r);
  const Bytes s = integer(parts.s);
  const auto taken = [&](const Bytes& value) {
    return verifies(certificate, message, {good.algorithm, value});
  };
  // Refused for its form, by our own reading, before any arithmetic.
  const auto misspelt = [&](const Bytes& value) {
    const Status status = certificate.verify(message, {good.algorithm, value});
    return !status.has_value() &&
           status.error().message.find("one encoding allowed") != std::string::npos;
  };
  ASSERT_TRUE(taken(sequence(concat({r, s})))) << "the parts must make the signature again";
  const Bytes zero{0};
  EXPECT_TRUE(misspelt(sequence(concat({integer(concat({zero, parts.r})), s}))));  // padded
  EXPECT_TRUE(misspelt(sequence(concat({r, integer(concat({zero, parts.s}))}))));
  EXPECT_TRUE(misspelt(concat({sequence(concat({r, s})), zero})));  // octets behind
  EXPECT_TRUE(misspelt(sequence(concat({r, s, integer(zero)}))));   // a third number
  EXPECT_TRUE(misspelt(sequence(concat({r, s, zero}))));            // octets within
  EXPECT_TRUE(misspelt(sequence(r)));                               // one number
  EXPECT_FALSE(taken(sequence(concat({s, r}))));                    // the other order
  EXPECT_TRUE(misspelt(sequence(concat({integer(zero), s}))));      // r = 0
  EXPECT_TRUE(misspelt(sequence(concat({r, integer(zero)}))));      // s = 0
  EXPECT_TRUE(misspelt(sequence(concat({integer({}), s}))));        // an empty number
  EXPECT_TRUE(misspelt(concat({parts.r, parts.s})));                // raw r | s
  const Bytes content = concat({r, s});
  EXPECT_TRUE(misspelt(concat(
      {Bytes{0x30, 0x81, static_cast<std::uint8_t>(content.size())}, content})));  // long form
  EXPECT_TRUE(misspelt(concat({Bytes{0x30, 0x80}, content, Bytes{0, 0}})));        // indefinite
  EXPECT_TRUE(misspelt(concat({Bytes{0x31, static_cast<std::uint8_t>(content.size())}, content})));
}

TEST(EcdsaSignature, NumbersNotBelowTheOrderAreRefused) {
  const auto key = IdentityKey::generate(KeyType::kEcdsaP256);
  ASSERT_TRUE(key.has_value());
  const auto good = key->sign(as_bytes("m"));
  ASSERT_TRUE(good.has_value());
  const Bytes n =
      from_hex("00ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551").value();
  const EcdsaParts parts = parts_of(*good);
  const Certificate certificate = self_signed(*key);
  EXPECT_FALSE(verifies(certificate, as_bytes("m"),
                        {good->algorithm, sequence(concat({integer(n), integer(parts.s)}))}));
  EXPECT_FALSE(verifies(certificate, as_bytes("m"),
                        {good->algorithm, sequence(concat({integer(parts.r), integer(n)}))}));
}

TEST(IdentityKeyFile, KeysThatAreNoIdentityAreRefused) {
  namespace fx = fixtures;
  for (const auto& [pem, says] : std::vector<std::pair<std::string, std::string>>{
           {fx::kRsaKey, "not ECDSA P-256"},
           {fx::kP521Key, "not ECDSA P-256"},
           {fx::kSecp256k1Key, "not ECDSA P-256"},
           {fx::kExplicitCurveKey, "not ECDSA P-256"},
           {fx::kEncryptedKey, "no private key can be read"},
           {fx::kMismatchedKey, "do not belong together"},
           {fx::kForeignCa, "no private key can be read"},
           {"", "0 octets"},
           {"not PEM at all", "no private key can be read"},
           {"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            "no private key can be read"},
           {std::string(100'000, 'x'), "100000 octets"}}) {
    const auto key = IdentityKey::from_pem(secret(pem));
    ASSERT_FALSE(key.has_value()) << says;
    EXPECT_EQ(key.error().code, kErrKey);
    EXPECT_NE(key.error().message.find(says), std::string::npos) << key.error().message;
  }
}

}  // namespace
}  // namespace cygnet::crypto
