// SPDX-License-Identifier: Apache-2.0
// L2: with one-way traffic too; a dormant pair keeps no old generation, private value or timer
// beyond the cap.
#include "cygnet/sim/checkers/checker.h"
#include "cygnet/sim/checkers/settled.h"

namespace cygnet::sim {
namespace {

class L2 final : public Checker {
 public:
  explicit L2(World& world) : Checker(world, "L2") {}

  void on_sample() override {
    if (!world_.healed()) return;
    for (DeviceId a = 0; a < world_.device_count(); ++a) {
      for (DeviceId b = a + 1; b < world_.device_count(); ++b) {
        if (!world_.same_block(a, b)) break;
        const bool forth = world_.carries(a, b);
        const bool back = world_.carries(b, a);
        if ((forth && back) || !must_be_settled(world_, a, b)) continue;
        ++looked_;
        if (forth || back) {
          if (const auto why = not_settled(world_, a, b)) {
            return broken("a pair with one-way traffic has not settled: " + *why, {a, b});
          }
        } else if (const auto old = keeps_old(a, b)) {
          return broken("a silent pair keeps an old generation: " + *old, {a, b});
        } else if (const auto other = keeps_old(b, a)) {
          return broken("a silent pair keeps an old generation: " + *other, {a, b});
        }
      }
    }
  }

 private:
  [[nodiscard]] std::optional<std::string> keeps_old(DeviceId a, DeviceId b) const {
    const SimPeer* const peer = world_.device(a).towards(b);
    if (peer == nullptr) return label_of(a) + " does not know " + label_of(b);
    const auto newest = world_.device(a).core().rekey().generations().back().counter;
    for (const SimSa& sa : peer->pairs) {
      if (sa.id.local != newest) return text_of(a, b, sa.id);
    }
    if (world_.device(a).privates().size() > 1) {
      return label_of(a) + " holds " + std::to_string(world_.device(a).privates().size()) +
             " private values";
    }
    return std::nullopt;
  }
};

}  // namespace

CheckerPtr make_l2(World& world) { return std::make_unique<L2>(world); }

}  // namespace cygnet::sim
