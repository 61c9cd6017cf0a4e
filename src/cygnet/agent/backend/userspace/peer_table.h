// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Peers as the data plane holds them, and the one prefix table that says who owns an inner
/// address. Data-plane thread only.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "cygnet/agent/backend/api/backend.h"
#include "cygnet/agent/backend/common/outer_address.h"
#include "cygnet/agent/backend/common/rate_gate.h"
#include "cygnet/agent/backend/userspace/hold_queue.h"
#include "cygnet/agent/backend/userspace/inner_check.h"
#include "cygnet/agent/backend/userspace/prefix_table.h"
#include "cygnet/agent/backend/userspace/sa.h"

namespace cygnet::agent::userspace {

struct Peer {
  /// What control takes of one peer's probes.
  static constexpr unsigned kProbesPerSecond = 50;

  proto::PeerId id;
  std::string name;
  IpAddress mesh_address;
  PrefixTable::Owner owner = PrefixTable::kNobody;  ///< its number in the prefix table

  // Where it is. The endpoint in use follows the newest authenticated packet; until there was one
  // it is the first candidate that can be sent to.
  std::vector<UdpEndpoint> candidates;
  std::size_t candidate = 0;
  OuterAddress endpoint;
  bool endpoint_learned = false;
  proto::RekeyCounter endpoint_generation;  ///< remote generation of the SA that showed it
  bool moved_pending = false;

  std::vector<std::unique_ptr<SaPair>> pairs;
  SaPair* chosen = nullptr;  ///< of `pairs`, with an outbound direction

  /// What the path to it takes (SadBackend::set_path_mtu).
  std::uint32_t path_mtu = UINT32_MAX;
  bool path_whole = true;

  HoldQueue held;
  std::uint64_t held_dropped = 0;
  std::uint64_t no_sa = 0;
  bool sent_user = false;

  Timestamp last_sent{};
  Timestamp last_verified{};  ///< newest authenticated packet
  RateGate user_traffic;
  RateGate packet_waiting;
  RateGate moved;
  RateBudget probes{kProbesPerSecond, std::chrono::seconds(1)};

  [[nodiscard]] SaPair* find(proto::SaPairId pair);
  /// A user packet can go out now: an SA with its keys, and somewhere to send to.
  [[nodiscard]] bool sendable() const {
    return chosen != nullptr && !chosen->claimed && endpoint.is_set();
  }
  /// Sends to the first candidate again unless an endpoint was learned.
  void reset_endpoint();
};

class PeerTable {
 public:
  /// Creates the peer or changes its name, mesh address and candidates; prefixes come separately.
  Peer& set(proto::PeerId id, std::string name, const IpAddress& mesh_address,
            std::vector<UdpEndpoint> candidates);
  [[nodiscard]] Peer* find(proto::PeerId id);
  /// Forgets the peer; its prefixes must have been taken from it before.
  void erase(proto::PeerId id);

  void own_prefix(const IpPrefix& prefix) { prefixes_.set(prefix, kSelf); }
  /// Asserts that the peer is known.
  void give_prefix(const IpPrefix& prefix, proto::PeerId id);
  void take_prefix(const IpPrefix& prefix) { prefixes_.erase(prefix); }

  [[nodiscard]] Peer* owner(const IpAddress& address);
  /// Side of an address as seen from the pair of us and `peer`.
  [[nodiscard]] Side side_of(const Peer& peer, const IpAddress& address) const {
    const PrefixTable::Owner owner = prefixes_.find(address);
    return owner == kSelf ? Side::kOurs : owner == peer.owner ? Side::kPeers : Side::kOther;
  }

  template <class Visit>
  void for_each(const Visit& visit) {
    for (auto& [id, peer] : peers_) visit(*peer);
  }

 private:
  static constexpr PrefixTable::Owner kSelf = 1;
  static constexpr PrefixTable::Owner kFirstPeer = 2;

  std::unordered_map<proto::PeerId, std::unique_ptr<Peer>> peers_;
  std::vector<Peer*> by_owner_;  ///< [owner - kFirstPeer]; null when free
  PrefixTable prefixes_;
};

}  // namespace cygnet::agent::userspace
