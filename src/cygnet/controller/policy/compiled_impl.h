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
        classes(document.rules) {}

  [[nodiscard]] bool has(DeviceIndex device) const {
    return device < slots.size() && slots[device].present;
  }
  /// nullptr when the prefixes of `spec` may be claimed by `device`, else why not.
  [[nodiscard]] std::optional<Error> prefix_clash(DeviceIndex device, const DeviceSpec& spec) const;
  void place(DeviceIndex device, DeviceSpec spec);
  void take_out(DeviceIndex device);
  [[nodiscard]] PairPolicy pair_policy(std::uint32_t rule) const;
  [[nodiscard]] std::vector<DeviceIndex> peers_of(DeviceIndex device) const;  // ascending

  Document document;
  std::optional<IpPrefix> mesh_network;
  std::shared_ptr<DeviceNames> names;
  ClassTable classes;
  std::vector<Slot> slots;  // by DeviceIndex
  std::size_t present = 0;
  std::unordered_map<IpPrefix, std::vector<Owner>> owners;
  std::unordered_map<std::string_view, std::size_t> document_devices;  // views into `document`
};

}  // namespace cygnet::controller::policy
