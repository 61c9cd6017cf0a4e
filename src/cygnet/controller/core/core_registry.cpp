// SPDX-License-Identifier: Apache-2.0
// Devices, policy, adjacency, revocation: what is in force.
#include <algorithm>

#include "cygnet/base/assert.h"
#include "cygnet/controller/core/core.h"
#include "cygnet/controller/core/messages.h"

namespace cygnet::controller {

Core::DeviceEntry& Core::entry(DeviceIndex device) {
  CYGNET_ASSERT(device < names_->size());
  while (devices_.size() <= device) {
    DeviceEntry& fresh = devices_.emplace_back();
    fresh.publishes = RateLimit(setup_.limits.publishes_per_minute);
    fresh.reports = RateLimit(setup_.limits.reports_per_minute);
    fresh.bad_spis = RateLimit(setup_.limits.bad_spi_per_minute);
    fresh.wants = RateLimit(setup_.limits.wants_per_minute);
    fresh.renewals = RateLimit(setup_.limits.renewals_per_minute);
  }
  return devices_[device];
}

const Core::DeviceEntry* Core::find_entry(DeviceIndex device) const {
  return device < devices_.size() ? &devices_[device] : nullptr;
}

std::optional<DeviceIndex> Core::index_of(std::string_view name) const {
  return names_->find(name);
}

std::optional<DeviceIndex> Core::index_of_full(std::string_view full) const {
  const auto dot = full.find('.');
  if (dot == std::string_view::npos || full.substr(dot + 1) != mesh_.name) return std::nullopt;
  return names_->find(full.substr(0, dot));
}

std::string Core::full_name(DeviceIndex device) const {
  return names_->name(device) + "." + mesh_.name;
}

bool Core::gone(DeviceIndex device) const {
  const DeviceEntry* known = find_entry(device);
  return known != nullptr && known->revoked;
}

bool Core::key_revoked(const crypto::Certificate& certificate) const {
  const auto pin = certificate.spki_hash();
  const Bytes serial = certificate.serial();
  return std::any_of(revocations_.begin(), revocations_.end(), [&](const auto& revocation) {
    return revocation.spki_sha256 == pin ||
           (!revocation.serial.empty() && revocation.serial == serial);
  });
}

std::vector<policy::DeviceSpec> Core::enrolled_specs() const {
  std::vector<policy::DeviceSpec> specs;
  for (const DeviceEntry& known : devices_) {
    if (!known.record) continue;
    policy::DeviceSpec spec;
    spec.name = known.record->name;
    for (const auto& [key, value] : known.record->labels) spec.labels.push_back({key, value});
    specs.push_back(std::move(spec));
  }
  return specs;
}

policy::CompileOptions Core::compile_options() const {
  policy::CompileOptions options;
  options.mesh_network = policy::mesh_network(mesh_.id);
  return options;
}

std::uint64_t Core::policy_version() const {
  return policy_headers_.empty() ? 0 : policy_headers_.back().version;
}

SharedOctets Core::settings_for(DeviceIndex device) const {
  Bytes octets = settings_;
  if (policy_ && policy_->has(device)) {
    append_own_prefixes(octets, policy_->device(device).prefixes);
  }
  return std::make_shared<const Bytes>(std::move(octets));
}

// ---- Adjacency.

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-1
//# the controller relays the DH public values to authorized peers of that IPsec device as defined
//# by a centralized policy.
void Core::apply_edge(const policy::CompiledPolicy& from, DeviceIndex a, DeviceIndex b, Position at,
                      Times now) {
  // A revoked device has no edges, whatever policy says.
  if (gone(a) || gone(b)) return;
  const auto pair = from.pair(a, b);
  CYGNET_ASSERT(pair.has_value());
  EdgePolicy edge{pair->mode == policy::PairMode::kOnDemand, {}};
  if (!pair->via.empty()) edge.via = std::string(pair->via) + "." + mesh_.name;
  relay_->put_edge(a, b, std::move(edge), at, now.mono);
}

void Core::apply_delta(const policy::CompiledPolicy& from, const policy::AdjacencyDelta& delta,
                       Position at, Times now) {
  const DeviceIndex self = delta.device;
  for (const DeviceIndex peer : delta.removed) {
    relay_->remove_edge(self, peer, at, now.wall, now.mono);
  }
  for (const DeviceIndex peer : delta.added) apply_edge(from, self, peer, at, now);
  for (const DeviceIndex peer : delta.changed) apply_edge(from, self, peer, at, now);
}

void Core::adopt_policy(std::unique_ptr<policy::CompiledPolicy> next, Position at, Times now) {
  for (policy::DeviceSpec& spec : enrolled_specs()) {
    const auto index = names_->find(spec.name);
    if (!index || next->has(*index)) continue;
    // Its only content is labels, which clash with nothing.
    (void)next->upsert_device(std::move(spec));
  }
  std::vector<DeviceIndex> touched = next->devices();
  if (policy_) {
    const auto before = policy_->devices();
    touched.insert(touched.end(), before.begin(), before.end());
  }
  policy::for_each_difference(policy_.get(), *next, [&](const policy::AdjacencyDelta& delta) {
    apply_delta(*next, delta, at, now);
  });
  policy_ = std::move(next);
  std::sort(touched.begin(), touched.end());
  touched.erase(std::unique(touched.begin(), touched.end()), touched.end());
  for (const DeviceIndex device : touched) refresh_spec(device, at);
}

/// Prefixes and endpoints of a device as policy has them now.
void Core::refresh_spec(DeviceIndex device, Position at) {
  const bool present = policy_ && policy_->has(device);
  relay_->set_prefixes(
      device, present ? policy_->device(device).prefixes : std::vector<policy::PrefixSpec>{}, at);
  relay_->set_endpoints(device, endpoints_now(device), at);
}

// ---- Revocation.

void Core::rebuild_revocations() {
  revocation_number_ = 0;
  for (const auto& revocation : revocations_) {
    revocation_number_ = std::max(revocation_number_, revocation.number);
  }
  revocations_octets_ =
      std::make_shared<const Bytes>(encode_revocations(revocation_number_, revocations_));
}

void Core::apply_revocation(DeviceIndex device, Position at, Times now) {
  DeviceEntry& known = entry(device);
  known.revoked = true;
  std::vector<DeviceIndex> peers;
  for (const Link& link : relay_->links(device)) {
    if (!link.removed) peers.push_back(link.peer);
  }
  for (const DeviceIndex peer : peers) relay_->remove_edge(device, peer, at, now.wall, now.mono);
  relay_->drop_dim(device);
  for (const Generation& generation : known.generations) {
    nonces_.erase(std::string(as_text(generation.dim->nonce)));
  }
  known.generations.clear();
}

}  // namespace cygnet::controller
