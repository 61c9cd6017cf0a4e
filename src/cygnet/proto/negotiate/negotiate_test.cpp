// SPDX-License-Identifier: Apache-2.0
#include "cygnet/proto/negotiate/negotiate.h"

#include "cygnet/proto/dim/dim_test_support.h"

namespace cygnet::proto {
namespace {

using test::policy;

Dim device(const char* name, std::uint8_t nonce, const std::vector<const char*>& offers) {
  Dim dim = test::small_dim();
  dim.device = DeviceName(name);
  dim.nonce = Bytes(kNonceLength, nonce);
  std::vector<IpsecPolicy> policies;
  for (const char* text : offers) policies.push_back(policy(text));
  test::offer(dim, policies);
  return dim;
}

constexpr const char* kGcm256 = "aes256gcm16-x25519-sha256";
constexpr const char* kGcm128 = "aes128gcm16-x25519-sha256";
constexpr const char* kChaCha = "chacha20poly1305-ecp256-sha256";

TEST(Roles, TheLargerNonceIsTheInitiator) {
  EXPECT_EQ(role_of_local(Bytes{1, 2}, Bytes{1, 1}).value(), Role::kInitiator);
  EXPECT_EQ(role_of_local(Bytes{1, 1}, Bytes{1, 2}).value(), Role::kResponder);
}

TEST(Roles, APrefixIsTheLowerWhateverTheLength) {
  EXPECT_EQ(role_of_local(Bytes{1, 2}, Bytes{1, 2, 0}).value(), Role::kResponder);
  EXPECT_EQ(role_of_local(Bytes{1, 2, 0}, Bytes{1, 2}).value(), Role::kInitiator);
  EXPECT_EQ(role_of_local(Bytes{2}, Bytes{1, 255, 255}).value(), Role::kInitiator);
}

TEST(Roles, EqualNoncesHaveNone) {
  const auto role = role_of_local(Bytes{1, 2}, Bytes{1, 2});
  ASSERT_FALSE(role.has_value());
  EXPECT_EQ(role.error().code, kErrEqualNonces);
}

TEST(Negotiate, TakesTheRespondersFirstThatTheInitiatorAlsoOffers) {
  const Dim initiator = device("a.mesh", 9, {kGcm256, kGcm128, kChaCha});
  const Dim responder = device("b.mesh", 1, {kChaCha, kGcm128});
  const auto at_initiator = negotiate(initiator, responder);
  ASSERT_TRUE(at_initiator.has_value());
  EXPECT_EQ(at_initiator->policy, policy(kChaCha));
  EXPECT_EQ(at_initiator->local_role, Role::kInitiator);
  EXPECT_EQ(at_initiator->spn_i, 3);
  EXPECT_EQ(at_initiator->spn_r, 1);
}

TEST(Negotiate, TheOrderFlipsWithTheRoles) {
  const Dim a = device("a.mesh", 1, {kGcm256, kChaCha});
  const Dim b = device("b.mesh", 9, {kChaCha, kGcm256});
  EXPECT_EQ(negotiate(a, b)->policy, policy(kGcm256));  // a is the responder
  Dim b_later = b;
  b_later.nonce = Bytes(kNonceLength, 0);
  EXPECT_EQ(negotiate(a, b_later)->policy, policy(kChaCha));  // b is
}

TEST(Negotiate, EveryTransformCounts) {
  const Dim a = device("a.mesh", 9, {kGcm256});
  for (const char* other :
       {"aes256gcm16-x25519-sha256-noesn", "aes256gcm16-x25519-sha384", "aes256gcm16-x448-sha256",
        "aes128gcm16-x25519-sha256", "aes256gcm16-x25519-sha256-transport"}) {
    const auto result = negotiate(a, device("b.mesh", 1, {other}));
    ASSERT_FALSE(result.has_value()) << other;
    EXPECT_EQ(result.error().code, kErrNoProposal);
  }
}

TEST(Negotiate, NeverChoosesAProposalWithUnknownParts) {
  Dim a = device("a.mesh", 9, {kGcm256, kGcm128});
  Dim b = device("b.mesh", 1, {kGcm256, kGcm128});
  for (Dim* dim : {&a, &b}) dim->proposals[0].transforms.push_back({242, 1, {}, {}});
  const auto result = negotiate(a, b);
  ASSERT_TRUE(result.has_value());
  EXPECT_EQ(result->policy, policy(kGcm128));
  EXPECT_EQ(result->spn_i, 2);
  EXPECT_EQ(result->spn_r, 2);
}

TEST(Negotiate, DoesNotWalkOnWhenTheChosenGroupHasNoValue) {
  const Dim a = device("a.mesh", 9, {kChaCha, kGcm256});
  Dim b = device("b.mesh", 1, {kChaCha, kGcm256});
  b.kes.erase(b.kes.begin());
  const auto result = negotiate(a, b);
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code, kErrNoProposal);
}

TEST(Negotiate, TakesTheRespondersFirstCommonPpk) {
  Dim initiator = device("a.mesh", 9, {kGcm256});
  Dim responder = device("b.mesh", 1, {kGcm256});
  const Bytes one{2, '1'};
  const Bytes two{2, '2'};
  initiator.ppk_ids = {one, two};
  responder.ppk_ids = {two, one};
  EXPECT_EQ(negotiate(initiator, responder)->ppk_id, two);
  EXPECT_EQ(negotiate(responder, initiator)->ppk_id, two);
  responder.ppk_ids = {Bytes{2, '3'}};
  EXPECT_EQ(negotiate(initiator, responder)->ppk_id, std::nullopt);
}

TEST(Negotiate, AMandatoryPpkThatIsNotCommonMeansNoSa) {
  Dim a = device("a.mesh", 9, {kGcm256});
  Dim b = device("b.mesh", 1, {kGcm256});
  a.ppk_ids = {Bytes{2, '1'}};
  b.ppk_ids = {Bytes{2, '2'}};
  const auto result = negotiate(a, b, true);
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code, kErrPpk);
  b.ppk_ids = a.ppk_ids;
  EXPECT_TRUE(negotiate(a, b, true).has_value());
}

