// SPDX-License-Identifier: Apache-2.0

/// Two devices, a controller and a data plane: the explorer's world and its checkers, driven by the
/// input instead of exhaustively, so with larger budgets and all features at once.

#include "fuzz.h"
#include "scenarios.h"
#include "world.h"

using namespace cygnet;

namespace {

/// What happened, once more and in words.
std::string story(const explore::Scenario& scenario, const std::vector<explore::Action>& actions) {
  explore::World world(scenario);
  std::string text;
  for (const explore::Action& action : actions) {
    text += describe(action, world) + "\n";
    (void)world.apply(scenario, action, &text);
  }
  return text;
}

}  // namespace

FUZZ_TARGET(rekey_schedule) {
  fuzz::Input in(octets);
  explore::Scenario scenario = explore::base("fuzz");
  const std::uint8_t features = in.u8();
  scenario.start_settled = true;
  scenario.rekeys = {4, 4};
  scenario.restarts = {1, 1};
  // One or the other: a publish that is repeated after a reconnect can be overtaken by a DIM whose
  // pairs are not installed yet. S6 is about the first publish; the checker judges each.
  if (in.flag()) {
    scenario.detaches = {2, 2};
    scenario.slow_installs = false;
  } else {
    scenario.install_failures = 2;
  }
  scenario.slow_draws = (features & 1) != 0;
  scenario.slow_results = (features & 2) != 0;
  scenario.duplication = (features & 4) != 0;
  scenario.wire_capacity = (features & 8) != 0 ? 2 : 1;
  if ((features & 16) != 0) scenario.removals = {1, 1};
  if ((features & 32) != 0) scenario.flushes = {1, 1};
  if ((features & 64) != 0) scenario.user_traffic = {true, false};
  scenario.lazy = (features & 128) != 0;
  explore::World world(scenario);
  std::vector<explore::Action> done;
  for (int steps = 0; !in.empty() && steps < 400; ++steps) {
    const auto actions = world.actions(scenario);
    if (actions.empty()) return;
    done.push_back(actions[in.below(actions.size())]);
    const auto broken = world.apply(scenario, done.back());
    if (!broken) continue;
    std::fprintf(stderr, "%s%s: %s\n", story(scenario, done).c_str(), broken->property.c_str(),
                 broken->text.c_str());
    FUZZ_REQUIRE(!broken);
  }
}
