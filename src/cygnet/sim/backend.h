// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The simulated data plane of one device: SAs by peer, send counters, replay windows (the
/// production ones), a hold queue, and the rate limits of what it tells the agent. Packets carry a
/// digest of their key; one that does not match is one whose ICV does not verify.

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "cygnet/agent/backend/api/backend.h"
#include "cygnet/esp/replay_window.h"
#include "cygnet/sim/observer.h"
#include "cygnet/sim/packet.h"

namespace cygnet::sim {

/// Where user packets ended, by cause.
struct TrafficCounts {
  std::uint64_t sent = 0;  ///< by whoever sits behind a device
  std::uint64_t delivered = 0;
  std::uint64_t not_known = 0;     ///< the device does not know that peer (any more, or yet)
  std::uint64_t held_dropped = 0;  ///< waited for a first SA for too long
  std::uint64_t no_choice = 0;     ///< … for an SA, after packets had been sent to that peer
  std::uint64_t network = 0;       ///< the network lost it
  std::uint64_t no_sa = 0;         ///< the receiver had no such SA
  std::uint64_t bad_icv = 0;
  std::uint64_t replay = 0;
  std::uint64_t sender_down = 0;  ///< behind a device that was not running

  TrafficCounts& operator+=(const TrafficCounts& t);
};

struct SimSa {
  proto::SaPairId id;
  PairKeys keys;
  std::uint64_t sent = 0;
  std::uint64_t opened = 0;
  bool inbound = true;
  bool outbound = true;
  std::unique_ptr<esp::ReplayWindow> window;  ///< made with the first packet
  std::array<Timestamp, 3> evidence_told{};
};

struct SimPeer {
  DeviceId device = 0;
  bool present = false;
  std::vector<SimSa> pairs;  ///< ascending by id
  std::optional<proto::SaPairId> chosen;
  std::vector<Timestamp> held;  ///< when each waiting user packet came
  bool sent_user = false;
  Timestamp traffic_told{};
  Timestamp waiting_told{};

  [[nodiscard]] SimSa* find(proto::SaPairId id);
  [[nodiscard]] const SimSa* find(proto::SaPairId id) const;
};

/// At most once an interval.
[[nodiscard]] inline bool pass(Timestamp& told, Timestamp now, Duration interval) {
  if (told != Timestamp{} && now - told < interval) return false;
  told = now;
  return true;
}

class SimBackend {
 public:
  static constexpr Duration kEventInterval = std::chrono::seconds(1);
  static constexpr Duration kHoldMax = std::chrono::seconds(1);
  static constexpr std::size_t kHeldMax = 64;

  SimPeer& set_peer(proto::PeerId id, DeviceId device);
  [[nodiscard]] SimPeer* peer(proto::PeerId id);
  [[nodiscard]] const SimPeer* peer(proto::PeerId id) const;
  void install(proto::PeerId id, proto::SaPairId pair, PairKeys keys);
  /// @return whether it was there
  bool remove(proto::PeerId id, proto::SaPairId pair, bool inbound);
  void remove_peer(proto::PeerId id);

  [[nodiscard]] const std::vector<SimPeer>& peers() const { return peers_; }
  std::uint64_t unknown_spis = 0;

 private:
  std::vector<SimPeer> peers_;  ///< by PeerId - 1: the agent numbers them from 1
};

}  // namespace cygnet::sim