TEST(Lanes, AreTheLeastOfBothSidesTheLimitAndTheKeystream) {
  const IpsecPolicy gcm = policy(kGcm256);
  EXPECT_EQ(lanes_for(1, 1, gcm), 1);
  EXPECT_EQ(lanes_for(3, 8, gcm), 3);
  EXPECT_EQ(lanes_for(8, 3, gcm), 3);
  EXPECT_EQ(lanes_for(1000, 2000, gcm), 64);
  // 255 * 32 = 8160 octets; AES-256-CBC with HMAC-SHA2-512: 2 * (32 + 64) = 192 a lane, 42.5 lanes.
  EXPECT_EQ(lanes_for(64, 64, policy("aes256-sha512-x25519-sha256")), 42);
  EXPECT_EQ(lanes_for(64, 64, policy("aes256-sha512-x25519-sha512")), 64);
}

// Both ends come to the same result on their own, or both to none.
TEST(Negotiate, IsSymmetricForRandomDevices) {
  test::Rng rng(42);
  int agreed = 0;
  int refused = 0;
  for (int i = 0; i < 5000; ++i) {
    Dim a = test::random_dim(rng);
    Dim b = test::random_dim(rng);
    if (test::below(rng, 50) == 0) b.nonce = a.nonce;
    const auto at_a = negotiate(a, b);
    const auto at_b = negotiate(b, a);
    ASSERT_EQ(at_a.has_value(), at_b.has_value());
    if (!at_a) {
      ++refused;
      ASSERT_EQ(at_a.error().code, at_b.error().code);
      continue;
    }
    ++agreed;
    ASSERT_NE(at_a->local_role, at_b->local_role);
    ASSERT_EQ(at_a->policy, at_b->policy);
    ASSERT_EQ(at_a->spn_i, at_b->spn_i);
    ASSERT_EQ(at_a->spn_r, at_b->spn_r);
    ASSERT_EQ(at_a->lanes, at_b->lanes);
    ASSERT_EQ(at_a->ppk_id, at_b->ppk_id);
  }
  EXPECT_GT(agreed, 500);
  EXPECT_GT(refused, 100);
}

}  // namespace
}  // namespace cygnet::proto
