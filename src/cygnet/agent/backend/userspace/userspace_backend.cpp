// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/backend/userspace/userspace_backend.h"

#include <algorithm>
#include <utility>

#include "cygnet/agent/backend/api/ip_text.h"
#include "cygnet/agent/backend/userspace/key_export.h"

namespace cygnet::agent::userspace {
namespace {

constexpr std::uint32_t kMinMtu = 1280;  // IPv6, and the protocol's floor
constexpr std::uint32_t kMaxMtu = 65535;
// docs/protocol.md section 2: the mesh id fills the first 64 bits of every mesh address.
constexpr std::uint8_t kMeshPrefixLength = 64;

/// Collects the refusals of several prefixes into one error that names them all.
class Refusals {
 public:
  void add(Error error) {
    if (!first_) {
      first_ = std::move(error);
    } else {
      first_->message += "; " + error.message;
    }
  }
  [[nodiscard]] Status status(const std::string& where) && {
    if (!first_) return {};
    first_->where = where;
    return fail(std::move(*first_));
  }

 private:
  std::optional<Error> first_;
};

bool never_routed(const IpPrefix& prefix) {
  const auto& o = prefix.address.octets;
  if (prefix.length == 0) return false;
  if (!prefix.address.is_v6) return o[0] == 127 || o[0] >= 224 || (o[0] == 169 && o[1] == 254);
  const bool loopback =
      prefix.length == 128 && masked({prefix.address, 127}).address == IpAddress{true, {}};
  return o[0] == 0xff || (o[0] == 0xfe && (o[1] & 0xc0) == 0x80) || loopback;
}

std::vector<IpPrefix> unique(std::vector<IpPrefix> prefixes) {
  std::sort(prefixes.begin(), prefixes.end());
  prefixes.erase(std::unique(prefixes.begin(), prefixes.end()), prefixes.end());
  return prefixes;
}

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
  features.per_source_spi = true;
  features.notes = notes_;
  if (kInsecureKeyExport) {
    features.notes.emplace_back("INSECURE test build: traffic keys can be exported");
  }
  return features;
}

IpPrefix UserspaceBackend::mesh_prefix() const {
  return masked({mesh_address_.value_or(IpAddress{true, {}}), kMeshPrefixLength});
}

bool UserspaceBackend::covered(const IpPrefix& prefix) const {
  return mesh_address_ && prefix.length == 128 && contains(mesh_prefix(), prefix.address);
}

Status UserspaceBackend::set_mesh_address(const IpAddress& address) {
  if (mesh_address_ == address) return {};
  if (mesh_address_) {
    const IpPrefix old{*mesh_address_, address_bits(*mesh_address_)};
    CYGNET_CHECK_OK(routes_.remove_address(*mesh_address_));
    plane_->post([old](DataPlane& plane) { plane.take_prefix(old); });
    if (!contains(mesh_prefix(), address)) {
      CYGNET_CHECK_OK(routes_.unroute(mesh_prefix()));
      CYGNET_CHECK_OK(routes_.unblock(mesh_prefix()));
    }
  }
  mesh_address_ = address;
  plane_->post([address](DataPlane& plane) {
    plane.set_self(address);
    plane.own_prefix({address, address_bits(address)});
  });
  CYGNET_CHECK_OK(routes_.add_address(address));
  // One pair of routes for the whole mesh; which address is whose the data plane knows.
  CYGNET_CHECK_OK(routes_.block(mesh_prefix()));
  return routes_.route(mesh_prefix(), address);
}

Status UserspaceBackend::set_self(const SelfConfig& self) {
  if (!self.mesh_address.is_v6) {
    return fail(kErrPrefixInvalid, "the mesh address is not IPv6", to_string(self.mesh_address));
  }
  Refusals refusals;
  if (auto status = set_mesh_address(self.mesh_address); !status) {
    refusals.add(std::move(status).error());
  }
  std::set<IpPrefix> wanted;
  for (const IpPrefix& prefix : self.prefixes) wanted.insert(masked(prefix));
  for (const IpPrefix& prefix : own_) {
    if (wanted.contains(prefix)) continue;
    plane_->post([prefix](DataPlane& plane) { plane.take_prefix(prefix); });
    if (auto status = routes_.unexempt(prefix); !status) refusals.add(std::move(status).error());
  }
  for (const IpPrefix& prefix : wanted) {
    if (own_.contains(prefix)) continue;
    if (claims_.claimed(prefix)) {
      refusals.add(Error{kErrPrefixOwn,
                         to_string(prefix) + " belongs to a peer",
                         {},
                         "take it from the peer first"});
      continue;
    }
    plane_->post([prefix](DataPlane& plane) { plane.own_prefix(prefix); });
    if (auto status = routes_.exempt(prefix); !status) refusals.add(std::move(status).error());
  }
  std::erase_if(wanted, [&](const IpPrefix& prefix) { return claims_.claimed(prefix); });
  own_ = std::move(wanted);
  return std::move(refusals).status("own prefixes");
}

Status UserspaceBackend::judge(const IpPrefix& prefix) {
  if (prefix.length > address_bits(prefix.address) || masked(prefix) != prefix ||
      never_routed(prefix)) {
    return fail(kErrPrefixInvalid, to_string(prefix) + " cannot be routed to a peer", {},
                "correct the prefix in the policy");
  }
  if (own_.contains(prefix)) {
    return fail(kErrPrefixOwn, to_string(prefix) + " is this device's own", {},
                "give the prefix to one device only");
  }
  // What is claimed already was judged, and our own routes must not be taken for another's.
  if (config_.routing.override_conflicts || claims_.claimed(prefix)) return {};
  CYGNET_TRY(const std::string conflict, routes_.conflict(prefix));
  if (conflict.empty()) return {};
  return fail(kErrRouteConflict,
              to_string(prefix) + " has a route that is not Cygnet's (" + conflict + ")", {},
              "remove that route, or set routing.override_conflicts");
}

std::optional<IpAddress> UserspaceBackend::source_for(const IpPrefix& prefix) {
  const bool v6 = prefix.address.is_v6;
  const auto local = routes_.local_address({own_.begin(), own_.end()}, v6);
  if (local && *local) return *local;
  return v6 ? mesh_address_ : std::nullopt;
}

Status UserspaceBackend::apply(const PrefixClaims::Change& change, bool keep_fail_closed) {
  Refusals refusals;
  const auto note = [&](Status status) {
    if (!status) refusals.add(std::move(status).error());
  };
  for (const IpPrefix& prefix : change.freed) {
    if (!covered(prefix)) note(routes_.unroute(prefix));
    plane_->post([prefix](DataPlane& plane) { plane.take_prefix(prefix); });
    if (!covered(prefix) && !keep_fail_closed) note(routes_.unblock(prefix));
  }
  for (const auto& given : change.given) {
    // What policy protects never leaves in clear: the fail-closed route comes first.
    if (given.fresh && !covered(given.prefix)) note(routes_.block(given.prefix));
    plane_->post([prefix = given.prefix, peer = given.peer](DataPlane& plane) {
      plane.give_prefix(prefix, peer);
    });
    if (given.fresh && !covered(given.prefix)) {
      note(routes_.route(given.prefix, source_for(given.prefix)));
    }
  }
  for (const auto& waiting : change.waiting) {
    refusals.add(Error{kErrPrefixTaken,
                       to_string(waiting.prefix) + " is " + names_[waiting.holder] + "'s",
                       {},
                       "give the prefix to one device only"});
  }
  return std::move(refusals).status("");
}

Status UserspaceBackend::set_peer(const PeerConfig& peer) {
  Refusals refusals;
  names_[peer.peer] = peer.name;
  std::vector<IpPrefix> wanted;
  for (const IpPrefix& prefix : unique(peer.prefixes)) {
    if (auto status = judge(prefix); status) {
      wanted.push_back(prefix);
    } else {
      refusals.add(std::move(status).error());
    }
  }
  wanted.push_back({peer.mesh_address, address_bits(peer.mesh_address)});
  plane_->post([id = peer.peer, name = peer.name, mesh = peer.mesh_address,
                endpoints = peer.endpoints](DataPlane& plane) {
    plane.set_peer(id, name, mesh, endpoints);
  });
  if (auto status = apply(claims_.update(peer.peer, unique(wanted)), false); !status) {
    refusals.add(std::move(status).error());
  }
  return std::move(refusals).status("peer " + peer.name);
}

void UserspaceBackend::remove_peer(proto::PeerId peer, bool keep_fail_closed) {
  // A route that cannot be removed leads to a device that drops the packet: nothing leaks.
  static_cast<void>(apply(claims_.update(peer, {}), keep_fail_closed));
  names_.erase(peer);
  plane_->post([peer](DataPlane& plane) { plane.remove_peer(peer); });
}

Status UserspaceBackend::drop_unclaimed_fail_closed() {
  CYGNET_TRY(const std::vector<IpPrefix> blocked, routes_.blocked());
  for (const IpPrefix& prefix : blocked) {
    if (claims_.claimed(prefix) || (mesh_address_ && prefix == mesh_prefix())) continue;
    CYGNET_CHECK_OK(routes_.unblock(prefix));
  }
  return {};
}

void UserspaceBackend::install(SaPairSpec spec) {
  const proto::PeerId peer = spec.peer;
  const proto::SaPairId pair_id = spec.pair;
  const auto refuse = [&](const Error& error) {
    reporter_.tell([peer, pair_id, error](BackendEvents& events) {
      events.on_install_failed(peer, pair_id, false, error);
    });
  };
  if (auto exported = export_keys(config_.key_export_path, spec); !exported) {
    return refuse(exported.error());
  }
  // Keys are expanded here, so that the data plane does not stop for it.
  auto pair = make_sa_pair(std::move(spec), random_);
  if (!pair) return refuse(pair.error());
  plane_->post([peer, sas = std::move(*pair)](DataPlane& plane) mutable {
    plane.install(peer, std::move(sas));
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
  const std::uint64_t tun_queue = routes_.tun_dropped();
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
  if (open) static_cast<void>(routes_.remove_everything());
}

}  // namespace cygnet::agent::userspace
