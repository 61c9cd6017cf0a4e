// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Where SAs go: the one interface between the agent's control thread and a data plane
/// (RFC 4301 SAD and SPD-S; docs/protocol.md section 6). Implementations: userspace (TUN and ESP in
/// UDP), later the Linux kernel (XFRM), and the simulator's.
///
/// Threading: every method is called on the control thread and returns at once. Results and events
/// come back through BackendEvents, on the control thread too (an implementation posts them there).
/// The data plane never waits for the control thread.

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cygnet/base/bytes.h"
#include "cygnet/base/result.h"
#include "cygnet/base/secret.h"
#include "cygnet/base/time.h"
#include "cygnet/crypto/ids.h"
#include "cygnet/proto/ids/ids.h"

namespace cygnet::agent {

inline constexpr ErrorCode kErrUnknownPeer{"unknown-peer"};
inline constexpr ErrorCode kErrInstalledTwice{"installed-twice"};
inline constexpr ErrorCode kErrSpiCollision{"spi-collision"};
inline constexpr ErrorCode kErrStatesLost{"states-lost"};

/// IPv4 or IPv6 address. IPv4 uses the first four octets.
struct IpAddress {
  bool is_v6 = false;
  std::array<std::uint8_t, 16> octets{};
  friend auto operator<=>(const IpAddress&, const IpAddress&) = default;
};
struct UdpEndpoint {
  IpAddress address;
  std::uint16_t port = 0;
  std::uint32_t scope_id = 0;  ///< interface index of a link-local address
  friend auto operator<=>(const UdpEndpoint&, const UdpEndpoint&) = default;
};
struct IpPrefix {
  IpAddress address;
  std::uint8_t length = 0;
  friend auto operator<=>(const IpPrefix&, const IpPrefix&) = default;
};

/// One peer as the data plane needs it.
struct PeerConfig {
  proto::PeerId peer;
  std::string name;                    ///< for drop logs and status
  IpAddress mesh_address;              ///< always allowed for this peer
  std::vector<IpPrefix> prefixes;      ///< what it may protect: routes and inner-source check
  std::vector<UdpEndpoint> endpoints;  ///< candidates, best first; may be empty (learned)
};

/// This device as the data plane needs it: what is "ours" when an inner packet is judged.
struct SelfConfig {
  IpAddress mesh_address;          ///< assigned to the tunnel device; answers ping, carries probes
  std::vector<IpPrefix> prefixes;  ///< networks behind this device; never captured by the tunnel
};

struct LaneSpec {
  proto::Spi inbound;
  proto::Spi outbound;
  SecretBytes inbound_encr, inbound_integ, outbound_encr, outbound_integ;
};
/// One SA pair, all lanes, both directions.
struct SaPairSpec {
  proto::PeerId peer;
  proto::SaPairId pair;
  crypto::EspSuite suite;
  bool esn = true;
  std::uint32_t replay_window = 1024;
  std::vector<LaneSpec> lanes;
};

/// An SA pair whose SPIs are known and whose keys are not derived yet (docs/protocol.md
/// section 5.2: SPIs come from nonces only).
struct SaPairClaim {
  proto::PeerId peer;
  proto::SaPairId pair;
  crypto::EspSuite suite;
  bool esn = true;
  std::vector<std::pair<proto::Spi, proto::Spi>> spis;  ///< inbound, outbound, by lane
};

struct SaCounters {
  std::uint64_t packets = 0;
  std::uint64_t octets = 0;
  std::uint64_t user_packets = 0;  ///< without probes and dummies
};
struct PairCounters {
  proto::PeerId peer;
  proto::SaPairId pair;
  SaCounters in;
  SaCounters out;
  std::vector<std::pair<proto::Spi, proto::Spi>> spis;  ///< inbound, outbound, by lane
  std::uint64_t highest_seq_in = 0;
  std::uint64_t highest_seq_out = 0;
};
struct DropCounter {
  std::string name;  ///< "replay", "icv", "no-sa", "inner-source", …: stable, docs/drops.md
  std::uint64_t count = 0;
  bool loss = true;  ///< false: discarded by design, never anybody's traffic ("dummy")
};
struct PeerPath {
  proto::PeerId peer;
  std::optional<UdpEndpoint> endpoint;  ///< in use now
  bool endpoint_learned = false;
  /// Packets held for an outbound SA and dropped: before the first packet went to this peer, since.
  std::uint64_t held_dropped = 0;
  std::uint64_t no_sa = 0;
};

/// What an implementation can do; asked, never assumed.
struct Features {
  std::string name;
  bool lazy_derivation = false;  ///< takes claim() and give_keys()
  bool per_source_spi = false;   ///< tells equal SPIs of different peers apart
  bool survives_agent = false;   ///< SAs go on carrying packets while no agent runs
  bool took_over = false;        ///< SAs of an earlier run carry packets now
  /// Not 0: it takes send_path_probe() and set_path_mtu(), and no packet through the tunnel is
  /// larger (MAX_PLPMTU of RFC 8899).
  std::uint32_t path_mtu_bound = 0;
  Duration path_mtu_raise = std::chrono::seconds(600);  ///< PMTU_RAISE_TIMER
  std::vector<std::string> notes;                       ///< for `cygnet status`: fallbacks in force
};

enum class EvidenceKind : std::uint8_t { kUser, kProbe, kDummy };

/// Called on the control thread.
class BackendEvents {
 public:
  virtual ~BackendEvents() = default;
  virtual void on_installed(proto::PeerId peer, proto::SaPairId pair) = 0;
  /// `collision`: an SPI that this backend cannot hold twice.
  virtual void on_install_failed(proto::PeerId peer, proto::SaPairId pair, bool collision,
                                 const Error& error) = 0;
  /// A claimed pair needs its keys: a packet came in for it, or one wants to leave on it. Once a
  /// pair; answered by give_keys or by removing the pair.
  virtual void on_keys_wanted(proto::PeerId peer, proto::SaPairId pair) {
    static_cast<void>(peer);  // for backends that claim nothing
    static_cast<void>(pair);
  }
  /// First verified packet of its kind on a pair's inbound SA, and again at most once a second and
  /// kind while more come.
  virtual void on_evidence(proto::PeerId peer, proto::SaPairId pair, EvidenceKind kind) = 0;
  /// User packets went in or out for this peer since the last call (at most once a second a peer).
  virtual void on_user_traffic(proto::PeerId peer) = 0;
  /// A user packet waits (held) because no outbound SA is chosen (at most once a second a peer).
  virtual void on_packet_waiting(proto::PeerId peer) = 0;
  /// The packet limit given to set_soft_packet_limit was passed by an SA of this pair.
  virtual void on_soft_limit(proto::PeerId peer, proto::SaPairId pair) = 0;
  /// ESP for an SPI nobody has: rate-limited, with how many since the last call.
  virtual void on_unknown_spi(std::uint32_t spi, const UdpEndpoint& source,
                              std::uint64_t count) = 0;
  virtual void on_peer_moved(proto::PeerId peer, const UdpEndpoint& endpoint) = 0;
  /// A probe datagram (UDP port 4501 between mesh addresses) that came through a pair.
  virtual void on_probe(proto::PeerId peer, proto::SaPairId pair, Bytes payload) = 0;
  /// A path probe of so many octets (of the inner packet) does not fit this host's own interface.
  virtual void on_path_probe_too_large(proto::PeerId peer, std::uint32_t inner) {
    static_cast<void>(peer);  // for backends that probe no paths
    static_cast<void>(inner);
  }
  /// A datagram with the non-ESP marker on the ESP socket (answers of the discovery responder);
  /// `payload` begins behind the marker. Rate-limited.
  virtual void on_control_datagram(const UdpEndpoint& source, Bytes payload) = 0;
  /// SAs went that nobody of us removed (flushed by hand): what they sent is not known any more.
  virtual void on_states_lost(const Error& error) { static_cast<void>(error); }
  /// The data plane cannot go on (its tunnel device was deleted under it): the agent should stop
  /// and be started again. Fail-closed routes are in force meanwhile.
  virtual void on_fault(const Error& error) { static_cast<void>(error); }
};

class SadBackend {
 public:
  virtual ~SadBackend() = default;

