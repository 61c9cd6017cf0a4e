// SPDX-License-Identifier: Apache-2.0

/// DIMs that AgentCore refuses: each changes nothing, is reported by its code, and is dealt with.

#include <gmock/gmock.h>

#include "cygnet/agent/core/core_pair_test_kit.h"

namespace cygnet::agent::testing {
namespace {

using ::testing::Contains;

/// A DIM of b that something is wrong with must leave a's state as it was.
class Refusal : public Pair {
 protected:
  void SetUp() override {
    meet();
    exchange();
    pairs_before_ = a.installed.size();
    outbound_before_ = a.outbound[a.peer("b")];
    accepted_before_ = a.core().table().peers.front().last_accepted->counter;
  }
  void expect_unchanged(std::string_view code) {
    EXPECT_EQ(a.installed.size(), pairs_before_);
    EXPECT_EQ(a.outbound[a.peer("b")], outbound_before_);
    EXPECT_EQ(a.core().table().peers.front().last_accepted->counter, accepted_before_);
    EXPECT_EQ(a.core().refusals().at(std::string(code)), 1U);
    ASSERT_FALSE(a.reported<RefusedReport>().empty());
    EXPECT_EQ(a.reported<RefusedReport>().back().code, code);
    EXPECT_EQ(a.did<SendAck>().back().cursor.position, 7U) << "a refused DIM is dealt with";
  }
  /// b's next DIM, changed by the test, signed with `key`.
  StoredDim next_dim(const std::function<void(proto::Dim&)>& change, const crypto::IdentityKey& key,
                     const crypto::Certificate& certificate) {
    proto::Dim dim = *proto::decode_dim(dim_b.dim);
    dim.counter = proto::RekeyCounter(dim.counter.boot_count(), dim.counter.sequence() + 1);
    dim.initial_contact = false;
    dim.nonce = crypto::system_random().octets(32);
    change(dim);
    return {*proto::sign_dim(dim, test_mesh(), key), certificate.der(), a.now().wall};
  }
  void give(const StoredDim& dim) { a.update({change_with(b.name(), dim)}, 7); }

  std::size_t pairs_before_ = 0;
  std::optional<proto::SaPairId> outbound_before_;
  proto::RekeyCounter accepted_before_;
};

TEST_F(Refusal, AnOlderCounterIsIgnoredAndReportedOutsideAResume) {
  const StoredDim old = dim_b;
  b.run(b.core().on_rekey_ordered(proto::rekey::RekeyCause::kCommand, b.now()));
  dim_b = accept_publish(b);
  a.update({change_with(b.name(), dim_b)}, 6);
  pairs_before_ = a.installed.size();
  outbound_before_ = a.outbound[a.peer("b")];
  accepted_before_ = newest(b);
  give(old);
  expect_unchanged("stale-dim");
}

TEST_F(Refusal, TruncatedOctets) {
  StoredDim dim = dim_b;
  dim.dim.resize(dim.dim.size() - 3);
  give(dim);
  expect_unchanged("dim-form");
}

TEST_F(Refusal, ASignatureByAnotherKey) {
  const auto other = *crypto::IdentityKey::generate(crypto::KeyType::kEcdsaP256);
  give(next_dim([](proto::Dim&) {}, other, b.certificate()));
  expect_unchanged("signature");
}

TEST_F(Refusal, ACertificateOfAnotherCa) {
  const TestCa foreign;
  give(next_dim([](proto::Dim&) {}, b.key(), foreign.device("b", b.key())));
  expect_unchanged("certificate-chain");
}

TEST_F(Refusal, AnExpiredCertificateRefusesNewDimsAndLeavesTheSas) {
  give(next_dim([](proto::Dim&) {}, b.key(),
                ca.device("b", b.key(), kStart - std::chrono::minutes(1))));
  expect_unchanged("certificate-expired");
}

TEST_F(Refusal, AnotherKeyUnderTheSameNameIsAnAlarm) {
  const auto other = *crypto::IdentityKey::generate(crypto::KeyType::kEcdsaP256);
  give(next_dim([](proto::Dim&) {}, other, ca.device("b", other)));
  expect_unchanged("peer-key-changed");
  EXPECT_THAT(a.alarms(), Contains("peer-key-changed"));
}

TEST_F(Refusal, TheSameCounterWithOtherContentIsEquivocationAndBothAreKept) {
  give(next_dim([&](proto::Dim& dim) { dim.counter = proto::decode_dim(dim_b.dim)->counter; },
                b.key(), b.certificate()));
  expect_unchanged("equivocation");
  EXPECT_THAT(a.alarms(), Contains("equivocation"));
  const auto kept = a.did<KeepEvidence>();
  ASSERT_EQ(kept.size(), 1U);
  EXPECT_EQ(kept[0].held, dim_b.dim);
  EXPECT_NE(kept[0].seen, dim_b.dim);
}

TEST_F(Refusal, ANonceThatThisDeviceUsesItself) {
  give(next_dim([&](proto::Dim& dim) { dim.nonce = proto::decode_dim(dim_a.dim)->nonce; }, b.key(),
                b.certificate()));
  expect_unchanged("nonce-reused");
}

TEST_F(Refusal, ANonceOfAnEarlierGeneration) {
  give(next_dim([&](proto::Dim& dim) { dim.nonce = proto::decode_dim(dim_b.dim)->nonce; }, b.key(),
                b.certificate()));
  expect_unchanged("nonce-reused");
}

TEST_F(Refusal, ASmallOrderPublicValue) {
  give(next_dim([](proto::Dim& dim) { dim.kes[0].value.assign(32, 0); }, b.key(), b.certificate()));
  expect_unchanged("public-value");
}

TEST_F(Refusal, InitialContactWithoutAHigherBootCount) {
  give(next_dim([](proto::Dim& dim) { dim.initial_contact = true; }, b.key(), b.certificate()));
  expect_unchanged("initial-contact");
}

TEST_F(Refusal, ADimOfAnotherDeviceThanTheChangeNames) {
  TestDevice c(ca, "c");
  c.welcome();
  give(accept_publish(c));
  expect_unchanged("pad");
}

}  // namespace
}  // namespace cygnet::agent::testing
