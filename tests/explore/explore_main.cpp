// SPDX-License-Identifier: Apache-2.0

/// cygnet-explore [--thorough] [NAME…]: explores scenarios by hand and prints what it finds.

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "scenarios.h"

int main(int argc, char** argv) {
  using namespace cygnet::explore;
  bool thorough = false, broken = false;
  std::vector<std::string> names;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--thorough") == 0) {
      thorough = true;
    } else {
      names.emplace_back(argv[i]);
    }
  }
  for (const Case& c : all_cases(thorough)) {
    if (!names.empty() && std::none_of(names.begin(), names.end(), [&](const std::string& name) {
          return c.scenario.name.find(name) != std::string::npos;
        })) {
      continue;
    }
    const Outcome outcome = explore(c.scenario, c.liveness);
    std::printf("%s\n", summary(c.scenario, outcome).c_str());
    if (outcome.violation) {
      broken = true;
      std::printf("%s: %s\n%s", outcome.violation->property.c_str(),
                  outcome.violation->text.c_str(), outcome.trace.c_str());
    }
    std::fflush(stdout);
  }
  return broken ? 1 : 0;
}
