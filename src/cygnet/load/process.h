// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What a process has used so far, from /proc. Blocking, cheap; any thread.

#include <sys/types.h>

#include <cstdint>

#include "cygnet/base/result.h"
#include "cygnet/base/time.h"

namespace cygnet::load {

inline constexpr ErrorCode kErrProcess{"process"};

struct Usage {
  Duration cpu{};                   ///< user and system, all threads
  std::uint64_t resident = 0;       ///< octets now
  std::uint64_t resident_peak = 0;  ///< octets at most so far
};

/// @retval kErrProcess when there is no such process
[[nodiscard]] Result<Usage> usage_of(pid_t pid);
/// This process may have as many files open as its hard limit lets it.
/// @return the number
std::uint64_t raise_file_limit();

}  // namespace cygnet::load
