// SPDX-License-Identifier: Apache-2.0
#pragma once

/// When SAs that an earlier run of the agent left with a peer are given up (docs/protocol.md
/// section 6.8). They carry packets until the peer is heard on a pair of this run. Pure; no errors.

#include <chrono>
#include <cstdint>
#include <optional>

#include "cygnet/base/time.h"

namespace cygnet::agent::xfrm {

/// docs/protocol.md section 6, "Drain".
inline constexpr Duration kInheritedDrain = std::chrono::seconds(10);
/// After a start: by then every peer that is remembered has been set.
inline constexpr Duration kInheritedUnclaimed = std::chrono::seconds(10);

struct InheritedFacts {
  bool claimed = false;                     ///< the peer is one of this run's
  bool heard = false;                       ///< it was heard on a pair of this run
  bool chosen = false;                      ///< a pair of this run is there to send on
  std::optional<Timestamp> drains_until{};  ///< set: nothing is sent on them any more
};

enum class InheritedStep : std::uint8_t {
  kKeep,
  kLeave,   ///< send on the pair of this run from now on; inbound drains for kInheritedDrain
  kRemove,  ///< nobody needs them any more
};

[[nodiscard]] InheritedStep next_step(const InheritedFacts& facts, Timestamp started,
                                      Timestamp now);

}  // namespace cygnet::agent::xfrm
