// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What tests of scenarios share: one has to hold, or has to be caught breaking a property.

#include <gtest/gtest.h>

#include <iostream>
#include <string>
#include <vector>

#include "scenarios.h"

namespace cygnet::explore {

/// gtest takes letters only.
inline std::string test_name(const std::string& words) {
  std::string name;
  bool upper = true;
  for (const char c : words) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (letter) name += upper ? static_cast<char>(c & ~0x20) : c;
    upper = !letter;
  }
  return name;
}
inline std::string name_of_case(const ::testing::TestParamInfo<Case>& info) {
  return test_name(info.param.scenario.name);
}

inline void expect_everything_holds(const Case& c) {
  const Outcome outcome = explore(c.scenario, c.liveness);
  std::cout << summary(c.scenario, outcome) << "\n";
  EXPECT_TRUE(outcome.exhausted) << "raise states_max, or the scenario does not close";
  EXPECT_FALSE(outcome.violation) << outcome.violation->property << ": " << outcome.violation->text
                                  << "\n"
                                  << outcome.trace;
  EXPECT_GT(outcome.states, 100U) << "the scenario explores next to nothing";
}

inline void expect_caught(const Scenario& scenario, const Liveness& liveness,
                          const std::string& property) {
  const Outcome outcome = explore(scenario, liveness);
  std::cout << summary(scenario, outcome) << "\n";
  ASSERT_TRUE(outcome.violation) << "nothing notices the fault";
  EXPECT_EQ(outcome.violation->property, property) << outcome.violation->text << "\n"
                                                   << outcome.trace;
  EXPECT_FALSE(outcome.violation->text.empty());
}

/// A rule that is taken out.
struct Fault {
  std::string name;
  std::string scenario;  ///< where it must show
  std::string property;  ///< which checker must speak
  std::vector<bool rekey::Rules::*> rules;
};
inline void PrintTo(const Fault& fault, std::ostream* out) { *out << fault.name; }

inline void expect_caught(const Fault& fault) {
  Case c = case_named(fault.scenario, false);
  for (bool rekey::Rules::*rule : fault.rules) take_out(c.scenario, NamedRule{fault.name, rule});
  expect_caught(c.scenario, c.liveness, fault.property);
}

}  // namespace cygnet::explore
