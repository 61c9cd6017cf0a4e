// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Points in time as pure code sees them. Neither clock has a now(): time is passed in by whoever
/// drives the code, so that a simulator can own it. Pure; value types.

#include <chrono>
#include <cstdint>

namespace cygnet {

using Duration = std::chrono::nanoseconds;

[[nodiscard]] constexpr double in_seconds(Duration d) {
  return std::chrono::duration<double>(d).count();
}

/// A clock that never jumps (CLOCK_BOOTTIME in the daemons, virtual in the simulator).
struct MonotonicClock {
  using duration = Duration;
  using rep = duration::rep;
  using period = duration::period;
  static constexpr bool is_steady = true;
};
using Timestamp = std::chrono::time_point<MonotonicClock, Duration>;

/// The controller's wall clock, milliseconds since 1970 UTC; acceptance times are told in it.
struct ServerClock {
  using duration = std::chrono::milliseconds;
  using rep = duration::rep;
  using period = duration::period;
  static constexpr bool is_steady = false;
};
using ServerTime = std::chrono::time_point<ServerClock, std::chrono::milliseconds>;

}  // namespace cygnet