  [[nodiscard]] virtual Features features() const = 0;

  /// Sets or changes what is ours. Call before the first set_peer.
  [[nodiscard]] virtual Status set_self(const SelfConfig& self) {
    static_cast<void>(self);  // for backends without a device and routes of their own
    return {};
  }

  /// Adds or changes a peer: fail-closed routes first, then routes to it. A prefix that conflicts
  /// with a route that is not ours is refused by name; the others are taken.
  [[nodiscard]] virtual Status set_peer(const PeerConfig& peer) = 0;
  /// Removes it and its SAs. Its fail-closed routes stay when `keep_fail_closed`.
  virtual void remove_peer(proto::PeerId peer, bool keep_fail_closed) = 0;

  /// Installs both directions; the outbound is not used until chosen. Answered by on_installed or
  /// on_install_failed. Counters start at zero: a caller never installs one pair twice.
  virtual void install(SaPairSpec spec) = 0;
  /// Lazy backends only: holds the inbound SPIs of a pair; packets in either direction wait,
  /// bounded, for its keys. Answered like install().
  virtual void claim(SaPairClaim claim) { static_cast<void>(claim); }
  /// The keys of a claimed pair, with its SPIs. What was removed of the pair meanwhile stays
  /// removed; a pair that is not claimed (any more) is left as it is. Answered by on_install_failed
  /// when the keys cannot be used, otherwise not at all.
  virtual void give_keys(SaPairSpec spec) { static_cast<void>(spec); }
  /// What user packets to this peer go out on from now; nullopt holds them.
  virtual void choose_outbound(proto::PeerId peer, std::optional<proto::SaPairId> pair) = 0;
  virtual void remove_outbound(proto::PeerId peer, proto::SaPairId pair) = 0;  ///< zeroes keys
  virtual void remove_inbound(proto::PeerId peer, proto::SaPairId pair) = 0;   ///< zeroes keys

