// SPDX-License-Identifier: Apache-2.0
// L3: after a restart a pair carries traffic again within one controller round trip plus
// derivation. Measured where nothing else is inflicted on either end; the bound adds what the
// scenario's traffic and Start's wait for the delivery mark take.
#include <algorithm>
#include <array>
#include <map>

#include "cygnet/sim/checkers/checker.h"
#include "cygnet/sim/faults.h"
#include "cygnet/sim/world.h"

namespace cygnet::sim {
namespace {

class L3 final : public Checker {
 public:
  explicit L3(World& world) : Checker(world, "L3") {}

  void on_started(DeviceId device) override {
    if (world_.queue.now() < world_.begin() + world_.scenario().calm / 2) return;  // the first one
    started_[device] = world_.queue.now();
  }
  void on_lost_state(DeviceId device, StateLoss) override { spoil(device); }
  void on_fault(Fault fault, DeviceId a, DeviceId b) override {
    constexpr std::array kMustNotMatter = {
        Fault::kIdle,         Fault::kForgedDim,   Fault::kReplayedDim,
        Fault::kReflectedDim, Fault::kTwistedDim,  Fault::kStaleRedelivery,
        Fault::kSpoofedEsp,   Fault::kReplayedEsp, Fault::kClockJump};
    constexpr std::array kEverybody = {Fault::kOutage,     Fault::kControllerRestart,
                                       Fault::kFailover,   Fault::kDiskFull,
                                       Fault::kRekeyStorm, Fault::kReconnectStorm};
    const auto in = [fault](const auto& list) {
      return std::find(list.begin(), list.end(), fault) != list.end();
    };
    if (in(kMustNotMatter)) return;
    if (in(kEverybody)) return started_.clear();
    spoil(a);
    spoil(b);
  }
  void on_opened(const Packet& packet) override {
    if (packet.kind == PacketKind::kUser && !packet.copy && !started_.empty()) {
      heard_[{packet.from, packet.to}] = world_.queue.now();
    }
  }
  void on_sample() override {
    const Scenario& s = world_.scenario();
    const Duration bound = 12 * s.leg_max + 8 * s.work_max + 2 * s.store_delay +
                           std::chrono::seconds(2) + 4 * s.packet_every + 4 * s.latency_max +
                           std::chrono::seconds(s.reorder_ppm != 0 ? 2 : 0) +
                           (s.loss_ppm != 0 ? 6 * s.packet_every : Duration{});
    for (auto it = started_.begin(); it != started_.end();) {
      const auto [device, at] = *it;
      if (world_.queue.now() - at < bound) {
        ++it;
        continue;
      }
      look(device, at);
      it = started_.erase(it);
    }
  }

 private:
  void spoil(DeviceId device) {
    started_.erase(device);
    spoiled_[device] = world_.queue.now();
  }
  [[nodiscard]] bool calm_since(DeviceId device, Timestamp at) const {
    const auto it = spoiled_.find(device);
    if (it != spoiled_.end() && it->second >= at - std::chrono::minutes(10)) return false;
    return world_.faults().last_trouble(device) < at && world_.device(device).running();
  }
  void look(DeviceId device, Timestamp at) {
    // Its own restart was a trouble too, but it ended with the start.
    if (world_.faults().last_trouble(device) > at || !world_.device(device).running()) return;
    for (const Flow& flow : world_.flows()) {
      if (flow.from != device && flow.to != device) continue;
      const DeviceId other = flow.from == device ? flow.to : flow.from;
      if (flow.paused || flow.since > at) continue;  // it may have had nothing to send yet
      if (!calm_since(other, at) || !world_.allowed(device, other)) continue;
      const auto policy = world_.policy_since(device, other);
      if (policy && *policy > at - std::chrono::minutes(10)) continue;
      ++looked_;
      const auto heard = heard_.find({flow.from, flow.to});
      if (heard != heard_.end() && heard->second > at) continue;
      broken("after a restart of " + label_of(device) + " nothing came from " +
                 label_of(flow.from) + " to " + label_of(flow.to),
             {flow.from, flow.to});
    }
  }

  std::map<DeviceId, Timestamp> started_;
  std::map<DeviceId, Timestamp> spoiled_;
  std::map<std::pair<DeviceId, DeviceId>, Timestamp> heard_;
};

}  // namespace

CheckerPtr make_l3(World& world) { return std::make_unique<L3>(world); }

}  // namespace cygnet::sim
