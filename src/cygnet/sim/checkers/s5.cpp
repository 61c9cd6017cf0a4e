// SPDX-License-Identifier: Apache-2.0
// S5: a stale, replayed, forged, equivocating or unauthorised DIM changes nothing. The checker
// knows who signed what, and what policy says.
#include <algorithm>
#include <vector>

#include "cygnet/sim/checkers/checker.h"
#include "cygnet/sim/faults.h"
#include "cygnet/sim/world.h"

namespace cygnet::sim {
namespace {

constexpr Duration kPolicyArrives = std::chrono::minutes(1);

class S5 final : public Checker {
 public:
  explicit S5(World& world)
      : Checker(world, "S5"),
        signed_(world.device_count()),
        highest_(world.pair_count()),
        removed_(world.pair_count()) {}

  void on_signed(DeviceId device, proto::RekeyCounter counter, const Bytes& octets) override {
    signed_[device].emplace_back(counter, octets);
  }
  void on_judged(DeviceId device, DeviceId peer, const proto::DimCheckResult& result,
                 const Bytes& octets, bool changed) override {
    const bool good = result.verdict == proto::DimVerdict::kAccepted ||
                      result.verdict == proto::DimVerdict::kSame;
    if (!good) {
      ++looked_;
      if (changed) broken("a refused DIM changed the machines", {device, peer});
      return;
    }
    const proto::RekeyCounter counter = result.dim->dim.counter;
    const auto& list = signed_[peer];
    const bool honest = std::any_of(list.rbegin(), list.rend(), [&](const auto& entry) {
      return entry.first == counter && entry.second == octets;
    });
    if (!honest) {
      return broken("accepted what its owner never signed: " + text_of(peer, counter),
                    {device, peer});
    }
    proto::RekeyCounter& highest = highest_[world_.pair_index(device, peer)];
    if (counter < highest) {
      return broken(
          "accepted DIM " + text_of(peer, counter) + " after " + proto::to_string(highest),
          {device, peer});
    }
    highest = counter;
  }
  void on_peer_told(DeviceId device, DeviceId peer, bool removed) override {
    removed_[world_.pair_index(device, peer)] = removed;
  }
  void on_sent(const Packet& packet) override {
    if (!removed_[world_.pair_index(packet.from, packet.to)]) return;
    broken("sends to a peer that it was told is removed: " +
               text_of(packet.from, packet.to, packet.pair),
           {packet.from, packet.to});
  }
  void on_started(DeviceId device) override {
    // What it was told last may not have reached its disk; it will be told again.
    for (DeviceId peer = 0; peer < world_.device_count(); ++peer) {
      if (world_.same_block(device, peer)) removed_[world_.pair_index(device, peer)] = false;
    }
  }
  void on_lost_state(DeviceId device, StateLoss loss) override {
    // Without its disk a device knows nobody's counters any more; what was not yet on disk is gone
    // with the memory too.
    if (loss == StateLoss::kFlush) return;
    for (DeviceId peer = 0; peer < world_.device_count(); ++peer) {
      if (world_.same_block(device, peer)) highest_[world_.pair_index(device, peer)] = {};
    }
  }
  void on_opened(const Packet& packet) override {
    if (packet.kind != PacketKind::kUser || packet.copy) return;
    if (world_.allowed(packet.from, packet.to)) return;
    const auto since = world_.policy_since(packet.from, packet.to);
    const Timestamp now = world_.queue.now();
    const auto settled = [&](Timestamp t) { return now - t > kPolicyArrives; };
    if (!since || !settled(*since) || !world_.controller().attached(packet.from) ||
        !world_.controller().attached(packet.to)) {
      return;
    }
    const FaultPlan& faults = world_.faults();
    if (!settled(faults.last_trouble(packet.from)) || !settled(faults.last_trouble(packet.to))) {
      return;
    }
    broken("traffic that policy has not allowed for a minute: " +
               text_of(packet.from, packet.to, packet.pair),
           {packet.from, packet.to});
  }

 private:
  std::vector<std::vector<std::pair<proto::RekeyCounter, Bytes>>> signed_;  ///< by device
  std::vector<proto::RekeyCounter> highest_;  ///< accepted, by World::pair_index
  std::vector<bool> removed_;                 ///< as the device was told last, by pair_index
};

}  // namespace

CheckerPtr make_s5(World& world) { return std::make_unique<S5>(world); }

}  // namespace cygnet::sim
