// SPDX-License-Identifier: Apache-2.0
#pragma once

/// A simulated mesh: devices, a controller, the networks between them, one clock, one heap, one
/// generator. Not thread-safe; worlds share nothing but the (constant) Pki.

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "cygnet/sim/checkers/checker.h"
#include "cygnet/sim/controller.h"
#include "cygnet/sim/device.h"
#include "cygnet/sim/event_queue.h"
#include "cygnet/sim/network.h"
#include "cygnet/sim/pki.h"
#include "cygnet/sim/plants.h"
#include "cygnet/sim/proofs.h"
#include "cygnet/sim/rng.h"
#include "cygnet/sim/scenario.h"
#include "cygnet/sim/story.h"

namespace cygnet::sim {

class FaultPlan;

struct Flow {
  DeviceId from = 0;
  DeviceId to = 0;
  bool paused = false;
  Timestamp since{};  ///< it has not been paused since then
};

class World {
 public:
  World(Scenario scenario, std::uint64_t seed, Plants plants);
  ~World();

  /// Runs to the end, or to the first violation.
  void run();

  // ---- For devices, the controller, faults and checkers.
  EventQueue queue;
  Rng rng;
  const Plants plants;
  MemoProofs proofs;

  [[nodiscard]] const Scenario& scenario() const { return scenario_; }
  [[nodiscard]] std::uint64_t seed() const { return seed_; }
  [[nodiscard]] const Pki& pki() const { return *pki_; }
  [[nodiscard]] ServerTime wall() const;
  [[nodiscard]] Device& device(DeviceId id) { return *devices_[id]; }
  [[nodiscard]] const Device& device(DeviceId id) const { return *devices_[id]; }
  [[nodiscard]] std::uint32_t device_count() const {
    return static_cast<std::uint32_t>(devices_.size());
  }
  [[nodiscard]] SimController& controller() { return controller_; }
  [[nodiscard]] Duration leg_delay(DeviceId device);
  /// Whether anybody is ever restarted: else nothing is written to disks.
  [[nodiscard]] bool disks_matter() const { return disks_matter_; }

  void send(const Packet& packet);
  void deliver(const Packet& packet, Duration after);
  Troubles troubles;

  // ---- Policy.
  [[nodiscard]] bool same_block(DeviceId a, DeviceId b) const;
  [[nodiscard]] std::size_t block_size() const {
    return scenario_.block == 0 ? scenario_.devices : scenario_.block;
  }
  [[nodiscard]] std::size_t place_in_block(DeviceId id) const { return id % block_size(); }
  /// A small number for each directed pair of one block, below pair_count().
  [[nodiscard]] std::size_t pair_index(DeviceId from, DeviceId to) const {
    return from * block_size() + place_in_block(to);
  }
  [[nodiscard]] std::size_t pair_count() const { return devices_.size() * block_size(); }
  [[nodiscard]] bool allowed(DeviceId a, DeviceId b) const;
  /// Since when policy says what it says about this pair; nullopt: always.
  [[nodiscard]] std::optional<Timestamp> policy_since(DeviceId a, DeviceId b) const;
  void set_denied(std::set<std::pair<DeviceId, DeviceId>> denied);
  [[nodiscard]] const std::set<std::pair<DeviceId, DeviceId>>& denied() const { return denied_; }
  std::vector<Flow>& flows() { return flows_; }
  [[nodiscard]] const std::vector<Flow>& flows() const { return flows_; }
  /// Whether packets are sent from a to b at all.
  [[nodiscard]] bool carries(DeviceId a, DeviceId b) const;

  // ---- What happens is told.
  void note(Note note, DeviceId a, DeviceId b, proto::SaPairId pair = {},
            std::uint64_t detail = 0) {
    story_.add({queue.now(), note, a, b, pair, detail});
  }
  template <class Tell>
  void tell(Tell tell) {
    for (Observer* observer : observers_) tell(*observer);
  }
  void watch(Observer& observer) { observers_.push_back(&observer); }
  void count(const std::string& what) { ++counts_[what]; }
  void violate(Violation violation);

  [[nodiscard]] const Story& story() const { return story_; }
  [[nodiscard]] const std::optional<Violation>& violation() const { return violation_; }
  [[nodiscard]] const std::map<std::string, std::uint64_t>& counts() const { return counts_; }
  [[nodiscard]] const std::vector<CheckerPtr>& checkers() const { return checkers_; }
  [[nodiscard]] TrafficCounts traffic() const;
  [[nodiscard]] Timestamp begin() const { return begin_; }
  [[nodiscard]] Timestamp end() const { return begin_ + scenario_.whole(); }
  [[nodiscard]] bool healed() const { return healed_; }
  [[nodiscard]] Timestamp healed_at() const { return healed_at_; }
  /// Every DIM that was honestly signed, the newest few of a device.
  [[nodiscard]] const Bytes* signed_dim(DeviceId device, proto::RekeyCounter counter) const;
  [[nodiscard]] const FaultPlan& faults() const { return *faults_; }
  /// The SPI a packet's SA has, from both nonces; an arbitrary one when those are gone.
  [[nodiscard]] std::uint32_t spi_of(const Packet& packet) const;

 private:
  class Archive;
  void make_flows();
  void run_flow(std::size_t index);
  void sample();

  Scenario scenario_;
  std::uint64_t seed_;
  std::shared_ptr<const Pki> pki_;
  bool disks_matter_ = false;
  Timestamp begin_{};
  SimController controller_;
  std::vector<std::unique_ptr<Device>> devices_;
  std::vector<Flow> flows_;  ///< ascending by (from, to)
  std::set<std::pair<DeviceId, DeviceId>> denied_;
  std::map<std::pair<DeviceId, DeviceId>, Timestamp> policy_since_;
  std::unique_ptr<FaultPlan> faults_;
  std::unique_ptr<Archive> archive_;
  std::vector<CheckerPtr> checkers_;
  std::vector<Observer*> observers_;
  Story story_;
  std::optional<Violation> violation_;
  std::map<std::string, std::uint64_t> counts_;
  bool healed_ = false;
  Timestamp healed_at_{};
};

}  // namespace cygnet::sim
