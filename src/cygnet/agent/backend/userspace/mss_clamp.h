// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Lowers the MSS option of TCP SYN segments to what the tunnel carries whole, so that hosts behind
/// the gateways need no path MTU discovery. Pure.

#include "cygnet/agent/backend/userspace/inner_packet.h"
#include "cygnet/base/bytes.h"

namespace cygnet::agent::userspace {

/// @return true when the packet was changed (its TCP checksum with it).
bool clamp_mss(MutableByteView packet, const InnerPacket& inner, std::size_t inner_mtu);

}  // namespace cygnet::agent::userspace
