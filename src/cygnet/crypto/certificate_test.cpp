// SPDX-License-Identifier: Apache-2.0
// Parsing, issuing and reading certificates.
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

#include "cygnet/crypto/identity.h"
#include "cygnet/crypto/identity_fixtures_test.h"

namespace cygnet::crypto {
namespace {

namespace ch = std::chrono;

ServerTime at(int year, unsigned month, unsigned day) {
  return ServerTime(ch::duration_cast<ch::milliseconds>(
      ch::sys_days(ch::year(year) / ch::month(month) / ch::day(day)).time_since_epoch()));
}

IdentityKey new_key(KeyType type = KeyType::kEcdsaP256) { return *IdentityKey::generate(type); }

CertificateSpec leaf_spec(const Bytes& spki) {
  CertificateSpec spec;
  spec.spki = spki;
  spec.common_name = "hub-1.corp";
  spec.dns_sans = {"hub-1.corp"};
  spec.uri_sans = {"cygnet://00112233445566778899aabbccddeeff/hub-1"};
  spec.not_before = at(2024, 1, 1);
  spec.not_after = at(2024, 1, 31);
  spec.client_auth = true;
  return spec;
}

Error issue_error(const CertificateSpec& spec, const IdentityKey& key,
                  const std::optional<Certificate>& issuer = std::nullopt) {
  const auto made = issue(spec, key, issuer);
  EXPECT_FALSE(made.has_value());
  return made.has_value() ? Error{kErrCertificate, "issued"} : made.error();
}

Error pem_error(std::string_view pem) {
  const auto list = Certificate::list_from_pem(pem);
  EXPECT_FALSE(list.has_value());
  return list.has_value() ? Error{kErrCertificate, "taken"} : list.error();
}

#define EXPECT_SAYS(error, part)                                           \
  do {                                                                     \
    const Error said = (error);                                            \
    EXPECT_EQ(said.code, kErrCertificate);                                 \
    EXPECT_NE(said.message.find(part), std::string::npos) << said.message; \
  } while (false)

TEST(Certificate, SaysWhatItWasIssuedWith) {
  const IdentityKey key = new_key();
  const auto certificate = issue(leaf_spec(key.spki()), key, std::nullopt);
  ASSERT_TRUE(certificate.has_value()) << certificate.error().to_string();
  EXPECT_EQ(certificate->spki(), key.spki());
  EXPECT_EQ(certificate->spki_hash(), sha256({key.spki()}));
  EXPECT_EQ(certificate->dns_san(), "hub-1.corp");
  EXPECT_EQ(certificate->uri_san(), "cygnet://00112233445566778899aabbccddeeff/hub-1");
  EXPECT_EQ(certificate->not_before(), at(2024, 1, 1));
  EXPECT_EQ(certificate->not_after(), at(2024, 1, 31));
  EXPECT_FALSE(certificate->is_ca());
  EXPECT_EQ(certificate->serial().size(), 16U);
  const auto other = issue(leaf_spec(key.spki()), key, std::nullopt);
  ASSERT_TRUE(other.has_value());
  EXPECT_NE(certificate->serial(), other->serial());
}

TEST(Certificate, DerAndPemBringItBack) {
  const IdentityKey key = new_key(KeyType::kEd25519);
  const auto one = issue(leaf_spec(key.spki()), key, std::nullopt);
  const auto two = issue(leaf_spec(key.spki()), key, std::nullopt);
  ASSERT_TRUE(one.has_value() && two.has_value());
  const auto parsed = Certificate::from_der(one->der());
  ASSERT_TRUE(parsed.has_value());
  EXPECT_EQ(parsed->der(), one->der());
  const auto list =
      Certificate::list_from_pem("a comment\n" + one->to_pem() + "\n" + two->to_pem() + "end\n");
  ASSERT_TRUE(list.has_value()) << list.error().to_string();
  ASSERT_EQ(list->size(), 2U);
  EXPECT_EQ((*list)[0].der(), one->der());
  EXPECT_EQ((*list)[1].der(), two->der());
}

TEST(Certificate, KeepsDatesFarApartAndOnBothSidesOf2050) {
  // RFC 5280 section 4.1.2.5: dates to 2049 have two-digit years, later ones four.
  const IdentityKey key = new_key();
  for (const auto& [from, to] :
       std::vector<std::pair<ServerTime, ServerTime>>{{at(1950, 1, 1), at(9999, 12, 31)},
                                                      {at(2049, 12, 31), at(2050, 1, 1)},
                                                      {at(1970, 1, 1), at(1970, 1, 1)},
                                                      {at(2000, 2, 29), at(2100, 2, 28)}}) {
    CertificateSpec spec = leaf_spec(key.spki());
    spec.not_before = from;
    spec.not_after = to;
    const auto certificate = issue(spec, key, std::nullopt);
    ASSERT_TRUE(certificate.has_value()) << certificate.error().to_string();
    EXPECT_EQ(certificate->not_before(), from);
    EXPECT_EQ(certificate->not_after(), to);
  }
}

TEST(Certificate, TheSingleNameIsNoneWhenThereAreMoreOrNone) {
  const IdentityKey key = new_key();
  CertificateSpec spec = leaf_spec(key.spki());
  spec.dns_sans = {"a.corp", "b.corp"};
  spec.uri_sans = {};
  spec.ip_sans = {"192.0.2.1", "2001:db8::1"};
  const auto certificate = issue(spec, key, std::nullopt);
  ASSERT_TRUE(certificate.has_value());
  EXPECT_EQ(certificate->dns_san(), std::nullopt);
  EXPECT_EQ(certificate->uri_san(), std::nullopt);
}

TEST(Certificate, ANameWithAnOctetZeroIsNoName) {
  const auto list = Certificate::list_from_pem(fixtures::kNulNameCertificate);
  ASSERT_TRUE(list.has_value()) << list.error().to_string();
  EXPECT_EQ(list->front().dns_san(), std::nullopt);
}

TEST(Certificate, ALongNameStandsInTheSubjectAlternativeNameAlone) {
  const IdentityKey key = new_key();
  CertificateSpec spec = leaf_spec(key.spki());
  spec.common_name = std::string(63, 'a') + "." + std::string(63, 'b');
  spec.dns_sans = {spec.common_name};
  const auto certificate = issue(spec, key, std::nullopt);
  ASSERT_TRUE(certificate.has_value()) << certificate.error().to_string();
  EXPECT_EQ(certificate->dns_san(), spec.common_name);
}

TEST(Certificate, AnythingButOneDerCertificateIsRefused) {
  const IdentityKey key = new_key();
  const auto good = issue(leaf_spec(key.spki()), key, std::nullopt);
  ASSERT_TRUE(good.has_value());
  Bytes der = good->der();
  der.push_back(0);
  EXPECT_SAYS(Certificate::from_der(der).error(), "followed by other octets");
  der = good->der();
  der.pop_back();
  EXPECT_SAYS(Certificate::from_der(der).error(), "cannot be decoded");
  EXPECT_SAYS(Certificate::from_der({}).error(), "0 octets");
  EXPECT_SAYS(Certificate::from_der(Bytes(70'000, 0x30)).error(), "70000 octets");
  EXPECT_SAYS(Certificate::from_der(as_bytes("garbage")).error(), "cannot be decoded");
  // The outer length in a longer form than DER's: the same certificate, other octets.
  der = good->der();
  ASSERT_EQ(der[1], 0x82);
  der[1] = 0x83;
  der.insert(der.begin() + 2, 0);
  EXPECT_SAYS(Certificate::from_der(der).error(), "not in DER");
}

TEST(Certificate, NoTruncationAndNoFlippedBitCrashesTheParser) {
  const IdentityKey key = new_key();
  const auto good = issue(leaf_spec(key.spki()), key, std::nullopt);
  ASSERT_TRUE(good.has_value());
  const Bytes der = good->der();
  for (std::size_t i = 0; i < der.size(); ++i) {
    EXPECT_FALSE(Certificate::from_der(ByteView(der).first(i)).has_value()) << i;
    Bytes changed = der;
    changed[i] ^= static_cast<std::uint8_t>(1U << i % 8);
    const auto parsed = Certificate::from_der(changed);
    // What still parses is another certificate, whose signature fails.
    if (parsed.has_value()) {
      EXPECT_FALSE(verify_chain(*parsed, {}, {*good}, at(2024, 1, 2)).has_value()) << i;
    }
  }
}

TEST(Certificate, KeysAndAlgorithmsThatAreNotOursAreRefused) {
  namespace fx = fixtures;
  for (const auto& [pem, says] : std::vector<std::pair<const char*, const char*>>{
           {fx::kRsaCertificate, "another algorithm"},
           {fx::kSha1Certificate, "another algorithm"},
           {fx::kSha512Certificate, "another algorithm"},
           {fx::kExplicitCurveCertificate, "a key that is not"},
           {fx::kCompressedPointCertificate, "a key that is not"},
           {fx::kP521Certificate, "a key that is not"},
           {fx::kVersion1Certificate, "not of version 3"}}) {
    EXPECT_SAYS(pem_error(pem), says);
  }
}

TEST(Certificate, PemThatHoldsAnythingElseIsRefusedWithItsPlace) {
  const std::string good = fixtures::kForeignCa;
  EXPECT_SAYS(pem_error(""), "no certificate");
  EXPECT_SAYS(pem_error("nothing here"), "no certificate");
  EXPECT_SAYS(pem_error(good + fixtures::kRsaKey), "not a certificate");
  EXPECT_EQ(pem_error(good + fixtures::kRsaKey).where, "PEM block 2");
  EXPECT_SAYS(pem_error(good + good.substr(0, good.size() / 2)), "cannot be read");
  EXPECT_SAYS(pem_error(good + fixtures::kRsaCertificate), "another algorithm");
  EXPECT_EQ(pem_error(good + fixtures::kRsaCertificate).where, "PEM block 2");
  EXPECT_SAYS(pem_error(std::string(2'000'000, ' ')), "2000000 octets");
}

TEST(Issue, RefusesWhatWouldMakeABadCertificate) {
  const IdentityKey key = new_key();
  const IdentityKey other = new_key();
  const CertificateSpec good = leaf_spec(key.spki());
  const auto changed = [&](auto change) {
    CertificateSpec spec = good;
    change(spec);
    return issue_error(spec, key);
  };
  EXPECT_SAYS(changed([&](auto& s) { s.spki = other.spki(); }), "must carry the key that signs");
  EXPECT_SAYS(changed([](auto& s) { s.not_after = s.not_before - ch::seconds(1); }),
              "end before it begins");
  EXPECT_SAYS(changed([](auto& s) { s.not_after = at(10000, 1, 1); }), "1950 to 9999");
  EXPECT_SAYS(changed([](auto& s) { s.not_before = at(1949, 12, 31); }), "1950 to 9999");
  EXPECT_SAYS(changed([](auto& s) { s.dns_sans = {""}; }), "subject name is empty");
  EXPECT_SAYS(changed([](auto& s) { s.dns_sans = {"a b"}; }), "not printable ASCII");
  EXPECT_SAYS(changed([](auto& s) { s.dns_sans = {std::string("a\0b", 3)}; }),
              "not printable ASCII");
  EXPECT_SAYS(changed([](auto& s) { s.uri_sans = {"\xc3\xa4"}; }), "not printable ASCII");
  EXPECT_SAYS(changed([](auto& s) { s.ip_sans = {"300.1.1.1"}; }), "no IP address");
  EXPECT_SAYS(changed([](auto& s) { s.ip_sans = {""}; }), "no IP address");
  EXPECT_SAYS(changed([](auto& s) { s.ip_sans = {std::string("192.0.2.1\0x", 11)}; }),
              "no IP address");
  EXPECT_SAYS(changed([](auto& s) {
                s.common_name.clear();
                s.dns_sans.clear();
                s.uri_sans.clear();
              }),
              "name nobody");
  EXPECT_SAYS(changed([](auto& s) {
                s.is_ca = true;
                s.common_name.clear();
              }),
              "a CA needs a common name");
  EXPECT_SAYS(changed([](auto& s) { s.common_name = "\xff\xfe"; }), "not UTF-8");
}

TEST(Issue, RefusesKeysItDoesNotKnow) {
  const IdentityKey ca_key = new_key();
  CertificateSpec ca_spec = leaf_spec(ca_key.spki());
  ca_spec.is_ca = true;
  const auto ca = issue(ca_spec, ca_key, std::nullopt);
  ASSERT_TRUE(ca.has_value());
  CertificateSpec spec = leaf_spec({});
  EXPECT_SAYS(issue_error(spec, ca_key, *ca), "subject's key is not");
  spec.spki = ca_key.spki();
  spec.spki.back() ^= 1;  // off the curve
  EXPECT_SAYS(issue_error(spec, ca_key, *ca), "subject's key is not");
}

TEST(Issue, OnlyTheCasOwnKeyMaySignUnderIt) {
  const IdentityKey ca_key = new_key();
  const IdentityKey device = new_key();
  CertificateSpec ca_spec = leaf_spec(ca_key.spki());
  ca_spec.is_ca = true;
  const auto ca = issue(ca_spec, ca_key, std::nullopt);
  ASSERT_TRUE(ca.has_value());
  EXPECT_TRUE(ca->is_ca());
  EXPECT_SAYS(issue_error(leaf_spec(device.spki()), device, *ca), "not the one of the issuer");
  const auto leaf = issue(leaf_spec(device.spki()), ca_key, *ca);
  ASSERT_TRUE(leaf.has_value());
  EXPECT_SAYS(issue_error(leaf_spec(ca_key.spki()), device, *leaf), "is no CA's");
}

}  // namespace
}  // namespace cygnet::crypto
