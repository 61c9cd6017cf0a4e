// SPDX-License-Identifier: Apache-2.0

/// Two or three devices, a controller and a data plane: the explorer's world and its checkers,
/// driven by the input instead of exhaustively, so with larger budgets and all features at once. At
/// the end nothing more is inflicted, and everything has to settle.

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

void require_nothing_broken(const explore::Scenario& scenario,
                            const std::vector<explore::Action>& actions,
                            const std::optional<explore::Violation>& broken) {
  if (!broken) return;
  std::fprintf(stderr, "%s%s: %s\n", story(scenario, actions).c_str(), broken->property.c_str(),
               broken->text.c_str());
  FUZZ_REQUIRE(!broken);
}

}  // namespace

FUZZ_TARGET(rekey_schedule) {
  fuzz::Input in(octets);
  explore::Scenario scenario = explore::base("fuzz");
  const std::uint8_t features = in.u8();
  // What ends a wait for a delivery mark that cannot come, because the peer's installs fail too.
  scenario.params.third_after = explore::rekey::RekeyParams{}.third_after;
  scenario.rekeys = {4, 4, 4};
  scenario.restarts = {1, 1, 1};
  scenario.detaches = {2, 2, 2};
  const std::uint8_t more = in.u8();
  scenario.slow_installs = (more & 1) == 0;
  scenario.install_failures = scenario.slow_installs ? 2 : 0;
  scenario.devices = (more & 2) != 0 ? 3 : 2;
  scenario.triangle = (more & 4) != 0;
  scenario.start_settled = (more & 8) == 0;
  scenario.slow_draws = (features & 1) != 0;
  scenario.slow_results = (features & 2) != 0;
  scenario.duplication = (features & 4) != 0;
  scenario.wire_capacity = (features & 8) != 0 ? 2 : 1;
  if ((features & 16) != 0) scenario.removals = {1, 1, 1};
  // By one operator only: what two do at once to the same pair is known, and left
  // (docs/findings.md).
  if ((features & 32) != 0) scenario.flushes = {1, 0, 0};
  if ((features & 64) != 0) scenario.user_traffic = {true, false, true};
  scenario.lazy = (features & 128) != 0;
  explore::World world(scenario);
  std::vector<explore::Action> done;
  for (int steps = 0; !in.empty() && steps < 400; ++steps) {
    const auto actions = world.actions(scenario);
    if (actions.empty()) break;
    done.push_back(actions[in.below(actions.size())]);
    require_nothing_broken(scenario, done, world.apply(scenario, done.back()));
  }
  require_nothing_broken(scenario, done, world.settle(scenario, 2000, &done));
}
