// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/backend/userspace/userspace_backend.h"

#include <algorithm>
#include <utility>

#include "cygnet/agent/backend/userspace/key_export.h"

namespace cygnet::agent::userspace {
namespace {

constexpr std::uint32_t kMinMtu = 1280;  // IPv6, and the protocol's floor
constexpr std::uint32_t kMaxMtu = 65535;

/// What this kernel lacks of what makes the data plane fast.
void note_fallbacks(const UserspaceConfig& config, const Tun& tun, const UdpSocket& socket,
                    std::vector<std::string>& notes) {
  if (!config.offload) return notes.push_back("offload is off: one packet a system call");
  if (!tun.offloads().tcp) notes.emplace_back("the kernel segments no TCP for a tunnel device");
  if (!tun.offloads().udp) {
    notes.emplace_back("the kernel segments no UDP for a tunnel device (Linux 6.2 does)");
  }
  if (!socket.offloads().segmentation) {
    notes.emplace_back("the kernel does not segment UDP (Linux 4.18 does)");
  }
  if (!socket.offloads().coalescing) {
    notes.emplace_back("the kernel does not join received UDP (Linux 5.0 does)");
  }
}

/// How many full packets fit one datagram of the outer socket when sealed. A large packet of more
/// would cost a second datagram for the rest: as much work in the kernel as for the first.
std::uint32_t segments_of(std::uint32_t mtu) {
  constexpr std::size_t kOverhead = esp::kMaxHeaderLength + esp::kMaxTailLength;
  return static_cast<std::uint32_t>(
      std::clamp<std::size_t>(kMaxDatagram / (mtu + kOverhead), 1, kMaxSegments));
}

}  // namespace

Result<std::unique_ptr<UserspaceBackend>> UserspaceBackend::create(UserspaceConfig config,
                                                                   BackendEvents& events,
                                                                   PostToControl post,
                                                                   crypto::Random& random) {
  if (config.inner_mtu < kMinMtu || config.inner_mtu > kMaxMtu) {
    return fail(kErrMtu, "an inner MTU of " + std::to_string(config.inner_mtu), "tunnel device",
                "choose 1280 to 65535; 1400 suits most networks");
  }
  if (!kInsecureKeyExport) CYGNET_CHECK_OK(export_keys(config.key_export_path, {}));
  CYGNET_TRY(Tun tun, Tun::open(config.tun_name, config.offload));
  const UdpSocket::Options options{config.port, config.routing.fwmark, config.socket_buffer,
                                   config.offload};
  std::vector<std::string> notes;
  std::array<std::unique_ptr<UdpSocket>, 2> sockets;
  for (const bool v6 : {false, true}) {
    auto socket = UdpSocket::open(v6, options);
    if (socket) {
      sockets[v6 ? 1 : 0] = std::move(*socket);
    } else if (socket.error().code == kErrNoFamily) {
      notes.push_back(socket.error().message);
    } else {
      return fail(std::move(socket).error());
    }
  }
  if (sockets[0] == nullptr && sockets[1] == nullptr) {
    return fail(kErrNoFamily, "this host has neither IPv4 nor IPv6", "ESP socket");
  }
  note_fallbacks(config, tun, *(sockets[0] != nullptr ? sockets[0] : sockets[1]), notes);
  CYGNET_TRY(Routes routes, Routes::open(config.routing));
  CYGNET_CHECK_OK(routes.set_up(tun.name(), config.inner_mtu, config.tun_queue,
                                config.offload ? segments_of(config.inner_mtu) : 0));
  config.tun_name = tun.name();
  std::unique_ptr<UserspaceBackend> backend(
      new UserspaceBackend(std::move(config), events, std::move(post), random, std::move(routes)));
  backend->notes_ = std::move(notes);
  backend->plane_ =
      std::make_unique<DataPlane>(backend->config_, std::move(tun), std::move(sockets[0]),
                                  std::move(sockets[1]), backend->reporter_);
  backend->plane_->start();
  return backend;
}

Status UserspaceBackend::open_all(const RoutingConfig& config) {
  CYGNET_TRY(Routes routes, Routes::open(config));
  return routes.remove_everything();
}

Status UserspaceBackend::close_all(const RoutingConfig& config,
                                   const std::vector<IpPrefix>& prefixes) {
  CYGNET_TRY(Routes routes, Routes::open(config));
  // Routes before the rules that make them apply would matter only if a packet passed between.
  for (const IpPrefix& prefix : prefixes) CYGNET_CHECK_OK(routes.block(prefix));
  return routes.add_rules();
}

Features UserspaceBackend::features() const {
  Features features;
  features.name = "userspace";
  features.lazy_derivation = true;
  features.per_source_spi = true;
  if (config_.path_mtu_raise > Duration::zero()) features.path_mtu_bound = config_.inner_mtu;
  features.path_mtu_raise = config_.path_mtu_raise;
  features.notes = notes_;
  if (kInsecureKeyExport) {
    features.notes.emplace_back("INSECURE test build: traffic keys can be exported");
  }
  return features;
}

Status UserspaceBackend::set_self(const SelfConfig& self) { return router_.set_self(self); }

Status UserspaceBackend::set_peer(const PeerConfig& peer) {
  plane_->post([id = peer.peer, name = peer.name, mesh = peer.mesh_address,
                endpoints = peer.endpoints](DataPlane& plane) {
    plane.set_peer(id, name, mesh, endpoints);
  });
  return router_.set_peer(peer);
}

void UserspaceBackend::remove_peer(proto::PeerId peer, bool keep_fail_closed) {
  router_.remove_peer(peer, keep_fail_closed);
  plane_->post([peer](DataPlane& plane) { plane.remove_peer(peer); });
}

// What the router decides, for the data plane.
void UserspaceBackend::set_mesh_address(const IpAddress& address) {
  plane_->post([address](DataPlane& plane) { plane.set_self(address); });
}
void UserspaceBackend::own_prefix(const IpPrefix& prefix) {
  plane_->post([prefix](DataPlane& plane) { plane.own_prefix(prefix); });
}
void UserspaceBackend::give_prefix(const IpPrefix& prefix, proto::PeerId peer) {
  plane_->post([prefix, peer](DataPlane& plane) { plane.give_prefix(prefix, peer); });
}
void UserspaceBackend::take_prefix(const IpPrefix& prefix, bool) {
  plane_->post([prefix](DataPlane& plane) { plane.take_prefix(prefix); });
}

Result<std::unique_ptr<SaPair>> UserspaceBackend::expand(SaPairSpec spec) {
  CYGNET_CHECK_OK(export_keys(config_.key_export_path, spec));
  return make_sa_pair(std::move(spec), random_);
}

void UserspaceBackend::refuse(proto::PeerId peer, proto::SaPairId pair, const Error& error) {
  reporter_.tell([peer, pair, error](BackendEvents& events) {
    events.on_install_failed(peer, pair, false, error);
  });
}

void UserspaceBackend::install(SaPairSpec spec) { hand_over(std::move(spec), &DataPlane::install); }

void UserspaceBackend::give_keys(SaPairSpec spec) {
  hand_over(std::move(spec), &DataPlane::give_keys);
}

void UserspaceBackend::claim(SaPairClaim claim) {
  auto pair = make_claimed_pair(claim);
  if (!pair) return refuse(claim.peer, claim.pair, pair.error());
  plane_->post([peer = claim.peer, sas = std::move(*pair)](DataPlane& plane) mutable {
    plane.install(peer, std::move(sas));
  });
}

void UserspaceBackend::hand_over(SaPairSpec spec, TakeSaPair take) {
  const proto::PeerId peer = spec.peer;
  const proto::SaPairId pair = spec.pair;
  auto sas = expand(std::move(spec));
  if (!sas) return refuse(peer, pair, sas.error());
  plane_->post([peer, take, sas = std::move(*sas)](DataPlane& plane) mutable {
    (plane.*take)(peer, std::move(sas));
  });
}

void UserspaceBackend::choose_outbound(proto::PeerId peer, std::optional<proto::SaPairId> pair) {
  plane_->post([peer, pair](DataPlane& plane) { plane.choose_outbound(peer, pair); });
}
void UserspaceBackend::remove_outbound(proto::PeerId peer, proto::SaPairId pair) {
  plane_->post([peer, pair](DataPlane& plane) { plane.remove_outbound(peer, pair); });
}
void UserspaceBackend::remove_inbound(proto::PeerId peer, proto::SaPairId pair) {
  plane_->post([peer, pair](DataPlane& plane) { plane.remove_inbound(peer, pair); });
}
void UserspaceBackend::send_probe(proto::PeerId peer, proto::SaPairId pair, Bytes payload) {
  plane_->post([peer, pair, octets = std::move(payload)](DataPlane& plane) {
    plane.send_probe(peer, pair, octets);
  });
}
void UserspaceBackend::send_path_probe(proto::PeerId peer, proto::SaPairId pair, Bytes payload) {
  plane_->post([peer, pair, octets = std::move(payload)](DataPlane& plane) {
    plane.send_path_probe(peer, pair, octets);
  });
}
void UserspaceBackend::set_path_mtu(proto::PeerId peer, std::uint32_t inner, bool whole) {
  plane_->post([peer, inner, whole](DataPlane& plane) { plane.set_path_mtu(peer, inner, whole); });
}
void UserspaceBackend::send_control_datagram(const UdpEndpoint& to, Bytes payload) {
  plane_->post(
      [to, octets = std::move(payload)](DataPlane& plane) { plane.send_control(to, octets); });
}
void UserspaceBackend::set_soft_packet_limit(std::uint64_t packets) {
  plane_->post([packets](DataPlane& plane) { plane.set_soft_packet_limit(packets); });
}

void UserspaceBackend::query_counters(std::function<void(std::vector<PairCounters>)> done) {
  plane_->post([this, done = std::move(done)](DataPlane& plane) {
    reporter_.tell([done, rows = plane.counters()](BackendEvents&) { done(rows); });
  });
}
void UserspaceBackend::query_drops(std::function<void(std::vector<DropCounter>)> done) {
  const std::uint64_t tun_queue = router_.routes().tun_dropped();
  plane_->post([this, tun_queue, done = std::move(done)](DataPlane& plane) {
    std::vector<DropCounter> rows = plane.drops();
    rows[static_cast<std::size_t>(esp::EspDrop::kTunQueue)].count += tun_queue;
    reporter_.tell([done, rows = std::move(rows)](BackendEvents&) { done(rows); });
  });
}
void UserspaceBackend::query_paths(std::function<void(std::vector<PeerPath>)> done) {
  plane_->post([this, done = std::move(done)](DataPlane& plane) {
    reporter_.tell([done, rows = plane.paths()](BackendEvents&) { done(rows); });
  });
}

void UserspaceBackend::shut_down(bool open) {
  if (plane_ == nullptr) return;
  reporter_.mute();
  plane_->stop();
  // The device goes with the plane, its routes with the device; the fail-closed ones stay.
  plane_.reset();
  if (open) static_cast<void>(router_.routes().remove_everything());
}

}  // namespace cygnet::agent::userspace
