// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Agent: the control thread of cygnet-agent. Turns the world into events of AgentCore and its
/// effects into the world: worker pool (DH, derivation, verification), data plane, controller
/// stream, disk. It decides nothing itself.
///
/// Everything here runs on the loop's thread. The data plane never waits for it.

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "cygnet/agent/backend/api/backend.h"
#include "cygnet/agent/core/agent_core.h"
#include "cygnet/agent/driver/device_journal.h"
#include "cygnet/agent/driver/key_store.h"
#include "cygnet/agent/driver/ppk_file.h"
#include "cygnet/agent/driver/saver.h"
#include "cygnet/agent/driver/state_dir.h"
#include "cygnet/agent/link/controller_link.h"
#include "cygnet/crypto/random.h"
#include "cygnet/rt/loop.h"
#include "cygnet/rt/worker_pool.h"

namespace cygnet::agent {

inline constexpr ErrorCode kErrNoOutbound{"no-outbound"};
inline constexpr ErrorCode kErrPing{"ping"};

using BackendFactory =
    std::function<Result<std::unique_ptr<SadBackend>>(rt::Loop&, BackendEvents&)>;

struct AgentOptions {
  rt::Path state_dir;
  std::vector<rt::HostPort> controllers;  ///< empty: as joined
  std::vector<UdpEndpoint> endpoints;     ///< where peers reach our ESP socket, as configured
  std::optional<rt::Path> ppk_file;
  std::uint16_t lanes_max = proto::kLanesMax;
  std::size_t workers = 0;  ///< 0: one a core
  std::uint32_t firewall_mark = 0;
  ServerTime build_time{};
  std::string software;
  BackendFactory make_backend;
  /// The agent cannot go on (data plane gone, boot count not storable): stop the process.
  std::function<void(const Error&)> on_fault;
};

/// One SA pair as installed, for status.
struct InstalledPair {
  crypto::EspSuite suite;
  std::size_t lanes = 0;
  std::vector<std::pair<proto::Spi, proto::Spi>> spis;  ///< inbound, outbound, by lane
  std::optional<Timestamp> installed_at;
  bool keyed = true;  ///< false: claimed, its keys are not derived yet
};
/// SA pairs in the data plane, and what their keys have cost since the start.
struct KeyingCounts {
  std::size_t pairs = 0;
  std::size_t claimed = 0;          ///< of `pairs`: keys not derived yet
  std::uint64_t derivations = 0;    ///< shared secrets computed
  std::uint64_t by_data_plane = 0;  ///< … because a packet came in for, or was to leave on, a claim
};
/// What the data plane counted for a peer, pairs that are gone included.
struct PeerTotals {
  SaCounters in;
  SaCounters out;
};
struct DataPlaneView {
  std::vector<PairCounters> pairs;
  std::vector<DropCounter> drops;
  std::map<proto::PeerId, PeerPath> paths;
};
struct PingResult {
  std::uint32_t sent = 0;
  std::vector<double> rtt_ms;
};

class Agent final : public BackendEvents {
 public:
  /// Takes the state directory, raises the boot count, makes data plane and core. Nothing is sent.
  /// @retval rt::kErrStateLocked, kErrNotJoined, the errors of the state files and of the backend
  [[nodiscard]] static Result<std::unique_ptr<Agent>> create(rt::Loop& loop, AgentOptions options);
  ~Agent() override;
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;

  void start();
  /// Clean stop: the stream ends, keys are zeroed, the data plane goes; fail-closed routes stay
  /// unless `open`.
  void stop(bool open);

  // ---- For the local interface ----
  void order_rekey();
  /// Drops every SA and rolls over, as after a loss of the data plane's state.
  void flush();
  [[nodiscard]] Status confirm_key(const proto::DeviceName& peer, const crypto::Sha256& spki);
  /// Probes through the tunnel. `done` is called once, after the last reply or its deadline.
  void ping(proto::PeerId peer, std::uint32_t count, Duration interval,
            std::function<void(Result<PingResult>)> done);
  /// What the data plane says, or said last when it does not answer in time.
  void with_data_plane(std::function<void(const DataPlaneView&)> done);

