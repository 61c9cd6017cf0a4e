// SPDX-License-Identifier: Apache-2.0
#pragma once

/// When to try the controller again: "Reconnects to a controller back off to at most 2 s while a
/// publish waits, else to 30 s, jittered" (docs/agent.md). Randomness comes in. Pure; value type.

#include <algorithm>
#include <cstdint>

#include "cygnet/base/time.h"

namespace cygnet::agent {

inline constexpr Duration kReconnectFirst = std::chrono::milliseconds(100);
inline constexpr Duration kReconnectMaxUrgent = std::chrono::seconds(2);
inline constexpr Duration kReconnectMax = std::chrono::seconds(30);

class Backoff {
 public:
  /// The delay before the next attempt. Half of it is fixed, half drawn, so that devices that lost
  /// one controller together do not come back together.
  /// @param random  uniform 32 bits
  [[nodiscard]] Duration next(bool publish_waits, std::uint32_t random) {
    const Duration ceiling = std::min(next_, publish_waits ? kReconnectMaxUrgent : kReconnectMax);
    next_ = std::min(next_ * 2, kReconnectMax);
    const Duration half = ceiling / 2;
    return half + Duration(static_cast<Duration::rep>(static_cast<double>(half.count()) *
                                                      (random / 4294967296.0)));
  }
  /// A stream was opened and welcomed.
  void reset() { next_ = kReconnectFirst; }

 private:
  Duration next_ = kReconnectFirst;
};

}  // namespace cygnet::agent
