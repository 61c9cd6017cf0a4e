// SPDX-License-Identifier: Apache-2.0
// S3: SA pairs per peer never exceed the named bound; private values never exceed two.
#include "cygnet/sim/checkers/checker.h"
#include "cygnet/sim/world.h"

namespace cygnet::sim {
namespace {

class S3 final : public Checker {
 public:
  explicit S3(World& world) : Checker(world, "S3") {}

  void on_installed(DeviceId device, DeviceId peer, proto::SaPairId, const PairKeys&) override {
    ++looked_;
    const SimPeer* const p = world_.device(device).towards(peer);
    const std::size_t bound = world_.device(device).core().rekey().params().pairs_max;
    if (p->pairs.size() > bound) {
      broken(std::to_string(p->pairs.size()) + " SA pairs towards one peer", {device, peer});
    }
  }
  void on_drawn(DeviceId device, proto::RekeyCounter counter) override {
    if (world_.device(device).privates().size() > 2) {
      broken("a third private value: " + text_of(device, counter), {device});
    }
  }
};

}  // namespace

CheckerPtr make_s3(World& world) { return std::make_unique<S3>(world); }

}  // namespace cygnet::sim
