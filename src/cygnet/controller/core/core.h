// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The controller of one mesh as a function of its inputs (docs/controller.md; protocol sections
/// 2, 3 and 7): who is enrolled, what policy allows, whose DIM is the newest, who was told what.
///
/// Sans-I/O. Inputs are the methods that take `Times`; each may leave effects behind, which the
/// driver takes with take_effects() and carries out in order. Messages are pulled: Wake{session}
/// says that next_message(session) has something; the driver asks while the stream has room, so
/// that what waits for a slow device stays here, bounded by its number of peers.
///
/// Order of a publish: size and form -> the stream's identity equals the DIM's -> counter rules and
/// checks of protocol section 3 -> durable -> fan out -> acknowledge. A change becomes visible to
/// anybody only after its batch and all batches before it are durable; the log's positions are
/// given when a batch is submitted and shown when it is committed, in the same order.
///
/// A refused input changes nothing but counters. Nothing here blocks, reads a clock or draws a
/// random number. A value owned by one thread.

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "cygnet/controller/core/effects.h"
#include "cygnet/controller/core/limits.h"
#include "cygnet/controller/core/rate_limit.h"
#include "cygnet/controller/core/relay.h"
#include "cygnet/controller/core/values.h"
#include "cygnet/controller/policy/compiled.h"
#include "cygnet/controller/store/records.h"
#include "cygnet/crypto/identity.h"
#include "cygnet/proto/dim/dim_check.h"

namespace cygnet::controller {

inline constexpr ErrorCode kErrProtocol{"protocol"};
inline constexpr ErrorCode kErrVersion{"version"};
inline constexpr ErrorCode kErrIdentity{"identity-mismatch"};
inline constexpr ErrorCode kErrUnknownDevice{"unknown-device"};
inline constexpr ErrorCode kErrRevokedDevice{"revoked"};
inline constexpr ErrorCode kErrReplaced{"replaced"};
inline constexpr ErrorCode kErrShutdown{"shutdown"};
inline constexpr ErrorCode kErrRate{"rate-limit"};
inline constexpr ErrorCode kErrBacklog{"backlog"};
inline constexpr ErrorCode kErrCertificateGrace{"certificate-expired"};
inline constexpr ErrorCode kErrDeviceName{"device-name"};
inline constexpr ErrorCode kErrNameTaken{"name-taken"};
inline constexpr ErrorCode kErrTokenForged{"token-unknown"};
inline constexpr ErrorCode kErrTokenSpent{"token-used"};
inline constexpr ErrorCode kErrTokenOld{"token-expired"};
inline constexpr ErrorCode kErrTokenBound{"token-bound"};
inline constexpr ErrorCode kErrEnrolRequest{"enrol-request"};
inline constexpr ErrorCode kErrPolicyVersion{"policy-version"};
inline constexpr ErrorCode kErrNotFoundHere{"not-found"};
inline constexpr ErrorCode kErrAlready{"already"};

inline constexpr std::uint32_t kStreamVersionMin = 1;
inline constexpr std::uint32_t kStreamVersionMax = 1;

enum class CaMode : std::uint8_t { kEmbedded, kExternal };

/// A stored policy version, parsed by the driver (YAML stays out of pure code).
struct HistoricPolicy {
  store::PolicyHeader header;
  std::string yaml;
  policy::Document document;
};

struct CoreSetup {
  Limits limits;
  CaMode ca_mode = CaMode::kEmbedded;
  std::uint16_t discovery_port = 0;
  const proto::DimProofs* proofs = &proto::real_proofs();  ///< outlives the core
  /// Settings while no policy was applied yet.
  policy::Document defaults;
  /// Policy versions that came into force within the retention of tombstones, oldest first, the
  /// one in force last: so that removals by policy survive a restart.
  std::vector<HistoricPolicy> policy_history;
};

/// What the driver's TLS layer verified about a device stream: its leaf, chain good, at most the
/// expiry left to be judged here.
struct PeerCertificate {
  crypto::Certificate leaf;
};

class Core {
 public:
  /// Takes up what the store holds. The first effect makes the log jump ahead, so that positions
  /// handed out before a crash and never stored are not handed out again.
  [[nodiscard]] static Result<std::unique_ptr<Core>> restore(store::MeshState state,
                                                             CoreSetup setup, Times now);

  // ---- Device streams.

  /// A stream with a verified certificate. Refusals become a Goaway and a Close.
  void connected(SessionId session, const PeerCertificate& certificate, const Cookie& cookie,
                 Times now);
  /// One FromDevice message.
  void received(SessionId session, ByteView message, Times now);
  void disconnected(SessionId session, Times now);
  /// A discovery datagram with this cookie came from this address.
  void discovered(const Cookie& cookie, Endpoint endpoint, Times now);
  /// The next message for a session, at most about `size_max` octets; null: nothing now.
  [[nodiscard]] SharedOctets next_message(SessionId session, std::size_t size_max);
  /// Says Goaway to everyone (graceful shutdown).
  void shut_down(std::uint32_t reconnect_after_ms, Times now);

