// SPDX-License-Identifier: Apache-2.0
#include "scenarios.h"

#include <algorithm>

#include "checkers.h"
#include "cygnet/base/assert.h"

namespace cygnet::explore {
namespace {

constexpr Duration kTick = std::chrono::seconds(10);
constexpr Duration kNever = std::chrono::hours(24 * 365);

}  // namespace

void take_out(Scenario& scenario, const NamedRule& rule) {
  for (auto& planted : scenario.planted) {
    if (!planted) planted = scenario.params;
    planted->rules.*(rule.rule) = false;
  }
}

Scenario base(std::string name) {
  Scenario s;
  s.name = std::move(name);
  s.params.start_hold = kTick;
  s.params.probe_first = kTick;
  s.params.probe_every = kTick;
  s.params.probe_answers_per_second = 0;  // no limit, no state
  s.params.drain = 3 * kTick;             // longer than one loss lasts
  s.params.forget_cap = kNever;
  s.params.third_after = kNever;
  s.params.soft = kNever;
  s.params.hard = kNever;
  s.params.redraw_pause = kTick;
  s.params.publish_retry = kTick;
  s.jump_max = std::chrono::hours(1);
  s.horizon = 8 * kTick;
  return s;
}

std::vector<Case> all_cases(bool thorough) {
  std::vector<Case> cases;
  {
    Scenario s = base("first contact");
    s.slow_draws = true;
    cases.push_back({s, {}});
  }
  {
    Scenario s = base("first contact and a rekey");
    s.rekeys = {1, 0};
    s.losses_in_row = 0;
    cases.push_back({s, {}});
  }
  {
    Scenario s = base("one rekey each, slow installs");
    s.start_settled = true;
    s.rekeys = {1, 1};
    s.pairs_expected_max = 4;
    s.losses_in_row = thorough ? 1 : 0;
    cases.push_back({s, {}});
  }
  {
    Scenario s = base("one rekey each, loss");
    s.start_settled = true;
    s.rekeys = {1, 1};
    s.pairs_expected_max = 4;
    s.slow_installs = false;
    cases.push_back({s, {}});
  }
  {
    Scenario s = base("one-way, one rekey each");
    s.start_settled = true;
    s.rekeys = {1, 1};
    s.user_traffic = {true, false};
    s.pairs_expected_max = 4;
    cases.push_back({s, {}});
  }
  {
    Scenario s = base("peer that only answers");
    s.start_settled = true;
    s.rekeys = {1, 1};
    s.user_traffic = {true, false};
    s.pairs_expected_max = 4;
    s.slow_installs = false;
    s.planted[1] = s.params;
    s.planted[1]->rules.probe = false;
    cases.push_back({s, {}});
  }
  {
    Scenario s = base("overlapping rekeys");
    s.start_settled = true;
    s.rekeys = {2, 1};
    s.slow_installs = thorough;
    s.losses_in_row = thorough ? 1 : 0;
    cases.push_back({s, {}});
  }
  {
    Scenario s = base("failing installs");
    s.start_settled = true;
    s.rekeys = {1, 1};
    s.install_failures = 1;
    s.losses_in_row = 0;
    cases.push_back({s, {}});
  }
  {
    Scenario s = base("restart");
    s.start_settled = true;
    s.rekeys = {0, 1};
    s.restarts = {1, 0};
    s.losses_in_row = 0;
    Liveness l;
    l.recovers_fast = true;
    cases.push_back({s, l});
  }
  {
    // The peer learns the device's address from its packets: all depends on what Start tries.
    Scenario s = base("restart, the other behind a NAT");
    s.start_settled = true;
    s.rekeys = {1, 0};
    s.restarts = {0, 2};
    s.learns_endpoint = {false, true};
    s.losses_in_row = 0;
    s.slow_installs = thorough;
    cases.push_back({s, {}});
  }
  {
    Scenario s = base("controller away");
    s.start_settled = true;
    s.rekeys = {1, 0};
    s.detaches = {1, 1};
    s.losses_in_row = 0;
    s.slow_results = true;
    s.slow_installs = thorough;
    Liveness l;
    l.property = "L4";
    cases.push_back({s, l});
  }
  {
    Scenario s = base("many rekeys while the peer is away");
    s.start_settled = true;
    s.rekeys = {4, 0};
    s.detaches = {0, 1};
    s.losses_in_row = 0;
    s.slow_installs = false;
    s.pairs_expected_max = 4;  // live, two newest, one that drains
    cases.push_back({s, {}});
  }
  {
    Scenario s = base("cap and third");
    s.start_settled = true;
    s.rekeys = {2, 0};
    s.detaches = {0, 1};
    s.losses_in_row = 0;
    s.slow_installs = false;
    s.lifetimes = true;
    s.lazy = true;
    s.params.drain = 2 * kTick;
    s.params.forget_cap = 4 * kTick;
    s.params.third_after = 4 * kTick;
    s.horizon = 4 * kTick;
    cases.push_back({s, {}});
  }
  {
    Scenario s = base("dormant");
    s.start_settled = true;
    s.rekeys = {1, thorough ? std::uint8_t{1} : std::uint8_t{0}};
    s.losses_in_row = 0;
    s.slow_installs = false;
    s.dormancy = true;
    s.lifetimes = true;
    s.user_traffic = {true, thorough};
    s.params.rules.soft_lifetime = false;  // rekeys are ordered here; soft is the idle time
    s.params.soft = 3 * kTick;
    s.params.drain = 2 * kTick;
    s.params.forget_cap = 4 * kTick;
    s.params.third_after = 4 * kTick;
    s.horizon = 5 * kTick;
    cases.push_back({s, {}});
    {
      Scenario lazy = s;
      lazy.name = "dormant and lazy, woken at the cap";
      lazy.lazy = true;
      lazy.rekeys = {1, 1};
      lazy.detaches = {0, 1};
      lazy.user_traffic = {thorough, true};
      lazy.params.probe_first = lazy.params.probe_every = 2 * kTick;
      cases.push_back({lazy, {}});
    }
    s.name = "dormant, peer without controller";
    s.detaches = {0, 1};
    Liveness l;
    l.quiet = true;
    l.property = "L2";
    l.goal = keeps_nothing_old;
    cases.push_back({s, l});
  }
  {
    Scenario s = base("lifetimes");
    s.start_settled = true;
    s.detaches = {1, 0};
    s.losses_in_row = 0;
    s.slow_installs = false;
    s.lifetimes = true;
    s.params.rules.dormant = false;
    s.user_traffic = {thorough, false};
    s.params.soft = 8 * kTick;
    s.params.soft_jitter_permille = 0;
    s.params.hard = 12 * kTick;
    s.params.inbound_grace = kTick;
    s.params.drain = 2 * kTick;
    s.params.forget_cap = 4 * kTick;
    s.params.third_after = 4 * kTick;
    s.horizon = 15 * kTick;  // hard + grace + drain
    Liveness l;
    l.property = "L4";
    cases.push_back({s, l});
  }
  {
    Scenario s = base("removal and return");
    s.start_settled = true;
    s.rekeys = {0, 1};
    s.removals = {1, 0};
    s.losses_in_row = 0;
    cases.push_back({s, {}});
  }
  {
    // Both have to roll over at once, because newest × newest is used up (Install once).
    Scenario s = base("removal and return on both sides");
    s.start_settled = true;
    s.removals = {1, 1};
    s.losses_in_row = 0;
    cases.push_back({s, {}});
  }
  {
    Scenario s = base("removal and return during a rekey");
    s.start_settled = true;
    s.rekeys = {1, 0};
    s.removals = {1, 0};
    s.losses_in_row = 0;
    s.slow_results = true;
    s.slow_installs = thorough;
    cases.push_back({s, {}});
  }
  {
    Scenario s = base("flush by hand");
    s.start_settled = true;
    s.flushes = {1, 0};
    s.rekeys = {1, 1};
    s.losses_in_row = 0;
    s.slow_installs = thorough;
    cases.push_back({s, {}});
  }
  {
    Scenario s = base("restored disk");
    s.start_settled = true;
    s.rollbacks = {1, 0};
    s.rekeys = {0, 1};
    s.losses_in_row = 0;
    cases.push_back({s, {}});
  }
  {
    Scenario s = base("duplicates and reordering");
    s.start_settled = true;
    s.rekeys = {1, 0};
    s.duplication = true;
    s.wire_capacity = 2;
    s.slow_installs = false;
    cases.push_back({s, {}});
  }
  return cases;
}

Case case_named(const std::string& name, bool thorough) {
  for (Case& c : all_cases(thorough)) {
    if (c.scenario.name == name) return c;
  }
  CYGNET_ASSERT(false && "no such scenario");
  return {};
}

}  // namespace cygnet::explore
