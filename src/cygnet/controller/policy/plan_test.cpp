// SPDX-License-Identifier: Apache-2.0
#include "cygnet/controller/policy/plan.h"

#include <gtest/gtest.h>

#include "cygnet/controller/policy/parse.h"

namespace cygnet::controller::policy {
namespace {

class PolicyPlan : public ::testing::Test {
 protected:
  CompiledPolicy compiled(const std::string& yaml) {
    auto document = parse(yaml, "mesh.yaml");
    EXPECT_TRUE(document) << document.error().to_string();
    auto policy = CompiledPolicy::compile(std::move(*document), {}, names_);
    EXPECT_TRUE(policy) << policy.error().to_string();
    return std::move(*policy);
  }
  Plan plan(const std::string& before, const std::string& after, const PlanOptions& options = {}) {
    const CompiledPolicy old = compiled(before);
    const CompiledPolicy now = compiled(after);
    return make_plan(&old, now, options);
  }

  std::shared_ptr<DeviceNames> names_ = std::make_shared<DeviceNames>();
};

constexpr const char* kBefore = R"(mesh: corp
devices:
  - {name: a, labels: {role: branch}}
  - {name: b, labels: {role: branch}, prefixes: [10.1.0.0/16]}
  - {name: hub, labels: {role: hub}}
  - {name: old, labels: {role: hub}}
rules:
  - {from: role=branch, to: role=hub}
)";

TEST_F(PolicyPlan, TheFirstPolicyAddsEverything) {
  const CompiledPolicy first = compiled(kBefore);
  const Plan plan = make_plan(nullptr, first);
  EXPECT_TRUE(plan.applicable());
  EXPECT_EQ(plan.pairs_before, 0U);
  EXPECT_EQ(plan.pairs_added, 4U);
  EXPECT_EQ(plan.devices.size(), 4U);
  EXPECT_TRUE(plan.devices[0].added);
  EXPECT_EQ(plan.devices[0].peers_added, 2U);
  EXPECT_TRUE(plan.settings.empty());
}

TEST_F(PolicyPlan, ThePolicyInForceAgainChangesNothing) {
  const Plan plan = this->plan(kBefore, kBefore);
  EXPECT_FALSE(plan.changes_anything());
  EXPECT_TRUE(plan.applicable());
  EXPECT_EQ(plan.pairs_before, 4U);
  EXPECT_EQ(plan.pairs_after, 4U);
}

TEST_F(PolicyPlan, SaysWhichPairsAppearAndVanishAndWhichDevicesAreTouched) {
  const Plan plan = this->plan(kBefore, R"(mesh: corp
devices:
  - {name: a, labels: {role: branch}, endpoints: ["192.0.2.1:4500"]}
  - {name: b, labels: {role: hub}, prefixes: [10.2.0.0/16]}
  - {name: hub, labels: {role: hub}}
  - {name: fresh, labels: {role: branch}}
rules:
  - {from: role=branch, to: role=hub}
)");
  EXPECT_TRUE(plan.applicable());
  EXPECT_EQ(plan.pairs_added, 3U);    // a-b, b-fresh, fresh-hub
  EXPECT_EQ(plan.pairs_removed, 3U);  // b-hub, a-old, b-old
  ASSERT_EQ(plan.pairs.size(), 6U);
  EXPECT_EQ(plan.pairs[0].a + "-" + plan.pairs[0].b, "a-b");
  EXPECT_EQ(plan.pairs[0].kind, PairChange::Kind::kAdded);
  EXPECT_EQ(plan.pairs[1].a + "-" + plan.pairs[1].b, "a-old");
  EXPECT_EQ(plan.pairs[1].kind, PairChange::Kind::kRemoved);
  ASSERT_EQ(plan.devices.size(), 5U);
  EXPECT_TRUE(plan.devices[0].endpoints);  // a
  EXPECT_EQ(plan.devices[0].peers_added, 1U);
  EXPECT_EQ(plan.devices[0].peers_removed, 1U);
  EXPECT_TRUE(plan.devices[1].labels && plan.devices[1].prefixes);  // b
  EXPECT_TRUE(plan.devices[2].added);                               // fresh
  EXPECT_EQ(plan.devices[3].name, "hub");
  EXPECT_TRUE(plan.devices[4].removed);  // old
}

TEST_F(PolicyPlan, ListsAtMostWhatWasAskedForButCountsAll) {
  const CompiledPolicy first = compiled(kBefore);
  const Plan plan = make_plan(nullptr, first, {2});
  EXPECT_EQ(plan.pairs.size(), 2U);
  EXPECT_EQ(plan.pairs_added, 4U);
}

TEST_F(PolicyPlan, SettingsAreToldAsTheDocumentWritesThem) {
  const Plan plan = this->plan("mesh: corp\n", "mesh: corp\nrekey: {every: 30m}\nlanes: 2\n");
  ASSERT_EQ(plan.settings.size(), 2U);
  EXPECT_EQ(plan.settings[0].key, "rekey.every");
  EXPECT_EQ(plan.settings[0].before, "1h");
  EXPECT_EQ(plan.settings[0].after, "30m");
  EXPECT_TRUE(plan.rolls_over_everyone);  // lanes
  EXPECT_FALSE(this->plan("mesh: corp\n", "mesh: corp\ndrain: 5s\n").rolls_over_everyone);
}

TEST_F(PolicyPlan, AChangeWhoseProposalListsShareNothingIsRefusedAtItsPlace) {
  const Plan plan = this->plan("mesh: corp\nproposals: [aes256gcm16-x25519-sha256]\n",
                               "mesh: corp\nproposals: [aes256gcm16-ecp256-sha256]\n");
  ASSERT_EQ(plan.refusals.size(), 1U);
  EXPECT_EQ(plan.refusals[0].code, kErrProposals);
  EXPECT_EQ(plan.refusals[0].where, "mesh.yaml:2:12");
  EXPECT_NE(plan.refusals[0].message.find("aes256gcm16-x25519-sha256"), std::string::npos);
  // The way the cure names: through a list that holds both.
  const char* both =
      "mesh: corp\nproposals: [aes256gcm16-ecp256-sha256, aes256gcm16-x25519-sha256]\n";
  EXPECT_TRUE(
      this->plan("mesh: corp\nproposals: [aes256gcm16-x25519-sha256]\n", both).applicable());
  EXPECT_TRUE(
      this->plan(both, "mesh: corp\nproposals: [aes256gcm16-ecp256-sha256]\n").applicable());
}

TEST_F(PolicyPlan, AProposalThatDiffersInOneTransformIsAnotherOne) {
  EXPECT_FALSE(this->plan("mesh: corp\nproposals: [aes256gcm16-x25519-sha256]\n",
                          "mesh: corp\nproposals: [aes256gcm16-x25519-sha256-noesn]\n")
                   .applicable());
}

TEST_F(PolicyPlan, TheMeshKeepsItsName) {
  const Plan plan = this->plan("mesh: corp\n", "mesh: corpse\n");
  ASSERT_EQ(plan.refusals.size(), 1U);
  EXPECT_EQ(plan.refusals[0].code, kErrMeshRenamed);
  EXPECT_EQ(plan.refusals[0].where, "mesh.yaml:1:7");
}

TEST_F(PolicyPlan, FailingTestsRefuseThePolicyAndNameTheRuleAtFault) {
  const CompiledPolicy policy = compiled(R"(mesh: corp
devices: [{name: a}, {name: b}, {name: c}]
rules:
  - {from: name=a, to: name=b}
  - {from: name=c, to: any, action: deny}
tests:
  - {from: a, to: b, expect: allow}
  - {from: a, to: c, expect: allow}
  - {from: b, to: a, expect: deny}
  - {from: c, to: b, expect: deny}
)");
  const Plan plan = make_plan(nullptr, policy);
  ASSERT_EQ(plan.tests.size(), 4U);
  EXPECT_TRUE(plan.tests[0].passed);
  EXPECT_FALSE(plan.tests[1].passed);
  EXPECT_EQ(plan.tests[1].reason, "denied by the rule at mesh.yaml:5:5");
  EXPECT_FALSE(plan.tests[2].passed);
  EXPECT_EQ(plan.tests[2].reason, "allowed by the rule at mesh.yaml:4:5");
  EXPECT_TRUE(plan.tests[3].passed);
  ASSERT_EQ(plan.refusals.size(), 2U);
  EXPECT_EQ(plan.refusals[0].code, kErrTestFailed);
  EXPECT_EQ(plan.refusals[0].where, "mesh.yaml:8:5");
  EXPECT_EQ(plan.refusals[1].where, "mesh.yaml:9:5");
}

TEST_F(PolicyPlan, ARuleThatSpeaksAboutNobodyIsPointedOut) {
  const CompiledPolicy policy = compiled(R"(mesh: corp
devices: [{name: a, labels: {role: hub}}]
rules:
  - {from: role=hub, to: role=branhc}
)");
  const Plan plan = make_plan(nullptr, policy);
  EXPECT_TRUE(plan.applicable());
  ASSERT_EQ(plan.warnings.size(), 1U);
  EXPECT_NE(plan.warnings[0].message.find("role=branhc"), std::string::npos);
  EXPECT_EQ(plan.warnings[0].where, "mesh.yaml:4:5");
}

TEST_F(PolicyPlan, PairsThatOnlyBehaveDifferentlyCountAsChanged) {
  const Plan plan =
      this->plan("mesh: corp\ndevices: [{name: a}, {name: b}]\nrules: [{from: any, to: any}]\n",
                 "mesh: corp\ndevices: [{name: a}, {name: b}]\nrules: [{from: any, to: any, "
                 "derive: eager}]\n");
  EXPECT_EQ(plan.pairs_changed, 1U);
  EXPECT_EQ(plan.pairs_added + plan.pairs_removed, 0U);
  ASSERT_EQ(plan.pairs.size(), 1U);
  EXPECT_EQ(plan.pairs[0].kind, PairChange::Kind::kChanged);
}

}  // namespace
}  // namespace cygnet::controller::policy
