// SPDX-License-Identifier: Apache-2.0
#include "cygnet/controller/core/marks.h"

#include <algorithm>

#include "cygnet/base/assert.h"

namespace cygnet::controller {

void Marks::begin(DeviceIndex device, proto::RekeyCounter counter, std::uint32_t attached_missing,
                  std::uint32_t unattached_missing, Timestamp now) {
  State& state = states_[device];
  state.mark = Mark{counter, {}, attached_missing, unattached_missing};
  state.has_dim = true;
  state.began = now;
  state.last_sent.reset();
  state.first_told = false;
  state.complete_told = false;
  set_due(device, state, std::nullopt);
  state.dirty = attached_missing == 0;  // worth telling at once; else the first acknowledgement is
  schedule(device, state, now);
}

void Marks::end(DeviceIndex device) {
  const auto it = states_.find(device);
  if (it == states_.end()) return;
  set_due(device, it->second, std::nullopt);
  const bool listening = it->second.listening;
  it->second = State{};
  it->second.listening = listening;
}

void Marks::acknowledged(DeviceIndex device, DeviceIndex by, bool by_attached, Timestamp now) {
  const auto it = states_.find(device);
  if (it == states_.end() || !it->second.has_dim) return;
  State& state = it->second;
  std::uint32_t& missing =
      by_attached ? state.mark.attached_missing : state.mark.unattached_missing;
  CYGNET_ASSERT(missing > 0);
  --missing;
  if (state.listening) state.mark.acknowledged.push_back(by);
  state.dirty = true;
  schedule(device, state, now);
}

void Marks::missing_changed(DeviceIndex device, int attached, int unattached, Timestamp now) {
  const auto it = states_.find(device);
  if (it == states_.end() || !it->second.has_dim) return;
  State& state = it->second;
  const auto moved = [](std::uint32_t count, int by) {
    const auto sum = static_cast<std::int64_t>(count) + by;
    CYGNET_ASSERT(sum >= 0);
    return static_cast<std::uint32_t>(sum);
  };
  state.mark.attached_missing = moved(state.mark.attached_missing, attached);
  state.mark.unattached_missing = moved(state.mark.unattached_missing, unattached);
  if (state.mark.attached_missing > 0) state.complete_told = false;
  state.dirty = true;
  schedule(device, state, now);
}

void Marks::listener_attached(DeviceIndex device, std::vector<DeviceIndex> acknowledged,
                              Timestamp now) {
  State& state = states_[device];
  state.listening = true;
  if (!state.has_dim) return;
  state.mark.acknowledged = std::move(acknowledged);
  state.dirty = true;
  state.complete_told = false;
  state.last_sent.reset();
  state.first_told = false;
  schedule(device, state, now);
}

void Marks::listener_detached(DeviceIndex device) {
  const auto it = states_.find(device);
  if (it == states_.end()) return;
  it->second.listening = false;
  it->second.mark.acknowledged.clear();
  set_due(device, it->second, std::nullopt);
}

std::optional<Timestamp> Marks::next_due() const {
  if (due_.empty()) return std::nullopt;
  return due_.begin()->first;
}

std::vector<std::pair<DeviceIndex, Mark>> Marks::take_due(Timestamp now) {
  std::vector<std::pair<DeviceIndex, Mark>> marks;
  while (!due_.empty() && due_.begin()->first <= now) {
    const DeviceIndex device = due_.begin()->second;
    State& state = states_.at(device);
    set_due(device, state, std::nullopt);
    state.dirty = false;
    state.last_sent = now;
    // A mark without a single acknowledgement does not use up "the first at once".
    if (!state.mark.acknowledged.empty()) state.first_told = true;
    state.complete_told = state.mark.attached_missing == 0;
    marks.emplace_back(device, state.mark);
    state.mark.acknowledged.clear();
  }
  return marks;
}

std::optional<std::pair<std::uint32_t, std::uint32_t>> Marks::missing(DeviceIndex device) const {
  const auto it = states_.find(device);
  if (it == states_.end() || !it->second.has_dim) return std::nullopt;
  return std::pair{it->second.mark.attached_missing, it->second.mark.unattached_missing};
}

void Marks::schedule(DeviceIndex device, State& state, Timestamp now) {
  if (!state.listening || !state.dirty) return;
  // "the first at once, and at once when no attached peer is missing"
  const bool first = !state.first_told && !state.mark.acknowledged.empty();
  const bool complete = state.mark.attached_missing == 0 && !state.complete_told;
  Timestamp due = now;
  if (!first && !complete && state.last_sent) {
    // "else <= 10/s for 2 s, then <= 1/s"
    const Duration interval =
        now - state.began < limits_.fast_phase ? limits_.fast_interval : limits_.slow_interval;
    due = std::max(now, *state.last_sent + interval);
  }
  if (state.due && *state.due <= due) return;
  set_due(device, state, due);
}

void Marks::set_due(DeviceIndex device, State& state, std::optional<Timestamp> due) {
  if (state.due) due_.erase({*state.due, device});
  state.due = due;
  if (state.due) due_.insert({*state.due, device});
}

}  // namespace cygnet::controller
