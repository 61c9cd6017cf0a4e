// SPDX-License-Identifier: Apache-2.0

/// Exhausts the scenarios of three devices, and plants the faults that two cannot show: one DH pair
/// serves all peers, so what one peer does may reach another.

#include "case_test.h"

namespace cygnet::explore {
namespace {

class ExploreThree : public ::testing::TestWithParam<Case> {};

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-4
//= type=test
//# If rekeying is performed with multiple peers simultaneously, then the decision process and rules
//# described in this rekey are performed independently for each peer.
TEST_P(ExploreThree, EveryInterleavingKeepsEveryProperty) { expect_everything_holds(GetParam()); }

INSTANTIATE_TEST_SUITE_P(Scenarios, ExploreThree, ::testing::ValuesIn(cases_of_three(false)),
                         name_of_case);

class RuleAmongThree : public ::testing::TestWithParam<Fault> {};

TEST_P(RuleAmongThree, IsCaughtByTheNamedCheckerAndShowsWithThreeDevicesOnly) {
  Fault fault = GetParam();
  expect_caught(fault);
  Case two = case_named("overlapping rekeys", false);
  for (bool rekey::Rules::*rule : fault.rules) take_out(two.scenario, NamedRule{fault.name, rule});
  expect_everything_holds(two);
}

using R = rekey::Rules;
INSTANTIATE_TEST_SUITE_P(
    Rules, RuleAmongThree,
    ::testing::Values(
        Fault{"ForgetAfterAll", "three: the middle rekeys", "S4", {&R::forget_after_all}},
        Fault{"PublishAfterAll", "three: the middle rekeys", "S6", {&R::publish_after_all}},
        Fault{"ThirdAfterAll", "three: the middle rekeys twice", "Bounds", {&R::third_after_all}},
        Fault{
            "PeersApart", "three: first contact, failing install", "Take-over", {&R::peers_apart}}),
    [](const auto& fault) { return fault.param.name; });

/// Events that a broken driver would give to the wrong machine, or leave out, for one peer only.
Case unheard(const std::string& name, bool (*what)(const rekey::Event&)) {
  Case c = case_named(name, false);
  c.scenario.unheard_of = what;
  return c;
}

TEST(FaultAmongThree, ADimOfOnePeerThatNeverComesIsCaughtByL1) {
  const Case c = unheard("three: first contact", [](const rekey::Event& event) {
    const auto* dim = std::get_if<rekey::PeerDim>(&event);
    return dim != nullptr && dim->peer == peer_id(2);
  });
  expect_caught(c.scenario, c.liveness, "L1");
}

TEST(FaultAmongThree, ARemovalOfOnePeerThatIsNotHeardIsCaughtByRemoval) {
  const Case c = unheard("three: removal and return of an end", [](const rekey::Event& event) {
    const auto* removed = std::get_if<rekey::PeerRemoved>(&event);
    return removed != nullptr && removed->peer == peer_id(0);
  });
  expect_caught(c.scenario, c.liveness, "removal");
}

}  // namespace
}  // namespace cygnet::explore
