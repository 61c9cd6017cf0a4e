// SPDX-License-Identifier: Apache-2.0
#pragma once

/// "… or it has lost its state or removed us and not yet said so": what a sender cannot know yet. A
/// device says so with the first generation it draws after the loss; a sender whose newest DIM of
/// it was drawn before is excused.

#include <map>
#include <vector>

#include "cygnet/sim/observer.h"

namespace cygnet::sim {

class Losses {
 public:
  void drawn(DeviceId device, proto::RekeyCounter counter, Timestamp now) {
    drawn_[device].emplace(counter, now);  // the first draw counts
    auto& list = drawn_[device];
    while (list.size() > 64) list.erase(list.begin());
  }
  void lost(DeviceId device, Timestamp now) { lost_[device] = now; }
  void removed(DeviceId device, DeviceId peer, Timestamp now) { removed_[{device, peer}] = now; }

  /// Whether `sender`, who knows `known` of `receiver`, cannot know what the receiver has lost.
  [[nodiscard]] bool excused(DeviceId receiver, DeviceId sender, proto::RekeyCounter known) const {
    Timestamp lost{};
    if (const auto it = lost_.find(receiver); it != lost_.end()) lost = it->second;
    if (const auto it = removed_.find({receiver, sender}); it != removed_.end()) {
      lost = std::max(lost, it->second);
    }
    if (lost == Timestamp{}) return false;
    const auto of = drawn_.find(receiver);
    if (of == drawn_.end()) return true;
    const auto it = of->second.find(known);
    return it == of->second.end() || it->second <= lost;
  }

 private:
  std::map<DeviceId, std::map<proto::RekeyCounter, Timestamp>> drawn_;
  std::map<DeviceId, Timestamp> lost_;
  std::map<std::pair<DeviceId, DeviceId>, Timestamp> removed_;
};

}  // namespace cygnet::sim
