// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The default SAD backend: a TUN device, ESP in UDP (RFC 3948) and one data-plane thread. Works in
/// any container or VM with /dev/net/tun and CAP_NET_ADMIN; needs no kernel module. Methods are for
/// the control thread, like every SadBackend's.

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "cygnet/agent/backend/api/backend.h"
#include "cygnet/agent/backend/userspace/config.h"
#include "cygnet/agent/backend/userspace/data_plane.h"
#include "cygnet/agent/backend/userspace/prefix_claims.h"
#include "cygnet/agent/backend/userspace/reporter.h"
#include "cygnet/agent/backend/userspace/routes.h"
#include "cygnet/crypto/random.h"

namespace cygnet::agent::userspace {

inline constexpr ErrorCode kErrRouteConflict{"route-conflict"};
inline constexpr ErrorCode kErrPrefixTaken{"prefix-taken"};
inline constexpr ErrorCode kErrPrefixOwn{"prefix-own"};
inline constexpr ErrorCode kErrPrefixInvalid{"prefix-invalid"};
inline constexpr ErrorCode kErrMtu{"mtu"};

class UserspaceBackend final : public SadBackend {
 public:
  /// Opens the device and the sockets in the calling thread's network namespace and starts the data
  /// plane. `events` outlives the backend.
  /// @retval kErrTunMissing, kErrPrivilege, kErrTunBusy, kErrTunName, kErrPortInUse, kErrMtu,
  ///         kErrKeyExport, kErrNetlink
  [[nodiscard]] static Result<std::unique_ptr<UserspaceBackend>> create(
      UserspaceConfig config, BackendEvents& events, PostToControl post,
      crypto::Random& random = crypto::system_random());
  ~UserspaceBackend() override { shut_down(false); }

  /// Removes rules and fail-closed routes that a stopped agent left: `down --open`.
  [[nodiscard]] static Status open_all(const RoutingConfig& config);
  /// Installs rules and fail-closed routes without an agent: the oneshot unit at boot.
  [[nodiscard]] static Status close_all(const RoutingConfig& config,
                                        const std::vector<IpPrefix>& prefixes);

  /// Removes fail-closed routes of earlier runs for prefixes that no peer has now. Call when every
  /// peer has been set.
  [[nodiscard]] Status drop_unclaimed_fail_closed();

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
  void set_soft_packet_limit(std::uint64_t packets) override;
  void query_counters(std::function<void(std::vector<PairCounters>)> done) override;
  void query_drops(std::function<void(std::vector<DropCounter>)> done) override;
  void query_paths(std::function<void(std::vector<PeerPath>)> done) override;
  void shut_down(bool open) override;

 private:
  UserspaceBackend(UserspaceConfig config, BackendEvents& events, PostToControl post,
                   crypto::Random& random, Routes routes)
      : config_(std::move(config)),
        random_(random),
        reporter_(events, std::move(post)),
        routes_(std::move(routes)) {}

  [[nodiscard]] Status judge(const IpPrefix& prefix);
  [[nodiscard]] std::optional<IpAddress> source_for(const IpPrefix& prefix);
  /// True when the route of the whole mesh covers it, so that it needs none of its own.
  [[nodiscard]] bool covered(const IpPrefix& prefix) const;
  [[nodiscard]] Status set_mesh_address(const IpAddress& address);
  /// Tells the kernel and the data plane what a change of claims means.
  [[nodiscard]] Status apply(const PrefixClaims::Change& change, bool keep_fail_closed);
  [[nodiscard]] IpPrefix mesh_prefix() const;

  UserspaceConfig config_;
  crypto::Random& random_;
  Reporter reporter_;
  Routes routes_;
  std::vector<std::string> notes_;
  std::optional<IpAddress> mesh_address_;
  std::set<IpPrefix> own_;
  PrefixClaims claims_;
  std::map<proto::PeerId, std::string> names_;
  std::unique_ptr<DataPlane> plane_;  ///< null after shut_down
};

}  // namespace cygnet::agent::userspace
