// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What happens in a world, told to whoever looks on: the checkers, the story, the counters. None
/// of them may change anything.

#include <optional>
#include <string>

#include "cygnet/agent/core/effects.h"
#include "cygnet/proto/ids/ids.h"
#include "cygnet/sim/packet.h"
#include "cygnet/sim/scenario.h"

namespace cygnet::sim {

class World;

struct PairKeys {
  std::uint64_t in = 0;
  std::uint64_t out = 0;
};

enum class StateLoss : std::uint8_t { kMemory, kDisk, kFlush };

class Observer {
 public:
  virtual ~Observer() = default;
  // ---- Key store.
  virtual void on_drawn(DeviceId, proto::RekeyCounter) {}
  virtual void on_erased(DeviceId, proto::RekeyCounter, bool /*was_there*/) {}
  // ---- Backend.
  virtual void on_install_asked(DeviceId, DeviceId /*peer*/, proto::SaPairId,
                                bool /*private_there*/) {}
  virtual void on_installed(DeviceId, DeviceId /*peer*/, proto::SaPairId, const PairKeys&) {}
  virtual void on_removed(DeviceId, DeviceId /*peer*/, proto::SaPairId, bool /*inbound*/) {}
  virtual void on_chosen(DeviceId, DeviceId /*peer*/, const std::optional<proto::SaPairId>&) {}
  // ---- Packets.
  virtual void on_sent(const Packet&) {}
  virtual void on_no_sa(const Packet&) {}    ///< the receiver has no such inbound SA
  virtual void on_bad_icv(const Packet&) {}  ///< … has it with another key
  virtual void on_replay(const Packet&) {}   ///< the replay window knew the number
  virtual void on_opened(const Packet&) {}
  // ---- The controller leg.
  virtual void on_signed(DeviceId, proto::RekeyCounter, const Bytes& /*octets*/) {}
  virtual void on_publish(DeviceId, proto::RekeyCounter) {}
  /// The machine asks for the publish: from here on the DIM is on its way.
  virtual void on_publish_decided(DeviceId, proto::RekeyCounter) {}
  /// The controller's word on a peer reaches the device: a tombstone, or news of a peer allowed.
  virtual void on_peer_told(DeviceId, DeviceId /*peer*/, bool /*removed*/) {}
  /// A DIM was looked at; `changed` when the rekey machines differ afterwards.
  virtual void on_judged(DeviceId, DeviceId /*peer*/, const proto::DimCheckResult&,
                         const Bytes& /*octets*/, bool /*changed*/) {}
  // ---- Life.
  virtual void on_lost_state(DeviceId, StateLoss) {}
  virtual void on_started(DeviceId) {}
  virtual void on_peer_removed(DeviceId, DeviceId /*peer*/) {}
  virtual void on_observed(DeviceId, const proto::rekey::Observe&) {}
  virtual void on_fault(Fault, DeviceId, DeviceId) {}
  // ---- Time.
  virtual void on_sample() {}  ///< every now and then, between events
  virtual void on_healed() {}  ///< nothing is inflicted from here on
  virtual void on_end() {}
};

}  // namespace cygnet::sim
