// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>
#include <tuple>

#include "cygnet/base/assert.h"
#include "cygnet/controller/policy/compiled_impl.h"

namespace cygnet::controller::policy {
namespace {

using Impl = CompiledPolicy::Impl;
using Behaviour = std::uint32_t;  ///< an interned (mode, derive, via)

class Behaviours {
 public:
  /// By rule of one policy.
  std::vector<Behaviour> of(const Impl& policy) {
    std::vector<Behaviour> out;
    for (std::uint32_t rule = 0; rule < policy.document.rules.size(); ++rule) {
      if (policy.document.rules[rule].action == Action::kDeny) {
        out.push_back(0);  // never asked for
        continue;
      }
      const PairPolicy pair = policy.pair_policy(rule);
      const auto key = std::tuple(pair.mode, pair.derive, std::string(pair.via));
      out.push_back(ids_.try_emplace(key, static_cast<Behaviour>(ids_.size())).first->second);
    }
    return out;
  }
  [[nodiscard]] bool all_alike() const { return ids_.size() <= 1; }

 private:
  std::map<std::tuple<PairMode, Derive, std::string>, Behaviour> ids_;
};

/// The peers of a class's members as bits over device indices (a member is its own peer here when
/// the class is adjacent to itself).
Bits peers_as_bits(const Impl& policy, const ClassTable::FlatMembers& flat, ClassId home) {
  Bits peers;
  policy.classes.row(home).for_each([&](std::size_t other) {
    for (std::uint32_t at = flat.begin[other]; at < flat.begin[other + 1]; ++at) {
      peers.set(flat.devices[at]);
    }
  });
  return peers;
}

/// Behaviour of every pair of a class, by the other's class.
std::vector<Behaviour> behaviours_of(const Impl& policy, const std::vector<Behaviour>& by_rule,
                                     ClassId home) {
  std::vector<std::uint32_t> rules = policy.classes.first_allow_rules(home);
  std::vector<Behaviour> out(rules.size());
  for (std::size_t i = 0; i < rules.size(); ++i) {
    if (rules[i] != ClassTable::kNoRule) out[i] = by_rule[rules[i]];
  }
  return out;
}

constexpr ClassId kAbsent = 0xffffffff;

ClassId home_of(const Impl* policy, DeviceIndex device) {
  return policy != nullptr && policy->has(device) ? policy->slots[device].home : kAbsent;
}

/// What all devices share that were of one class before and are of one class after.
struct Change {
  Bits added;
  Bits removed;
  Bits changed;
  std::uint32_t devices = 0;  ///< that have not been visited yet
  bool computed = false;
  bool nothing = true;
};

class Difference {
 public:
  Difference(const Impl* before, const Impl& after) : before_(before), after_(after) {
    if (before_ != nullptr) {
      old_behaviour_ = behaviours_.of(*before_);
      old_members_ = before_->classes.flatten();
    }
    new_behaviour_ = behaviours_.of(after_);
    new_members_ = after_.classes.flatten();
  }

  void run(const std::function<void(const AdjacencyDelta&)>& visit) {
    const std::size_t slots =
        std::max(after_.slots.size(), before_ == nullptr ? 0 : before_->slots.size());
    for (DeviceIndex device = 0; device < slots; ++device) ++changes_[key(device)].devices;
    for (DeviceIndex device = 0; device < slots; ++device) {
      const auto at = changes_.find(key(device));
      Change& change = at->second;
      if (!change.computed) compute(change, home_of(before_, device), home_of(&after_, device));
      if (!change.nothing) tell(change, device, visit);
      if (--change.devices == 0) changes_.erase(at);  // a fleet of singletons needs no room
    }
  }

 private:
  [[nodiscard]] std::uint64_t key(DeviceIndex device) const {
    return (std::uint64_t{home_of(before_, device)} << 32) | home_of(&after_, device);
  }

  void compute(Change& change, ClassId home_old, ClassId home_new) const {
    change.computed = true;
    const Bits was = home_old == kAbsent ? Bits{} : peers_as_bits(*before_, old_members_, home_old);
    const Bits is = home_new == kAbsent ? Bits{} : peers_as_bits(after_, new_members_, home_new);
    change.added = is;
    change.added -= was;
    change.removed = was;
    change.removed -= is;
    if (!behaviours_.all_alike() && home_old != kAbsent && home_new != kAbsent) {
      Bits kept = was;
      kept &= is;
      const auto behaved = behaviours_of(*before_, old_behaviour_, home_old);
      const auto behaves = behaviours_of(after_, new_behaviour_, home_new);
      kept.for_each([&](std::size_t peer) {
        const auto index = static_cast<DeviceIndex>(peer);
        if (behaved[home_of(before_, index)] != behaves[home_of(&after_, index)]) {
          change.changed.set(peer);
        }
      });
    }
    change.nothing = change.added.empty() && change.removed.empty() && change.changed.empty();
  }

  void tell(const Change& change, DeviceIndex device,
            const std::function<void(const AdjacencyDelta&)>& visit) {
    delta_.device = device;
    const auto collect = [&](const Bits& bits, std::vector<DeviceIndex>& into) {
      into.clear();
      bits.for_each([&](std::size_t peer) {
        if (peer != device) into.push_back(static_cast<DeviceIndex>(peer));
      });
    };
    collect(change.added, delta_.added);
    collect(change.removed, delta_.removed);
    collect(change.changed, delta_.changed);
    if (!delta_.empty()) visit(delta_);
  }

  const Impl* before_;
  const Impl& after_;
  Behaviours behaviours_;
  std::vector<Behaviour> old_behaviour_;
  std::vector<Behaviour> new_behaviour_;
  ClassTable::FlatMembers old_members_;
  ClassTable::FlatMembers new_members_;
  std::unordered_map<std::uint64_t, Change> changes_;
  AdjacencyDelta delta_;  // kept for its room
};

}  // namespace

void for_each_difference(const CompiledPolicy* before, const CompiledPolicy& after,
                         const std::function<void(const AdjacencyDelta&)>& visit) {
  const CompiledPolicy::Impl* old = before == nullptr ? nullptr : &before->impl();
  CYGNET_ASSERT(old == nullptr || old->names == after.impl().names);
  Difference(old, after.impl()).run(visit);
}

}  // namespace cygnet::controller::policy
