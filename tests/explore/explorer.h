// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Exhaustive breadth-first exploration of a scenario: every interleaving of everything that can
/// happen, within the scenario's budgets. S properties are checked at every step; L properties on
/// the finished graph, as "from every reachable state the goal is reachable by what the world does
/// by itself" (no further command, loss, failure or restart).

#include <cstddef>
#include <functional>
#include <optional>
#include <string>

#include "world.h"

namespace cygnet::explore {

struct Liveness {
  bool quiet = false;          ///< … and without user packets, or reaching the controller again
  bool settles = true;         ///< L1, L2, L4: is_settled() from everywhere
  bool recovers_fast = false;  ///< L3: carries_traffic() from everywhere, without waiting
  /// Another goal instead of is_settled(), and the property's name.
  std::function<bool(const Scenario&, const World&)> goal;
  std::string property = "L1";
};

struct Outcome {
  std::size_t states = 0;
  std::size_t edges = 0;
  std::size_t pairs_max = 0;  ///< SA pairs towards one peer, draining included
  std::size_t privates_max = 0;
  bool exhausted = true;  ///< false: states_max was reached
  double seconds = 0;
  std::optional<Violation> violation;
  std::string trace;  ///< how to get there, in the draft's notation
};

[[nodiscard]] Outcome explore(const Scenario& scenario, const Liveness& liveness);

/// One line for people.
[[nodiscard]] std::string summary(const Scenario& scenario, const Outcome& outcome);

}  // namespace cygnet::explore
