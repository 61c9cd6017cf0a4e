// SPDX-License-Identifier: Apache-2.0
#pragma once

/// AgentCore: everything a device decides (docs/protocol.md sections 2, 3, 6 and 7). The peer
/// table, acceptance of DIMs, the own DIM, pins, revocations, cursor and acknowledgements, around
/// one RekeyCore. Events are calls, effects are returned (effects.h); the driver carries them out
/// in order before the next call.
///
/// No socket, thread, clock, randomness, file or secret is in here: the agent and the simulator run
/// the same code. Not thread-safe; the control thread owns it.

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "cygnet/agent/core/ack_tracker.h"
#include "cygnet/agent/core/effects.h"
#include "cygnet/agent/core/messages.h"
#include "cygnet/agent/core/own_dim.h"
#include "cygnet/agent/core/path_mtu.h"
#include "cygnet/agent/core/pins.h"
#include "cygnet/agent/core/trusted_time.h"
#include "cygnet/proto/probe/probe.h"
#include "cygnet/proto/rekey/rekey_core.h"

namespace cygnet::agent {

/// Who this device is.
struct DeviceIdentity {
  crypto::MeshId mesh{};
  proto::DeviceName device;
  crypto::Certificate certificate;
  std::vector<crypto::Certificate> trust;
};

/// Where a simulator or an experiment takes hold; the agent uses it as it stands.
struct CoreSeams {
  const proto::DimProofs* proofs = &proto::real_proofs();  ///< outlives the core
  proto::rekey::Rules rules;  ///< one taken out: the checkers must then find what it is for
};

/// A peer as the stored table keeps it. Removed ones keep their last accepted counter: "the last
/// accepted counter and DIM digest of a peer survive its removal by policy and its return".
struct StoredPeer {
  proto::DeviceName device;
  bool allowed = false;
  std::optional<proto::KnownDim> last_accepted;
  std::optional<StoredDim> dim;  ///< the newest accepted one
  std::vector<UdpEndpoint> endpoints;
  std::vector<IpPrefix> prefixes;
  PairPolicy policy;
};
struct StoredTable {
  std::optional<Cursor> cursor;
  std::optional<MeshSettings> settings;
  std::vector<StoredPeer> peers;
};

/// What the disk remembers.
struct Restored {
  std::uint32_t boot_count = 1;  ///< already raised and stored when SA state was lost
  std::uint32_t last_sequence = 0;
  bool sa_state_lost = true;
  std::vector<Bytes> own_dims;  ///< octets of DIMs this device signed before
  StoredTable table;
  Pins pins;
  Revocations revocations;
  ServerTime last_server_time{};
};

/// One peer, for status and `why`.
struct PeerView {
  proto::PeerId id;
  proto::DeviceName device;
  IpAddress mesh_address;
  bool allowed = false;
  bool unconfirmed = false;
  bool revoked = false;
  PairPolicy policy;
  std::vector<UdpEndpoint> endpoints;
  std::vector<IpPrefix> prefixes;
  std::optional<proto::RekeyCounter> newest;
  std::optional<ServerTime> certificate_not_after;
  std::optional<Error> last_refusal;          ///< of its newest DIM, if that one was refused
  std::optional<Error> no_agreement;          ///< why there is no proposal in common
  std::optional<proto::Agreement> agreement;  ///< newest × newest
  std::optional<proto::rekey::PeerStatus> rekey;
  /// nullopt: no user packet has passed yet, or this data plane does not probe paths.
  std::optional<PathMtu> path_mtu;
};

class AgentCore {
 public:
  AgentCore(DeviceIdentity identity, Features features, Abilities abilities, Restored restored,
            ServerTime build_time, CoreSeams seams = {});

  /// First call: brings back what the disk knew. A device that has settings starts its first
  /// generation at once, one that never met its controller waits for the Welcome.
  [[nodiscard]] Effects start(Now now);

