// SPDX-License-Identifier: Apache-2.0
// Certificate requests: what a device makes and what a controller takes.
#include <gtest/gtest.h>
#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <string>
#include <vector>

#include "cygnet/crypto/identity.h"
#include "cygnet/crypto/identity_fixtures_test.h"
#include "cygnet/crypto/openssl_ptr.h"

namespace cygnet::crypto {
namespace {

constexpr const char* kUri = "cygnet://00112233445566778899aabbccddeeff/a";

Bytes from_pem(const char* pem) {
  const BioPtr bio(BIO_new_mem_buf(pem, -1));
  const X509ReqPtr request(PEM_read_bio_X509_REQ(bio.get(), nullptr, nullptr, nullptr));
  EXPECT_NE(request, nullptr);
  unsigned char* der = nullptr;
  const int length = i2d_X509_REQ(request.get(), &der);
  Bytes out(der, der + length);
  OPENSSL_free(der);
  return out;
}

std::string refusal(ByteView der) {
  const auto info = parse_csr(der);
  if (info.has_value()) return "taken";
  EXPECT_EQ(info.error().code, kErrCsr);
  return info.error().message;
}

#define EXPECT_SAYS(text, part) EXPECT_NE((text).find(part), std::string::npos) << (text)

TEST(Csr, CarriesKeyAndNames) {
  for (const KeyType type : {KeyType::kEcdsaP256, KeyType::kEcdsaP384, KeyType::kEd25519}) {
    const auto key = IdentityKey::generate(type);
    ASSERT_TRUE(key.has_value());
    const auto csr = key->make_csr("a.mesh", kUri);
    ASSERT_TRUE(csr.has_value()) << csr.error().to_string();
    const auto info = parse_csr(*csr);
    ASSERT_TRUE(info.has_value()) << info.error().to_string();
    EXPECT_EQ(info->spki, key->spki());
    EXPECT_EQ(info->dns_san, "a.mesh");
    EXPECT_EQ(info->uri_san, kUri);
  }
}

TEST(Csr, ANameWithACommaStaysOneName) {
  const auto key = IdentityKey::generate(KeyType::kEcdsaP256);
  ASSERT_TRUE(key.has_value());
  const auto csr = key->make_csr("a.mesh,DNS:b.mesh", kUri);
  ASSERT_TRUE(csr.has_value());
  EXPECT_EQ(parse_csr(*csr)->dns_san, "a.mesh,DNS:b.mesh");
}

TEST(Csr, ALongNameFitsWithoutACommonName) {
  const auto key = IdentityKey::generate(KeyType::kEd25519);
  ASSERT_TRUE(key.has_value());
  const std::string name = std::string(63, 'a') + "." + std::string(63, 'b');
  const auto csr = key->make_csr(name, kUri);
  ASSERT_TRUE(csr.has_value()) << csr.error().to_string();
  EXPECT_EQ(parse_csr(*csr)->dns_san, name);
}

TEST(Csr, NamesThatAreNoneAreRefused) {
  const auto key = IdentityKey::generate(KeyType::kEd25519);
  ASSERT_TRUE(key.has_value());
  for (const auto& [dns, uri] :
       std::vector<std::pair<std::string, std::string>>{{"", kUri},
                                                        {"a.mesh", ""},
                                                        {"a b", kUri},
                                                        {std::string("a\0b", 3), kUri},
                                                        {std::string(2000, 'a'), kUri}}) {
    const auto csr = key->make_csr(dns, uri);
    ASSERT_FALSE(csr.has_value());
    EXPECT_EQ(csr.error().code, kErrCsr);
  }
}

TEST(Csr, MalformedOnesAreRefused) {
  const auto key = IdentityKey::generate(KeyType::kEcdsaP256);
  ASSERT_TRUE(key.has_value());
  const Bytes good = *key->make_csr("a.mesh", kUri);
  EXPECT_SAYS(refusal({}), "0 octets");
  EXPECT_SAYS(refusal(Bytes(20'000, 0x30)), "20000 octets");
  EXPECT_SAYS(refusal(as_bytes("garbage")), "cannot be decoded");
  Bytes der = good;
  der.push_back(0);
  EXPECT_SAYS(refusal(der), "followed by other octets");
  for (std::size_t i = 0; i < good.size(); ++i) {
    EXPECT_NE(refusal(ByteView(good).first(i)), "taken") << i;
    der = good;
    der[i] ^= static_cast<std::uint8_t>(1U << i % 8);
    EXPECT_NE(refusal(der), "taken") << i;
  }
}

TEST(Csr, KeysAndAlgorithmsThatAreNotOursAreRefused) {
  EXPECT_SAYS(refusal(from_pem(fixtures::kRsaCsr)), "a key that is not");
  EXPECT_SAYS(refusal(from_pem(fixtures::kSha384Csr)), "another algorithm than its key's");
}

TEST(Csr, ARequestWithoutExactlyOneNameHasNone) {
  const auto bare = parse_csr(from_pem(fixtures::kBareCsr));
  ASSERT_TRUE(bare.has_value()) << bare.error().to_string();
  EXPECT_EQ(bare->dns_san, std::nullopt);
  EXPECT_EQ(bare->uri_san, std::nullopt);
  const auto two = parse_csr(from_pem(fixtures::kTwoNamesCsr));
  ASSERT_TRUE(two.has_value());
  EXPECT_EQ(two->dns_san, std::nullopt);
}

TEST(Csr, ASignatureByAnotherKeyIsRefused) {
  const auto key = IdentityKey::generate(KeyType::kEd25519);
  const auto other = IdentityKey::generate(KeyType::kEd25519);
  ASSERT_TRUE(key.has_value() && other.has_value());
  Bytes mixed = *key->make_csr("a.mesh", kUri);
  const Bytes foreign = *other->make_csr("a.mesh", kUri);
  // Both have the same length and end with 64 octets of signature.
  ASSERT_EQ(mixed.size(), foreign.size());
  std::copy(foreign.end() - 64, foreign.end(), mixed.end() - 64);
  EXPECT_SAYS(refusal(mixed), "signature that fails");
}

}  // namespace
}  // namespace cygnet::crypto
