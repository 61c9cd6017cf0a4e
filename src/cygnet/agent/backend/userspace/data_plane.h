// SPDX-License-Identifier: Apache-2.0
#pragma once

/// One data-plane thread: owns the TUN device, the outer sockets, the SAD and the peers, and moves
/// packets in batches. Commands come through a mailbox and run on the thread; answers and events
/// go back through the Reporter. It never waits for the control thread, and on the packet path
/// takes no lock and allocates nothing in steady state.
///
/// start, stop and post are for the control thread; everything under "Commands" runs inside a
/// posted command only.

#include <sys/epoll.h>

#include <array>
#include <functional>
#include <memory>
#include <span>
#include <thread>
#include <vector>

#include "cygnet/agent/backend/common/mailbox.h"
#include "cygnet/agent/backend/userspace/inbound_path.h"
#include "cygnet/agent/backend/userspace/outbound_path.h"
#include "cygnet/agent/backend/userspace/plane_state.h"

namespace cygnet::agent::userspace {

inline constexpr ErrorCode kErrTunGone{"tun-gone"};

class DataPlane {
 public:
  using Command = rt::UniqueFunction<void(DataPlane&)>;

  /// At least one socket must be given. `config` and `reporter` outlive the plane.
  DataPlane(const UserspaceConfig& config, Tun tun, std::unique_ptr<UdpSocket> v4,
            std::unique_ptr<UdpSocket> v6, const Reporter& reporter);
  ~DataPlane() { stop(); }
  DataPlane(const DataPlane&) = delete;
  DataPlane& operator=(const DataPlane&) = delete;

  void start();
  /// Executes what was posted, then joins. Idempotent. Keys are zeroed when the plane goes.
  void stop();
  void post(Command command);

  // Commands.
  void set_self(const IpAddress& mesh_address) { state_.own_mesh_address = mesh_address; }
  void own_prefix(const IpPrefix& prefix) { state_.peers.own_prefix(prefix); }
  void set_peer(proto::PeerId peer, std::string name, const IpAddress& mesh_address,
                std::vector<UdpEndpoint> candidates);
  void give_prefix(const IpPrefix& prefix, proto::PeerId peer);
  void take_prefix(const IpPrefix& prefix) { state_.peers.take_prefix(prefix); }
  void remove_peer(proto::PeerId peer);
  /// A pair with its keys, or a claimed one.
  void install(proto::PeerId peer, std::unique_ptr<SaPair> pair);
  void give_keys(proto::PeerId peer, std::unique_ptr<SaPair> keyed);
  void choose_outbound(proto::PeerId peer, std::optional<proto::SaPairId> pair);
  void remove_outbound(proto::PeerId peer, proto::SaPairId pair);
  void remove_inbound(proto::PeerId peer, proto::SaPairId pair);
  void send_probe(proto::PeerId peer, proto::SaPairId pair, ByteView payload);
  void send_path_probe(proto::PeerId peer, proto::SaPairId pair, ByteView payload);
  void set_path_mtu(proto::PeerId peer, std::uint32_t inner, bool whole);
  void send_control(const UdpEndpoint& to, ByteView payload) {
    outbound_.send_control(to, payload);
  }
  void set_soft_packet_limit(std::uint64_t packets);
  [[nodiscard]] std::vector<PairCounters> counters();
  [[nodiscard]] std::vector<DropCounter> drops() const;
  [[nodiscard]] std::vector<PeerPath> paths();

 private:
  enum Source : std::uint32_t { kMailbox, kTun, kSocketV4, kSocketV6 };

  void run();
  bool run_commands();
  void receive(UdpSocket& socket);
  void read_tun();
  void tick();
  void watch(int fd, Source source);
  void update_interest();
  [[nodiscard]] int wait_timeout() const;
  [[nodiscard]] int wait(std::span<epoll_event> events);
  void erase_if_empty(Peer& peer, proto::SaPairId pair);

  Mailbox mailbox_;
  const UserspaceConfig& config_;
  Tun tun_;
  std::array<std::unique_ptr<UdpSocket>, 2> sockets_;  ///< IPv4, IPv6
  PlaneState state_;
  OutboundPath outbound_;
  InboundPath inbound_;
  Fd epoll_;
  bool stop_ = false;
  bool tun_gone_ = false;
  bool tun_watched_ = false;
  std::array<bool, 2> writable_watched_{};
  Timestamp next_tick_{};
  Timestamp spin_until_{};
  Timestamp next_keepalive_{};
  std::thread thread_;
};

}  // namespace cygnet::agent::userspace
