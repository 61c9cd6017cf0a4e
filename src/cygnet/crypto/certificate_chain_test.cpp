// SPDX-License-Identifier: Apache-2.0
// Which chains are trusted, at which time, for what.
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

#include "cygnet/crypto/identity.h"
#include "cygnet/crypto/identity_fixtures_test.h"

namespace cygnet::crypto {
namespace {

namespace ch = std::chrono;

ServerTime year(int y) {
  return ServerTime(
      ch::duration_cast<ch::milliseconds>(ch::sys_days(ch::year(y) / 1 / 1).time_since_epoch()));
}

Certificate fixture(const char* pem) {
  auto list = Certificate::list_from_pem(pem);
  EXPECT_TRUE(list.has_value()) << list.error().to_string();
  return list->front();
}

/// A CA and what it signs; every date explicit, because no clock is asked.
struct Authority {
  IdentityKey key;
  Certificate certificate;
};

CertificateSpec spec(const Bytes& spki, const std::string& name) {
  CertificateSpec out;
  out.spki = spki;
  out.common_name = name;
  out.dns_sans = {name};
  out.not_before = year(2020);
  out.not_after = year(2040);
  out.client_auth = true;
  return out;
}

Authority authority(const std::string& name, const Authority* parent = nullptr,
                    KeyType type = KeyType::kEcdsaP256) {
  const IdentityKey key = *IdentityKey::generate(type);
  CertificateSpec ca = spec(key.spki(), name);
  ca.dns_sans.clear();
  ca.is_ca = true;
  ca.client_auth = false;
  auto certificate = parent == nullptr ? issue(ca, key, std::nullopt)
                                       : issue(ca, parent->key, parent->certificate);
  EXPECT_TRUE(certificate.has_value());
  return {key, *certificate};
}

Certificate leaf_of(const Authority& ca, const CertificateSpec& wanted) {
  auto certificate = issue(wanted, ca.key, ca.certificate);
  EXPECT_TRUE(certificate.has_value());
  return *certificate;
}
Certificate leaf_of(const Authority& ca) {
  return leaf_of(ca, spec(IdentityKey::generate(KeyType::kEcdsaP256)->spki(), "a.mesh"));
}

/// "ok", or the error's code and message.
std::string verdict(const Status& status) {
  if (status.has_value()) return "ok";
  return std::string(status.error().code.name()) + ": " + status.error().message;
}

#define EXPECT_SAYS(status, part)                          \
  do {                                                     \
    const std::string said = verdict(status);              \
    EXPECT_NE(said.find(part), std::string::npos) << said; \
  } while (false)

TEST(Chain, ALeafOfATrustedCaVerifies) {
  for (const KeyType type : {KeyType::kEcdsaP256, KeyType::kEcdsaP384, KeyType::kEd25519}) {
    const Authority ca = authority("ca", nullptr, type);
    EXPECT_EQ(verdict(verify_chain(leaf_of(ca), {}, {ca.certificate}, year(2025))), "ok");
  }
}

TEST(Chain, TimeIsTheCallersAndNotTheMachines) {
  const Authority ca = authority("ca");
  for (const auto& [from, to] :
       std::vector<std::pair<int, int>>{{1971, 1972}, {2021, 2022}, {2035, 2036}}) {
    CertificateSpec ca_spec = spec(ca.key.spki(), "ca");
    ca_spec.is_ca = true;
    ca_spec.not_before = year(1960);
    ca_spec.not_after = year(9999);
    const Authority old{ca.key, *issue(ca_spec, ca.key, std::nullopt)};
    CertificateSpec wanted = spec(IdentityKey::generate(KeyType::kEd25519)->spki(), "a.mesh");
    wanted.not_before = year(from);
    wanted.not_after = year(to);
    const Certificate leaf = leaf_of(old, wanted);
    const auto at = [&](ServerTime now) { return verify_chain(leaf, {}, {old.certificate}, now); };
    EXPECT_SAYS(at(year(from) - ch::milliseconds(1)), "certificate-expired");
    EXPECT_SAYS(at(year(from) - ch::milliseconds(1)), "not yet valid");
    EXPECT_EQ(verdict(at(year(from))), "ok");
    EXPECT_EQ(verdict(at(year(to) - ch::milliseconds(1))), "ok");
    // As in TLS, which OpenSSL judges by the same function: over when the last second begins.
    EXPECT_SAYS(at(year(to)), "has expired");
    EXPECT_SAYS(at(year(9998)), "certificate-expired: the certificate chain has expired");
    EXPECT_SAYS(at(year(1961)), "not yet valid");
  }
}

TEST(Chain, AnExpiredCaEndsItsLeaves) {
  const Authority ca = authority("ca");
  CertificateSpec wanted = spec(IdentityKey::generate(KeyType::kEcdsaP256)->spki(), "a.mesh");
  wanted.not_after = year(2060);
  const Certificate leaf = leaf_of(ca, wanted);
  EXPECT_EQ(verdict(verify_chain(leaf, {}, {ca.certificate}, year(2039))), "ok");
  EXPECT_SAYS(verify_chain(leaf, {}, {ca.certificate}, year(2045)), "certificate-expired");
}

TEST(Chain, NothingIsTrustedWithoutTheBundle) {
  const Authority ca = authority("ca");
  const Certificate leaf = leaf_of(ca);
  EXPECT_SAYS(verify_chain(leaf, {}, {}, year(2025)), "certificate-chain");
  EXPECT_SAYS(verify_chain(leaf, {ca.certificate}, {}, year(2025)), "certificate-chain");
}

TEST(Chain, AnotherCaOfTheSameNameIsAnotherCa) {
  const Authority ca = authority("ca");
  const Authority imposter = authority("ca");
  EXPECT_SAYS(verify_chain(leaf_of(imposter), {}, {ca.certificate}, year(2025)),
              "certificate-chain");
  // The bundle of a rotation has both, under one name; each leaf finds its own.
  const std::vector<Certificate> both{ca.certificate, imposter.certificate};
  EXPECT_EQ(verdict(verify_chain(leaf_of(ca), {}, both, year(2025))), "ok");
  EXPECT_EQ(verdict(verify_chain(leaf_of(imposter), {}, both, year(2025))), "ok");
}

TEST(Chain, ARenewedCaWithTheSameKeyServesBesideItsExpiredForm) {
  const Authority ca = authority("ca");
  CertificateSpec renewed_spec = spec(ca.key.spki(), "ca");
  renewed_spec.is_ca = true;
  renewed_spec.not_after = year(2060);
  const Certificate renewed = *issue(renewed_spec, ca.key, std::nullopt);
  CertificateSpec wanted = spec(IdentityKey::generate(KeyType::kEcdsaP256)->spki(), "a.mesh");
  wanted.not_after = year(2060);
  const Certificate leaf = leaf_of(ca, wanted);
  EXPECT_EQ(verdict(verify_chain(leaf, {}, {ca.certificate, renewed}, year(2050))), "ok");
  EXPECT_EQ(verdict(verify_chain(leaf, {}, {renewed, ca.certificate}, year(2050))), "ok");
}

TEST(Chain, ACompactCertificateSaysAndDoesWhatTheWholeOneDoes) {
  const Authority root = authority("root");
  const IdentityKey key = *IdentityKey::generate(KeyType::kEcdsaP256);
  const Certificate leaf = leaf_of(root, spec(key.spki(), "a.mesh"));
  const Certificate small = leaf.compact();
  EXPECT_EQ(small.der(), leaf.der());
  EXPECT_EQ(small.to_pem(), leaf.to_pem());
  EXPECT_EQ(small.spki(), leaf.spki());
  EXPECT_EQ(small.spki_hash(), leaf.spki_hash());
  EXPECT_EQ(small.serial(), leaf.serial());
  EXPECT_EQ(small.not_before(), leaf.not_before());
  EXPECT_EQ(small.not_after(), leaf.not_after());
  EXPECT_EQ(small.dns_san(), leaf.dns_san());
  EXPECT_EQ(small.uri_san(), leaf.uri_san());
  EXPECT_FALSE(small.is_ca());
  EXPECT_TRUE(root.certificate.compact().is_ca());
  EXPECT_EQ(verdict(verify_chain(small, {}, {root.certificate.compact()}, year(2025))), "ok");
  EXPECT_EQ(verdict(verify_chain(small.compact(), {}, {root.certificate}, year(2025))), "ok");
  EXPECT_SAYS(verify_chain(small, {}, {root.certificate}, year(2045)), "certificate-expired");
  const Bytes message{1, 2, 3};
  const Signature signature = *key.sign(message);
  EXPECT_EQ(verdict(small.verify(message, signature)), "ok");
  EXPECT_NE(verdict(small.verify(Bytes{1, 2, 4}, signature)), "ok");
  const Authority middle{root.key, root.certificate.compact()};
  EXPECT_EQ(verdict(verify_chain(leaf_of(middle), {}, {root.certificate}, year(2025))), "ok");
}

TEST(Chain, IntermediatesServeOnlyWhenGivenAndOnlyUpToATrustedRoot) {
  const Authority root = authority("root");
  const Authority middle = authority("middle", &root);
  const Certificate leaf = leaf_of(middle);
  EXPECT_EQ(verdict(verify_chain(leaf, {middle.certificate}, {root.certificate}, year(2025))),
            "ok");
  EXPECT_SAYS(verify_chain(leaf, {}, {root.certificate}, year(2025)), "certificate-chain");
  EXPECT_SAYS(verify_chain(leaf, {middle.certificate}, {}, year(2025)), "certificate-chain");
  // A bundle that names an intermediate does not make it a root.
  EXPECT_SAYS(verify_chain(leaf, {}, {middle.certificate}, year(2025)), "certificate-chain");
}

TEST(Chain, ALeafCannotBeACaNorItsOwnAnchor) {
  const Authority ca = authority("ca");
  EXPECT_SAYS(verify_chain(ca.certificate, {}, {ca.certificate}, year(2025)), "is a CA's");
  const IdentityKey key = *IdentityKey::generate(KeyType::kEcdsaP256);
  const Certificate alone = *issue(spec(key.spki(), "a.mesh"), key, std::nullopt);
  EXPECT_SAYS(verify_chain(alone, {}, {ca.certificate}, year(2025)), "certificate-chain");
  EXPECT_SAYS(verify_chain(alone, {}, {alone}, year(2025)), "bundle holds one that is no CA's");
}

TEST(Chain, TooManyIntermediatesAreRefusedBeforeAnyWork) {
  const Authority ca = authority("ca");
  const std::vector<Certificate> many(9, ca.certificate);
  EXPECT_SAYS(verify_chain(leaf_of(ca), many, {ca.certificate}, year(2025)), "too many");
}

TEST(Chain, TheUseAskedForMustBeOneTheLeafWasMadeFor) {
  const Authority ca = authority("ca");
  CertificateSpec wanted = spec(IdentityKey::generate(KeyType::kEcdsaP256)->spki(), "a.mesh");
  const auto check = [&](LeafUse use) {
    return verify_chain(leaf_of(ca, wanted), {}, {ca.certificate}, year(2025), use);
  };
  wanted.client_auth = true;
  wanted.server_auth = false;
  EXPECT_EQ(verdict(check(LeafUse::kSignature)), "ok");
  EXPECT_EQ(verdict(check(LeafUse::kClient)), "ok");
  EXPECT_SAYS(check(LeafUse::kServer), "not made for a TLS server");
  wanted.client_auth = false;
  wanted.server_auth = true;
  EXPECT_EQ(verdict(check(LeafUse::kServer)), "ok");
  EXPECT_SAYS(check(LeafUse::kClient), "not made for a device");
  wanted.server_auth = false;  // no extension at all
  EXPECT_SAYS(check(LeafUse::kServer), "not made for a TLS server");
  EXPECT_SAYS(check(LeafUse::kClient), "not made for a device");
}

TEST(Chain, WhatIsNoCaSignsNothing) {
  namespace fx = fixtures;
  const std::vector<Certificate> trust{fixture(fx::kForeignCa)};
  const Certificate leaf = fixture(fx::kForeignLeaf);
  const ServerTime now = leaf.not_before() + ch::hours(24);
  EXPECT_EQ(verdict(verify_chain(leaf, {}, trust, now)), "ok");
  EXPECT_SAYS(verify_chain(fixture(fx::kSignedByLeaf), {leaf}, trust, now), "certificate-chain");
  EXPECT_SAYS(verify_chain(fixture(fx::kUnderCaWithoutCertSign), {fixture(fx::kCaWithoutCertSign)},
                           trust, now),
              "certificate-chain");
  EXPECT_SAYS(verify_chain(fixture(fx::kUnderCaWithoutBasicConstraints),
                           {fixture(fx::kCaWithoutBasicConstraints)}, trust, now),
              "certificate-chain");
  EXPECT_EQ(verdict(verify_chain(fixture(fx::kUnderIntermediate), {fixture(fx::kIntermediateCa)},
                                 trust, now)),
            "ok");
}

TEST(Chain, ALeafWhoseKeyMayNotSignIsRefused) {
  const Certificate leaf = fixture(fixtures::kMayNotSign);
  EXPECT_SAYS(
      verify_chain(leaf, {}, {fixture(fixtures::kForeignCa)}, leaf.not_before() + ch::hours(24)),
      "may not sign");
}

TEST(Chain, AnUnknownCriticalExtensionIsRefused) {
  namespace fx = fixtures;
  const Certificate odd = fixture(fx::kUnknownCriticalExtension);
  EXPECT_SAYS(verify_chain(odd, {}, {fixture(fx::kForeignCa)}, odd.not_before() + ch::hours(24)),
              "certificate-chain");
}

}  // namespace
}  // namespace cygnet::crypto
