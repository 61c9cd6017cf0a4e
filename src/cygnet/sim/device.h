// SPDX-License-Identifier: Apache-2.0
#pragma once

/// One simulated device: the production AgentCore, and around it what the agent's driver does with
/// its effects: key store, disk, data plane, the stream to the controller with the production codec
/// and back-off. Nothing in here decides anything about the protocol.

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "cygnet/agent/core/agent_core.h"
#include "cygnet/agent/link/convert.h"
#include "cygnet/crypto/dh.h"
#include "cygnet/sim/backend.h"
#include "cygnet/sim/observer.h"
#include "cygnet/sim/pki.h"

namespace cygnet::sim {

class World;

/// What survives a crash.
struct Disk {
  std::uint32_t boot_count = 0;
  std::uint32_t last_sequence = 0;
  std::vector<Bytes> own_dims;
  agent::StoredTable table;
  agent::Pins pins;
  agent::Revocations revocations;
  ServerTime server_time{};
};

class Device {
 public:
  Device(World& world, DeviceId id) : world_(world), id_(id) {}

  // ---- Life.
  void start();
  void stop();  ///< killed: memory and data plane are gone, the disk stays
  [[nodiscard]] bool running() const { return core_ != nullptr; }
  [[nodiscard]] std::uint32_t incarnation() const { return incarnation_; }
  Disk disk;

  // ---- The stream.
  enum class Link : std::uint8_t { kWaiting, kConnecting, kUp };
  void connect();
  void link_lost(std::uint64_t stream);
  void message(std::uint64_t stream, const Bytes& octets,
               const std::shared_ptr<const agent::ControllerMessage>& decoded);
  [[nodiscard]] Link link() const { return link_; }
  [[nodiscard]] std::uint64_t stream() const { return stream_; }

  // ---- The data plane.
  void user_packet(DeviceId to);
  void arrive(const Packet& packet);
  void flush();  ///< all SAs flushed by hand

  // ---- Orders.
  void rekey(proto::rekey::RekeyCause cause);
  /// An update that does not come from the controller's log (stale redelivery, a liar's).
  void inject(const agent::Update& update);

  // ---- Views.
  [[nodiscard]] const agent::AgentCore& core() const { return *core_; }
  [[nodiscard]] const SimBackend& backend() const { return backend_; }
  [[nodiscard]] std::optional<proto::PeerId> peer_id(DeviceId device) const;
  [[nodiscard]] DeviceId device_id(proto::PeerId peer) const;
  [[nodiscard]] const SimPeer* towards(DeviceId device) const;
  struct Privates {
    Bytes public_value;
    std::vector<crypto::DhPrivate> real;
  };
  [[nodiscard]] const std::map<proto::RekeyCounter, Privates>& privates() const {
    return privates_;
  }
  /// The newest own DIM as it was signed, and the one before.
  [[nodiscard]] const std::vector<Bytes>& signed_dims() const { return signed_; }

  TrafficCounts traffic;
  Duration clock_offset{};  ///< of its wall clock
  Duration install_slow{};  ///< more than the scenario's, for a while
  std::uint32_t install_refused_ppm = 0;
  bool leg_slow = false;
  std::uint64_t installs = 0;
  std::uint64_t publishes = 0;
  std::uint64_t octets_up = 0;
  std::uint64_t octets_down = 0;
  std::uint64_t messages_up = 0;
  std::uint64_t messages_down = 0;
  std::uint64_t dh_pairs = 0;