  /// Sends a probe payload between mesh addresses on this pair's outbound SA: to the endpoint in
  /// use, and to every candidate while nothing was heard from the peer for some seconds.
  virtual void send_probe(proto::PeerId peer, proto::SaPairId pair, Bytes payload) = 0;
  /// Sends a probe payload on this pair's outbound SA to the endpoint in use, in one piece or not
  /// at all: the outer packet may not be fragmented.
  virtual void send_path_probe(proto::PeerId peer, proto::SaPairId pair, Bytes payload) {
    static_cast<void>(peer);  // for backends without path_mtu_bound
    static_cast<void>(pair);
    static_cast<void>(payload);
  }
  /// Packets to this peer are to be no larger (RFC 4301 section 8): a larger one that must not be
  /// fragmented is answered with `inner`, others are fragmented before they are sealed. With
  /// `whole` false packets of that size may be lost on the way unless the sealed one is fragmented.
  virtual void set_path_mtu(proto::PeerId peer, std::uint32_t inner, bool whole) {
    static_cast<void>(peer);  // for backends without path_mtu_bound
    static_cast<void>(inner);
    static_cast<void>(whole);
  }
  /// Sends a datagram behind the non-ESP marker from the ESP socket (to the discovery responder).
  virtual void send_control_datagram(const UdpEndpoint& to, Bytes payload) = 0;
  virtual void set_soft_packet_limit(std::uint64_t packets) = 0;  ///< 0: none

  // Snapshots for status; answered from the control thread without waiting for traffic: the data
  // plane refreshes them (callback on the control thread).
  virtual void query_counters(std::function<void(std::vector<PairCounters>)> done) = 0;
  virtual void query_drops(std::function<void(std::vector<DropCounter>)> done) = 0;
  virtual void query_paths(std::function<void(std::vector<PeerPath>)> done) = 0;

  /// Stops the data plane. Fail-closed routes stay, unless `open`.
  virtual void shut_down(bool open) = 0;
};

}  // namespace cygnet::agent
