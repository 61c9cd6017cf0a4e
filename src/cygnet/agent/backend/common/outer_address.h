// SPDX-License-Identifier: Apache-2.0
#pragma once

/// A socket address of either family, small enough to copy with each datagram.

#include <netinet/in.h>

#include <cstring>

#include "cygnet/agent/backend/api/backend.h"

namespace cygnet::agent {

union OuterAddress {
  sockaddr any;
  sockaddr_in v4;
  sockaddr_in6 v6;

  OuterAddress() { std::memset(this, 0, sizeof *this); }
  explicit OuterAddress(const UdpEndpoint& endpoint);

  [[nodiscard]] bool is_v6() const { return any.sa_family == AF_INET6; }
  [[nodiscard]] bool is_set() const { return any.sa_family != 0; }
  [[nodiscard]] socklen_t length() const {
    return is_v6() ? static_cast<socklen_t>(sizeof v6) : static_cast<socklen_t>(sizeof v4);
  }
  [[nodiscard]] UdpEndpoint endpoint() const;

  friend bool operator==(const OuterAddress& a, const OuterAddress& b) {
    if (a.any.sa_family != b.any.sa_family) return false;
    if (!a.is_v6()) {
      return a.v4.sin_port == b.v4.sin_port && a.v4.sin_addr.s_addr == b.v4.sin_addr.s_addr;
    }
    return a.v6.sin6_port == b.v6.sin6_port && a.v6.sin6_scope_id == b.v6.sin6_scope_id &&
           std::memcmp(&a.v6.sin6_addr, &b.v6.sin6_addr, sizeof a.v6.sin6_addr) == 0;
  }
};

}  // namespace cygnet::agent
