// SPDX-License-Identifier: Apache-2.0
#include "cygnet/controller/policy/compiled.h"

#include <algorithm>

#include "cygnet/base/assert.h"
#include "cygnet/controller/policy/check.h"
#include "cygnet/controller/policy/compiled_impl.h"
#include "cygnet/proto/ids/mesh_address.h"

namespace cygnet::controller::policy {

DeviceIndex DeviceNames::intern(std::string_view name) {
  const auto found = index_.find(name);
  if (found != index_.end()) return found->second;
  const auto index = static_cast<DeviceIndex>(names_.size());
  const auto [at, fresh] = index_.emplace(std::string(name), index);
  CYGNET_ASSERT(fresh);
  names_.push_back(&at->first);
  return index;
}

std::optional<DeviceIndex> DeviceNames::find(std::string_view name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? std::nullopt : std::optional(found->second);
}

IpPrefix mesh_network(const crypto::MeshId& mesh_id) {
  return IpPrefix{Family::kIpv6, proto::mesh_prefix(mesh_id), 64};
}

std::optional<Error> CompiledPolicy::Impl::prefix_clash(DeviceIndex device,
                                                        const DeviceSpec& spec) const {
  for (const PrefixSpec& prefix : spec.prefixes) {
    const auto found = owners.find(prefix.net);
    if (found == owners.end()) continue;
    for (const Owner& owner : found->second) {
      if (owner.device != device && owner.priority == prefix.priority) {
        return overlap_error(document, spec, prefix, slots[owner.device].spec);
      }
    }
  }
  return std::nullopt;
}

void CompiledPolicy::Impl::place(DeviceIndex device, DeviceSpec spec) {
  if (device >= slots.size()) slots.resize(device + 1);
  Slot& slot = slots[device];
  CYGNET_ASSERT(!slot.present);
  slot.home = classes.add(device, classes.signature_of(spec));
  slot.spec = std::move(spec);
  own(device);
  slot.present = true;
  ++present;
}

void CompiledPolicy::Impl::disown(DeviceIndex device) {
  for (const PrefixSpec& prefix : slots[device].spec.prefixes) {
    const auto found = owners.find(prefix.net);
    std::erase_if(found->second, [&](const Owner& owner) { return owner.device == device; });
    if (found->second.empty()) owners.erase(found);
  }
}

void CompiledPolicy::Impl::own(DeviceIndex device) {
  for (const PrefixSpec& prefix : slots[device].spec.prefixes) {
    owners[prefix.net].push_back({device, prefix.priority});
  }
}

void CompiledPolicy::Impl::replace(DeviceIndex device, DeviceSpec spec) {
  disown(device);
  slots[device].spec = std::move(spec);
  own(device);
}

void CompiledPolicy::Impl::take_out(DeviceIndex device) {
  Slot& slot = slots[device];
  CYGNET_ASSERT(slot.present);
  disown(device);
  classes.remove(device, slot.home);
  slot = Slot{};
  --present;
}

PairPolicy CompiledPolicy::Impl::pair_policy(std::uint32_t rule) const {
  const RuleSpec& spec = document.rules[rule];
  return {spec.mode, spec.derive.value_or(document.derive), spec.via, rule};
}

std::vector<DeviceIndex> CompiledPolicy::Impl::peers_of(DeviceIndex device) const {
  std::vector<DeviceIndex> peers;
  classes.row(slots[device].home).for_each([&](std::size_t other) {
    const auto& members = classes.members(static_cast<ClassId>(other));
    peers.insert(peers.end(), members.begin(), members.end());
  });
  std::sort(peers.begin(), peers.end());
  const auto self = std::lower_bound(peers.begin(), peers.end(), device);
  if (self != peers.end() && *self == device) peers.erase(self);
  return peers;
}

std::vector<DeviceIndex> CompiledPolicy::Impl::changed_peers(
    DeviceIndex device, const std::vector<DeviceIndex>& before,
    const std::vector<DeviceIndex>& after, const std::vector<std::uint32_t>& rules_before) const {
  const auto rules_after = classes.first_allow_rules(slots[device].home);
  std::vector<DeviceIndex> changed;
  for (const DeviceIndex peer : after) {
    if (!std::binary_search(before.begin(), before.end(), peer)) continue;
    const ClassId home = slots[peer].home;  // a peer's class is not this change's business
    if (!(pair_policy(rules_before[home]) == pair_policy(rules_after[home]))) {
      changed.push_back(peer);
    }
  }
  return changed;
}

CompiledPolicy::CompiledPolicy(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
CompiledPolicy::CompiledPolicy(CompiledPolicy&&) noexcept = default;
CompiledPolicy& CompiledPolicy::operator=(CompiledPolicy&&) noexcept = default;
CompiledPolicy::~CompiledPolicy() = default;

Result<CompiledPolicy> CompiledPolicy::compile(Document document, const CompileOptions& options,
                                               std::shared_ptr<DeviceNames> names) {
  std::vector<Error> problems = check(document, options);
  if (!problems.empty()) return fail(std::move(problems.front()));
  auto impl = std::make_unique<Impl>(std::move(document), options, std::move(names));
  impl->document_devices.reserve(impl->document.devices.size());
  for (std::size_t i = 0; i < impl->document.devices.size(); ++i) {
    impl->document_devices.emplace(impl->document.devices[i].name, i);
  }
  impl->classes.begin_bulk();
  for (const DeviceSpec& spec : impl->document.devices) {
    impl->place(impl->names->intern(spec.name), spec);
  }
  for (const DeviceSpec& spec : options.enrolled) {
    if (impl->document_devices.contains(spec.name)) continue;
    impl->place(impl->names->intern(spec.name), spec);
  }
  impl->classes.end_bulk();
  return CompiledPolicy(std::move(impl));
}

const Document& CompiledPolicy::document() const { return impl_->document; }
const DeviceNames& CompiledPolicy::names() const { return *impl_->names; }
bool CompiledPolicy::has(DeviceIndex device) const { return impl_->has(device); }
const DeviceSpec& CompiledPolicy::device(DeviceIndex device) const {
  CYGNET_ASSERT(has(device));
  return impl_->slots[device].spec;
}
std::size_t CompiledPolicy::device_count() const { return impl_->present; }

std::vector<DeviceIndex> CompiledPolicy::devices() const {
  std::vector<DeviceIndex> out;
  out.reserve(impl_->present);
  for (DeviceIndex i = 0; i < impl_->slots.size(); ++i) {
    if (impl_->slots[i].present) out.push_back(i);
  }
  return out;
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-2
//# each IPsec device is authorized to communicate with other IPsec devices in the group (either all
//# devices, or a subset depending on policy).
bool CompiledPolicy::allowed(DeviceIndex a, DeviceIndex b) const {
  return a != b && has(a) && has(b) &&
         impl_->classes.row(impl_->slots[a].home).test(impl_->slots[b].home);
}

std::optional<PairPolicy> CompiledPolicy::pair(DeviceIndex a, DeviceIndex b) const {
  if (!allowed(a, b)) return std::nullopt;
  const auto rule =
      impl_->classes.first_rule(impl_->slots[a].home, impl_->slots[b].home, Action::kAllow);
  CYGNET_ASSERT(rule.has_value());
  return impl_->pair_policy(*rule);
}

Verdict CompiledPolicy::verdict(DeviceIndex a, DeviceIndex b) const {
  if (a == b || !has(a) || !has(b)) return {};
  const ClassId home_a = impl_->slots[a].home;
  const ClassId home_b = impl_->slots[b].home;
  if (const auto deny = impl_->classes.first_rule(home_a, home_b, Action::kDeny)) {
    return {false, deny};
  }
  const auto allow = impl_->classes.first_rule(home_a, home_b, Action::kAllow);
  return {allow.has_value(), allow};
}

std::vector<DeviceIndex> CompiledPolicy::neighbours(DeviceIndex device) const {
  if (!has(device)) return {};
  return impl_->peers_of(device);
}

void CompiledPolicy::for_each_neighbour(DeviceIndex device,
                                        const std::function<void(DeviceIndex)>& visit) const {
  if (!has(device)) return;
  impl_->classes.row(impl_->slots[device].home).for_each([&](std::size_t other) {
    for (const DeviceIndex peer : impl_->classes.members(static_cast<ClassId>(other))) {
      if (peer != device) visit(peer);
    }
  });
}

std::size_t CompiledPolicy::neighbour_count(DeviceIndex device) const {
  if (!has(device)) return 0;
  const ClassId home = impl_->slots[device].home;
  std::size_t count = 0;
  const Bits& row = impl_->classes.row(home);
  row.for_each([&](std::size_t other) {
    count += impl_->classes.members(static_cast<ClassId>(other)).size();
  });
  return row.test(home) ? count - 1 : count;
}

std::uint64_t CompiledPolicy::pair_count() const {
  const ClassTable& classes = impl_->classes;
  std::vector<std::uint32_t> sizes;  // in one piece: rows are walked for every class
  for (ClassId id = 0; id < classes.size(); ++id) {
    sizes.push_back(static_cast<std::uint32_t>(classes.members(id).size()));
  }
  std::uint64_t ends = 0;
  for (ClassId id = 0; id < classes.size(); ++id) {
    if (sizes[id] == 0) continue;
    std::uint64_t peers = 0;
    classes.row(id).for_each([&](std::size_t other) { peers += sizes[other]; });
    if (classes.row(id).test(id)) --peers;
    ends += peers * sizes[id];
  }
  return ends / 2;
}

bool CompiledPolicy::document_names(std::string_view name) const {
  return impl_->document_devices.contains(name);
}

Result<AdjacencyDelta> CompiledPolicy::upsert_device(DeviceSpec spec) {
  if (auto error = device_error(impl_->document, spec, impl_->mesh_network)) {
    return fail(std::move(*error));
  }
  const auto known = impl_->names->find(spec.name);
  // A handle that no slot has: what an unknown name compares unequal to.
  const DeviceIndex self = known.value_or(static_cast<DeviceIndex>(impl_->names->size()));
  if (auto error = impl_->prefix_clash(self, spec)) return fail(std::move(*error));

  const DeviceIndex device = impl_->names->intern(spec.name);
  AdjacencyDelta delta{device, {}, {}, {}};
  std::vector<DeviceIndex> before;
  std::vector<std::uint32_t> rules_before;
  if (impl_->has(device)) {
    const ClassId home = impl_->slots[device].home;
    if (impl_->classes.signature_of(spec) == impl_->classes.signature(home)) {
      impl_->replace(device, std::move(spec));
      return delta;  // no rule can tell the difference
    }
    before = impl_->peers_of(device);
    if (!impl_->behave_alike) rules_before = impl_->classes.first_allow_rules(home);
    impl_->take_out(device);
  }
  impl_->place(device, std::move(spec));
  const std::vector<DeviceIndex> after = impl_->peers_of(device);
  std::set_difference(after.begin(), after.end(), before.begin(), before.end(),
                      std::back_inserter(delta.added));
  std::set_difference(before.begin(), before.end(), after.begin(), after.end(),
                      std::back_inserter(delta.removed));
  if (!rules_before.empty()) {
    delta.changed = impl_->changed_peers(device, before, after, rules_before);
  }
  return delta;
}

AdjacencyDelta CompiledPolicy::remove_device(std::string_view name) {
  const auto device = impl_->names->find(name);
  if (!device || !impl_->has(*device)) return {};
  AdjacencyDelta delta{*device, {}, impl_->peers_of(*device), {}};
  impl_->take_out(*device);
  return delta;
}

}  // namespace cygnet::controller::policy
