// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What a run of the swarm found, as lines for people and as JSON. Pure.

#include <string>

#include "cygnet/load/swarm.h"

namespace cygnet::load {

/// A few lines about one scenario.
[[nodiscard]] std::string to_text(const PhaseReport& phase, std::uint32_t devices);
/// What the whole run adds up to; the last line says whether all is well.
[[nodiscard]] std::string conclusion(const SwarmReport& report);
[[nodiscard]] std::string to_json(const SwarmReport& report, const SwarmOptions& options);

}  // namespace cygnet::load
