// SPDX-License-Identifier: Apache-2.0
#include "scenarios.h"

#include <algorithm>

#include "checkers.h"
#include "cygnet/base/assert.h"

namespace cygnet::explore {
namespace {

constexpr Duration kTick = std::chrono::seconds(10);
constexpr Duration kNever = std::chrono::hours(24 * 365);

/// Begins with every pair of peers settled on its first generations.
Scenario settled(std::string name, PerDevice<std::uint8_t> rekeys) {
  Scenario s = base(std::move(name));
  s.start_settled = true;
  s.rekeys = rekeys;
  return s;
}
/// What gets lost is other scenarios' matter.
Scenario lossless(Scenario s) {
  s.losses_in_row = 0;
  return s;
}
Scenario quick_installs(Scenario s) {
  s.slow_installs = false;
  return s;
}
/// Drain, cap and third are within reach.
Scenario short_lived(Scenario s) {
  s.lifetimes = true;
  s.params.drain = 2 * kTick;
  s.params.forget_cap = 4 * kTick;
  s.params.third_after = 4 * kTick;
  s.horizon = 5 * kTick;
  return quick_installs(lossless(std::move(s)));
}
/// One roll-over in progress on each side: four pairs.
Scenario four_pairs(Scenario s) {
  s.pairs_expected_max = 4;
  return s;
}

Liveness outlasts_controller() {
  Liveness l;
  l.property = "L4";
  return l;
}

void add_plain(std::vector<Case>& cases, bool thorough) {
  {
    Scenario s = base("first contact");
    s.slow_draws = true;
    cases.push_back({s, {}});
  }
  {
    Scenario s = lossless(base("first contact and a rekey"));
    s.rekeys = {1, 0};
    cases.push_back({s, {}});
  }
  {
    // Either may roll over before it knows the other, and then has no SA with its first generation.
    Scenario s = lossless(base("first contact and a rekey each"));
    s.rekeys = {1, 1};
    s.time_any_time = true;
    s.wire_capacity = 0;
    s.at_once = {!thorough, false};
    cases.push_back({s, {}});
    s.name = "first contact and a rekey each, failing install";
    s.install_failures = 1;
    cases.push_back({s, {}});
  }
  {
    Scenario s = four_pairs(settled("one rekey each, slow installs", {1, 1}));
    s.losses_in_row = thorough ? 1 : 0;
    cases.push_back({s, {}});
  }
  cases.push_back({quick_installs(four_pairs(settled("one rekey each, loss", {1, 1}))), {}});
  {
    Scenario s = four_pairs(settled("one-way, one rekey each", {1, 1}));
    s.user_traffic = {true, false};
    cases.push_back({s, {}});
    s = quick_installs(std::move(s));
    s.name = "peer that only answers";
    s.planted[1] = s.params;
    s.planted[1]->rules.probe = false;
    cases.push_back({s, {}});
  }
  {
    Scenario s = settled("overlapping rekeys", {2, 1});
    s.slow_installs = thorough;
    s.losses_in_row = thorough ? 1 : 0;
    cases.push_back({s, {}});
  }
  {
    Scenario s = lossless(settled("failing installs", {1, 1}));
    s.install_failures = 1;
    cases.push_back({s, {}});
  }
  {
    Scenario s = quick_installs(settled("duplicates and reordering", {1, 0}));
    s.duplication = true;
    s.wire_capacity = 2;
    cases.push_back({s, {}});
  }
}

void add_losses_of_state(std::vector<Case>& cases, bool thorough) {
  {
    Scenario s = lossless(settled("restart", {0, 1}));
    s.restarts = {1, 0};
    Liveness l;
    l.recovers_fast = true;
    cases.push_back({s, l});
  }
  {
    // The peer learns the device's address from its packets: all depends on what Start tries.
    Scenario s = lossless(settled("restart, the other behind a NAT", {1, 0}));
    s.restarts = {0, 2};
    s.learns_endpoint = {false, true};
    s.slow_installs = thorough;
    cases.push_back({s, {}});
  }
  {
    Scenario s = lossless(settled("removal and return", {0, 1}));
    s.removals = {1, 0};
    cases.push_back({s, {}});
  }
  {
    // Both have to roll over at once, because newest × newest is used up (Install once).
    Scenario s = lossless(settled("removal and return on both sides", {}));
    s.removals = {1, 1};
    cases.push_back({s, {}});
  }
  {
    Scenario s = lossless(settled("removal and return during a rekey", {1, 0}));
    s.removals = {1, 0};
    s.slow_results = true;
    s.slow_installs = thorough;
    cases.push_back({s, {}});
  }
  {
    Scenario s = lossless(settled("flush by hand", {1, 1}));
    s.flushes = {1, 0};
    s.slow_installs = thorough;
    cases.push_back({s, {}});
  }
  {
    // Only B sends, on what A has lost, and cannot install what A publishes instead.
    Scenario s = short_lived(settled("flush by hand, failing installs, the other silent", {1, 0}));
    s.slow_installs = true;
    s.flushes = {1, 0};
    s.install_failures = 2;
    s.wire_capacity = 0;
    s.at_once = {true, false};
    s.user_traffic = {false, true};
    s.planted[0] = s.params;
    s.planted[0]->rules.probe = false;
    cases.push_back({s, {}});
  }
  {
    Scenario s = lossless(settled("restored disk", {0, 1}));
    s.rollbacks = {1, 0};
    cases.push_back({s, {}});
  }
}

void add_controller_away(std::vector<Case>& cases, bool thorough) {
  {
    Scenario s = lossless(settled("controller away", {1, 0}));
    s.detaches = {1, 1};
    s.slow_results = true;
    s.slow_installs = thorough;
    cases.push_back({s, outlasts_controller()});
  }
  {
    // A publish is repeated on a new stream while SAs with the peer's next one are being installed.
    Scenario s = lossless(settled("controller away, a rekey each", {1, 1}));
    s.detaches = {1, 0};
    s.wire_capacity = 0;
    s.at_once = {false, !thorough};
    cases.push_back({s, outlasts_controller()});
    s.name = "controller away, a rekey each, failing install";
    s.install_failures = 1;
    if (thorough) cases.push_back({s, outlasts_controller()});
  }
  {
    // What nobody has seen yet is drawn again, and not published with a hole.
    Scenario s = lossless(settled("flush by hand, controller away", {1, 0}));
    s.flushes = {1, 0};
    s.detaches = {1, 0};
    s.slow_installs = thorough;
    cases.push_back({s, outlasts_controller()});
  }
  {
    Scenario s = quick_installs(lossless(settled("many rekeys while the peer is away", {4, 0})));
    s.detaches = {0, 1};
    s.pairs_expected_max = 4;  // live, two newest, one that drains
    cases.push_back({s, {}});
  }
}

void add_times(std::vector<Case>& cases, bool thorough) {
  {
    Scenario s = short_lived(settled("cap and third", {2, 0}));
    s.detaches = {0, 1};
    s.lazy = true;
    s.horizon = 4 * kTick;
    cases.push_back({s, {}});
  }
  {
    const std::uint8_t peer_rekeys = thorough ? 1 : 0;
    Scenario s = short_lived(settled("dormant", {1, peer_rekeys}));
    s.dormancy = true;
    s.user_traffic = {true, thorough};
    s.params.rules.soft_lifetime = false;  // rekeys are ordered here; soft is the idle time
    s.params.soft = 3 * kTick;
    cases.push_back({s, {}});
    Scenario lazy = s;
    lazy.name = "dormant and lazy, woken at the cap";
    lazy.lazy = true;
    lazy.rekeys = {1, 1};
    lazy.detaches = {0, 1};
    lazy.user_traffic = {thorough, true};
    lazy.params.probe_first = lazy.params.probe_every = 2 * kTick;
    cases.push_back({lazy, {}});
    s.name = "dormant, peer without controller";
    s.detaches = {0, 1};
    Liveness l;
    l.quiet = true;
    l.property = "L2";
    l.goal = keeps_nothing_old;
    cases.push_back({s, l});
  }
  {
    Scenario s = short_lived(settled("lifetimes", {}));
    s.detaches = {1, 0};
    s.params.rules.dormant = false;
    s.user_traffic = {thorough, false};
    s.params.soft = 8 * kTick;
    s.params.soft_jitter_permille = 0;
    s.params.hard = 12 * kTick;
    s.params.inbound_grace = kTick;
    s.horizon = 15 * kTick;  // hard + grace + drain
    cases.push_back({s, outlasts_controller()});
  }
}

/// Three devices, B between A and C. What two do to each other the other scenarios exhaust; here
/// packets arrive at once, so that what is left is what one peer's doings do to the other.
Scenario three(std::string name, PerDevice<std::uint8_t> rekeys) {
  Scenario s = lossless(settled("three: " + std::move(name), rekeys));
  s.devices = 3;
  s.wire_capacity = 0;
  return s;
}

void add_three(std::vector<Case>& cases, bool thorough) {
  const std::uint8_t ends = thorough ? 1 : 0;
  {
    Scenario s = three("first contact", {});
    s.start_settled = false;
    cases.push_back({s, {}});
    s.name += ", failing install";
    s.at_once = {true, false, true};
    s.install_failures = 1;
    cases.push_back({s, {}});
  }
  {
    Scenario s = three("the middle rekeys", {0, 1, 0});
    s.wire_capacity = 1;
    cases.push_back({s, {}});
  }
  {
    Scenario s = three("the middle and an end rekey", {1, 1, 0});
    s.at_once = {true, false, true};
    cases.push_back({s, {}});
  }
  if (thorough) cases.push_back({quick_installs(three("all rekey", {1, 1, 1})), {}});
  {
    // The delivery mark that allows a third has to name both.
    Scenario s = three("the middle rekeys twice", {0, 2, 0});
    s.at_once = {true, !thorough, true};
    s.detaches = {0, 0, ends};
    s.time_any_time = true;
    cases.push_back({s, {}});
  }
  {
    Scenario s = three("failing install", {ends, 1, 0});
    s.at_once = {true, false, true};
    s.install_failures = 1;
    cases.push_back({s, {}});
  }
  {
    // C has no controller while B's older private value reaches its cap.
    const std::uint8_t rekeys = thorough ? 2 : 1;
    Scenario s = short_lived(three("cap and third", {0, rekeys, 0}));
    s.detaches = {0, 0, 1};
    cases.push_back({s, {}});
  }
  {
    Scenario s = short_lived(three("lifetimes", {}));
    s.params.rules.dormant = false;
    s.detaches = {0, ends, 0};
    s.params.soft = 8 * kTick;
    s.params.soft_jitter_permille = 0;
    s.params.hard = 12 * kTick;
    s.params.inbound_grace = kTick;
    s.horizon = 15 * kTick;
    s.user_traffic = {false, true, false};
    cases.push_back({s, outlasts_controller()});
  }
  {
    Scenario s = three("removal and return of an end", {0, 1, 0});
    s.removals = {0, 1, 0};
    s.at_once = {true, false, true};
    cases.push_back({s, {}});
  }
  {
    Scenario s = three("restart of the middle", {ends, 0, 0});
    s.restarts = {0, 1, 0};
    s.at_once = {true, false, true};
    Liveness l;
    l.recovers_fast = true;
    cases.push_back({s, l});
  }
  {
    Scenario s = three("restart of an end", {0, 1, 0});
    s.restarts = {1, 0, 0};
    s.at_once = {true, false, true};
    cases.push_back({s, {}});
  }
  {
    Scenario s = quick_installs(three("all peers of each other", {1, 1, 0}));
    s.triangle = true;
    cases.push_back({s, {}});
  }
}

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

std::vector<Case> cases_of_two(bool thorough) {
  std::vector<Case> cases;
  add_plain(cases, thorough);
  add_losses_of_state(cases, thorough);
  add_controller_away(cases, thorough);
  add_times(cases, thorough);
  return cases;
}

std::vector<Case> cases_of_three(bool thorough) {
  std::vector<Case> cases;
  add_three(cases, thorough);
  return cases;
}

std::vector<Case> all_cases(bool thorough) {
  std::vector<Case> cases = cases_of_two(thorough);
  for (Case& c : cases_of_three(thorough)) cases.push_back(std::move(c));
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
