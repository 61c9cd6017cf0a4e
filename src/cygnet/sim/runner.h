// SPDX-License-Identifier: Apache-2.0
#pragma once

/// One run, and many: a swarm spreads seeds over the machine's cores, adds up what was exercised
/// and tells of the first seeds that broke something. Worlds share nothing, so threads do not
/// change what a seed does.

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cygnet/sim/backend.h"
#include "cygnet/sim/checkers/checker.h"
#include "cygnet/sim/plants.h"
#include "cygnet/sim/scenario.h"

namespace cygnet::sim {

struct RunReport {
  std::string scenario;
  std::uint64_t seed = 0;
  std::uint64_t hash = 0;    ///< of everything that happened, in order
  std::uint64_t events = 0;  ///< of the heap
  std::optional<Violation> violation;
  std::string story;  ///< the last events, when there is a violation
  TrafficCounts traffic;
  std::array<std::uint64_t, kFaultCount> faults{};
  std::map<std::string, std::uint64_t> looked;    ///< by checker
  std::map<std::string, std::uint64_t> observed;  ///< rules and rows at work
  std::map<std::string, std::uint64_t> counts;    ///< alarms, refusals
  std::uint64_t publishes = 0;
  std::uint64_t dh_pairs = 0;
  std::uint64_t installs = 0;
  std::uint64_t messages_up = 0, octets_up = 0;
  std::uint64_t messages_down = 0, octets_down = 0;
  std::uint64_t verified = 0;
  std::uint32_t sa_pairs_per_peer_max = 0;
  std::size_t heap_max = 0;
  Duration virtual_time{};
};

[[nodiscard]] RunReport run(const Scenario& scenario, std::uint64_t seed,
                            const Plants& plants = {});

struct SwarmReport {
  std::vector<RunReport> broken;  ///< at most a few, by seed
  std::uint64_t runs = 0;
  std::uint64_t events = 0;
  std::uint64_t hash = 0;
  TrafficCounts traffic;
  std::array<std::uint64_t, kFaultCount> faults{};
  std::map<std::string, std::uint64_t> looked;
  std::map<std::string, std::uint64_t> observed;
  std::map<std::string, std::uint64_t> counts;
  /// What the scenario names and no run ever did.
  std::vector<std::string> never;
};

struct SwarmOptions {
  Scenario scenario;
  std::uint64_t first = 1;
  std::uint64_t last = 1;
  unsigned threads = 2;
  Plants plants;
  bool stop_at_first = false;
};
[[nodiscard]] SwarmReport swarm(const SwarmOptions& options);

/// For people: what broke, how to see it again, the last events.
[[nodiscard]] std::string describe(const RunReport& report);

}  // namespace cygnet::sim