  // ---- Completions.

  void persisted(Ticket ticket, const Status& status, Times now);
  void certificate_signed(RequestId request, Result<Bytes> certificate, Times now);

  // ---- Time.

  void tick(Times now);
  [[nodiscard]] std::optional<Timestamp> next_deadline() const;

  // ---- Enrolment (ALPN cygnet-join/1): answered once by ReplyEnrol.

  void enrol(RequestId request, ByteView enrol_request, Times now);

  // ---- Operators: each answered once by OperatorDone. `who` goes to the audit log.

  void add_token(RequestId request, store::TokenRecord token, const std::string& who, Times now);
  void apply_policy(RequestId request, std::string yaml, policy::CompiledPolicy compiled,
                    std::optional<std::uint64_t> expect_version, std::string comment,
                    const std::string& who, Times now);
  void revoke(RequestId request, const std::string& name, const std::string& reason,
              const std::string& who, Times now);
  /// nullopt: every device. Devices that are away get the order when they attach.
  void rekey(RequestId request, std::optional<std::string> name, const std::string& who, Times now);
  /// ca.mode external: the certificate an operator signed for a queued request.
  void import_certificate(RequestId request, const std::string& name, Bytes certificate,
                          const std::string& who, Times now);
  void set_trust(RequestId request, std::vector<Bytes> trust, const std::string& who, Times now);

  // ---- Test verbs (docs/controller.md, "Test verbs").

  /// Updates stay here until `publishes` more publishes are durable (0: until release_relay).
  void hold_relay(std::size_t publishes);
  void release_relay();
  [[nodiscard]] bool relay_held() const { return held_; }
  /// Publishes that became durable while the relay was held the last time.
  [[nodiscard]] std::size_t held_publishes() const { return held_publishes_; }

  // ---- Outputs.

  [[nodiscard]] Effects take_effects();

  // ---- Views (core_view.cpp); names are without the mesh.

  enum class DeviceStatus : std::uint8_t { kPending, kAway, kAttached, kRevoked };
  struct DeviceView {
    std::string name;
    std::map<std::string, std::string> labels;
    DeviceStatus status = DeviceStatus::kPending;
    bool enrolled = false;
    std::optional<proto::RekeyCounter> counter;
    ServerTime accepted_at;
    std::vector<policy::PrefixSpec> prefixes;
    std::vector<Endpoint> endpoints;
    std::optional<ServerTime> last_seen;
    std::optional<ServerTime> certificate_not_after;
    Position acknowledged_cursor = 0;
    std::string software;
  };
  struct PairView {
    std::string a;
    std::string b;
    EdgePolicy policy;
    enum class State : std::uint8_t { kReady, kWaitingDim, kRevoked } state = State::kWaitingDim;
    std::optional<proto::RekeyCounter> a_counter;
    std::optional<proto::RekeyCounter> b_counter;
    bool a_acknowledged_b = false;
    bool b_acknowledged_a = false;
  };
  [[nodiscard]] std::vector<DeviceView> devices() const;
  [[nodiscard]] std::optional<DeviceView> device(const std::string& name) const;
  [[nodiscard]] std::vector<PairView> pairs() const;
  /// Allowed pairs of which both DIMs are here.
  [[nodiscard]] std::uint64_t ready_pairs() const;
  [[nodiscard]] std::optional<PairView> pair(const std::string& a, const std::string& b) const;
  struct DimView {
    std::string name;
    RelayedDim stored;
    std::shared_ptr<const proto::Dim> dim;
  };
  [[nodiscard]] std::vector<DimView> dims() const;
  [[nodiscard]] const std::vector<store::TokenRecord>& tokens() const { return tokens_; }
  [[nodiscard]] const std::vector<store::CsrRecord>& csrs() const { return csrs_; }
  [[nodiscard]] const std::vector<store::PolicyHeader>& policy_history() const {
    return policy_headers_;
  }
  [[nodiscard]] const std::string& policy_yaml() const { return policy_yaml_; }
  [[nodiscard]] std::uint64_t policy_version() const;
  [[nodiscard]] const policy::CompiledPolicy* policy() const { return policy_.get(); }
  [[nodiscard]] std::shared_ptr<policy::DeviceNames> names() const { return names_; }
  /// Enrolled devices as a policy compiler wants them.
  [[nodiscard]] std::vector<policy::DeviceSpec> enrolled_specs() const;
  [[nodiscard]] policy::CompileOptions compile_options() const;  ///< without `enrolled`
  [[nodiscard]] const store::MeshRecord& mesh() const { return mesh_; }
  [[nodiscard]] const std::vector<Bytes>& trust() const { return trust_der_; }
  [[nodiscard]] std::uint64_t revocation_number() const { return revocation_number_; }
  [[nodiscard]] const std::vector<store::RevocationRecord>& revocations() const {
    return revocations_;
  }
  [[nodiscard]] const Counters& counters() const { return counters_; }
  [[nodiscard]] std::size_t session_count() const { return sessions_.size(); }
  [[nodiscard]] const Relay& relay() const { return *relay_; }

