// SPDX-License-Identifier: Apache-2.0
#include "cygnet/crypto/ids.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

namespace cygnet::crypto {
namespace {

// Written out from the standards, not taken from the table under test.
TEST(Ids, GroupSizesAreThoseOfTheStandards) {
  struct Row {
    std::uint16_t id;
    const char* name;
    std::size_t ke, shared;
  };
  for (const Row& row : std::vector<Row>{{14, "modp2048", 256, 256},
                                         {15, "modp3072", 384, 384},
                                         {16, "modp4096", 512, 512},
                                         {19, "ecp256", 64, 32},
                                         {20, "ecp384", 96, 48},
                                         {21, "ecp521", 132, 66},
                                         {31, "x25519", 32, 32},
                                         {32, "x448", 56, 56}}) {
    const auto group = dh_group_from(row.id);
    ASSERT_TRUE(group.has_value()) << row.id;
    EXPECT_EQ(to_string(*group), row.name);
    EXPECT_EQ(dh_group_from_name(row.name), group);
    EXPECT_EQ(public_value_length(*group), row.ke) << row.name;
    EXPECT_EQ(shared_secret_length(*group), row.shared) << row.name;
  }
}

TEST(Ids, ExactlyTheImplementedNumbersAreKnown) {
  std::set<unsigned> dh, prf, encr, integ;
  for (unsigned id = 0; id < 65536; ++id) {
    const auto number = static_cast<std::uint16_t>(id);
    if (dh_group_from(number)) dh.insert(id);
    if (prf_from(number)) prf.insert(id);
    if (encr_from(number)) encr.insert(id);
    if (integ_from(number)) integ.insert(id);
  }
  EXPECT_EQ(dh, (std::set<unsigned>{14, 15, 16, 19, 20, 21, 31, 32}));
  EXPECT_EQ(prf, (std::set<unsigned>{5, 6, 7}));
  EXPECT_EQ(encr, (std::set<unsigned>{12, 20, 28}));
  EXPECT_EQ(integ, (std::set<unsigned>{0, 12, 13, 14}));
}

TEST(Ids, PrfNamesAndLengthsBelongTogether) {
  EXPECT_EQ(prf_from_name("hmac-sha2-256"), PrfId::kHmacSha2_256);
  EXPECT_EQ(prf_from_name("hmac-sha2-384"), PrfId::kHmacSha2_384);
  EXPECT_EQ(prf_from_name("hmac-sha2-512"), PrfId::kHmacSha2_512);
  EXPECT_EQ(prf_length(PrfId::kHmacSha2_256), 32U);
  EXPECT_EQ(prf_length(PrfId::kHmacSha2_384), 48U);
  EXPECT_EQ(prf_length(PrfId::kHmacSha2_512), 64U);
  EXPECT_EQ(prf_from_name("hmac-sha1"), std::nullopt);
}

struct SuiteRow {
  const char* encr;
  const char* integ;
  std::size_t encr_key, integ_key, iv, icv, block;
};

TEST(Ids, SuiteSizesAreThoseOfTheStandards) {
  for (const SuiteRow& row :
       std::vector<SuiteRow>{{"aes-gcm-16-128", "", 20, 0, 8, 16, 4},
                             {"aes-gcm-16-256", "none", 36, 0, 8, 16, 4},
                             {"chacha20-poly1305", "", 36, 0, 8, 16, 4},
                             {"aes-cbc-128", "hmac-sha2-256-128", 16, 32, 16, 16, 16},
                             {"aes-cbc-256", "hmac-sha2-256-128", 32, 32, 16, 16, 16},
                             {"aes-cbc-256", "hmac-sha2-384-192", 32, 48, 16, 24, 16},
                             {"aes-cbc-256", "hmac-sha2-512-256", 32, 64, 16, 32, 16}}) {
    const auto suite = esp_suite_from_names(row.encr, row.integ);
    ASSERT_TRUE(suite.has_value()) << row.encr << " " << row.integ;
    EXPECT_EQ(encr_name(*suite), row.encr);
    EXPECT_EQ(suite->encr_key_length(), row.encr_key) << row.encr;
    EXPECT_EQ(suite->integ_key_length(), row.integ_key) << row.integ;
    EXPECT_EQ(suite->iv_length(), row.iv) << row.encr;
    EXPECT_EQ(suite->icv_length(), row.icv) << row.encr << " " << row.integ;
    EXPECT_EQ(suite->block_length(), row.block) << row.encr;
  }
}

TEST(Ids, NamesThatMakeNoSuiteAreRefused) {
  EXPECT_EQ(esp_suite_from_names("aes-gcm-16-192", ""), std::nullopt);
  EXPECT_EQ(esp_suite_from_names("aes-gcm-16", ""), std::nullopt);
  EXPECT_EQ(esp_suite_from_names("AES-GCM-16-256", ""), std::nullopt);
  EXPECT_EQ(esp_suite_from_names("", ""), std::nullopt);
  EXPECT_EQ(esp_suite_from_names("aes-cbc-256", ""), std::nullopt);
  EXPECT_EQ(esp_suite_from_names("aes-cbc-256", "none"), std::nullopt);
  EXPECT_EQ(esp_suite_from_names("aes-cbc-256", "hmac-sha1-96"), std::nullopt);
  EXPECT_EQ(esp_suite_from_names("aes-gcm-16-256", "hmac-sha2-256-128"), std::nullopt);
  EXPECT_EQ(esp_suite_from_names("chacha20-poly1305", "hmac-sha2-512-256"), std::nullopt);
  EXPECT_EQ(dh_group_from_name("modp1024"), std::nullopt);
  EXPECT_EQ(encr_name({EncrId::kAesGcm16, 192, IntegId::kNone}), "unknown");
}

}  // namespace
}  // namespace cygnet::crypto
