// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Probe datagrams as IPv6/UDP packets between two mesh addresses, the probe port (docs/protocol.md
/// section 6, "Probe"). Pure.

#include <optional>

#include "cygnet/agent/backend/userspace/inner_packet.h"
#include "cygnet/base/bytes.h"
#include "cygnet/proto/probe/probe.h"

namespace cygnet::agent::userspace {

inline constexpr std::size_t kProbeOverhead = kIpv6HeaderLength + kUdpHeaderLength;

/// Writes the packet; `out` has room for kProbeOverhead + payload octets. @return its length.
std::size_t build_probe(const IpAddress& from, const IpAddress& to, ByteView payload,
                        MutableByteView out);

/// True for a UDP datagram to the probe port of our mesh address from the peer's.
[[nodiscard]] bool is_probe(const InnerPacket& inner, ByteView packet, const IpAddress& peer,
                            const IpAddress& own);
/// Its payload; nullopt when the UDP length or checksum is wrong.
[[nodiscard]] std::optional<ByteView> probe_payload(const InnerPacket& inner, ByteView packet);

}  // namespace cygnet::agent::userspace
