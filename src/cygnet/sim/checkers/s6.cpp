// SPDX-License-Identifier: Apache-2.0
// S6: a DIM is published only after every inbound SA it promises is installed.
#include <algorithm>

#include "cygnet/sim/checkers/checker.h"
#include "cygnet/sim/world.h"

namespace cygnet::sim {
namespace {

namespace rekey = proto::rekey;

class S6 final : public Checker {
 public:
  explicit S6(World& world) : Checker(world, "S6") {}

  void on_publish_decided(DeviceId id, proto::RekeyCounter counter) override {
    ++looked_;
    const Device& device = world_.device(id);
    for (const proto::PeerId peer : device.core().rekey().peers()) {
      const auto status = device.core().rekey().peer_status(peer);
      const SimPeer* const sas = device.backend().peer(peer);
      if (!status || sas == nullptr) continue;
      for (const auto& pair : status->pairs) {
        if (pair.id.local != counter || pair.state == rekey::PairState::kNoProposal ||
            pair.state == rekey::PairState::kSpent) {
          continue;
        }
        const SimSa* const sa = sas->find(pair.id);
        if (sa == nullptr || !sa->inbound) {
          return broken("published before it is there: the inbound half of " +
                            text_of(id, sas->device, pair.id),
                        {id, sas->device});
        }
      }
      for (const auto& remote : status->remotes) {
        const bool there = std::any_of(status->pairs.begin(), status->pairs.end(),
                                       [&](const rekey::PairStatus& p) {
                                         return p.id == proto::SaPairId{counter, remote.counter};
                                       });
        if (!there) {
          return broken("published without a pair for a DIM that is held: " +
                            text_of(id, sas->device, {counter, remote.counter}),
                        {id, sas->device});
        }
      }
    }
  }
};

}  // namespace

CheckerPtr make_s6(World& world) { return std::make_unique<S6>(world); }

}  // namespace cygnet::sim
