// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Settings of the kernel backend, with the defaults of docs/protocol.md section 8.

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "cygnet/agent/backend/api/backend.h"
#include "cygnet/agent/backend/common/routing_config.h"
#include "cygnet/base/time.h"

namespace cygnet::agent::xfrm {

struct XfrmConfig {
  /// A tunnel device without a reader: peers' prefixes are routed there, so that a packet that no
  /// policy takes is dropped. It has the mesh address, and it outlives the agent.
  std::string tun_name = "cygnet0";
  std::uint16_t port = 4500;
  std::uint32_t inner_mtu = 1400;
  std::uint32_t socket_buffer = 1U << 20;  ///< octets, each direction; control datagrams only
  Duration keepalive = std::chrono::seconds(20);  ///< RFC 3948 section 2.3; zero: none
  Duration poll = std::chrono::seconds(1);        ///< how often counters are read
  /// Addresses of ours that peers know; preferred where this host has several.
  std::vector<IpAddress> local_addresses;
  /// ESP sockets of an earlier run, which somebody kept open meanwhile, so that what peers sent was
  /// taken in. create() owns them, and closes what it has no use for.
  std::vector<int> kept_sockets;
  RoutingConfig routing;
};

}  // namespace cygnet::agent::xfrm
