// SPDX-License-Identifier: Apache-2.0

/// Tests of the explorer: each rule of docs/protocol.md section 6 is taken out in turn, other
/// faults are planted, and each property is broken at least once; the named checker must say so. A
/// rule whose absence nothing notices would be either useless or untested.

#include <set>

#include "case_test.h"

namespace cygnet::explore {
namespace {

using R = rekey::Rules;

const std::vector<Fault>& faults() {
  static const std::vector<Fault> kFaults{
      {"Start", "first contact", "L1", {&R::start}},
      {"StartTakesTheOldest", "first contact and a rekey", "Start", {&R::start_oldest}},
      {"StartAcknowledged", "restart, the other behind a NAT", "L1", {&R::start_acknowledged}},
      {"StartWaitsForTheMark", "first contact", "Start", {&R::start_waits_for_mark}},
      {"Held", "one rekey each, loss", "L1", {&R::held}},
      {"InstallOnce", "removal and return", "S2", {&R::install_once}},
      {"TakeOver", "one rekey each, slow installs", "S1", {&R::take_over}},
      {"KeepLeft", "first contact and a rekey each, failing install", "S1", {&R::keep_left}},
      {"HeardNewer", "first contact and a rekey each", "S1", {&R::heard_newer}},
      {"DeadEnd", "flush by hand, failing installs, the other silent", "S1", {&R::dead_end}},
      {"NoHole", "failing installs", "S6", {&R::no_hole}},
      {"RollOverOnFailure", "failing installs", "L1", {&R::roll_over_on_failure}},
      {"RetryPending", "failing installs", "Take-over", {&R::retry_pending}},
      {"InstallBeforePublish", "one rekey each, slow installs", "S6", {&R::install_before_publish}},
      {"DecisionNeedsLive", "one rekey each, loss", "Start", {&R::decision_needs_live}},
      {"Probe", "one-way, one rekey each", "L1", {&R::probe}},
      {"ProbeRepeats", "one-way, one rekey each", "L1", {&R::probe_repeats}},
      {"ProbeAnswers", "one-way, one rekey each", "L1", {&R::probe_answers}},
      {"ProbeRollOver", "peer that only answers", "L1", {&R::probe_roll_over}},
      {"Dormant", "dormant, peer without controller", "L2", {&R::dormant}},
      {"BoundLocal", "overlapping rekeys", "S3", {&R::bound_local}},
      {"ThirdWaitsForDrain",
       "many rekeys while the peer is away",
       "S3",
       {&R::third_waits_for_drain}},
      // Against S1 either is enough there.
      {"ThirdWaitsForDrainAndKeepLeft",
       "overlapping rekeys",
       "S1",
       {&R::third_waits_for_drain, &R::keep_left}},
      {"BoundPairs", "many rekeys while the peer is away", "S3", {&R::bound_pairs}},
      {"Drain", "duplicates and reordering", "S1", {&R::drain}},
      {"Rule3", "one rekey each, loss", "L1", {&R::rule3}},
      // The draft's "may". Bounds keep SAs with the newest remote generation, the newest complete
      // one and the one last heard on, which retires what Rule 4 would retire; so either does.
      {"Rule4", "one rekey each, loss", "L1", {&R::rule4, &R::bound_pairs}},
      {"Forget", "one rekey each, loss", "S4", {&R::forget}},
      {"ForgetCap", "cap and third", "S4", {&R::forget_cap}},
      {"ForgetAfterAccepted", "flush by hand", "S4", {&R::forget_after_accepted}},
      {"DeriveBeforeErase", "dormant and lazy, woken at the cap", "S1", {&R::derive_before_erase}},
      {"HardLifetime", "lifetimes", "hard", {&R::hard_lifetime}},
      {"SoftLifetime", "lifetimes", "L4", {&R::soft_lifetime}},
      {"RestartReplaces", "restart", "S1", {&R::restart_replaces}},
      {"Republish", "controller away", "L4", {&R::republish}},
      {"OwnDimCheck", "restored disk", "L1", {&R::own_dim_check}},
      {"CounterCheck", "one rekey each, loss", "S5", {&R::counter_check}},
      {"EqualCounterTaken", "removal and return", "L1", {&R::equal_counter}},
      {"RemovalForgets", "removal and return", "removal", {&R::removal_forgets}},
  };
  return kFaults;
}

class RuleTakenOut : public ::testing::TestWithParam<Fault> {};

TEST_P(RuleTakenOut, IsCaughtByTheNamedChecker) { expect_caught(GetParam()); }

INSTANTIATE_TEST_SUITE_P(Rules, RuleTakenOut, ::testing::ValuesIn(faults()),
                         [](const auto& fault) { return fault.param.name; });

// ---- faults that are not rules ---------------------------------------------

Case planted(const std::string& name, void (*change)(rekey::RekeyParams&)) {
  Case c = case_named(name, false);
  for (auto& params : c.scenario.planted) {
    params = c.scenario.params;
    change(*params);
  }
  return c;
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-7
//= type=test
//# However, the DH private key value and the nonce distributed with it may be forgotten only once
//# the last IPsec SA that uses the private key value is removed from the SAD and there is no chance
//# that a new IPsec SA could be setup that requires the private key value.
TEST(PlantedFault, ErasedTooEarlyIsCaughtByS1) {
  const Case c = planted("first contact and a rekey each",
                         [](rekey::RekeyParams& p) { p.forget_cap = Duration(0); });
  expect_caught(c.scenario, c.liveness, "S1");
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-7
//= type=test
//# any information that could be used to recompute those keys.
TEST(PlantedFault, ErasedTooLateIsCaughtByS4) {
  const Case c =
      planted("cap and third", [](rekey::RekeyParams& p) { p.forget_cap += p.probe_first; });
  expect_caught(c.scenario, c.liveness, "S4");
}

TEST(PlantedFault, NoWaitOfStartIsCaughtByStart) {
  const Case c =
      planted("first contact", [](rekey::RekeyParams& p) { p.start_hold = Duration(0); });
  expect_caught(c.scenario, c.liveness, "Start");
}

TEST(PlantedFault, TombstoneIgnoredIsCaughtByRemoval) {
  Case c = case_named("removal and return", false);
  c.scenario.unheard_of = [](const rekey::Event& event) {
    return std::holds_alternative<rekey::PeerRemoved>(event);
  };
  expect_caught(c.scenario, c.liveness, "removal");
}

TEST(PlantedFault, DeliveryMarkIgnoredIsCaughtByL3) {
  Case c = case_named("restart", false);
  c.scenario.unheard_of = [](const rekey::Event& event) {
    return std::holds_alternative<rekey::DeliveryMark>(event);
  };
  c.liveness.settles = false;
  expect_caught(c.scenario, c.liveness, "L3");
}

TEST(PlantedFault, FlushIgnoredIsCaughtByL1) {
  Case c = case_named("flush by hand", false);
  c.scenario.rekeys = {0, 0};
  c.scenario.unheard_of = [](const rekey::Event& event) {
    return std::holds_alternative<rekey::SaPairLost>(event);
  };
  expect_caught(c.scenario, c.liveness, "L1");
}

// ---- rules that need a third device, or a controller that sees what is wrong ----

constexpr Timestamp kBegin = Timestamp(std::chrono::hours(1));
constexpr PeerId kB{1}, kC{2};

/// A device with two peers whose world answers at once.
class TwoPeers {
 public:
  explicit TwoPeers(const R& rules) {
    rekey::RekeyParams params;
    params.rules = rules;
    core = rekey::RekeyCore(params);
    feed(rekey::Start{1, 0, true});
    feed(rekey::LinkUp{});
    for (const PeerId peer : {kB, kC}) {
      feed(rekey::PeerAdded{peer, std::nullopt});
      feed(rekey::PeerDim{peer, RekeyCounter(1, 1), true, now});
    }
  }
  void feed(const rekey::Event& event) {
    const rekey::Effects effects = core.handle(event, now);
    refused = effects.rejected;
    for (const rekey::Effect& effect : effects.list) {
      if (const auto* draw = std::get_if<rekey::GenerateDhPair>(&effect)) {
        feed(rekey::GenerationReady{draw->counter, 1U << 31});
      } else if (const auto* install = std::get_if<rekey::InstallSaPair>(&effect)) {
        feed(rekey::SaPairInstalled{install->peer, install->pair});
      } else if (const auto* publish = std::get_if<rekey::PublishGeneration>(&effect)) {
        feed(rekey::PublishAccepted{publish->counter, now});
      }
    }
  }
  void wait(Duration duration) {
    for (const Timestamp until = now + duration;;) {
      const auto next = core.next_deadline();
      if (!next || *next > until) {
        now = until;
        return;
      }
      now = std::max(now, *next);
      feed(rekey::TimePassed{});
    }
  }
  [[nodiscard]] RekeyCounter chosen_local() const {
    const auto choice = core.peer_status(kB)->outbound;
    return choice ? choice->local : RekeyCounter();
  }

  rekey::RekeyCore core;
  Timestamp now = kBegin;
  std::optional<rekey::Rejected> refused;
};

/// Start has left a1 behind towards B; a1 is held because C still uses it; then B rekeys.
RekeyCounter local_chosen_after_peer_rekeys(const R& rules) {
  TwoPeers a(rules);
  a.wait(std::chrono::seconds(2));
  a.feed(rekey::InboundEvidence{kC, {RekeyCounter(1, 1), RekeyCounter(1, 1)}});
  a.feed(rekey::RekeyRequired{});
  a.feed(rekey::SaPairLost{kB, {RekeyCounter(1, 1), RekeyCounter(1, 1)}});
  a.wait(std::chrono::seconds(2));
  EXPECT_EQ(a.chosen_local(), RekeyCounter(1, 2)) << "a2, for a1 has no SA with B";
  a.feed(rekey::PeerDim{kB, RekeyCounter(1, 2), false, a.now});
  return a.chosen_local();
}

TEST(NeverBack, TheChoiceStaysOnTheYoungerGeneration) {
  R rules;
  EXPECT_EQ(local_chosen_after_peer_rekeys(rules), RekeyCounter(1, 2));
  rules.never_back = false;
  EXPECT_EQ(local_chosen_after_peer_rekeys(rules), RekeyCounter(1, 1)) << "the rule is not needed";
}

/// B's first pair failed to install while the roll-over that would mend it is taken out.
std::optional<rekey::RekeyCause> wanted_after_bad_spi(bool rule) {
  R rules;
  rules.bad_spi = rule;
  rules.roll_over_on_failure = false;
  TwoPeers a(rules);
  a.feed(rekey::RekeyRequired{});
  a.wait(std::chrono::seconds(1));
  const rekey::Effects asked =
      a.core.handle(rekey::PeerDim{kB, RekeyCounter(1, 2), false, a.now}, a.now);
  for (const rekey::Effect& effect : asked.list) {
    if (const auto* install = std::get_if<rekey::InstallSaPair>(&effect)) {
      a.feed(rekey::SaPairFailed{kB, install->pair, rekey::InstallFailure::kTransient});
    }
  }
  EXPECT_FALSE(a.core.rekey_wanted());
  a.feed(rekey::MissingNewest{kB});
  EXPECT_FALSE(a.refused);
  const auto wanted = a.core.device_status().rekey_wanted;
  a.feed(rekey::MissingNewest{kB});
  EXPECT_EQ(a.refused, rekey::Rejected::kPaused) << "at most once a minute";
  return wanted;
}

TEST(BadSpi, TheSideThatLacksNewestTimesNewestRollsOver) {
  EXPECT_EQ(wanted_after_bad_spi(true), rekey::RekeyCause::kBadSpi);
  EXPECT_EQ(wanted_after_bad_spi(false), std::nullopt);
}

// ---- the list is complete --------------------------------------------------

TEST(PlantedFaults, EveryRuleIsTakenOutByOneOfThem) {
  for (const NamedRule& named : kRules) {
    if (named.name == "never_back" || named.name == "bad_spi") continue;  // tests of their own
    if (named.name == "peers_apart" || named.name.ends_with("_after_all")) continue;  // … of three
    bool taken = false;
    for (const Fault& fault : faults()) {
      for (bool R::*rule : fault.rules) taken = taken || rule == named.rule;
    }
    EXPECT_TRUE(taken) << named.name;
  }
}

TEST(PlantedFaults, EveryPropertyIsBrokenByOneOfThem) {
  std::set<std::string> broken{"L3"};  // DeliveryMarkIgnoredIsCaughtByL3
  for (const Fault& fault : faults()) broken.insert(fault.property);
  for (const char* property : {"S1", "S2", "S3", "S4", "S5", "S6", "L1", "L2", "L3", "L4"}) {
    EXPECT_TRUE(broken.count(property)) << property;
  }
}

}  // namespace
}  // namespace cygnet::explore
