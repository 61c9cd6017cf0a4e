// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What a path between two devices does to packets just now, beside what the scenario says.

#include <cstdint>
#include <map>
#include <utility>

#include "cygnet/base/time.h"
#include "cygnet/sim/packet.h"

namespace cygnet::sim {

struct PathTrouble {
  std::uint32_t loss_ppm = 0;
  Duration extra{};  ///< up to this much more delay, each packet its own: reorders
};

/// Directed.
using Troubles = std::map<std::pair<DeviceId, DeviceId>, PathTrouble>;

}  // namespace cygnet::sim
