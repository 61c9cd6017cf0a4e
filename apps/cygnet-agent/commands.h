// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The commands of cygnet-agent. Each returns a Status; main prints an error as one line and exits
/// with 1.

#include <string>

#include "config.h"
#include "cygnet/base/result.h"

namespace cygnet::agent {

inline constexpr ErrorCode kErrDown{"down"};
inline constexpr ErrorCode kErrStopped{"stopped"};

struct JoinCommand {
  std::string line;
  std::string name;  ///< empty: what the token is bound to, else this host's name
};
[[nodiscard]] Status run_join(const AgentConfig& config, const JoinCommand& command);
/// Until SIGTERM, SIGINT or POST /api/v1/stop.
[[nodiscard]] Status run_agent(const AgentConfig& config);
/// Removes the fail-closed routes; stops an agent that runs first.
[[nodiscard]] Status run_down_open(const AgentConfig& config);
/// Installs the fail-closed routes of the stored peers without an agent: for the unit at boot.
[[nodiscard]] Status run_close(const AgentConfig& config);
/// What `run` would meet before it touches the network: configuration, state directory, keys.
[[nodiscard]] Status run_check(const AgentConfig& config);

}  // namespace cygnet::agent