  // ---- The link ----
  [[nodiscard]] Effects on_welcome(const Welcome& welcome, Now now);
  [[nodiscard]] Effects on_link_down(Now now);
  [[nodiscard]] Effects on_update(const Update& update, Now now);
  [[nodiscard]] Effects on_publish_result(const PublishResult& result, Now now);
  [[nodiscard]] Effects on_publish_status(const PublishStatus& status, Now now);
  [[nodiscard]] Effects on_missing_newest(const proto::DeviceName& peer, Now now);
  [[nodiscard]] Effects on_rekey_ordered(proto::rekey::RekeyCause cause, Now now);
  /// All SAs were dropped by hand, or their counters are not certain: they go, and the device rolls
  /// over (Install once: nothing is ever made again).
  [[nodiscard]] Effects on_counters_unknown(Now now);
  [[nodiscard]] Effects on_certificate_renewed(crypto::Certificate certificate,
                                               std::vector<crypto::Certificate> trust, Now now);

  // ---- Answers to effects ----
  [[nodiscard]] Effects on_generation_made(proto::RekeyCounter counter,
                                           std::vector<proto::DhPublic> kes, Bytes nonce,
                                           std::uint32_t random, Now now);
  [[nodiscard]] Effects on_generation_failed(proto::RekeyCounter counter, const Error& error,
                                             Now now);
  [[nodiscard]] Effects on_dim_signed(proto::RekeyCounter counter, Bytes octets, Now now);
  [[nodiscard]] Effects on_dim_not_signed(proto::RekeyCounter counter, const Error& error, Now now);
  [[nodiscard]] Effects on_dim_judged(std::uint64_t ticket, proto::DimCheckResult result, Now now);
  [[nodiscard]] Effects on_pair_installed(proto::PeerId peer, proto::SaPairId pair, Now now);
  [[nodiscard]] Effects on_pair_failed(proto::PeerId peer, proto::SaPairId pair, bool collision,
                                       const Error& error, Now now);
  /// A claimed pair cannot be used after all: it goes, and the device rolls over unless the pair
  /// was draining.
  [[nodiscard]] Effects on_keys_failed(proto::PeerId peer, proto::SaPairId pair, const Error& error,
                                       Now now);

  // ---- The data plane ----
  [[nodiscard]] Effects on_evidence(proto::PeerId peer, proto::SaPairId pair, EvidenceKind kind,
                                    Now now);
  [[nodiscard]] Effects on_user_traffic(proto::PeerId peer, Now now);
  [[nodiscard]] Effects on_packet_waiting(proto::PeerId peer, Now now);
  [[nodiscard]] Effects on_soft_limit(proto::PeerId peer, proto::SaPairId pair, Now now);
  [[nodiscard]] Effects on_unknown_spi(std::uint32_t spi, const UdpEndpoint& source,
                                       std::uint64_t count, Now now);
  [[nodiscard]] Effects on_probe(proto::PeerId peer, proto::SaPairId pair, ByteView payload,
                                 Now now);
  /// This host's own interface is too small for a SendPathProbe of so many octets.
  [[nodiscard]] Effects on_path_probe_too_large(proto::PeerId peer, std::uint32_t inner, Now now);
  /// Packets of the peer come from another endpoint.
  [[nodiscard]] Effects on_peer_moved(proto::PeerId peer, Now now);

  // ---- Time and the operator ----
  [[nodiscard]] Effects on_time(Now now);
  [[nodiscard]] std::optional<Timestamp> next_deadline() const;
  /// An operator on this device confirms that `device` signs with another key now.
  [[nodiscard]] Effects on_key_confirmed(const proto::DeviceName& device,
                                         const crypto::Sha256& spki_sha256, Now now);

