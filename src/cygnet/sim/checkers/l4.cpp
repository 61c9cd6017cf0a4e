// SPDX-License-Identifier: Apache-2.0
// L4: after any controller outage shorter than the certificates' remaining life everything
// converges with no operator action; and "nothing is deleted because the controller is silent".
#include "cygnet/sim/checkers/checker.h"
#include "cygnet/sim/faults.h"
#include "cygnet/sim/world.h"

namespace cygnet::sim {
namespace {

constexpr Duration kPolicyLingers = std::chrono::minutes(40);  // longest outage, and then some

class L4 final : public Checker {
 public:
  explicit L4(World& world) : Checker(world, "L4") {}

  void on_peer_removed(DeviceId device, DeviceId peer) override {
    ++looked_;
    const auto since = world_.policy_since(device, peer);
    if (!world_.allowed(device, peer)) return;
    if (since && world_.queue.now() - *since < kPolicyLingers) return;
    broken(label_of(device) + " forgets " + label_of(peer) + ", which policy allows",
           {device, peer});
  }
  void on_end() override {
    const Scenario& s = world_.scenario();
    const Duration heal = world_.queue.now() - world_.healed_at();
    // Two backed-off reconnects, and a rekey that may have waited for the third generation.
    if (heal < std::chrono::minutes(5)) return;
    const Duration oldest =
        s.rekey_every * (1000 + s.rekey_jitter_permille) / 1000 + std::chrono::minutes(4);
    for (DeviceId id = 0; id < world_.device_count(); ++id) {
      ++looked_;
      const Device& device = world_.device(id);
      if (!device.running() || !world_.controller().attached(id)) {
        return broken(label_of(id) + " has not found back to its controller", {id});
      }
      std::optional<Timestamp> accepted;
      for (const auto& own : device.core().rekey().generations()) {
        if (own.accepted_at) accepted = own.accepted_at;
      }
      if (!accepted) return broken(label_of(id) + " has no accepted generation", {id});
      if (world_.queue.now() - *accepted > oldest && heal > oldest) {
        return broken(label_of(id) + " has not rekeyed since long before its soft lifetime ended",
                      {id});
      }
    }
  }
};

}  // namespace

CheckerPtr make_l4(World& world) { return std::make_unique<L4>(world); }

}  // namespace cygnet::sim
