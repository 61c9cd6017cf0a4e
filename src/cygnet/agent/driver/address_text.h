// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Addresses, endpoints and prefixes as people write them. Pure.

#include <string>
#include <string_view>

#include "cygnet/agent/backend/api/backend.h"
#include "cygnet/base/result.h"

namespace cygnet::agent {

inline constexpr ErrorCode kErrEndpoint{"endpoint"};

[[nodiscard]] std::string to_text(const IpAddress& address);
[[nodiscard]] std::string to_text(const UdpEndpoint& endpoint);  ///< IPv6 in brackets
[[nodiscard]] std::string to_text(const IpPrefix& prefix);
/// "198.51.100.17:4500", "[2001:db8::17]:4500", "[fe80::1%eth0]:4500". @retval kErrEndpoint
[[nodiscard]] Result<UdpEndpoint> endpoint_from_text(std::string_view text);

}  // namespace cygnet::agent
