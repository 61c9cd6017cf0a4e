// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Explicit congestion notification through a tunnel (RFC 6040). Pure.

#include <cstdint>

#include "cygnet/agent/backend/userspace/inner_packet.h"
#include "cygnet/base/bytes.h"

namespace cygnet::agent::userspace {

enum class Ecn : std::uint8_t { kNotEct = 0, kEct1 = 1, kEct0 = 2, kCe = 3 };

struct EcnDecap {
  Ecn ecn = Ecn::kNotEct;
  bool drop = false;  ///< congestion outside, and the inner sender could not be told otherwise
};
/// RFC 6040 section 4.2, Figure 4.
[[nodiscard]] EcnDecap ecn_decap(Ecn inner, Ecn outer);

/// Writes the ECN field of an inner packet, with the IPv4 header checksum.
void write_ecn(MutableByteView packet, const InnerPacket& inner, Ecn ecn);

}  // namespace cygnet::agent::userspace
