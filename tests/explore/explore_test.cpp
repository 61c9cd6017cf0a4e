// SPDX-License-Identifier: Apache-2.0

/// Exhausts every scenario on the production machines: S1–S6 at every step, L1–L4 on the whole
/// graph. A failure prints how to get there, in the draft's notation.

#include <gtest/gtest.h>

#include <iostream>

#include "scenarios.h"

namespace cygnet::explore {
namespace {

class Explore : public ::testing::TestWithParam<Case> {};

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-4.2
//= type=test
//# During a simultaneous rekey up to four pairs of IPsec SAs may be temporarily created, but the
//# four rules ensure that they converge on a single new set of IPsec SAs.
//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-4.1
//= type=test
//# Only when the new IPsec SAs have been installed and the device is prepared to receive on those
//# new SAs does it then distribute the new DH public value to the Controller
TEST_P(Explore, EveryInterleavingKeepsEveryProperty) {
  const Case& c = GetParam();
  const Outcome outcome = explore(c.scenario, c.liveness);
  std::cout << summary(c.scenario, outcome) << "\n";
  EXPECT_TRUE(outcome.exhausted) << "raise states_max, or the scenario does not close";
  EXPECT_FALSE(outcome.violation) << outcome.violation->property << ": " << outcome.violation->text
                                  << "\n"
                                  << outcome.trace;
  EXPECT_GT(outcome.states, 100U) << "the scenario explores next to nothing";
}

std::string test_name(const ::testing::TestParamInfo<Case>& info) {
  std::string name;
  bool upper = true;
  for (const char c : info.param.scenario.name) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (letter) name += upper ? static_cast<char>(c & ~0x20) : c;
    upper = !letter;
  }
  return name;
}

INSTANTIATE_TEST_SUITE_P(Scenarios, Explore, ::testing::ValuesIn(all_cases(false)), test_name);

}  // namespace
}  // namespace cygnet::explore
