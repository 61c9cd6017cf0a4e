// SPDX-License-Identifier: Apache-2.0
#include "cygnet/sim/plants.h"

#include "cygnet/sim/scenario.h"

namespace cygnet::sim {
namespace {

using Rules = proto::rekey::Rules;

PlantedFault rule(std::string name, bool Rules::*which, std::vector<std::string> checkers,
                  std::string scenario = "mixed") {
  PlantedFault fault;
  fault.name = std::move(name);
  fault.about = "this rule of the rekey machine is taken out";
  fault.checkers = std::move(checkers);
  fault.scenario = std::move(scenario);
  fault.plants.rules.*which = false;
  return fault;
}

PlantedFault defect(std::string name, std::string about, bool Plants::*which,
                    std::vector<std::string> checkers, std::string scenario = "mixed") {
  PlantedFault fault;
  fault.name = std::move(name);
  fault.about = std::move(about);
  fault.checkers = std::move(checkers);
  fault.scenario = std::move(scenario);
  fault.plants.*which = true;
  // The machine would notice by itself what the check before it lets through.
  if (fault.plants.skip_counter) fault.plants.rules.counter_check = false;
  return fault;
}

}  // namespace

std::vector<PlantedFault> planted_faults() {
  std::vector<PlantedFault> all;
  all.push_back(rule("no-start", &Rules::start, {"L3"}));
  // What Start tries first, and that it waits for the mark, concerns packets that are sent while
  // nothing is live: no property here forbids their loss. The explorer's "Start" holds both rules.
  // … and in time it makes a device send on what the peer never had.
  all.push_back(rule("no-held", &Rules::held, {"L1", "S1"}));
  all.push_back(rule("no-install-once", &Rules::install_once, {"S2"}));
  all.push_back(rule("no-take-over", &Rules::take_over, {"S1"}));
  all.push_back(rule("no-no-hole", &Rules::no_hole, {"S6"}));
  all.push_back(rule("no-retry-pending", &Rules::retry_pending, {"L1"}));
  all.push_back(rule("no-install-before-publish", &Rules::install_before_publish, {"S6"}));
  all.push_back(rule("no-decision-needs-live", &Rules::decision_needs_live, {"S1"}));
  all.push_back(rule("no-probe", &Rules::probe, {"L2"}));
  all.push_back(rule("no-probe-repeats", &Rules::probe_repeats, {"L2"}));
  all.push_back(rule("no-probe-answers", &Rules::probe_answers, {"L2"}));
  all.push_back(rule("no-dormant", &Rules::dormant, {"L2"}));
  all.push_back(rule("no-bound-local", &Rules::bound_local, {"S3"}));
  all.push_back(rule("no-drain", &Rules::drain, {"S1"}));
  all.push_back(rule("no-rule3", &Rules::rule3, {"S1"}));
  all.push_back(rule("no-restart-replaces", &Rules::restart_replaces, {"S1"}));
  all.push_back(rule("no-republish", &Rules::republish, {"L3"}));
  all.push_back(rule("no-own-dim-check", &Rules::own_dim_check, {"L4"}));
  all.push_back(defect("reused-nonce",
                       "a new generation has the DH pair and nonce of the one before",
                       &Plants::reuse_nonce, {"S2"}));
  all.push_back(defect("erased-too-early", "private values go as soon as another is drawn",
                       &Plants::erase_early, {"S4"}));
  all.push_back(
      defect("never-erased", "private values stay in the key store", &Plants::never_erase, {"S3"}));
  all.push_back(
      defect("signature-not-checked", "AUTH is not verified", &Plants::skip_auth, {"S5"}));
  all.push_back(defect("counter-not-checked", "the last accepted counter is not looked at",
                       &Plants::skip_counter, {"S5"}));
  all.push_back(defect("equal-refused", "the same DIM again is refused", &Plants::refuse_equal,
                       {"L2", "L1"}));
  all.push_back(defect("clear-and-reload", "a reconnect drops all peers and takes them anew",
                       &Plants::clear_and_reload, {"L4"}));
  all.push_back(defect("tombstone-ignored", "removals by policy are not heard",
                       &Plants::ignore_tombstones, {"S5"}));
  all.push_back(defect("removed-by-silence", "peers go when the controller does",
                       &Plants::removal_by_silence, {"L4"}));
  all.push_back(defect("boot-count-kept", "a start without SAs does not raise the boot count",
                       &Plants::keep_boot_count, {"L3", "L4"}));
  all.push_back(defect("claimed-installed", "installs are confirmed seconds before they are there",
                       &Plants::claim_installed, {"S6"}));
  all.push_back(defect("swapped-keys", "a direction's key is taken from the other",
                       &Plants::swap_keys, {"S2"}));
  all.push_back(defect("counters-reset", "sequence numbers of an SA begin again after a while",
                       &Plants::reset_counters, {"S2"}));
  all.push_back(defect("outbound-stuck", "the data plane keeps its first choice",
                       &Plants::stick_outbound, {"L1"}));
  all.push_back(
      defect("any-icv", "the data plane opens whatever comes", &Plants::accept_any_icv, {"S2"}));
  all.push_back(defect("no-replay-window", "the data plane opens what it had before",
                       &Plants::no_replay_window, {"S2"}));
  all.push_back(
      defect("deaf-to-probes", "probes are not taken in", &Plants::deaf_to_probes, {"L2"}));
  all.push_back(
      defect("no-reconnect", "a lost stream stays lost", &Plants::no_reconnect, {"L3", "L4"}));
  all.push_back(defect("late-timers", "deadlines are acted on a minute late", &Plants::lazy_timer,
                       {"S1", "S4"}));
  return all;
}

Result<PlantedFault> planted_fault_named(std::string_view name) {
  std::string names;
  for (PlantedFault& fault : planted_faults()) {
    if (fault.name == name) return std::move(fault);
    names += (names.empty() ? "" : ", ") + fault.name;
  }
  return fail(kErrScenario, "there is no planted fault \"" + std::string(name) + "\"", "--plant",
              "name one of " + names);
}

}  // namespace cygnet::sim
