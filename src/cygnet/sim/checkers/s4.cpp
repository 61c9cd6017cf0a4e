// SPDX-License-Identifier: Apache-2.0
// S4: a private value outlives its generation by no more than the cap, and is erased exactly once.
#include <algorithm>

#include "cygnet/sim/checkers/checker.h"
#include "cygnet/sim/world.h"

namespace cygnet::sim {
namespace {

class S4 final : public Checker {
 public:
  explicit S4(World& world) : Checker(world, "S4") {}

  void on_erased(DeviceId device, proto::RekeyCounter counter, bool was_there) override {
    ++looked_;
    if (!was_there) broken("erases what is not there: " + text_of(device, counter), {device});
  }
  void on_install_asked(DeviceId device, DeviceId peer, proto::SaPairId pair,
                        bool private_there) override {
    if (private_there) return;
    broken("needs a private value that is erased: " + text_of(device, peer, pair), {device, peer});
  }
  void on_sample() override {
    for (DeviceId id = 0; id < world_.device_count(); ++id) {
      const Device& device = world_.device(id);
      if (device.running()) look(id, device);
    }
  }

 private:
  void look(DeviceId id, const Device& device) {
    const auto& rekey = device.core().rekey();
    const Timestamp now = world_.queue.now();
    for (const auto& [counter, privates] : device.privates()) {
      bool known = false;
      std::optional<Timestamp> superseded;
      for (const auto& own : rekey.generations()) {
        if (own.counter == counter) known = own.private_held;
        if (counter < own.counter && own.accepted_at && !superseded) superseded = own.accepted_at;
      }
      if (!known) {
        return broken("a private value nobody will erase: " + text_of(id, counter), {id});
      }
      if (superseded && now > *superseded + rekey.params().forget_cap) {
        return broken("a private value outlives the cap: " + text_of(id, counter), {id});
      }
    }
  }
};

}  // namespace

CheckerPtr make_s4(World& world) { return std::make_unique<S4>(world); }

}  // namespace cygnet::sim
