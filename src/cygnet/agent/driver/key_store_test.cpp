// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/driver/key_store.h"

#include <gtest/gtest.h>

namespace cygnet::agent {
namespace {

std::vector<crypto::DhPrivate> two_privates() {
  std::vector<crypto::DhPrivate> privates;
  privates.push_back(*crypto::DhPrivate::generate(crypto::DhGroup::kX25519));
  privates.push_back(*crypto::DhPrivate::generate(crypto::DhGroup::kEcp256));
  return privates;
}

constexpr proto::RekeyCounter kFirst(1, 1);
constexpr proto::RekeyCounter kSecond(1, 2);

TEST(KeyStore, FindsTheValueOfAGroupAndNothingElse) {
  KeyStore keys;
  keys.add(kFirst, two_privates());
  const auto borrowed = keys.borrow(kFirst);
  ASSERT_NE(borrowed, nullptr);
  EXPECT_NE(borrowed->find(crypto::DhGroup::kEcp256), nullptr);
  EXPECT_EQ(borrowed->find(crypto::DhGroup::kX448), nullptr);
  EXPECT_EQ(keys.borrow(kSecond), nullptr);
}

TEST(KeyStore, ErasesAGenerationOnce) {
  KeyStore keys;
  keys.add(kFirst, two_privates());
  EXPECT_TRUE(keys.erase(kFirst));
  EXPECT_FALSE(keys.erase(kFirst));
  EXPECT_FALSE(keys.erase(kSecond));
  EXPECT_EQ(keys.borrow(kFirst), nullptr);
}

TEST(KeyStore, CountsPrivateValuesAliveAndTheMostThereWere) {
  KeyStore keys;
  EXPECT_EQ(keys.alive(), 0U);
  keys.add(kFirst, two_privates());
  keys.add(kSecond, two_privates());
  EXPECT_EQ(keys.alive(), 4U);
  EXPECT_TRUE(keys.erase(kFirst));
  EXPECT_EQ(keys.alive(), 2U);
  EXPECT_EQ(keys.alive_max(), 4U);
  keys.erase_all();
  EXPECT_EQ(keys.alive(), 0U);
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-7
//= type=test
//# when a connection is closed each endpoint MUST forget not only the keys used by the connection
//# but also any information that could be used to recompute those keys.
TEST(KeyStore, AnErasedGenerationIsAliveUntilItsLastBorrowerReturnsIt) {
  KeyStore keys;
  keys.add(kFirst, two_privates());
  auto borrowed = keys.borrow(kFirst);
  EXPECT_TRUE(keys.erase(kFirst));
  EXPECT_EQ(keys.alive(), 2U);
  EXPECT_EQ(keys.borrow(kFirst), nullptr) << "nobody new gets it";
  borrowed.reset();
  EXPECT_EQ(keys.alive(), 0U);
}

TEST(KeyStoreDeathTest, AGenerationNeverGetsASecondSetOfKeys) {
  KeyStore keys;
  keys.add(kFirst, two_privates());
  EXPECT_DEATH(keys.add(kFirst, two_privates()), "added");
}

}  // namespace
}  // namespace cygnet::agent
