// SPDX-License-Identifier: Apache-2.0
#pragma once

/// When a pair has to be settled, and whether it is: shared by L1 and L2.

#include <optional>
#include <string>

#include "cygnet/sim/world.h"

namespace cygnet::sim {

/// After the last event: nothing is inflicted any more, and neither end has had a new generation
/// accepted, nor policy changed its mind, for longer than cap + drain + a probe's interval.
[[nodiscard]] bool must_be_settled(const World& world, DeviceId a, DeviceId b);
/// Why the pair is not on newest × newest with one SA pair, as seen from both ends; nullopt: it is.
[[nodiscard]] std::optional<std::string> not_settled(const World& world, DeviceId a, DeviceId b);

}  // namespace cygnet::sim
