// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Many devices against a live controller: scenarios, one after the other, each measured and each
/// ending only when everybody holds everybody's newest DIM (or patience ends, which is a fault).
/// Blocking; one thread.

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "cygnet/load/device.h"
#include "cygnet/load/process.h"

namespace cygnet::load {

inline constexpr ErrorCode kErrSwarm{"swarm"};

struct SwarmOptions {
  std::uint32_t devices = 0;
  std::uint32_t group = 0;  ///< devices that hear each other, in order of number; 0: all
  std::vector<std::string> scenarios;
  std::uint32_t publishes = 20;                  ///< publish: one after the other
  Duration within = std::chrono::seconds(0);     ///< rekey: everybody's, spread over this
  std::uint32_t rounds = 1;                      ///< rekey, slow: so often
  std::uint32_t slow_percent = 10;               ///< slow: devices that read nothing meanwhile
  std::uint32_t connecting = 64;                 ///< join: at one time
  Duration patience = std::chrono::seconds(60);  ///< until a scenario has settled
  pid_t controller_pid = 0;                      ///< 0: not measured
  std::uint64_t lose = 0;                        ///< planted fault, see Surroundings
};

struct PhaseReport {
  std::string scenario;
  Duration took{};    ///< until everything had settled
  Duration spread{};  ///< first publish until last delivery
  Totals totals;      ///< of this scenario alone
  Traffic traffic;    ///< of this scenario alone
  Ledger::Times times;
  Usage controller_before;
  Usage controller_after;
  Duration own_cpu{};
  bool settled = false;
  [[nodiscard]] double deliveries_per_second() const;
};

struct SwarmReport {
  std::vector<PhaseReport> phases;
  Faults faults;
  std::uint64_t lost = 0;        ///< (receiver, sender) pairs without the newest DIM at the end
  std::vector<Missing> missing;  ///< some of them
  std::uint64_t messages_broken = 0;
  std::uint64_t streams_lost = 0;
  std::string last_error;
  /// Nothing lost, nothing out of order, nothing changed, everything settled.
  [[nodiscard]] bool good() const;
};

/// "join", "publish", "rekey", "reconnect", "slow".
[[nodiscard]] const std::vector<std::string>& scenario_names();

/// Runs the scenarios; "join" comes first whether named or not.
/// @retval kErrSwarm, kErrProcess
[[nodiscard]] Result<SwarmReport> run_swarm(rt::Loop& loop, const rt::HostPort& controller,
                                            const Fleet& fleet, const SwarmOptions& options,
                                            const std::function<void(const PhaseReport&)>& told);

}  // namespace cygnet::load
