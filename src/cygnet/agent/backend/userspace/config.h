// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Settings of the userspace backend, with the defaults of docs/protocol.md section 8.

#include <chrono>
#include <cstdint>
#include <string>

#include "cygnet/agent/backend/common/routing_config.h"
#include "cygnet/base/time.h"

namespace cygnet::agent::userspace {

struct UserspaceConfig {
  std::string tun_name = "cygnet0";
  std::uint16_t port = 4500;
  std::uint32_t inner_mtu = 1400;
  std::uint32_t tun_queue = 4096;           ///< packets the kernel holds for us
  std::uint32_t socket_buffer = 16U << 20;  ///< octets, each direction
  bool copy_dscp = false;                   ///< inner DSCP on the outer header (tells flows apart)
  bool clamp_mss = true;
  bool offload = true;  ///< hand 64 KB at a time to and from the kernel, where it can
  /// How long the thread looks for more after work before it sleeps; zero: not at all.
  Duration spin = std::chrono::microseconds(20);
  Duration keepalive = std::chrono::seconds(20);  ///< RFC 3948 section 4; zero: none
  /// PMTU_RAISE_TIMER of RFC 8899; zero: paths are not probed.
  Duration path_mtu_raise = std::chrono::seconds(600);
  RoutingConfig routing;
  /// Builds with CYGNET_INSECURE_KEY_EXPORT only: append traffic keys to this file.
  std::string key_export_path;
};

}  // namespace cygnet::agent::userspace