 private:
  struct Generation {
    std::shared_ptr<const proto::Dim> dim;
  };
  struct Publishing {
    SessionId session;
    proto::AcceptedDim dim;
    ServerTime accepted_at;
  };
  struct DeviceEntry {
    std::optional<store::DeviceRecord> record;  ///< enrolled
    std::optional<crypto::Certificate> certificate;
    proto::RekeyCounter high_water;
    std::optional<proto::KnownDim> known;
    std::deque<Generation> generations;  ///< newest first, at most limits.generations_kept
    std::optional<Publishing> publishing;
    std::optional<std::pair<SessionId, Bytes>> waiting_publish;
    std::vector<Endpoint> told_endpoints;  ///< Hello, EndpointUpdate
    std::optional<Endpoint> mapped;        ///< discovery
    std::optional<ServerTime> last_seen;
    std::string software;
    bool revoked = false;
    RateLimit publishes{0};
    RateLimit reports{0};
    RateLimit bad_spis{0};
    RateLimit wants{0};
    RateLimit renewals{0};
    std::map<DeviceIndex, Timestamp> missing_newest_at;
    bool equivocation_alarmed = false;
    std::optional<std::string> rekey_due;  ///< ordered while away, by whom
  };
  struct Session {
    DeviceIndex device = 0;
    std::string name;  ///< "<name>.<mesh>"
    crypto::Certificate certificate;
    Cookie cookie{};
    bool greeted = false;  ///< Hello answered
    bool closing = false;  ///< a Goaway is the last message
    bool expired = false;  ///< within the grace: renewal only
    std::deque<SharedOctets> direct;
    std::deque<SharedOctets> after_updates;
    RateLimit messages{0};
  };
  /// One change of the log on its way from submitted to visible.
  struct Commit {
    Position position = 0;
    std::optional<Ticket> ticket;  ///< none: nothing to wait for but its turn
    bool done = false;
    Status status;
    std::function<void(const Status&, Position, Times)> then;
  };
  struct Joining {
    std::string name;
    store::Sha256 token_hash{};
    bool use_token = false;
    std::map<std::string, std::string> labels;
    Bytes spki;
    Bytes csr;
  };
  struct Renewing {
    SessionId session;
    DeviceIndex device = 0;
  };

  explicit Core(CoreSetup setup);
  Status load(store::MeshState& state, Times now);
  void jump_not_stored(const Error& error, Times now);

  // Log and effects (core_log.cpp).
  using Then = std::function<void(const Status&, Position, Times)>;
  [[nodiscard]] store::WriteBatch batch() const;
  /// Gives the next position to `fill`, submits the batch, runs `then` when its turn has come.
  void commit(const std::function<void(store::WriteBatch&, Position)>& fill, Then then);
  /// A change that nothing has to be durable for: seen in order with those that have.
  void commit_in_memory(std::function<void(Position, Times)> apply, Times now);
  void drain(Times now);
  void sweep(Times now);
  void finish(Times now);  ///< ends every input: wakes, delivery marks that are due
  void wake_relay();
  void send(SessionId session, SharedOctets message);
  void send(SessionId session, Bytes message);
  void send_after_updates(SessionId session, Bytes message);
  void go_away(SessionId session, const Error& error, std::uint32_t reconnect_after_ms);
  void send_all_away(const Error& error, std::uint32_t reconnect_after_ms);
  void note(Event::Level level, std::string kind, std::string device, std::string text,
            std::string peer = {});
  [[nodiscard]] store::AuditRecord audit(const std::string& who, std::string action,
                                         std::string object, std::string before, std::string after,
                                         Times now) const;
  void operator_done(RequestId request, Status status);

