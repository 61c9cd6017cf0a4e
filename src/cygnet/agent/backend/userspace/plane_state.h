// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What the inbound and the outbound path of one data-plane thread share. Everything here belongs
/// to that thread.

#include <algorithm>

#include "cygnet/agent/backend/common/reporter.h"
#include "cygnet/agent/backend/common/tun.h"
#include "cygnet/agent/backend/common/unknown_spis.h"
#include "cygnet/agent/backend/userspace/config.h"
#include "cygnet/agent/backend/userspace/inner_packet.h"
#include "cygnet/agent/backend/userspace/peer_table.h"
#include "cygnet/agent/backend/userspace/sad.h"
#include "cygnet/agent/backend/userspace/sender.h"
#include "cygnet/base/time.h"
#include "cygnet/esp/drop.h"

namespace cygnet::agent::userspace {

inline constexpr Duration kEventInterval = std::chrono::seconds(1);

struct PlaneState {
  PlaneState(const UserspaceConfig& settings, Tun& device, const Reporter& events)
      : config(settings), tun(device), reporter(events) {}

  const UserspaceConfig& config;
  Tun& tun;
  const Reporter& reporter;
  IpAddress own_mesh_address;
  std::size_t waiting_octets = 0;  ///< what KeyWait::kMaxOctets bounds
  PeerTable peers;
  Sad sad;
  UnknownSpis unknown_spis;
  esp::DropCounters drops;
  std::uint64_t soft_packet_limit = 0;
  Timestamp now{};             ///< read once a batch
  bool timers_wanted = false;  ///< something waits for a tick

  /// The largest inner packet for this peer, of the family.
  [[nodiscard]] std::size_t mtu_of(const Peer& peer, bool v6) const {
    const std::size_t mtu = std::min(config.inner_mtu, peer.path_mtu);
    return v6 ? mtu : std::min(mtu, least_of(peer));
  }
  /// What TCP may fill: for both families, as it needs no packet larger than that.
  [[nodiscard]] std::size_t tcp_mtu_of(const Peer& peer) const { return mtu_of(peer, false); }
  /// Over IPv6 a router fragments nothing, and this host does not know of the small path. What
  /// every IPv6 path carries whole must then do for the packets that can be so small.
  [[nodiscard]] static std::size_t least_of(const Peer& peer) {
    constexpr std::uint32_t kLeastPath = 1280;  // RFC 8200 section 5
    constexpr std::size_t kRoom = kLeastPath - kIpv6HeaderLength - kUdpHeaderLength;
    if (peer.path_whole || peer.path_mtu > kLeastPath || !peer.endpoint.is_v6() ||
        peer.chosen == nullptr || peer.chosen->outbound.empty()) {
      return SIZE_MAX;
    }
    const esp::EspFormat& format = peer.chosen->outbound.front()->format;
    std::size_t inner = kRoom - format.header_length();
    while (format.packet_length(inner) > kRoom) --inner;
    return inner;
  }
  void drop(esp::EspDrop why, std::uint64_t n = 1) { drops.add(why, n); }
  void report_user_traffic(Peer& peer) {
    if (!peer.user_traffic.pass(now, kEventInterval)) return;
    reporter.tell([id = peer.id](BackendEvents& events) { events.on_user_traffic(id); });
  }
  /// Asks once for the keys of a claimed pair.
  void want_keys(SaPair& pair) {
    if (!pair.claimed || pair.keys_wanted) return;
    pair.keys_wanted = true;
    reporter.tell([peer = pair.peer->id, id = pair.id](BackendEvents& events) {
      events.on_keys_wanted(peer, id);
    });
  }
  /// Tells once that an SA of the pair should be replaced.
  void check_soft_limit(SaPair& pair, std::uint64_t packets, std::uint64_t last_sequence) {
    const bool passed = (soft_packet_limit != 0 && packets >= soft_packet_limit) ||
                        packets >= rekey_sequence(last_sequence);
    if (!passed || pair.soft_limit_reported) return;
    pair.soft_limit_reported = true;
    reporter.tell([peer = pair.peer->id, id = pair.id](BackendEvents& events) {
      events.on_soft_limit(peer, id);
    });
  }
};

}  // namespace cygnet::agent::userspace
