// SPDX-License-Identifier: Apache-2.0
// Lazy derivation: which SA pairs are claimed, and which have keys at once.

#include <gmock/gmock.h>

#include "cygnet/agent/core/core_pair_test_kit.h"

namespace cygnet::agent::testing {
namespace {

using ::testing::ElementsAre;
class LazyPair : public Pair {
 protected:
  LazyPair() {
    a.lazy = true;
    a.log.clear();
    a.make_core(ca, {});
    meet();
  }
  [[nodiscard]] std::vector<bool> lazily() {
    std::vector<bool> out;
    for (const InstallPair& e : a.did<InstallPair>()) out.push_back(e.lazy);
    a.log.clear();
    return out;
  }
  void rekey() { a.run(a.core().on_rekey_ordered(proto::rekey::RekeyCause::kCommand, a.now())); }
};

TEST_F(LazyPair, PairsOfAnIdlePeerAreClaimed) {
  EXPECT_THAT(lazily(), ElementsAre(true));
  rekey();
  EXPECT_THAT(lazily(), ElementsAre(true));
}

TEST_F(LazyPair, PairsOfAPeerWithUserPacketsAreDerivedAtOnceForOneSoftLifetime) {
  static_cast<void>(lazily());
  a.run(a.core().on_user_traffic(a.peer("b"), a.now()));
  rekey();
  EXPECT_THAT(lazily(), ElementsAre(false));
  dim_a = accept_publish(a);
  mark_delivered(a, {b.name()});
  a.advance(std::chrono::hours(1) + std::chrono::minutes(10));
  const auto later = lazily();
  ASSERT_FALSE(later.empty()) << "the soft lifetime has passed";
  EXPECT_TRUE(later.back());
}

TEST_F(LazyPair, AnEagerPolicyClaimsNothing) {
  MeshSettings settings = test_settings();
  settings.derive_eager = true;
  a.run(a.core().on_link_down(a.now()));
  a.welcome(settings, dim_a, true);
  a.log.clear();
  rekey();
  EXPECT_THAT(lazily(), ElementsAre(false));
}

TEST_F(LazyPair, WhatIsInUseIsDerivedBeforeItsPrivateValueIsErased) {
  rekey();
  dim_a = accept_publish(a);
  a.log.clear();
  a.advance(std::chrono::minutes(4));  // the cap; b has said nothing
  std::size_t derive = 0, erase = 0;
  for (std::size_t i = 0; i < a.log.size(); ++i) {
    if (std::holds_alternative<DeriveNow>(a.log[i])) derive = i + 1;
    if (std::holds_alternative<EraseKeys>(a.log[i])) erase = i + 1;
  }
  ASSERT_NE(erase, 0U);
  ASSERT_NE(derive, 0U);
  EXPECT_LT(derive, erase);
}

TEST_F(LazyPair, AClaimedPairWhoseKeysCannotBeHadGoesAndTheDeviceRollsOver) {
  const auto pair = a.did<InstallPair>().back().pair;
  const auto before = newest(a);
  a.run(a.core().on_keys_failed(a.peer("b"), pair, Error{ErrorCode("test"), "no"}, a.now()));
  EXPECT_TRUE(a.removed_in.contains({a.peer("b"), pair}));
  EXPECT_GT(newest(a), before);
}

TEST_F(LazyPair, ADrainingPairWhoseKeysCannotBeHadGoesAndNothingElseHappens) {
  const auto old = a.did<InstallPair>().back().pair;
  rekey();
  dim_a = accept_publish(a);
  mark_delivered(a, {b.name()});
  const proto::SaPairId next{newest(a), old.remote};
  a.run(a.core().on_evidence(a.peer("b"), next, EvidenceKind::kProbe, a.now()));
  ASSERT_FALSE(a.removed_in.contains({a.peer("b"), old})) << "it drains";
  a.run(a.core().on_keys_failed(a.peer("b"), old, Error{ErrorCode("test"), "no"}, a.now()));
  EXPECT_TRUE(a.removed_in.contains({a.peer("b"), old}));
  a.advance(std::chrono::seconds(30));
  EXPECT_EQ(newest(a), next.local) << "a late packet for a pair on its way out rolls nothing over";
}

}  // namespace
}  // namespace cygnet::agent::testing
