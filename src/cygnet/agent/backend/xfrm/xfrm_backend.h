// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The kernel's IPsec as a data plane: SAs and policies over netlink, ESP in UDP on one port (RFC
/// 4301, RFC 4303, RFC 3948). Packets never pass through the agent. Methods are for the control
/// thread, like every SadBackend's; what they ask of the kernel is gathered and sent together on
/// the loop's next turn.
///
/// What policy protects is routed to a device without a reader, and taken from there by policies: a
/// policy that is missing means a packet that is dropped.

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "cygnet/agent/backend/api/backend.h"
#include "cygnet/agent/backend/common/prefix_router.h"
#include "cygnet/agent/backend/common/rate_gate.h"
#include "cygnet/agent/backend/common/reporter.h"
#include "cygnet/agent/backend/common/tun.h"
#include "cygnet/agent/backend/xfrm/config.h"
#include "cygnet/agent/backend/xfrm/kernel_check.h"
#include "cygnet/agent/backend/xfrm/policies.h"
#include "cygnet/agent/backend/xfrm/watcher.h"
#include "cygnet/crypto/random.h"
#include "cygnet/proto/probe/probe.h"

namespace cygnet::agent::xfrm {

inline constexpr ErrorCode kErrNoPath{"no-path"};
inline constexpr ErrorCode kErrReqids{"reqids"};

class XfrmBackend final : public SadBackend, private PrefixSink {
 public:
  /// Examines the kernel, takes over what an earlier run left, opens device and sockets in the
  /// calling thread's network namespace. `events` outlives the backend.
  /// @retval kErrKernelIpsec, kErrKernelEsp, kErrKernelAlgorithm, kErrPrivilege, kErrPortInUse,
  ///         kErrTunMissing, kErrTunBusy, kErrTunName, kErrNetlink
  [[nodiscard]] static Result<std::unique_ptr<XfrmBackend>> create(
      XfrmConfig config, BackendEvents& events, PostToControl post,
      crypto::Random& random = crypto::system_random());
  ~XfrmBackend() override { shut_down(false); }

  /// Removes SAs, policies and the device that an agent left. Nothing of others is touched; no
  /// error when the kernel has no IPsec.
  [[nodiscard]] static Status open_all(const XfrmConfig& config);

  [[nodiscard]] Features features() const override;
  [[nodiscard]] Status set_self(const SelfConfig& self) override;
  [[nodiscard]] Status set_peer(const PeerConfig& peer) override;
  void remove_peer(proto::PeerId peer, bool keep_fail_closed) override;
  void install(SaPairSpec spec) override;
  void choose_outbound(proto::PeerId peer, std::optional<proto::SaPairId> pair) override;
  void remove_outbound(proto::PeerId peer, proto::SaPairId pair) override;
  void remove_inbound(proto::PeerId peer, proto::SaPairId pair) override;
  void send_probe(proto::PeerId peer, proto::SaPairId pair, Bytes payload) override;
  void send_control_datagram(const UdpEndpoint& to, Bytes payload) override;
  void set_soft_packet_limit(std::uint64_t packets) override { soft_packet_limit_ = packets; }
  void query_counters(std::function<void(std::vector<PairCounters>)> done) override;
  void query_drops(std::function<void(std::vector<DropCounter>)> done) override;
  void query_paths(std::function<void(std::vector<PeerPath>)> done) override;
  void shut_down(bool open) override;

  /// The ESP sockets, for whoever keeps them open over a restart (XfrmConfig::kept_sockets).
  [[nodiscard]] std::vector<int> esp_sockets() const;
  /// Netlink system calls of the control thread, for the measurement of SA installs.
  [[nodiscard]] std::uint64_t system_calls() const { return socket_.system_calls(); }

 private:
  /// What control takes of one peer's probes, and of anybody's datagrams.
  static constexpr unsigned kProbesPerSecond = 50;
  static constexpr unsigned kControlPerSecond = 50;

