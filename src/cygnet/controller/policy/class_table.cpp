// SPDX-License-Identifier: Apache-2.0
#include "cygnet/controller/policy/class_table.h"

#include <algorithm>
#include <map>

#include "cygnet/base/assert.h"

namespace cygnet::controller::policy {

std::size_t ClassTable::SignatureHash::operator()(const Signature& signature) const noexcept {
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (const SelectorId id : signature) hash = (hash ^ id) * 0x100000001b3U;
  return static_cast<std::size_t>(hash ^ (hash >> 29));
}

ClassTable::ClassTable(const std::vector<RuleSpec>& rules) {
  std::map<Selector, SelectorId> ids;
  const auto intern = [&](const Selector& selector) {
    const auto [at, fresh] = ids.try_emplace(selector, static_cast<SelectorId>(selectors_.size()));
    if (fresh) selectors_.push_back(selector);
    return at->second;
  };
  for (const RuleSpec& rule : rules) rules_.push_back({intern(rule.from), intern(rule.to)});

  uses_.resize(selectors_.size());
  selector_classes_.resize(selectors_.size());
  for (std::uint32_t rule = 0; rule < rules_.size(); ++rule) {
    const auto [from, to] = rules_[rule];
    uses_[from].push_back({rule, to, rules[rule].action});
    if (from != to) uses_[to].push_back({rule, from, rules[rule].action});
  }
  for (SelectorId id = 0; id < selectors_.size(); ++id) {
    const auto& terms = selectors_[id].terms;
    // A name is the most selective thing there is; any exact term beats a scan.
    const SelectorTerm* best = nullptr;
    for (const SelectorTerm& term : terms) {
      if (!term.is_glob() && (best == nullptr || term.key == "name")) best = &term;
    }
    if (best == nullptr) {
      scanned_.push_back(id);
    } else {
      by_term_[best->key + "=" + best->pattern].push_back(id);
    }
  }
}

Signature ClassTable::signature_of(const DeviceSpec& spec) const {
  Signature signature;
  const auto consider = [&](const std::vector<SelectorId>& candidates) {
    for (const SelectorId id : candidates) {
      if (selectors_[id].matches(spec.name, spec.labels)) signature.push_back(id);
    }
  };
  consider(scanned_);
  const auto look_up = [&](const std::string& term) {
    const auto found = by_term_.find(term);
    if (found != by_term_.end()) consider(found->second);
  };
  look_up("name=" + spec.name);
  for (const Label& label : spec.labels) look_up(label.key + "=" + label.value);
  std::sort(signature.begin(), signature.end());
  return signature;
}

std::vector<ClassTable::Use> ClassTable::uses_of(const Class& of, Action action) const {
  std::vector<Use> uses;
  for (const SelectorId id : of.signature) {
    for (const Use& use : uses_[id]) {
      if (use.action == action) uses.push_back(use);
    }
  }
  std::sort(uses.begin(), uses.end(), [](const Use& a, const Use& b) { return a.rule < b.rule; });
  return uses;
}

Bits ClassTable::make_row(const Class& of) const {
  Bits row;
  for (const Use& use : uses_of(of, Action::kAllow)) row |= selector_classes_[use.other];
  for (const Use& use : uses_of(of, Action::kDeny)) row -= selector_classes_[use.other];
  return row;
}

ClassId ClassTable::add(DeviceIndex device, const Signature& signature) {
  const auto found = by_signature_.find(signature);
  ClassId id = 0;
  if (found != by_signature_.end()) {
    id = found->second;
  } else {
    if (free_.empty()) {
      id = static_cast<ClassId>(classes_.size());
      classes_.emplace_back();
    } else {
      id = free_.back();
      free_.pop_back();
    }
    by_signature_.emplace(signature, id);
    Class& made = classes_[id];
    made.signature = signature;
    for (const SelectorId selector : signature) {
      made.selectors.set(selector);
      selector_classes_[selector].set(id);
    }
    if (!bulk_) {
      made.row = make_row(made);
      made.row.for_each([&](std::size_t other) { classes_[other].row.set(id); });
    }
  }
  if (device >= member_at_.size()) member_at_.resize(device + 1);
  member_at_[device] = static_cast<std::uint32_t>(classes_[id].members.size());
  classes_[id].members.push_back(device);
  return id;
}

void ClassTable::remove(DeviceIndex device, ClassId from) {
  Class& home = classes_[from];
  const std::uint32_t at = member_at_[device];
  CYGNET_ASSERT(at < home.members.size() && home.members[at] == device);
  home.members[at] = home.members.back();
  member_at_[home.members[at]] = at;
  home.members.pop_back();
  if (!home.members.empty()) return;
  home.row.for_each([&](std::size_t other) {
    if (other != from) classes_[other].row.reset(from);
  });
  for (const SelectorId selector : home.signature) selector_classes_[selector].reset(from);
  by_signature_.erase(home.signature);
  home = Class{};
  free_.push_back(from);
}

void ClassTable::end_bulk() {
  bulk_ = false;
  for (Class& each : classes_) each.row = make_row(each);
}

ClassTable::FlatMembers ClassTable::flatten() const {
  FlatMembers flat;
  flat.begin.reserve(classes_.size() + 1);
  for (const Class& each : classes_) {
    flat.begin.push_back(static_cast<std::uint32_t>(flat.devices.size()));
    flat.devices.insert(flat.devices.end(), each.members.begin(), each.members.end());
  }
  flat.begin.push_back(static_cast<std::uint32_t>(flat.devices.size()));
  return flat;
}

std::optional<std::uint32_t> ClassTable::first_rule(ClassId a, ClassId b, Action action) const {
  std::uint32_t first = kNoRule;
  for (const SelectorId id : classes_[a].signature) {
    for (const Use& use : uses_[id]) {
      if (use.action == action && use.rule < first && classes_[b].selectors.test(use.other)) {
        first = use.rule;
      }
    }
  }
  return first == kNoRule ? std::nullopt : std::optional(first);
}

std::vector<std::uint32_t> ClassTable::first_allow_rules(ClassId id) const {
  std::vector<std::uint32_t> first(classes_.size(), kNoRule);
  Bits open = classes_[id].row;
  for (const Use& use : uses_of(classes_[id], Action::kAllow)) {
    Bits spoken = selector_classes_[use.other];
    spoken &= open;
    spoken.for_each([&](std::size_t other) { first[other] = use.rule; });
    open -= spoken;
  }
  return first;
}

bool ClassTable::side_matches_anyone(std::uint32_t rule, bool from) const {
  return !selector_classes_[from ? rules_[rule].from : rules_[rule].to].empty();
}

}  // namespace cygnet::controller::policy
