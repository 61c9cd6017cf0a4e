// SPDX-License-Identifier: Apache-2.0
#pragma once

/// A simulated ESP packet. It names the SA it was sent on as its sender does, carries a digest of
/// the key instead of a ciphertext, and what its sender knew, for the checkers only.

#include <array>
#include <cstdint>

#include "cygnet/base/time.h"
#include "cygnet/proto/ids/ids.h"

namespace cygnet::sim {

using DeviceId = std::uint32_t;  ///< index of a device in its world

enum class PacketKind : std::uint8_t { kUser, kRequest, kReply };

struct Packet {
  DeviceId from = 0;
  DeviceId to = 0;
  proto::SaPairId pair;   ///< as its sender names it: Tx(local-remote)
  std::uint64_t key = 0;  ///< digest of the key it is sealed with
  std::uint64_t sequence = 0;
  PacketKind kind = PacketKind::kUser;
  std::array<std::uint8_t, 8> cookie{};
  Timestamp sent{};
  // For checkers; a receiver never looks at these.
  bool nothing_live = false;      ///< … towards the receiver when it was sent
  bool spoofed = false;           ///< made by somebody without the key
  bool copy = false;              ///< the network made it
  std::uint32_t incarnation = 0;  ///< of its sender
  proto::RekeyCounter known;      ///< newest DIM of the receiver that counted as received
};

}  // namespace cygnet::sim
