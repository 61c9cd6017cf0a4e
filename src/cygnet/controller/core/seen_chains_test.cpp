// SPDX-License-Identifier: Apache-2.0
#include "cygnet/controller/core/seen_chains.h"

#include <gtest/gtest.h>

#include "cygnet/controller/core/octet_pool.h"

namespace cygnet::controller {
namespace {

ServerTime hours(int n) { return ServerTime(std::chrono::hours(n)); }

/// A CA and a device's certificate under it, the CA from hour 0 to 1000, the leaf from 10 to 100.
struct Chain {
  Chain() {
    crypto::CertificateSpec spec;
    spec.spki = ca_key.spki();
    spec.common_name = "CA";
    spec.not_before = hours(0);
    spec.not_after = hours(1000);
    spec.is_ca = true;
    ca = crypto::issue(spec, ca_key, std::nullopt);
    spec.is_ca = false;
    spec.common_name = "device";
    spec.spki = leaf_key.spki();
    spec.not_before = hours(10);
    spec.not_after = hours(100);
    leaf = crypto::issue(spec, ca_key, *ca);
  }
  crypto::IdentityKey ca_key = *crypto::IdentityKey::generate(crypto::KeyType::kEcdsaP256);
  crypto::IdentityKey leaf_key = *crypto::IdentityKey::generate(crypto::KeyType::kEcdsaP256);
  Result<crypto::Certificate> ca = fail(ErrorCode("unset"), "");
  Result<crypto::Certificate> leaf = fail(ErrorCode("unset"), "");
};

TEST(SeenChains, VerifiesAChainOnceAndRemembersIt) {
  const Chain c;
  const SeenChains seen;
  for (int hour = 20; hour < 30; ++hour) EXPECT_TRUE(seen.chain(*c.leaf, {}, {*c.ca}, hours(hour)));
  EXPECT_EQ(seen.verified(), 1U);
}

TEST(SeenChains, ARememberedChainEndsWithItsCertificates) {
  const Chain c;
  const SeenChains seen;
  ASSERT_TRUE(seen.chain(*c.leaf, {}, {*c.ca}, hours(20)));
  const auto late = seen.chain(*c.leaf, {}, {*c.ca}, hours(100));
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, crypto::kErrCertificateExpired);
  EXPECT_FALSE(seen.chain(*c.leaf, {}, {*c.ca}, hours(9)));
  EXPECT_TRUE(seen.chain(*c.leaf, {}, {*c.ca}, hours(99)));
}

TEST(SeenChains, AnotherTrustBundleIsAnotherChain) {
  const Chain c;
  const Chain other;
  const SeenChains seen;
  ASSERT_TRUE(seen.chain(*c.leaf, {}, {*c.ca}, hours(20)));
  EXPECT_FALSE(seen.chain(*c.leaf, {}, {*other.ca}, hours(20)));
  EXPECT_FALSE(seen.chain(*c.leaf, {}, {}, hours(20)));
  EXPECT_FALSE(seen.chain(*c.leaf, {*c.ca}, {}, hours(20))) << "what was sent along is not trusted";
}

TEST(SeenChains, ARefusalIsNotRemembered) {
  const Chain c;
  const SeenChains seen;
  EXPECT_FALSE(seen.chain(*c.leaf, {}, {*c.ca}, hours(5)));
  EXPECT_EQ(seen.size(), 0U);
  EXPECT_TRUE(seen.chain(*c.leaf, {}, {*c.ca}, hours(20)));
}

TEST(OctetPool, GivesTheSameRoomAgainAndItIsEmpty) {
  OctetPool pool;
  const std::uint8_t* room = nullptr;
  {
    const SharedOctets first = pool.make([](Bytes& out) { out.assign(1000, 7); });
    room = first->data();
    EXPECT_EQ(pool.spare(), 0U);
  }
  EXPECT_EQ(pool.spare(), 1U);
  const SharedOctets second = pool.make([](Bytes& out) {
    EXPECT_TRUE(out.empty());
    out.assign(10, 8);
  });
  EXPECT_EQ(second->data(), room);
  EXPECT_EQ(*second, Bytes(10, 8));
}

TEST(OctetPool, WhatWasHandedOutOutlivesIt) {
  SharedOctets octets;
  {
    OctetPool pool;
    octets = pool.make([](Bytes& out) { out.assign(5, 1); });
  }
  EXPECT_EQ(octets->size(), 5U);
  octets.reset();
}

TEST(OctetPool, KeepsNoHugePieces) {
  OctetPool pool;
  pool.make([](Bytes& out) { out.assign(OctetPool::kOctetsMax + 1, 1); }).reset();
  EXPECT_EQ(pool.spare(), 0U);
}

}  // namespace
}  // namespace cygnet::controller
