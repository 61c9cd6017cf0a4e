// SPDX-License-Identifier: Apache-2.0
// A checker that cannot complain proves nothing. Each planted fault has to be found, within a
// hundred seeds, by a checker that is named for it; and each checker has to find something.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "cygnet/sim/runner.h"

namespace cygnet::sim {
namespace {

class PlantedFaults : public testing::TestWithParam<PlantedFault> {};

std::string name_of_case(const testing::TestParamInfo<PlantedFault>& info) {
  std::string name = info.param.name;
  for (char& c : name) {
    if (c == '-') c = '_';
  }
  return name;
}

TEST_P(PlantedFaults, IsFoundByTheCheckerNamedForIt) {
  const PlantedFault& fault = GetParam();
  const auto scenario = scenario_named(fault.scenario);
  ASSERT_TRUE(scenario.has_value());
  const SwarmReport report = swarm({*scenario, 1, 100, 2, fault.plants, true});
  ASSERT_FALSE(report.broken.empty()) << "nobody noticed in " << report.runs << " seeds";
  const std::string& found_by = report.broken.front().violation->checker;
  EXPECT_THAT(fault.checkers, testing::Contains(found_by)) << describe(report.broken.front());
}

INSTANTIATE_TEST_SUITE_P(Each, PlantedFaults, testing::ValuesIn(planted_faults()), name_of_case);

TEST(PlantedFaultList, HasAFaultForEveryChecker) {
  std::set<std::string> named;
  for (const PlantedFault& fault : planted_faults()) {
    if (fault.checkers.size() == 1) named.insert(fault.checkers.front());
  }
  EXPECT_THAT(named,
              testing::IsSupersetOf({"S1", "S2", "S3", "S4", "S5", "S6", "L1", "L2", "L3", "L4"}));
  EXPECT_GE(planted_faults().size(), 25U);
}

}  // namespace
}  // namespace cygnet::sim