 private:
  using Call = std::function<agent::Effects(agent::AgentCore&, agent::Now)>;
  [[nodiscard]] agent::Now now() const;
  /// Effects are carried out in list order before the next event is handed in.
  template <class F>
  void event(F&& call) {
    if (!core_) return;
    if (busy_) {
      waiting_.emplace_back(std::forward<F>(call));
      return;
    }
    busy_ = true;
    carry_out(call(*core_, now()));
    while (!waiting_.empty()) {
      const Call next = std::move(waiting_.front());
      waiting_.pop_front();
      carry_out(next(*core_, now()));
    }
    busy_ = false;
    arm_timer();
  }
  void carry_out(agent::Effects effects);
  void later(Duration delay, Call call);  ///< dropped when the device was killed meanwhile
  void work(Call call);                   ///< after what a worker takes
  void arm_timer();
  [[nodiscard]] Timestamp noticed(Timestamp deadline) const;  ///< when the timer goes off
  void send(Bytes message);
  void told(const agent::ControllerMessage& message);
  void reconnect(std::optional<Duration> told);
  /// For the checkers: what the update says of each peer.
  void tell_peers(const agent::Update& update);
  void take_update(const agent::Update& update);

  // device_effects.cpp
  void run(agent::StoreBootCount& e);
  void run(agent::MakeGeneration& e);
  void run(agent::SignDim& e);
  void run(agent::SendPublish& e);
  void run(agent::EraseKeys& e);
  void run(agent::InstallPair& e);
  void run(agent::DeriveNow&) {}  // its data plane claims nothing
  void run(agent::ChooseOutbound& e);
  void run(agent::RemoveOutbound& e);
  void run(agent::RemoveInbound& e);
  void run(agent::SendProbeRequest& e);
  void run(agent::SendProbePayload& e);
  void run(agent::SetPeer& e);
  void run(agent::RemovePeer& e);
  void run(agent::JudgeDim& e);
  void run(agent::SendAck& e);
  void run(agent::SendReport& e);
  void run(agent::SendWant& e);
  void run(agent::StoreTable& e);
  void run(agent::StorePins& e);
  void run(agent::StoreRevocations& e);
  void run(agent::StoreServerTime& e);
  void run(agent::ProbeReplied&) {}
  void run(agent::SendPathProbe&) {}  // its data plane probes no paths: none comes
  void run(agent::SetPathMtu&) {}
  void run(agent::SetOwnPrefixes&) {}
  void run(agent::SetSoftPacketLimit&) {}
  void run(agent::KeepEvidence&) {}
  void run(agent::Note& e);
  void run(agent::Observed& e);
  void drop_direction(proto::PeerId peer, proto::SaPairId pair, bool inbound);
  void install(const agent::InstallPair& e);
  [[nodiscard]] Result<PairKeys> derive(const agent::InstallPair& e) const;

  // device_packets.cpp
  void transmit(SimPeer& peer, SimSa& sa, PacketKind kind,
                const std::array<std::uint8_t, 8>& cookie);
  void hold(proto::PeerId id, SimPeer& peer);
  void flush_held(SimPeer& peer);
  void evidence(proto::PeerId id, SimSa& sa, PacketKind kind);

  World& world_;
  DeviceId id_;
  std::unique_ptr<agent::AgentCore> core_;
  std::uint32_t incarnation_ = 0;
  SimBackend backend_;
  std::vector<proto::PeerId> peer_ids_;  ///< by place in the block; 0: nobody it knows
  std::map<proto::RekeyCounter, Privates> privates_;
  std::vector<Bytes> signed_;
  std::optional<std::pair<Bytes, Bytes>> last_draw_;  ///< for a planted fault
  /// Installs under way: the token tells a second request for the same pair apart.
  std::map<std::pair<proto::PeerId, proto::SaPairId>, std::uint64_t> deriving_;
  std::uint64_t next_token_ = 1;
  Timestamp worker_free_{};  ///< when the worker has derived what was asked so far

  Link link_ = Link::kWaiting;
  std::uint64_t stream_ = 0;
  Timestamp away_since_{};
  std::uint64_t connect_token_ = 0;

  std::deque<Call> waiting_;
  bool busy_ = false;
  std::optional<Timestamp> timer_at_;
  std::uint64_t timer_token_ = 0;
  bool table_due_ = false;
  Timestamp spi_told_{};
};

}  // namespace cygnet::sim
