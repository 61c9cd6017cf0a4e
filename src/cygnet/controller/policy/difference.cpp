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
Bits peers_as_bits(const Impl& policy, ClassId home) {
  Bits peers;
  policy.classes.row(home).for_each([&](std::size_t other) {
    for (const DeviceIndex device : policy.classes.members(static_cast<ClassId>(other))) {
      peers.set(device);
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
  bool nothing = true;
};

}  // namespace

void for_each_difference(const CompiledPolicy* before, const CompiledPolicy& after,
                         const std::function<void(const AdjacencyDelta&)>& visit) {
  const Impl* old = before == nullptr ? nullptr : &before->impl();
  const Impl& fresh = after.impl();
  CYGNET_ASSERT(old == nullptr || old->names == fresh.names);

  Behaviours behaviours;
  const auto old_behaviour = old == nullptr ? std::vector<Behaviour>{} : behaviours.of(*old);
  const auto new_behaviour = behaviours.of(fresh);

  const std::size_t slots = std::max(fresh.slots.size(), old == nullptr ? 0 : old->slots.size());
  std::map<std::pair<ClassId, ClassId>, Change> changes;
  for (DeviceIndex device = 0; device < slots; ++device) {
    const ClassId home_old = home_of(old, device);
    const ClassId home_new = home_of(&fresh, device);
    if (home_old == kAbsent && home_new == kAbsent) continue;
    const auto [at, first] = changes.try_emplace({home_old, home_new});
    Change& change = at->second;
    if (first) {
      const Bits was = home_old == kAbsent ? Bits{} : peers_as_bits(*old, home_old);
      const Bits is = home_new == kAbsent ? Bits{} : peers_as_bits(fresh, home_new);
      change.added = is;
      change.added -= was;
      change.removed = was;
      change.removed -= is;
      if (!behaviours.all_alike() && home_old != kAbsent && home_new != kAbsent) {
        Bits kept = was;
        kept &= is;
        const auto behaved = behaviours_of(*old, old_behaviour, home_old);
        const auto behaves = behaviours_of(fresh, new_behaviour, home_new);
        kept.for_each([&](std::size_t peer) {
          const auto index = static_cast<DeviceIndex>(peer);
          if (behaved[home_of(old, index)] != behaves[home_of(&fresh, index)]) {
            change.changed.set(peer);
          }
        });
      }
      change.nothing = change.added.empty() && change.removed.empty() && change.changed.empty();
    }
    if (change.nothing) continue;
    AdjacencyDelta delta{device, {}, {}, {}};
    const auto collect = [&](const Bits& bits, std::vector<DeviceIndex>& into) {
      bits.for_each([&](std::size_t peer) {
        if (peer != device) into.push_back(static_cast<DeviceIndex>(peer));
      });
    };
    collect(change.added, delta.added);
    collect(change.removed, delta.removed);
    collect(change.changed, delta.changed);
    if (!delta.empty()) visit(delta);
  }
}

}  // namespace cygnet::controller::policy