  // Messages from devices (core_receive.cpp, core_publish.cpp, core_report.cpp).
  struct Inbound;  ///< a parsed FromDevice
  void on_hello(SessionId id, Session& session, const Inbound& message, Times now);
  void on_publish(SessionId id, Session& session, ByteView dim, Times now);
  void start_publish(SessionId id, DeviceIndex device, ByteView dim, Times now);
  void publish_done(DeviceIndex device, const Status& status, Position at, Times now);
  void refuse_publish(SessionId id, DeviceIndex device, std::uint64_t counter, const Error& error,
                      const RelayedDim* newer);
  void on_ack(Session& session, const Inbound& message, Times now);
  void on_want(SessionId id, Session& session, const Inbound& message, Times now);
  void want(DeviceIndex device, DeviceIndex peer, Times now);
  void want_more(Times now);  ///< what the relay waited for
  void on_report(Session& session, const Inbound& message, Times now);
  [[nodiscard]] std::string counted_code(const std::string& code);
  void on_bad_spi(Session& session, std::uint32_t spi, ByteView source, Times now);
  void on_renew(SessionId id, Session& session, const Inbound& message, Times now);
  void on_endpoints(Session& session, const Inbound& message, Times now);
  [[nodiscard]] std::vector<Endpoint> endpoints_now(DeviceIndex device);
  void refresh_endpoints(DeviceIndex device, Times now);
  [[nodiscard]] proto::DimCheckContext check_context(const Session& session, Times now) const;
  void keep_generation(DeviceEntry& entry, DeviceIndex device,
                       std::shared_ptr<const proto::Dim> dim);

  // Registry and policy (core_registry.cpp, core_policy.cpp, core_enrol.cpp).
  DeviceEntry& entry(DeviceIndex device);
  [[nodiscard]] const DeviceEntry* find_entry(DeviceIndex device) const;
  [[nodiscard]] std::optional<DeviceIndex> index_of(std::string_view name) const;
  [[nodiscard]] std::optional<DeviceIndex> index_of_full(std::string_view full_name) const;
  [[nodiscard]] std::string full_name(DeviceIndex device) const;
  [[nodiscard]] bool gone(DeviceIndex device) const;  ///< revoked: no edges
  [[nodiscard]] bool key_revoked(const crypto::Certificate& certificate) const;
  void adopt_policy(std::unique_ptr<policy::CompiledPolicy> next, Position at, Times now);
  void apply_delta(const policy::CompiledPolicy& from, const policy::AdjacencyDelta& delta,
                   Position at, Times now);
  void apply_edge(const policy::CompiledPolicy& from, DeviceIndex a, DeviceIndex b, Position at,
                  Times now);
  void refresh_spec(DeviceIndex device, Position at);
  [[nodiscard]] SharedOctets settings_for(DeviceIndex device) const;
  void rebuild_revocations();
  void apply_revocation(DeviceIndex device, Position at, Times now);
  void finish_enrol(RequestId request, const Joining& joining, const Bytes& certificate, Times now);
  void refuse_enrol(RequestId request, const Error& error, Times now);
  [[nodiscard]] crypto::CertificateSpec device_certificate(const std::string& name,
                                                           const Bytes& spki, Times now) const;
  [[nodiscard]] DeviceView view_of(DeviceIndex device) const;
  [[nodiscard]] PairView pair_view(DeviceIndex a, DeviceIndex b) const;

  CoreSetup setup_;
  store::MeshRecord mesh_;
  std::shared_ptr<policy::DeviceNames> names_ = std::make_shared<policy::DeviceNames>();
  std::unique_ptr<Relay> relay_;
  std::vector<DeviceEntry> devices_;
  std::unordered_map<std::string, DeviceIndex> nonces_;  ///< held by whom
  std::map<SessionId, Session> sessions_;
  std::map<Cookie, SessionId> cookies_;

  std::unique_ptr<policy::CompiledPolicy> policy_;
  std::vector<store::PolicyHeader> policy_headers_;
  std::string policy_yaml_;
  Bytes settings_;

  std::vector<store::TokenRecord> tokens_;
  std::vector<store::CsrRecord> csrs_;
  std::vector<Bytes> trust_der_;
  std::vector<crypto::Certificate> trust_;
  std::vector<store::RevocationRecord> revocations_;
  std::uint64_t revocation_number_ = 0;
  std::uint64_t revocation_reserved_ = 0;  ///< highest on its way to the store
  SharedOctets revocations_octets_;
  RateLimit joins_;

  std::map<RequestId, Joining> joining_;
  std::set<std::string> joining_names_;  ///< from request to durable, so that no name goes twice
  std::map<RequestId, Renewing> renewing_;
  std::uint64_t next_renewal_ = 0;

  Position next_position_ = 1;
  std::uint64_t next_ticket_ = 1;
  std::deque<Commit> commits_;
  Effects effects_;
  Counters counters_;
  std::set<std::string> report_codes_;  ///< that have a counter of their own
  bool held_ = false;
  std::size_t held_until_publishes_ = 0;
  std::size_t held_publishes_ = 0;
  bool draining_ = false;
  bool policy_applying_ = false;
  Timestamp sweep_at_{};
};

}  // namespace cygnet::controller
