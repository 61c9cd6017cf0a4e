// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Enrols what a fleet lacks, each device as `cygnet-agent join` would, one after the other, with
/// one join line that is good for all of them. Blocking.

#include <functional>

#include "cygnet/load/fleet_file.h"
#include "cygnet/rt/loop.h"
#include "cygnet/wire/join_line.h"

namespace cygnet::load {

/// Brings `fleet` to `devices` members; what was enrolled stays in it when this fails.
/// @retval the errors of agent::join; kErrFleet when the fleet is of another mesh
[[nodiscard]] Status enrol(rt::Loop& loop, const wire::JoinLine& line, std::uint32_t devices,
                           Fleet& fleet, const std::function<void(std::uint32_t)>& progress);

}  // namespace cygnet::load
