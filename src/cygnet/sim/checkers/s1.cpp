// SPDX-License-Identifier: Apache-2.0
// S1: no packet is sent on an SA its receiver lacks, except while nothing is live towards that
// peer, or it has lost its state or removed us and not yet said so.
#include "cygnet/sim/checkers/checker.h"
#include "cygnet/sim/checkers/losses.h"
#include "cygnet/sim/world.h"

namespace cygnet::sim {
namespace {

class S1 final : public Checker {
 public:
  explicit S1(World& world) : Checker(world, "S1") {}

  void on_drawn(DeviceId device, proto::RekeyCounter counter) override {
    losses_.drawn(device, counter, world_.queue.now());
  }
  void on_lost_state(DeviceId device, StateLoss) override {
    losses_.lost(device, world_.queue.now());
  }
  void on_peer_removed(DeviceId device, DeviceId peer) override {
    losses_.removed(device, peer, world_.queue.now());
  }
  void on_opened(const Packet& packet) override {
    if (!packet.copy) ++looked_;
  }
  void on_no_sa(const Packet& packet) override {
    if (packet.copy || packet.spoofed || packet.nothing_live) return;
    // Killed or rid of the pair since: what is still in flight is nobody's fault.
    if (packet.incarnation != world_.device(packet.from).incarnation()) return;
    if (losses_.excused(packet.to, packet.from, packet.known)) return;
    broken("sent on an SA its receiver lacks: " + text_of(packet.from, packet.to, packet.pair),
           {packet.from, packet.to});
  }

 private:
  Losses losses_;
};

}  // namespace

CheckerPtr make_s1(World& world) { return std::make_unique<S1>(world); }

}  // namespace cygnet::sim