  /// Outer addresses of both ends.
  struct Path {
    IpAddress local;
    UdpEndpoint remote;
    friend bool operator==(const Path&, const Path&) = default;
  };
  struct Sa {
    SaKey key;
    IpAddress source;
    std::uint32_t reqid = 0;
    SaCounters counters;
    std::uint64_t highest = 0;
    std::uint64_t probes = 0;  ///< of counters.packets
    std::uint64_t packets_last_look = 0;
    bool inbound = false;
    bool confirmed = false;  ///< the kernel has it
    bool watched = false;    ///< the kernel is to tell its first packet
    Timestamp since{};       ///< installed, or not wanted any more
  };
  struct Pair {
    proto::SaPairId id;
    std::vector<std::pair<proto::Spi, proto::Spi>> spis;
    Path path;
    crypto::EspSuite suite;
    bool esn = true;
    std::vector<Sa> inbound, outbound;  ///< by lane
    /// Outbound keys of a peer whose address is not known yet.
    std::optional<SaPairSpec> waiting;
    bool soft_limit_reported = false;
    bool heard = false;         ///< something verified
    Timestamp heard_at{};       ///< newest
    std::uint64_t user_in = 0;  ///< user packets already told
    std::uint64_t user_out = 0;
    RateGate evidence, user_evidence;
  };
  /// A port that is tried, and the one to go back to.
  struct PortTrial {
    std::uint16_t before = 0;
    proto::ProbeCookie cookie{};
    Timestamp until{};
    Timestamp next_probe{};
  };
  struct Peer {
    std::string name;
    IpAddress mesh_address;
    std::vector<UdpEndpoint> candidates;
    std::optional<Path> path;
    bool endpoint_learned = false;
    std::optional<std::uint16_t> port_hint;  ///< where the kernel says it sends from now
    std::optional<PortTrial> port_trial;
    std::uint32_t reqid = 0;
    std::set<IpPrefix> prefixes;
    std::map<proto::SaPairId, Pair> pairs;
    std::optional<proto::SaPairId> chosen;
    std::uint64_t waited = 0;  ///< how often a packet had to
    RateGate user_traffic, packet_waiting;
    RateBudget probes{kProbesPerSecond, std::chrono::seconds(1)};
  };

  /// SAs of an earlier run and one peer. No generation of this run belongs to them: they carry
  /// packets until the peer is heard on a pair of this run, or goes.
  struct Inherited {
    std::vector<Sa> inbound, outbound;
    std::optional<Template> protect;  ///< by which of them packets leave
    bool claimed = false;             ///< its peer is set
    std::optional<Timestamp> drains_until;
  };

  struct Made;  ///< what create() made
  XfrmBackend(XfrmConfig config, BackendEvents& events, PostToControl post, Made made);

  // PrefixSink
  void set_mesh_address(const IpAddress& address) override;
  void own_prefix(const IpPrefix& prefix) override;
  void give_prefix(const IpPrefix& prefix, proto::PeerId peer) override;
  void take_prefix(const IpPrefix& prefix, bool fail_closed) override;

  /// A pair whose SAs are on their way to the kernel.
  struct Installing {
    proto::PeerId peer;
    proto::SaPairId pair;
    std::optional<Error> error;
    bool collision = false;
    bool announced = true;  ///< false: the outbound half of a pair that was told of before
  };

  // xfrm_policies.cpp
  using OnRefusal = std::function<void(const Refusal&)>;
  /// Puts a message into the batch; `fill` writes it.
  void ask(const std::function<void(MessageBatch&)>& fill, OnRefusal on_refusal = {});
  /// Sends what was asked and tells what became of installs.
  void flush();
  void send_batch();
  void flush_soon();
  /// The policy as it should be; one that is not ours is not replaced but refused.
  void set(const PolicyConfig& policy);
  void drop(const PolicyKey& key);
  [[nodiscard]] static std::optional<Template> chosen_template(const Peer& peer);
  [[nodiscard]] Outbound outbound_of(const Peer& peer) const;
  void apply_outbound(const Peer& peer);
  [[nodiscard]] static Status list_ours(XfrmSocket& socket, const RoutingConfig& config,
                                        std::vector<SaState>& states,
                                        std::vector<PolicyConfig>& policies);

  // xfrm_takeover.cpp
  /// What an earlier run left: SAs that carry packets go on; of what cannot, nothing leaves.
  [[nodiscard]] Status take_over();
  /// The number that policies of an earlier run have for the peer of this prefix.
  [[nodiscard]] std::optional<std::uint32_t> reqid_before(const IpPrefix& prefix);
  /// What a peer's packets still leave by.
  [[nodiscard]] std::optional<Template> inherited_template(const Peer& peer) const;
  [[nodiscard]] std::uint32_t probe_mark() const { return config_.routing.fwmark + 1; }
  void end_inherited(std::uint32_t reqid);
  void review_inherited(Timestamp now);

