// SPDX-License-Identifier: Apache-2.0
#pragma once

/// A run written down, so that it can be had again: what it was drawn from, and what came of it.
/// Lines of "key value"; unknown keys are refused, so that a file of another version is not taken
/// for something it is not.

#include <cstdint>
#include <string>
#include <string_view>

#include "cygnet/base/result.h"
#include "cygnet/sim/runner.h"

namespace cygnet::sim {

inline constexpr ErrorCode kErrSeedFile{"sim-seed-file"};

struct SeedFile {
  std::string scenario;
  std::uint64_t seed = 0;
  std::uint32_t devices = 0;  ///< 0: as the scenario has it
  std::uint32_t minutes = 0;  ///< of virtual time; 0: as the scenario has it
  bool real_crypto = false;
  std::string plant;  ///< empty: none
  // What came of it when it was written.
  std::string checker;     ///< empty: nothing was broken
  std::uint64_t hash = 0;  ///< 0: not said
};

[[nodiscard]] std::string to_text(const SeedFile& file);
/// The command that does the same run.
[[nodiscard]] std::string command_line(const SeedFile& file);
/// @retval kErrSeedFile  with the line
[[nodiscard]] Result<SeedFile> parse_seed_file(std::string_view text);

struct Replay {
  Scenario scenario;
  Plants plants;
};
/// Another length is longer or shorter at its quiet end: what is inflicted stays as it is.
/// @retval kErrScenario  no such scenario or planted fault, or too short for the scenario
[[nodiscard]] Result<Replay> prepare(const SeedFile& file);

}  // namespace cygnet::sim
