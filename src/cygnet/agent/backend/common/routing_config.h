// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Where the kernel is told what goes through the tunnel: settings every data plane of this host
/// shares. Two agents in one network namespace need different tables, priorities and marks.

#include <cstdint>

namespace cygnet::agent {

struct RoutingConfig {
  std::uint32_t table = 17235;
  std::uint8_t protocol = 67;  ///< rtproto of our routes and rules: how we know them again
  std::uint32_t rule_priority = 17235;
  std::uint32_t fwmark = 0x4379;  ///< of the agent's own sockets, which bypass the table
  /// Take a prefix even though the main table routes it elsewhere.
  bool override_conflicts = false;
};

}  // namespace cygnet::agent
