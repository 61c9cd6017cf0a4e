// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The discovery datagram (docs/protocol.md section 7, "Endpoints"): sent from the ESP socket to
/// the controller's UDP port with a cookie from the stream, so that the controller learns the
/// address and port peers reach that socket at; "the TCP source says nothing about the UDP
/// mapping". After the four zero octets of the non-ESP marker (RFC 3948), which the backend adds
/// and removes:
///
///   question  "CYGD" | version 1 | cookie 16
///   answer    "CYGD" | version 1 | cookie 16 | family 4 or 6 | address 4 or 16 | port 2
///
/// Pure.

#include <array>

#include "cygnet/agent/backend/api/backend.h"
#include "cygnet/base/result.h"

namespace cygnet::agent {

inline constexpr ErrorCode kErrDiscovery{"discovery"};
using DiscoveryCookie = std::array<std::uint8_t, 16>;

[[nodiscard]] Bytes encode_discovery(const DiscoveryCookie& cookie);
struct DiscoveryAnswer {
  DiscoveryCookie cookie{};
  UdpEndpoint seen;  ///< where the controller saw our ESP socket
};
/// @retval kErrDiscovery
[[nodiscard]] Result<DiscoveryAnswer> decode_discovery_answer(ByteView datagram);

}  // namespace cygnet::agent
