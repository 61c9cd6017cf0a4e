// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The default SAD backend: a TUN device, ESP in UDP (RFC 3948) and one data-plane thread. Works in
/// any container or VM with /dev/net/tun and CAP_NET_ADMIN; needs no kernel module. Methods are for
/// the control thread, like every SadBackend's.

#include <memory>
#include <string>
#include <vector>

#include "cygnet/agent/backend/api/backend.h"
#include "cygnet/agent/backend/common/prefix_router.h"
#include "cygnet/agent/backend/common/reporter.h"
#include "cygnet/agent/backend/userspace/config.h"
#include "cygnet/agent/backend/userspace/data_plane.h"
#include "cygnet/crypto/random.h"

namespace cygnet::agent::userspace {

inline constexpr ErrorCode kErrMtu{"mtu"};

class UserspaceBackend final : public SadBackend, private PrefixSink {
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
  [[nodiscard]] Status drop_unclaimed_fail_closed() { return router_.drop_unclaimed(); }

  [[nodiscard]] Features features() const override;
  [[nodiscard]] Status set_self(const SelfConfig& self) override;
  [[nodiscard]] Status set_peer(const PeerConfig& peer) override;
  void remove_peer(proto::PeerId peer, bool keep_fail_closed) override;
  void install(SaPairSpec spec) override;
  void claim(SaPairClaim claim) override;
  void give_keys(SaPairSpec spec) override;
  void choose_outbound(proto::PeerId peer, std::optional<proto::SaPairId> pair) override;
  void remove_outbound(proto::PeerId peer, proto::SaPairId pair) override;
  void remove_inbound(proto::PeerId peer, proto::SaPairId pair) override;
  void send_probe(proto::PeerId peer, proto::SaPairId pair, Bytes payload) override;
  void send_path_probe(proto::PeerId peer, proto::SaPairId pair, Bytes payload) override;
  void set_path_mtu(proto::PeerId peer, std::uint32_t inner, bool whole) override;
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
        router_(std::move(routes), config_.routing, *this) {}

  /// Keys expanded into ciphers, so that the data plane does not stop for it.
  [[nodiscard]] Result<std::unique_ptr<SaPair>> expand(SaPairSpec spec);
  using TakeSaPair = void (DataPlane::*)(proto::PeerId, std::unique_ptr<SaPair>);
  void hand_over(SaPairSpec spec, TakeSaPair take);
  void refuse(proto::PeerId peer, proto::SaPairId pair, const Error& error);

  void set_mesh_address(const IpAddress& address) override;
  void own_prefix(const IpPrefix& prefix) override;
  void give_prefix(const IpPrefix& prefix, proto::PeerId peer) override;
  void take_prefix(const IpPrefix& prefix, bool fail_closed) override;

  UserspaceConfig config_;
  crypto::Random& random_;
  Reporter reporter_;
  PrefixRouter router_;
  std::vector<std::string> notes_;
  std::unique_ptr<DataPlane> plane_;  ///< null after shut_down
};

}  // namespace cygnet::agent::userspace
