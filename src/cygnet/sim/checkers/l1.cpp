// SPDX-License-Identifier: Apache-2.0
// L1: after the last event, both ends of a pair that carries traffic settle on newest × newest with
// one SA pair.
#include "cygnet/sim/checkers/checker.h"
#include "cygnet/sim/checkers/settled.h"

namespace cygnet::sim {
namespace {

class L1 final : public Checker {
 public:
  explicit L1(World& world) : Checker(world, "L1") {}

  void on_sample() override {
    if (!world_.healed()) return;
    for (const Flow& flow : world_.flows()) {
      if (flow.from > flow.to || !world_.carries(flow.to, flow.from)) continue;  // both ways: once
      if (!must_be_settled(world_, flow.from, flow.to)) continue;
      ++looked_;
      if (const auto why = not_settled(world_, flow.from, flow.to)) {
        return broken("a pair with traffic has not settled: " + *why, {flow.from, flow.to});
      }
    }
  }
};

}  // namespace

CheckerPtr make_l1(World& world) { return std::make_unique<L1>(world); }

}  // namespace cygnet::sim
