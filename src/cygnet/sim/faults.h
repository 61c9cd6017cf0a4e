// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What is inflicted on a world: drawn from the run's generator, each with its end, all of them
/// ended when the world heals. Counts what it did: a swarm that never did one thing fails.

#include <array>
#include <functional>
#include <map>
#include <set>
#include <vector>

#include "cygnet/agent/core/messages.h"
#include "cygnet/sim/device.h"
#include "cygnet/sim/packet.h"
#include "cygnet/sim/scenario.h"

namespace cygnet::sim {

class World;

class FaultPlan {
 public:
  explicit FaultPlan(World& world);
  void begin();
  void heal();
  /// The network shows every packet to whoever listens.
  void overhear(const Packet& packet);

  [[nodiscard]] const std::array<std::uint64_t, kFaultCount>& done() const { return done_; }
  /// Whether anything is inflicted on this device (or everybody) just now.
  [[nodiscard]] bool troubled(DeviceId device) const;
  [[nodiscard]] Timestamp last_trouble(DeviceId device) const { return last_[device]; }

 private:
  void next();
  void inflict(Fault fault);
  /// Runs `undo` after a while, or when the world heals.
  void undo_after(Duration delay, std::function<void()> undo);
  [[nodiscard]] DeviceId any_device();
  [[nodiscard]] std::pair<DeviceId, DeviceId> any_pair();
  void mark(Fault fault, DeviceId a, DeviceId b, Duration length);
  bool dims(Fault fault, DeviceId victim, DeviceId peer);
  bool restart(Fault fault, DeviceId device);
  void stop_controller(Fault fault, Duration away);

  World& world_;
  std::array<std::uint64_t, kFaultCount> done_{};
  std::vector<Timestamp> last_;  ///< by device: until when the last trouble lasts
  std::map<std::uint64_t, std::function<void()>> undo_;
  std::uint64_t next_undo_ = 1;
  bool healed_ = false;
  std::map<DeviceId, agent::StoredDim> old_dims_;  ///< recorded off the relay
  std::map<DeviceId, Disk> old_disks_;
  std::vector<Packet> overheard_;
  std::size_t overheard_at_ = 0;
};

}  // namespace cygnet::sim
