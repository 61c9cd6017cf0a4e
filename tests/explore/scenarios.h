// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The scenarios the explorer exhausts. Times are scaled to few ticks so that the state space
/// closes; their order is that of the defaults: probe = hold < drain < cap = third.

#include <ostream>
#include <vector>

#include "explorer.h"
#include "rules.h"

namespace cygnet::explore {

struct Case {
  Scenario scenario;
  Liveness liveness;
};
inline void PrintTo(const Case& c, std::ostream* out) { *out << c.scenario.name; }

/// Plants a fault: from the settled beginning on no device follows this rule.
void take_out(Scenario& scenario, const NamedRule& rule);

/// Scaled times, nobody falls asleep, nothing expires.
[[nodiscard]] Scenario base(std::string name);

/// Scenarios of two and of three devices, and all of them; `thorough`: with the larger budgets.
[[nodiscard]] std::vector<Case> cases_of_two(bool thorough);
[[nodiscard]] std::vector<Case> cases_of_three(bool thorough);
[[nodiscard]] std::vector<Case> all_cases(bool thorough);
[[nodiscard]] Case case_named(const std::string& name, bool thorough = true);

}  // namespace cygnet::explore
