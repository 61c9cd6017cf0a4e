// SPDX-License-Identifier: Apache-2.0

/// cygnet-explore [--thorough] [--without RULE]… [NAME…]: explores scenarios by hand and prints
/// what it finds. --without takes a rule of params.h out of the machines.

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <vector>

#include "rules.h"
#include "scenarios.h"

int main(int argc, char** argv) {
  using namespace cygnet::explore;
  bool thorough = false;
  std::size_t explored = 0, held = 0, states = 0;
  std::vector<const NamedRule*> without;
  std::vector<std::string> names;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--thorough") == 0) {
      thorough = true;
    } else if (std::strcmp(argv[i], "--without") == 0 && i + 1 < argc) {
      const std::string_view wanted = argv[++i];
      const auto* named = std::find_if(kRules.begin(), kRules.end(),
                                       [&](const NamedRule& r) { return r.name == wanted; });
      if (named == kRules.end()) {
        std::fprintf(stderr, "cygnet-explore: no rule \"%s\"; params.h lists them\n", argv[i]);
        return 2;
      }
      without.push_back(named);
    } else {
      names.emplace_back(argv[i]);
    }
  }
  for (Case& c : all_cases(thorough)) {
    if (!names.empty() && std::none_of(names.begin(), names.end(), [&](const std::string& name) {
          return c.scenario.name.find(name) != std::string::npos;
        })) {
      continue;
    }
    for (const NamedRule* rule : without) take_out(c.scenario, *rule);
    const Outcome outcome = explore(c.scenario, c.liveness);
    std::printf("%s\n", summary(c.scenario, outcome).c_str());
    ++explored;
    states += outcome.states;
    if (!outcome.violation && outcome.exhausted) ++held;
    if (outcome.violation) {
      std::printf("%s: %s\n%s", outcome.violation->property.c_str(),
                  outcome.violation->text.c_str(), outcome.trace.c_str());
    }
    std::fflush(stdout);
  }
  std::printf("%zu of %zu scenarios exhausted with every property kept, %zu states\n", held,
              explored, states);
  return explored > 0 && held == explored ? 0 : 1;
}
