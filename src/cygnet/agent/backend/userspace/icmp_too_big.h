// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The ICMP message that tells a sender its packet does not fit the tunnel: "fragmentation needed"
/// (RFC 792, RFC 1191) or "packet too big" (RFC 4443 section 3.2). Pure.

#include "cygnet/agent/backend/userspace/inner_packet.h"
#include "cygnet/base/bytes.h"

namespace cygnet::agent::userspace {

/// The longest message it builds: an IPv6 one, cut to the minimum MTU.
inline constexpr std::size_t kMaxTooBigLength = 1280;

/// Writes a whole IP packet to `out` (at least kMaxTooBigLength octets). It comes "from" the
/// destination the sender was talking to: the one address on the way that is certain to be routed
/// back through the tunnel device.
/// @return its length; 0 when the packet must not be answered (RFC 1122 section 3.2.2: an ICMP
///         error, a later fragment, a multicast or unspecified source).
[[nodiscard]] std::size_t build_too_big(const InnerPacket& inner, ByteView packet, std::size_t mtu,
                                        MutableByteView out);

}  // namespace cygnet::agent::userspace