  // xfrm_sas.cpp
  [[nodiscard]] std::optional<Path> path_to(const Peer& peer);
  [[nodiscard]] SaConfig config_of(const Sa& sa, const SaPairSpec& spec) const;
  void install_inbound(Peer& peer, Pair& pair, const SaPairSpec& spec,
                       const std::shared_ptr<Installing>& job);
  void install_outbound(proto::PeerId id, Pair& pair, const SaPairSpec& spec,
                        const std::shared_ptr<Installing>& job);
  /// Where a peer is: SAs that waited for it are made.
  void locate(proto::PeerId id, Peer& peer, const Path& path);
  void report_installs();
  void tell_soft_limit(proto::PeerId peer, Pair& pair);
  void remove_sas(std::vector<Sa>& sas);
  void erase_if_empty(Peer& peer, proto::SaPairId pair);
  [[nodiscard]] std::optional<std::uint32_t> new_reqid(bool for_peer);

  // xfrm_events.cpp
  void take(const News& news);
  void take_states(const News& news);
  void take_first_packet(const ReplayEvent& event, Timestamp now);
  void take_probe(const IpAddress& from, const Bytes& payload, Timestamp now);
  void judge_traffic(proto::PeerId id, Peer& peer, Pair& pair, Timestamp now);
  void look_for_lost(const News& news);
  void send_keepalives(Timestamp now);
  void answer_counters(Timestamp states_asked);
  void tell_evidence(proto::PeerId peer, Pair& pair, EvidenceKind kind, Timestamp now);

  // xfrm_moves.cpp
  void take_mapping(const MappingEvent& event);
  /// To the best of the addresses we were told.
  void follow_candidates(proto::PeerId id, Peer& peer);
  void set_port(Peer& peer, std::uint16_t port);
  void send_own_probe(Peer& peer);
  /// The answer to a probe of ours, at the port it was sent to.
  [[nodiscard]] bool proves_port(proto::PeerId id, Peer& peer, ByteView payload);
  void review_ports(Timestamp now);

  struct Place {
    proto::PeerId peer;
    proto::SaPairId pair;
    bool inbound = true;
    std::size_t lane = 0;
  };
  [[nodiscard]] Peer* find(proto::PeerId id);
  [[nodiscard]] Pair* find(proto::PeerId id, proto::SaPairId pair);
  [[nodiscard]] Sa* find(const Place& place);

  XfrmConfig config_;
  Reporter reporter_;
  PostToControl post_;
  KernelAbilities abilities_;
  XfrmSocket socket_;
  MessageBatch batch_;
  std::vector<OnRefusal> on_refusal_;  ///< by message of the batch
  std::vector<std::shared_ptr<Installing>> installing_;
  bool flush_posted_ = false;
  Reqids reqids_;
  PolicyIndexes indexes_;
  Watcher::Sockets sockets_;
  PrefixRouter router_;
  std::vector<std::string> notes_;

  std::optional<IpAddress> mesh_address_;
  Fd probe_socket_;
  std::vector<Fd> retired_probe_sockets_;  ///< open until the watcher has let go of them
  std::set<IpPrefix> own_;
  std::map<IpPrefix, proto::PeerId> given_;
  std::map<PolicyKey, PolicyConfig> policies_;  ///< ours, as the kernel has them
  Refusals refusals_;                           ///< of policies, since the last flush
  std::map<proto::PeerId, Peer> peers_;
  std::map<IpAddress, proto::PeerId> by_mesh_address_;
  std::set<std::uint32_t> used_reqids_;
  std::map<SaKey, Place> places_;
  std::map<std::uint32_t, Inherited> inherited_;  ///< by the peer's reqid
  bool took_over_ = false;
  Timestamp started_{};
  std::vector<Sa> ending_;  ///< outbound, not chosen any more: removed at the next look
  std::uint64_t soft_packet_limit_ = 0;
  bool lost_told_ = false;  ///< until the next install
  std::uint64_t probes_without_sa_ = 0;
  RateBudget control_{kControlPerSecond, std::chrono::seconds(1)};
  std::uint64_t control_refused_ = 0;
  KernelCounters counters_at_start_;
  Timestamp next_keepalive_{};
  struct CounterQuery {
    Timestamp asked;
    std::function<void(std::vector<PairCounters>)> done;
  };
  std::vector<CounterQuery> counter_queries_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::unique_ptr<Tun> device_;
  std::unique_ptr<Watcher> watcher_;  ///< null after shut_down
};

}  // namespace cygnet::agent::xfrm
