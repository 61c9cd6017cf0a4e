// SPDX-License-Identifier: Apache-2.0
#pragma once

/// When to try the controller again: "Reconnects to a controller back off to at most 2 s while a
/// publish waits, else to 30 s, jittered" (docs/agent.md). Randomness comes in. Pure.

#include <algorithm>
#include <cstdint>

#include "cygnet/base/time.h"

namespace cygnet::agent {

inline constexpr Duration kReconnectFirst = std::chrono::milliseconds(100);
inline constexpr Duration kReconnectMaxUrgent = std::chrono::seconds(2);
inline constexpr Duration kReconnectMax = std::chrono::seconds(30);

/// The delay before the next attempt: never more than an eighth of how long the controller has been
/// away, so that whatever an outage lasted, everybody is back soon after it in proportion. Half of
/// it is fixed, half drawn, so that devices that lost one controller together do not come back
/// together.
/// @param away_for  since the stream was lost, or the first attempt
/// @param random    uniform 32 bits
[[nodiscard]] inline Duration reconnect_delay(Duration away_for, bool publish_waits,
                                              std::uint32_t random) {
  const Duration most = publish_waits ? kReconnectMaxUrgent : kReconnectMax;
  const Duration ceiling = std::clamp<Duration>(away_for / 8, kReconnectFirst, most);
  const Duration half = ceiling / 2;
  return half + Duration(static_cast<Duration::rep>(static_cast<double>(half.count()) *
                                                    (random / 4294967296.0)));
}

}  // namespace cygnet::agent