  // ---- Views ----
  [[nodiscard]] const proto::rekey::RekeyCore& rekey() const { return rekey_; }
  [[nodiscard]] const DeviceIdentity& identity() const { return identity_; }
  [[nodiscard]] const std::optional<MeshSettings>& settings() const { return settings_; }
  [[nodiscard]] const Revocations& revocations() const { return revocations_; }
  [[nodiscard]] const Pins& pins() const { return pins_; }
  [[nodiscard]] const std::optional<Cursor>& cursor() const { return cursor_; }
  /// On-demand peers of which there is a DIM, for Hello: the controller keeps no list of them.
  [[nodiscard]] std::vector<proto::DeviceName> held_on_demand() const;
  [[nodiscard]] StoredTable table() const { return table_later()(); }
  /// The table as of now, put together by the call: any thread, once. It is most of the work.
  [[nodiscard]] std::function<StoredTable()> table_later() const;
  [[nodiscard]] ServerTime trusted_now(Now now) const { return time_.now(now); }
  [[nodiscard]] ServerTime last_server_time() const { return time_.last_server_time(); }
  [[nodiscard]] Timestamp on_our_clock(ServerTime at, Now now) const {
    return time_.on_our_clock(at, now);
  }
  [[nodiscard]] std::optional<proto::PeerId> find(const proto::DeviceName& device) const;
  [[nodiscard]] std::optional<PeerView> view(proto::PeerId peer) const;
  [[nodiscard]] std::vector<proto::PeerId> known_peers() const;  ///< by name, removed ones too
  [[nodiscard]] bool publish_waits() const;
  [[nodiscard]] const std::vector<std::string>& proposals_left_out() const { return left_out_; }
  /// DIMs refused since the start, by error code.
  [[nodiscard]] const std::map<std::string, std::uint64_t>& refusals() const { return refusals_; }
  /// For backends that cannot tell equal SPIs of different peers apart (docs/protocol.md section
  /// 5, "Collisions"): inbound SPIs that a new generation with this nonce would give us twice.
  [[nodiscard]] std::size_t nonce_collisions(ByteView nonce) const;

 private:
  struct HeldDim {
    std::shared_ptr<const proto::AcceptedDim> dim;
    ServerTime accepted_at{};
  };
  struct Job {
    std::uint64_t ticket = 0;
    StoredDim stored;
    std::uint64_t epoch = 0;
  };
  struct Peer {
    proto::PeerId id;
    proto::DeviceName device;
    bool allowed = false;
    bool unconfirmed = false;
    bool revoked = false;
    std::map<proto::RekeyCounter, HeldDim> dims;
    std::optional<proto::KnownDim> last_accepted;
    std::vector<UdpEndpoint> endpoints;
    std::vector<IpPrefix> prefixes;
    PairPolicy policy;
    std::optional<Job> judging;
    std::optional<Job> queued;
    std::optional<Error> last_refusal;
    std::optional<Error> no_agreement;
    std::optional<Timestamp> last_user;  ///< user packets, either way
  };
  struct OwnGeneration {
    std::optional<Offer> offer;
    DimPtr dim;    ///< unsigned; set when drawn
    Bytes octets;  ///< signed and stored
    bool signing = false;
  };
  using PairKey = std::pair<proto::PeerId, proto::SaPairId>;

  // agent_core.cpp
  [[nodiscard]] Effects finish(Now now);
  void begin_rekeying(Now now);
  void take_settings(const MeshSettings& settings, Now now);
  void take_revocations(const Revocations& revocations, Now now);
  void take_change(const PeerChange& change, Now now);
  void take_own_dim(const std::optional<StoredDim>& stored, Now now);
  [[nodiscard]] std::optional<proto::Dim> verified_own_dim(const StoredDim& stored);
  void end_snapshot();
  Peer& peer_of(const proto::DeviceName& device);
  [[nodiscard]] const Peer* find_peer(proto::PeerId id) const {
    return id.value() == 0 || id.value() > peers_.size() ? nullptr : &peers_[id.value() - 1];
  }
  [[nodiscard]] Peer& peer_at(proto::PeerId id) { return peers_.at(id.value() - 1); }
  [[nodiscard]] const Peer& peer_at(proto::PeerId id) const { return peers_.at(id.value() - 1); }
  void allow(Peer& peer, Now now);
  void disallow(Peer& peer, Now now);
  void configure(const Peer& peer);
  [[nodiscard]] static bool is_revoked(const Revocations& list,
                                       const crypto::Certificate& certificate);

