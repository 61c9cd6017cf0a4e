// SPDX-License-Identifier: Apache-2.0
// What operators see.
#include <algorithm>

#include "cygnet/controller/core/core.h"

namespace cygnet::controller {

Core::DeviceView Core::view_of(DeviceIndex device) const {
  DeviceView view;
  view.name = names_->name(device);
  const DeviceEntry* known = find_entry(device);
  if (policy_ && policy_->has(device)) {
    const auto& spec = policy_->device(device);
    for (const auto& label : spec.labels) view.labels[label.key] = label.value;
    view.prefixes = spec.prefixes;
  } else if (known != nullptr && known->record) {
    view.labels = known->record->labels;
  }
  view.endpoints = relay_->endpoints_of(device);
  view.counter = relay_->counter_of(device);
  if (const RelayedDim* dim = relay_->dim_of(device)) view.accepted_at = dim->accepted_at;
  view.acknowledged_cursor = relay_->acknowledged_cursor(device);
  if (known == nullptr) return view;
  view.enrolled = known->record.has_value();
  view.last_seen = known->last_seen;
  view.software = known->software;
  if (known->certificate) view.certificate_not_after = known->certificate->not_after();
  view.status = known->revoked              ? DeviceStatus::kRevoked
                : relay_->attached(device)  ? DeviceStatus::kAttached
                : known->record.has_value() ? DeviceStatus::kAway
                                            : DeviceStatus::kPending;
  return view;
}

std::vector<Core::DeviceView> Core::devices() const {
  std::vector<DeviceView> out;
  for (DeviceIndex device = 0; device < names_->size(); ++device) {
    const DeviceEntry* known = find_entry(device);
    const bool enrolled = known != nullptr && known->record;
    if (enrolled || (policy_ && policy_->has(device))) out.push_back(view_of(device));
  }
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return out;
}

std::optional<Core::DeviceView> Core::device(const std::string& name) const {
  const auto index = index_of(name);
  if (!index) return std::nullopt;
  const DeviceEntry* known = find_entry(*index);
  if (!(known != nullptr && known->record) && !(policy_ && policy_->has(*index))) {
    return std::nullopt;
  }
  return view_of(*index);
}

Core::PairView Core::pair_view(DeviceIndex a, DeviceIndex b) const {
  PairView view;
  view.a = names_->name(a);
  view.b = names_->name(b);
  view.a_counter = relay_->counter_of(a);
  view.b_counter = relay_->counter_of(b);
  const Link* ab = relay_->find_link(a, b);
  const Link* ba = relay_->find_link(b, a);
  if (ab != nullptr) view.policy = *ab->policy;
  view.a_acknowledged_b = ab != nullptr && view.b_counter && ab->acked == *view.b_counter;
  view.b_acknowledged_a = ba != nullptr && view.a_counter && ba->acked == *view.a_counter;
  view.state = gone(a) || gone(b)                 ? PairView::State::kRevoked
               : view.a_counter && view.b_counter ? PairView::State::kReady
                                                  : PairView::State::kWaitingDim;
  return view;
}

std::vector<Core::PairView> Core::pairs() const {
  std::vector<PairView> out;
  if (!policy_) return out;
  for (const DeviceIndex a : policy_->devices()) {
    policy_->for_each_neighbour(a, [&](DeviceIndex b) {
      if (names_->name(a) < names_->name(b)) out.push_back(pair_view(a, b));
    });
  }
  std::sort(out.begin(), out.end(),
            [](const auto& x, const auto& y) { return std::tie(x.a, x.b) < std::tie(y.a, y.b); });
  return out;
}

std::uint64_t Core::ready_pairs() const {
  std::uint64_t ready = 0;
  if (!policy_) return ready;
  for (const DeviceIndex a : policy_->devices()) {
    if (gone(a) || !relay_->counter_of(a)) continue;
    policy_->for_each_neighbour(a, [&](DeviceIndex b) {
      if (a < b && !gone(b) && relay_->counter_of(b)) ++ready;
    });
  }
  return ready;
}

std::optional<Core::PairView> Core::pair(const std::string& a, const std::string& b) const {
  const auto ia = index_of(a);
  const auto ib = index_of(b);
  if (!ia || !ib || *ia == *ib || !policy_ || !policy_->has(*ia) || !policy_->has(*ib) ||
      !policy_->allowed(*ia, *ib)) {
    return std::nullopt;
  }
  return pair_view(*ia, *ib);
}

std::vector<Core::DimView> Core::dims() const {
  std::vector<DimView> out;
  for (DeviceIndex device = 0; device < devices_.size(); ++device) {
    const RelayedDim* dim = relay_->dim_of(device);
    if (dim == nullptr || devices_[device].generations.empty()) continue;
    out.push_back({names_->name(device), *dim, devices_[device].generations.front().dim});
  }
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return out;
}

}  // namespace cygnet::controller
