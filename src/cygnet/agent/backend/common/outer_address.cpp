// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/backend/common/outer_address.h"

namespace cygnet::agent {

OuterAddress::OuterAddress(const UdpEndpoint& endpoint) : OuterAddress() {
  if (endpoint.address.is_v6) {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(endpoint.port);
    v6.sin6_scope_id = endpoint.scope_id;
    std::memcpy(&v6.sin6_addr, endpoint.address.octets.data(), 16);
  } else {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(endpoint.port);
    std::memcpy(&v4.sin_addr, endpoint.address.octets.data(), 4);
  }
}

UdpEndpoint OuterAddress::endpoint() const {
  UdpEndpoint out;
  if (is_v6()) {
    out.address.is_v6 = true;
    out.port = ntohs(v6.sin6_port);
    out.scope_id = v6.sin6_scope_id;
    std::memcpy(out.address.octets.data(), &v6.sin6_addr, 16);
  } else {
    out.port = ntohs(v4.sin_port);
    std::memcpy(out.address.octets.data(), &v4.sin_addr, 4);
  }
  return out;
}

}  // namespace cygnet::agent