  [[nodiscard]] const AgentCore& core() const { return *core_; }
  [[nodiscard]] const ControllerLink& link() const { return *link_; }
  [[nodiscard]] const KeyStore& keys() const { return keys_; }
  [[nodiscard]] const Features& features() const { return features_; }
  [[nodiscard]] const MeshRecord& mesh() const { return mesh_; }
  [[nodiscard]] const std::string& software() const { return options_.software; }
  [[nodiscard]] Now now() const { return {loop_.now(), loop_.wall_now()}; }
  [[nodiscard]] const InstalledPair* installed(proto::PeerId peer, proto::SaPairId pair) const;
  [[nodiscard]] KeyingCounts keying() const;
  [[nodiscard]] PeerTotals totals(proto::PeerId peer) const;
  [[nodiscard]] std::optional<Timestamp> last_heard(proto::PeerId peer) const;
  [[nodiscard]] const std::optional<UdpEndpoint>& seen_endpoint() const { return seen_endpoint_; }
  [[nodiscard]] const std::map<proto::PeerId, Error>& peer_problems() const { return problems_; }
  [[nodiscard]] SelfConfig self(const std::vector<IpPrefix>& prefixes) const;
  /// Since the start, by code: what an operator has to look at.
  [[nodiscard]] const std::map<std::string, std::uint64_t>& alarms() const { return alarms_; }
  /// Since the start, by code: DIMs, probes, messages and certificates that were refused and
  /// changed nothing.
  [[nodiscard]] std::map<std::string, std::uint64_t> refused() const;

 private:
  Agent(rt::Loop& loop, AgentOptions options, rt::StateLock lock, StateDir directory);
  [[nodiscard]] Status load();
  [[nodiscard]] Status make_link();

  // agent_effects.cpp
  /// Hands one event to the core and carries its effects out. An event that comes while effects
  /// are being carried out waits its turn.
  void event(rt::UniqueFunction<Effects(AgentCore&, Now)> call);
  void carry_out(Effects effects);
  void arm_timer();
  void run(StoreBootCount& effect);
  void run(MakeGeneration& effect);
  void run(SignDim& effect);
  void run(SendPublish& effect);
  void run(EraseKeys& effect);
  void run(InstallPair& effect);
  void run(DeriveNow& effect);
  void run(ChooseOutbound& effect);
  void run(RemoveOutbound& effect);
  void run(RemoveInbound& effect);
  void run(SendProbeRequest& effect);
  void run(SendProbePayload& effect);
  void run(SendPathProbe& effect);
  void run(SetPathMtu& effect);
  void run(SetPeer& effect);
  void run(RemovePeer& effect);
  void run(SetOwnPrefixes& effect);
  void run(SetSoftPacketLimit& effect);
  void run(JudgeDim& effect);
  void run(SendAck& effect);
  void run(SendReport& effect);
  void run(SendWant& effect);
  void run(StoreTable& effect);
  void run(StorePins& effect);
  void run(StoreRevocations& effect);
  void run(StoreServerTime& effect);
  void run(KeepEvidence& effect);
  void run(ProbeReplied& effect);
  void run(Note& effect);
  void run(Observed& effect);
  void generation_drawn(proto::RekeyCounter counter,
                        Result<std::vector<crypto::DhPrivate>> privates);

  // agent_events.cpp: the data plane
  void on_installed(proto::PeerId peer, proto::SaPairId pair) override;
  void on_install_failed(proto::PeerId peer, proto::SaPairId pair, bool collision,
                         const Error& error) override;
  void on_keys_wanted(proto::PeerId peer, proto::SaPairId pair) override;
  void on_evidence(proto::PeerId peer, proto::SaPairId pair, EvidenceKind kind) override;
  void on_user_traffic(proto::PeerId peer) override;
  void on_packet_waiting(proto::PeerId peer) override;
  void on_soft_limit(proto::PeerId peer, proto::SaPairId pair) override;
  void on_unknown_spi(std::uint32_t spi, const UdpEndpoint& source, std::uint64_t count) override;
  void on_peer_moved(proto::PeerId peer, const UdpEndpoint& endpoint) override;
  void on_probe(proto::PeerId peer, proto::SaPairId pair, Bytes payload) override;
  void on_path_probe_too_large(proto::PeerId peer, std::uint32_t inner) override;
  void on_control_datagram(const UdpEndpoint& source, Bytes payload) override;
  void on_states_lost(const Error& error) override;
  void on_fault(const Error& error) override;
  void take_counters(std::vector<PairCounters> counters);

  // agent_link.cpp: the controller
  void welcomed(const WelcomeMessage& message);
  void received(ControllerMessage message);
  void take_trust(const std::vector<Bytes>& trust);
  void renewed(const RenewedMessage& message);
  void plan_renewal();
  void store(const char* what, std::function<Status()> job);
  void ask_renewal();
  void discover();
  [[nodiscard]] std::uint32_t random_u32();

