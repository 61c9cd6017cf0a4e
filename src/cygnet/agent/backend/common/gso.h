// SPDX-License-Identifier: Apache-2.0
#pragma once

/// A packet that stands for many: what the kernel tells with a large packet it hands over, and what
/// we tell with one we made (the virtio-net header of a TUN device, linux/virtio_net.h). Pure.

#include <cstddef>
#include <cstdint>

namespace cygnet::agent {

enum class GsoKind : std::uint8_t { kNone, kTcpV4, kTcpV6, kUdp };

struct GsoInfo {
  GsoKind kind = GsoKind::kNone;
  std::uint16_t segment_size = 0;  ///< payload octets of every segment but the last
  /// The transport checksum holds the pseudo-header's sum only; whoever sends the packet on
  /// completes it over everything from checksum_start.
  bool partial_checksum = false;
  /// The transport checksum was verified; only towards the kernel.
  bool checksum_valid = false;
  std::uint16_t header_length = 0;    ///< up to the transport payload
  std::uint16_t checksum_start = 0;   ///< of the transport header
  std::uint16_t checksum_offset = 0;  ///< in it
};

}  // namespace cygnet::agent
