// SPDX-License-Identifier: Apache-2.0
#include "cygnet/controller/policy/plan.h"

#include <algorithm>

#include "cygnet/base/assert.h"
#include "cygnet/base/in_quotes.h"
#include "cygnet/controller/policy/compiled_impl.h"
#include "cygnet/controller/policy/values.h"

namespace cygnet::controller::policy {
namespace {

std::string proposal_list(const Document& document) {
  std::string out;
  for (const ProposalSpec& each : document.proposals) {
    out += (out.empty() ? "" : ", ") + proto::to_string(each.policy);
  }
  return out;
}

std::string rekeyed_list(const Document& document) {
  std::string out;
  for (const NameSpec& each : document.rekeyed) out += (out.empty() ? "" : ", ") + each.name;
  return out;
}

/// Every value of the mesh that devices learn, by key, as the document would write it.
std::vector<std::pair<std::string, std::string>> settings_of(const Document& document) {
  return {{"profile", std::string(to_string(document.profile))},
          {"proposals", proposal_list(document)},
          {"rekey.every", format_duration(document.rekey.every)},
          {"rekey.jitter", format_permille(document.rekey.jitter_permille)},
          {"rekey.packets", std::to_string(document.rekey.packets)},
          {"lifetime", format_duration(document.lifetime)},
          {"lanes", std::to_string(document.lanes)},
          {"replay_window", std::to_string(document.replay_window)},
          {"drain", format_duration(document.drain)},
          {"forget_cap", format_duration(document.forget_cap)},
          {"derive", std::string(to_string(document.derive))},
          {"ppk.mandatory", document.ppk_mandatory ? "true" : "false"},
          {"rekeyed", rekeyed_list(document)}};
}

bool same_nets(const DeviceSpec& a, const DeviceSpec& b) {
  return std::equal(a.prefixes.begin(), a.prefixes.end(), b.prefixes.begin(), b.prefixes.end(),
                    [](const PrefixSpec& x, const PrefixSpec& y) {
                      return x.net == y.net && x.priority == y.priority;
                    });
}

class Planner {
 public:
  Planner(const CompiledPolicy* before, const CompiledPolicy& after, const PlanOptions& options)
      : before_(before), after_(after), options_(options) {}

  Plan run() {
    plan_.pairs_before = before_ == nullptr ? 0 : before_->pair_count();
    plan_.pairs_after = after_.pair_count();
    differ_devices();
    differ_pairs();
    std::erase_if(changes_, [](const DeviceChange& each) { return each.name.empty(); });
    plan_.devices = std::move(changes_);
    std::sort(plan_.devices.begin(), plan_.devices.end(),
              [](const DeviceChange& a, const DeviceChange& b) { return a.name < b.name; });
    differ_settings();
    run_tests();
    warn();
    return std::move(plan_);
  }

 private:
  [[nodiscard]] bool was(DeviceIndex device) const {
    return before_ != nullptr && before_->has(device);
  }
  DeviceChange& change(DeviceIndex device) {
    if (changes_[device].name.empty()) changes_[device].name = after_.names().name(device);
    return changes_[device];
  }

  void differ_devices() {
    changes_.resize(after_.names().size());
    for (DeviceIndex device = 0; device < changes_.size(); ++device) {
      const bool is = after_.has(device);
      if (was(device) && is) {
        const DeviceSpec& old = before_->device(device);
        const DeviceSpec& now = after_.device(device);
        if (old.labels != now.labels) change(device).labels = true;
        if (!same_nets(old, now)) change(device).prefixes = true;
        if (old.endpoints != now.endpoints) change(device).endpoints = true;
      } else if (is) {
        change(device).added = true;
      } else if (was(device)) {
        change(device).removed = true;
      }
    }
  }

  void differ_pairs() {
    for_each_difference(before_, after_, [&](const AdjacencyDelta& delta) {
      DeviceChange& mine = change(delta.device);
      mine.peers_added = static_cast<std::uint32_t>(delta.added.size());
      mine.peers_removed = static_cast<std::uint32_t>(delta.removed.size());
      mine.peers_changed = static_cast<std::uint32_t>(delta.changed.size());
      list(delta, delta.added, PairChange::Kind::kAdded, plan_.pairs_added);
      list(delta, delta.removed, PairChange::Kind::kRemoved, plan_.pairs_removed);
      list(delta, delta.changed, PairChange::Kind::kChanged, plan_.pairs_changed);
    });
    std::sort(plan_.pairs.begin(), plan_.pairs.end(), [](const PairChange& x, const PairChange& y) {
      return std::tie(x.a, x.b) < std::tie(y.a, y.b);
    });
  }