  struct Ping {
    proto::PeerId peer;
    std::uint32_t left = 0;
    Duration interval{};
    PingResult result;
    std::map<Bytes, Timestamp> outstanding;  ///< by cookie
    std::function<void(Result<PingResult>)> done;
    std::unique_ptr<rt::Timer> timer;
  };
  void ping_step(std::uint64_t id);
  void ping_end(std::uint64_t id);

  using PairKey = std::pair<proto::PeerId, proto::SaPairId>;
  /// What the keys of a pair are derived from.
  struct Recipe {
    DimPtr local, remote;
    proto::Agreement agreement;
    std::uint32_t replay_window = 0;
  };
  enum class PairPhase : std::uint8_t {
    kPreparing,  ///< a worker computes its SPIs or its keys; the data plane has nothing of it
    kClaimed,    ///< the data plane has its SPIs, `recipe` is there
    kDeriving,   ///< … and a worker derives its keys
    kKeyed,
  };
  struct PairRecord {
    InstalledPair view;
    std::uint64_t serial = 0;  ///< tells it from one removed while a worker was at it
    PairPhase phase = PairPhase::kPreparing;
    std::unique_ptr<Recipe> recipe;
    bool wanted = false;  ///< derive as soon as it is claimed
    bool inbound = true;
    bool outbound = true;
    SaCounters last_in, last_out;
  };

  rt::Loop& loop_;
  AgentOptions options_;
  rt::StateLock lock_;
  StateDir directory_;
  MeshRecord mesh_;
  std::optional<crypto::IdentityKey> key_;
  std::optional<DeviceJournal> journal_;
  PpkFile ppks_;
  KeyStore keys_;
  Features features_;
  std::unique_ptr<SadBackend> backend_;
  std::optional<AgentCore> core_;

  bool busy_ = false;
  bool stopped_ = false;
  std::deque<rt::UniqueFunction<Effects(AgentCore&, Now)>> waiting_;
  rt::Timer timer_;

  struct Claim {
    PairKey key;
    std::uint64_t serial = 0;
    std::unique_ptr<Recipe> recipe;
    Result<SaPairClaim> spis;
  };

  // agent_pairs.cpp
  [[nodiscard]] PairRecord* record_of(PairKey key, std::uint64_t serial);
  void flush_claims();
  void claimed(Claim claim);
  void derive_claimed(PairKey key);
  void derive_claimed_of(proto::PeerId peer);
  void derive(PairKey key, PairRecord& record);
  void pair_derived(PairKey key, std::uint64_t serial, Result<SaPairSpec> spec);
  void pair_failed(PairKey key, const Error& error, bool collision = false);
  void drop_direction(proto::PeerId peer, proto::SaPairId pair, bool inbound);
  void forget_pairs_of(proto::PeerId peer);

  std::map<PairKey, PairRecord> pairs_;
  std::uint64_t next_pair_ = 1;
  std::vector<Claim> claims_;  ///< of the effects being carried out
  std::uint64_t derivations_ = 0;
  std::uint64_t derived_for_data_plane_ = 0;
  std::map<proto::PeerId, PeerTotals> totals_;
  std::map<proto::PeerId, Timestamp> heard_;
  std::map<proto::PeerId, Error> problems_;
  std::map<std::string, std::uint64_t> alarms_;
  std::map<std::string, std::uint64_t> refused_;  ///< what the core does not count
  std::map<std::uint64_t, Ping> pings_;
  std::uint64_t next_ping_ = 1;
  DataPlaneView view_;
  rt::Timer refresh_timer_;

  std::optional<DiscoverySettings> discovery_;
  std::optional<UdpEndpoint> seen_endpoint_;
  std::uint32_t discovery_tries_ = 0;
  rt::Timer discovery_timer_;
  rt::Timer renewal_timer_;

  std::unique_ptr<ControllerLink> link_;
  // Last members: they go first, so that no job of theirs meets a half-destroyed agent.
  std::unique_ptr<rt::WorkerPool> workers_;  ///< keys: never behind ten thousand signatures
  std::unique_ptr<rt::WorkerPool> judges_;   ///< DIMs
  std::unique_ptr<rt::WorkerPool> disk_;
  std::unique_ptr<Saver> save_table_, save_pins_, save_revocations_, save_time_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

/// "Tx(a2-b1)": the draft's notation for a pair as this device sends on it.
[[nodiscard]] std::string tx_name(proto::SaPairId pair);
/// "a2-b1"
[[nodiscard]] std::string pair_name(proto::SaPairId pair);

}  // namespace cygnet::agent