  // agent_core_dims.cpp
  void take_dim(Peer& peer, const StoredDim& stored, Now now);
  void judge(Peer& peer, Job job, Now now);
  void accept(Peer& peer, const Job& job, const proto::DimCheckResult& result, Now now);
  void give_to_rekey(Peer& peer, proto::RekeyCounter counter, bool initial_contact, Now now);
  void refuse(Peer& peer, const proto::DimCheckResult& result, const Error& error);
  void prune(Peer& peer);
  [[nodiscard]] std::optional<std::string> nonce_holder(const proto::DeviceName& device,
                                                        proto::RekeyCounter counter,
                                                        ByteView nonce) const;
  void settle_acks(const Peer& peer);
  [[nodiscard]] const MeshSettings& settings_or_none() const;

  // agent_core_rekey.cpp
  void feed(const proto::rekey::Event& event, Now now);
  void carry_out(const proto::rekey::Effect& effect, Now now);
  void carry(const proto::rekey::GenerateDhPair& effect, Now now);
  void carry(const proto::rekey::InstallSaPair& effect, Now now);
  [[nodiscard]] bool derives_lazily(const Peer& peer, Now now) const;
  [[nodiscard]] bool is_draining(proto::PeerId peer, proto::SaPairId pair) const;
  void note_user_traffic(proto::PeerId id, Now now);
  void carry(const proto::rekey::PublishGeneration& effect, Now now);
  void carry(const proto::rekey::AnswerProbe& effect, Now now);
  void carry(const proto::rekey::AcknowledgeDim& effect, Now now);
  void carry(const proto::rekey::ReportToController& effect, Now now);
  [[nodiscard]] proto::rekey::RekeyParams rekey_params(const MeshSettings& settings) const;

  // agent_core_path.cpp: the largest packet that reaches a peer whole
  void on_path_mtu_datagram(proto::PeerId peer, const proto::Probe& probe, std::size_t length,
                            Now now);
  void note_path_traffic(proto::PeerId peer, Now now);
  void pass_path_time(Now now);
  void forget_path(proto::PeerId peer);
  template <class Event>
  void with_path(proto::PeerId peer, const Event& event);

  void alarm(std::string code, std::string message, std::optional<proto::DeviceName> peer);

  DeviceIdentity identity_;
  Features features_;
  Abilities abilities_;
  Restored restored_;
  TrustedTime time_;
  CoreSeams seams_;
  std::optional<MeshSettings> settings_;
  std::optional<Offer> offer_;  ///< what the next generation offers
  std::vector<std::string> left_out_;
  Pins pins_;
  Revocations revocations_;
  std::shared_ptr<const Revocations> revoked_now_;  ///< a copy for workers; null when out of date
  std::optional<Cursor> cursor_;
  bool link_up_ = false;
  bool resuming_ = false;
  std::optional<std::set<proto::DeviceName>> snapshot_;  ///< names seen since snapshot_begin
  AckTracker acks_;

  std::deque<Peer> peers_;  ///< peer n is the n-th; none ever goes
  std::unordered_map<proto::DeviceName, proto::PeerId> ids_;  ///< asked only, never gone through
  std::map<std::uint64_t, proto::PeerId> tickets_;
  std::uint64_t next_ticket_ = 1;
  std::uint64_t epoch_ = 1;  ///< rises with whatever a DIM check depends on
  std::map<Bytes, std::pair<proto::PeerId, proto::RekeyCounter>> nonces_;
  std::map<proto::RekeyCounter, OwnGeneration> own_;
  /// Own DIMs since the start, the newest of them: digests of the octets before AUTH.
  std::map<proto::RekeyCounter, crypto::Sha256> signed_;
  std::set<PairKey> installing_;
  std::map<std::string, std::uint64_t> refusals_;
  std::optional<std::array<std::uint8_t, 8>> request_cookie_;  ///< of the REQUEST being handled

  struct Path {
    std::optional<PathMtu> mtu;  ///< none: this device only answers
    Timestamp answers_since{};
    unsigned answers = 0;
  };
  std::map<proto::PeerId, Path> paths_;  ///< of peers with traffic, not of all
  std::set<std::pair<Timestamp, proto::PeerId>> path_deadlines_;

  proto::rekey::RekeyCore rekey_;
  bool feeding_ = false;
  std::deque<proto::rekey::Event> events_;  ///< that effects caused, to be handled next
  Effects out_;
};

}  // namespace cygnet::agent