  void list(const AdjacencyDelta& delta, const std::vector<DeviceIndex>& peers,
            PairChange::Kind kind, std::uint64_t& counter) {
    for (const DeviceIndex peer : peers) {
      if (peer < delta.device) continue;  // a pair shows up at both of its ends
      ++counter;
      if (plan_.pairs.size() >= options_.pairs_listed_max) continue;
      std::string a = after_.names().name(delta.device);
      std::string b = after_.names().name(peer);
      if (b < a) std::swap(a, b);
      plan_.pairs.push_back({kind, std::move(a), std::move(b)});
    }
  }

  void differ_settings() {
    if (before_ == nullptr) return;
    const Document& old = before_->document();
    const Document& now = after_.document();
    const auto old_settings = settings_of(old);
    const auto new_settings = settings_of(now);
    for (std::size_t i = 0; i < new_settings.size(); ++i) {
      if (old_settings[i].second != new_settings[i].second) {
        plan_.settings.push_back(
            {new_settings[i].first, old_settings[i].second, new_settings[i].second});
      }
    }
    const auto& key_changes = plan_.settings;
    plan_.rolls_over_everyone =
        std::any_of(key_changes.begin(), key_changes.end(), [](const SettingChange& each) {
          return each.key == "proposals" || each.key == "lanes" || each.key == "ppk.mandatory";
        });
    if (old.mesh != now.mesh) {
      plan_.refusals.push_back(
          {kErrMeshRenamed, "the mesh is " + in_quotes(old.mesh) + ", not " + in_quotes(now.mesh),
           where(now, now.mesh_place),
           "its name is in every certificate and stays: write mesh: " + old.mesh +
               ", or make a new mesh"});
    }
    // "`plan` refuses a change whose old and new lists share nothing" (protocol section 4): while
    // devices roll over one by one, those on the old list must still agree with those on the new.
    const bool shared =
        std::any_of(now.proposals.begin(), now.proposals.end(), [&](const ProposalSpec& fresh) {
          return std::any_of(old.proposals.begin(), old.proposals.end(),
                             [&](const ProposalSpec& o) { return o.policy == fresh.policy; });
        });
    if (!shared) {
      plan_.refusals.push_back(
          {kErrProposals,
           "the new proposals share none with those in force (" + proposal_list(old) + ")",
           where(now, now.proposals_place),
           "apply a list that holds old and new ones first; drop the old ones when every device "
           "has rolled over"});
    }
  }

  void run_tests() {
    const Document& now = after_.document();
    for (const TestSpec& test : now.tests) {
      const auto from = after_.names().find(test.from);
      const auto to = after_.names().find(test.to);
      CYGNET_ASSERT(from && to);  // check() knows every name
      const Verdict verdict = after_.verdict(*from, *to);
      TestOutcome outcome{test.from, test.to, test.expect, false, {}, test.place};
      outcome.passed = verdict.allowed == (test.expect == Action::kAllow);
      outcome.reason = !verdict.rule
                           ? std::string("no rule allows it")
                           : std::string(verdict.allowed ? "allowed" : "denied") +
                                 " by the rule at " + where(now, now.rules[*verdict.rule].place);
      if (!outcome.passed) {
        plan_.refusals.push_back(
            {kErrTestFailed,
             "the test from " + in_quotes(test.from) + " to " + in_quotes(test.to) + " expects " +
                 std::string(to_string(test.expect)) + ", but it is " + outcome.reason,
             where(now, test.place), "change the rule or the test"});
      }
      plan_.tests.push_back(std::move(outcome));
    }
  }

  void warn() {
    const Document& now = after_.document();
    for (std::uint32_t rule = 0; rule < now.rules.size(); ++rule) {
      for (const bool from : {true, false}) {
        if (after_.impl().classes.side_matches_anyone(rule, from)) continue;
        const Selector& side = from ? now.rules[rule].from : now.rules[rule].to;
        plan_.warnings.push_back(
            {kErrSelector,
             in_quotes(to_string(side)) + " matches no device, so this rule says " + "nothing yet",
             where(now, now.rules[rule].place), "check names and labels"});
        break;
      }
    }
  }

  const CompiledPolicy* before_;
  const CompiledPolicy& after_;
  const PlanOptions& options_;
  Plan plan_;
  std::vector<DeviceChange> changes_;  // by DeviceIndex; an empty name: nothing changes
};

}  // namespace

Plan make_plan(const CompiledPolicy* before, const CompiledPolicy& after,
               const PlanOptions& options) {
  return Planner(before, after, options).run();
}

}  // namespace cygnet::controller::policy
