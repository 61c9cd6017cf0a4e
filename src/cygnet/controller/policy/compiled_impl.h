// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Inside CompiledPolicy. Internal. Pure.

#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "cygnet/controller/policy/class_table.h"
#include "cygnet/controller/policy/compiled.h"

namespace cygnet::controller::policy {

struct CompiledPolicy::Impl {
  struct Slot {
    bool present = false;
    ClassId home = 0;
    DeviceSpec spec;
  };
  struct Owner {
    DeviceIndex device;
    std::uint32_t priority;
  };

  Impl(Document the_document, const CompileOptions& options, std::shared_ptr<DeviceNames> table)
      : document(std::move(the_document)),
        mesh_network(options.mesh_network),
        names(std::move(table)),
        classes(document.rules) {
    for (std::uint32_t rule = 0; rule < document.rules.size(); ++rule) {
      if (document.rules[rule].action == Action::kDeny) continue;
      if (!any_behaviour) any_behaviour = pair_policy(rule);
      if (!(*any_behaviour == pair_policy(rule))) behave_alike = false;
    }
  }

  [[nodiscard]] bool has(DeviceIndex device) const {
    return device < slots.size() && slots[device].present;
  }
  /// nullptr when the prefixes of `spec` may be claimed by `device`, else why not.
  [[nodiscard]] std::optional<Error> prefix_clash(DeviceIndex device, const DeviceSpec& spec) const;
  void place(DeviceIndex device, DeviceSpec spec);
  void take_out(DeviceIndex device);
  /// A present device with other prefixes or endpoints, or labels no rule looks at.
  void replace(DeviceIndex device, DeviceSpec spec);
  void own(DeviceIndex device);
  void disown(DeviceIndex device);
  [[nodiscard]] PairPolicy pair_policy(std::uint32_t rule) const;
  [[nodiscard]] std::vector<DeviceIndex> peers_of(DeviceIndex device) const;  // ascending

  /// Peers of `device` that stay but behave otherwise than under `rules_before` (the first allow
  /// rules of its former class).
  [[nodiscard]] std::vector<DeviceIndex> changed_peers(
      DeviceIndex device, const std::vector<DeviceIndex>& before,
      const std::vector<DeviceIndex>& after, const std::vector<std::uint32_t>& rules_before) const;

  Document document;
  std::optional<PairPolicy> any_behaviour;  // of some allow rule
  bool behave_alike = true;                 // … and of all of them
  std::optional<IpPrefix> mesh_network;
  std::shared_ptr<DeviceNames> names;
  ClassTable classes;
  std::vector<Slot> slots;  // by DeviceIndex
  std::size_t present = 0;
  std::unordered_map<IpPrefix, std::vector<Owner>> owners;
  std::unordered_map<std::string_view, std::size_t> document_devices;  // views into `document`
};

}  // namespace cygnet::controller::policy
