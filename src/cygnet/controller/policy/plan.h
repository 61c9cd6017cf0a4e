// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What applying a document would do, before it is done (docs/policy.md, "plan and apply"). Pure.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cygnet/controller/policy/compiled.h"

namespace cygnet::controller::policy {

inline constexpr ErrorCode kErrTestFailed{"policy-test-failed"};
inline constexpr ErrorCode kErrMeshRenamed{"policy-mesh-renamed"};

struct PairChange {
  enum class Kind : std::uint8_t { kAdded, kRemoved, kChanged };
  Kind kind = Kind::kAdded;
  std::string a;  ///< a < b
  std::string b;
};

struct DeviceChange {
  std::string name;
  bool added = false;
  bool removed = false;
  bool labels = false;     ///< differ from before
  bool prefixes = false;   ///< differ from before
  bool endpoints = false;  ///< differ from before
  std::uint32_t peers_added = 0;
  std::uint32_t peers_removed = 0;
  std::uint32_t peers_changed = 0;
};

/// One value of the mesh that every device learns: "rekey.every", "1h", "30m".
struct SettingChange {
  std::string key;
  std::string before;
  std::string after;
};

struct TestOutcome {
  std::string from;
  std::string to;
  Action expect = Action::kAllow;
  bool passed = false;
  std::string reason;  ///< "denied by the rule at mesh.yaml:12:5", "no rule allows it"
  Place place;
};

struct PlanOptions {
  /// Pairs listed by name; all are counted.
  std::size_t pairs_listed_max = 1000;
};

struct Plan {
  std::uint64_t pairs_before = 0;
  std::uint64_t pairs_after = 0;
  std::uint64_t pairs_added = 0;
  std::uint64_t pairs_removed = 0;
  std::uint64_t pairs_changed = 0;
  std::vector<PairChange> pairs;      ///< the first of them, by name
  std::vector<DeviceChange> devices;  ///< only devices that something changes for, by name
  std::vector<SettingChange> settings;
  std::vector<TestOutcome> tests;  ///< in the order of the document
  /// Why it cannot be applied; empty when it can. Failing tests are in here too.
  std::vector<Error> refusals;
  /// What is likely not meant, but harmless: a rule that speaks about nobody.
  std::vector<Error> warnings;
  /// True when every device gets new proposals, lanes or PPK rules and so rolls over.
  bool rolls_over_everyone = false;

  [[nodiscard]] bool applicable() const { return refusals.empty(); }
  [[nodiscard]] bool changes_anything() const {
    return pairs_added + pairs_removed + pairs_changed != 0 || !devices.empty() ||
           !settings.empty();
  }
};

/// `before` null: the first policy of the mesh. Both share a DeviceNames table.
[[nodiscard]] Plan make_plan(const CompiledPolicy* before, const CompiledPolicy& after,
                             const PlanOptions& options = {});

}  // namespace cygnet::controller::policy
