// SPDX-License-Identifier: Apache-2.0
#pragma once

/// May this inner packet pass between us and this peer (RFC 4301 sections 5.2 and 6.2)? The same
/// rules judge what comes in and, with the sides exchanged, what goes out, so that an agent never
/// sends what the other end must refuse. Pure.

#include <cstdint>
#include <optional>

#include "cygnet/agent/backend/userspace/inner_packet.h"

namespace cygnet::agent::userspace {

/// Who owns an address by its most specific prefix.
enum class Side : std::uint8_t { kOurs, kPeers, kOther };

enum class InnerRefusal : std::uint8_t { kSource, kDestination, kIcmp };

/// @param from, to   kPeers and kOurs for a packet that comes in; kOurs and kPeers going out.
/// @param side_of    Side of an address, as seen from the pair of us and this peer.
template <class SideOf>
[[nodiscard]] std::optional<InnerRefusal> check_inner(const InnerPacket& inner, ByteView packet,
                                                      Side from, Side to, const SideOf& side_of) {
  if (side_of(inner.destination) != to) return InnerRefusal::kDestination;
  if (const auto error = icmp_error(inner, packet)) {
    // An ICMP error may come from any router on the way, so its source proves nothing; the packet
    // it is about, "with the source and destination addresses reversed" (RFC 4301 section 6.2),
    // must be one that this pair exchanged.
    if (!error->readable || side_of(error->embedded_source) != to ||
        side_of(error->embedded_destination) != from) {
      return InnerRefusal::kIcmp;
    }
    return side_of(inner.source) == to ? std::optional(InnerRefusal::kSource) : std::nullopt;
  }
  if (side_of(inner.source) != from) return InnerRefusal::kSource;
  return std::nullopt;
}

}  // namespace cygnet::agent::userspace
