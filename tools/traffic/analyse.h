// SPDX-License-Identifier: Apache-2.0
#pragma once

/// From raw logs to figures: for each phase and each direction what was sent, what arrived, what
/// was lost or came twice, and the longest silence. Pure.

#include <cstdint>
#include <string>
#include <vector>

#include "traffic/log.h"

namespace cygnet::traffic {

struct Phase {
  std::string name;
  std::uint64_t start_ns = 0;
  std::uint64_t end_ns = 0;
  /// Count each direction from its first received datagram (nothing has passed before).
  bool from_first_received = false;
  std::uint64_t mark_ns = 0;         ///< 0: none; an instant to measure recovery from
  std::uint64_t quiet_after_ns = 0;  ///< 0: none; receptions later than this are counted apart
};

struct Direction {
  std::uint32_t from = 0;
  std::uint32_t to = 0;
  std::uint64_t sent = 0;
  std::uint64_t received = 0;  ///< distinct datagrams of those sent in the phase
  std::uint64_t lost = 0;
  std::uint64_t duplicated = 0;
  std::uint64_t before_first = 0;  ///< sent in the phase before the first one that arrived
  std::uint64_t gap_max_ns = 0;    ///< longest time between two receptions in the phase
  /// mark_ns to the first reception after it; UINT64_MAX when none came in the phase.
  std::uint64_t recovered_after_ns = 0;
  std::uint64_t received_after_quiet = 0;
  bool ever_received = false;
};

/// How long after a phase's end a datagram may still arrive before it counts as lost.
inline constexpr std::uint64_t kSilenceNs = 2'000'000'000ULL;

[[nodiscard]] std::vector<Direction> analyse(const std::vector<Log>& logs, const Phase& phase);

}  // namespace cygnet::traffic
