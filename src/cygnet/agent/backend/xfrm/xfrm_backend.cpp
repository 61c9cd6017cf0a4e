// SPDX-License-Identifier: Apache-2.0
// XfrmBackend: making and ending it, peers and prefixes.
#include "cygnet/agent/backend/xfrm/xfrm_backend.h"

#include <linux/udp.h>
#include <linux/xfrm.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>

#include "cygnet/agent/backend/api/ip_text.h"
#include "cygnet/agent/backend/common/outer_address.h"
#include "cygnet/proto/probe/probe.h"
#include "cygnet/rt/log.h"

namespace cygnet::agent::xfrm {
namespace {

// Of linux/in.h and linux/in6.h, which contradict netinet/in.h.
constexpr int kIpXfrmPolicy = 17;
constexpr int kIpv6XfrmPolicy = 35;
constexpr int kIpv6Freebind = 78;

/// The socket that the kernel takes ESP from. What arrives on it is judged by the SAs, not by
/// policies for the outer packet.
Status make_encapsulating(const UdpSocket& socket, bool v6) {
  const int kind = UDP_ENCAP_ESPINUDP;
  if (setsockopt(socket.fd(), IPPROTO_UDP, UDP_ENCAP, &kind, sizeof kind) != 0) {
    return fail(
        kErrKernelEsp,
        std::string("the kernel does not take ESP from a UDP socket: ") + std::strerror(errno),
        "ESP socket", "modprobe esp4 esp6, or set data_plane: userspace");
  }
  for (const std::uint8_t direction : {XFRM_POLICY_IN, XFRM_POLICY_OUT}) {
    xfrm_userpolicy_info pass{};
    pass.dir = direction;
    pass.action = XFRM_POLICY_ALLOW;
    pass.sel.family = v6 ? AF_INET6 : AF_INET;
    if (setsockopt(socket.fd(), v6 ? IPPROTO_IPV6 : IPPROTO_IP,
                   v6 ? kIpv6XfrmPolicy : kIpXfrmPolicy, &pass, sizeof pass) != 0) {
      return fail(
          kErrKernelIpsec,
          std::string("the ESP socket cannot be exempted from policies: ") + std::strerror(errno),
          "ESP socket");
    }
  }
  return {};
}

Result<std::unique_ptr<UdpSocket>> adopt_kept(std::vector<Fd>& kept, bool v6,
                                              const UdpSocket::Options& options) {
  for (Fd& fd : kept) {
    auto adopted = UdpSocket::adopt(fd, v6, options);
    if (!adopted || *adopted != nullptr) return adopted;
  }
  return std::unique_ptr<UdpSocket>();
}

/// Whether packets that wait for an SA are kept. A switch of the whole network namespace: without
/// it the first packet to a peer is lost.
std::string keep_waiting_packets() {
  constexpr const char* kSwitch = "/proc/sys/net/core/xfrm_larval_drop";
  int drops = 1;
  if (std::ifstream(kSwitch) >> drops && drops == 0) return {};
  std::ofstream file(kSwitch);
  file << 0 << std::flush;
  return file ? "net.core.xfrm_larval_drop is set to 0 here, so that first packets wait for an SA"
              : "first packets to a peer are lost: net.core.xfrm_larval_drop cannot be set to 0";
}

}  // namespace

struct XfrmBackend::Made {
  KernelAbilities abilities;
  XfrmSocket socket;
  Watcher::Sockets sockets;
  Routes routes;
  std::unique_ptr<Tun> device;
  std::vector<std::string> notes;
};

XfrmBackend::XfrmBackend(XfrmConfig config, BackendEvents& events, PostToControl post, Made made)
    : config_(std::move(config)),
      reporter_(events, post),
      post_(std::move(post)),
      abilities_(std::move(made.abilities)),
      socket_(std::move(made.socket)),
      reqids_(config_.routing.table),
      indexes_(config_.routing.table),
      sockets_(std::move(made.sockets)),
      router_(std::move(made.routes), config_.routing, *this),
      notes_(std::move(made.notes)),
      device_(std::move(made.device)) {}

Result<std::unique_ptr<XfrmBackend>> XfrmBackend::create(XfrmConfig config, BackendEvents& events,
                                                         PostToControl post,
                                                         crypto::Random& random) {
  std::vector<Fd> kept;
  for (const int fd : config.kept_sockets) kept.emplace_back(fd);
  CYGNET_TRY(XfrmSocket socket, XfrmSocket::open());
  CYGNET_TRY(KernelAbilities abilities, examine_kernel(socket, random));
  CYGNET_TRY(XfrmEvents heard, XfrmEvents::open());
  CYGNET_TRY(XfrmSocket looking, XfrmSocket::open());
  std::vector<std::string> notes = abilities.notes;
  Watcher::Sockets sockets;
  for (const bool v6 : {false, true}) {
    if (v6 ? !abilities.v6 : !abilities.v4) continue;
    const UdpSocket::Options options{config.port, config.routing.fwmark, config.socket_buffer,
                                     /*offload=*/false};
    auto opened = adopt_kept(kept, v6, options);
    if (opened && *opened == nullptr) opened = UdpSocket::open(v6, options);
    if (!opened && opened.error().code == kErrNoFamily) {
      notes.push_back(opened.error().message);
      continue;
    }
    if (!opened) return fail(std::move(opened).error());
    CYGNET_CHECK_OK(make_encapsulating(**opened, v6));
    sockets[v6 ? 1 : 0] = std::move(*opened);
  }
  if (!sockets[0] && !sockets[1]) {
    return fail(kErrNoFamily, "this host has neither IPv4 nor IPv6", "ESP socket");
  }
  if (std::string note = keep_waiting_packets(); !note.empty()) notes.push_back(std::move(note));
  CYGNET_TRY(Tun tun, Tun::open(config.tun_name, false));
  CYGNET_TRY(Routes routes, Routes::open(config.routing));
  CYGNET_CHECK_OK(routes.set_up(tun.name(), config.inner_mtu, 1, 0));
  config.tun_name = tun.name();
  std::unique_ptr<XfrmBackend> backend(
      new XfrmBackend(std::move(config), events, std::move(post),
                      Made{std::move(abilities), std::move(socket), sockets, std::move(routes),
                           std::make_unique<Tun>(std::move(tun)), std::move(notes)}));
  CYGNET_CHECK_OK(backend->take_over());
  for (const PolicyConfig& policy : base_policies(backend->config_.routing.fwmark)) {
    backend->set(policy);
  }
  backend->flush();
  // Somebody else's policy of the same packets does what ours would.
  if (const Status base = std::exchange(backend->refusals_, {}).status("kernel policies"); !base) {
    backend->notes_.push_back(base.error().message);
  }
  CYGNET_CHECK_OK(backend->device_->set_persistent(true));
  backend->watcher_ =
      std::make_unique<Watcher>(std::move(heard), std::move(looking), std::move(sockets),
                                backend->reqids_, backend->config_.port, backend->config_.poll,
                                [b = backend.get(), alive = backend->alive_,
                                 deliver = backend->post_](std::shared_ptr<const News> news) {
                                  deliver([b, alive, news = std::move(news)] {
                                    if (*alive) b->take(*news);
                                  });
                                });
  backend->watcher_->read_kernel_counters(
      [b = backend.get(), alive = backend->alive_, deliver = backend->post_](KernelCounters now) {
        deliver([b, alive, now = std::move(now)] {
          if (*alive) b->counters_at_start_ = now;
        });
      });
  return backend;
}

Status XfrmBackend::open_all(const XfrmConfig& config) {
  auto socket = XfrmSocket::open();
  if (!socket && socket.error().code == kErrKernelIpsec) return {};
  if (!socket) return fail(std::move(socket).error());
  std::vector<SaState> states;
  std::vector<PolicyConfig> policies;
  CYGNET_CHECK_OK(list_ours(*socket, config.routing, states, policies));
  MessageBatch batch;
  std::vector<Refusal> refusals;
  const auto send = [&]() -> Status {
    CYGNET_TRY(std::vector<Refusal> more, socket->send(batch));
    // What is gone already is as it should be.
    std::erase_if(more, [](const Refusal& r) { return r.error == ENOENT || r.error == ESRCH; });
    refusals.insert(refusals.end(), more.begin(), more.end());
    return {};
  };
  for (const PolicyConfig& found : policies) {
    batch.remove_policy(found.key);
    if (batch.full()) CYGNET_CHECK_OK(send());
  }
  for (const SaState& state : states) {
    batch.remove_sa(state.key);
    if (batch.full()) CYGNET_CHECK_OK(send());
  }
  CYGNET_CHECK_OK(send());
  if (!refusals.empty()) {
    return fail(explain_policy_refusal("removing ours", refusals[0].error, refusals[0].text));
  }
  if (if_nametoindex(config.tun_name.c_str()) == 0) return {};
  auto tun = Tun::open(config.tun_name, false);
  // A device of another kind, or of somebody who runs, is not ours to remove.
  if (!tun) return {};
  return tun->set_persistent(false);
}

Features XfrmBackend::features() const {
  Features features;
  features.name = "kernel";
  features.per_source_spi = false;
  features.survives_agent = true;
  features.took_over = took_over_;
  features.notes = notes_;
  features.notes.emplace_back(
      "first packets are known from the kernel's replay events (XFRM_MSG_NEWAE), and from its "
      "counters");
  return features;
}

// ---- Prefixes ----

Status XfrmBackend::set_self(const SelfConfig& self) {
  Refusals all;
  all.add(router_.set_self(self));
  flush();
  all.add(std::exchange(refusals_, {}).status("own prefixes"));
  return std::move(all).status("own prefixes");
}

void XfrmBackend::set_mesh_address(const IpAddress& address) {
  mesh_address_ = address;
  // Without our mark: probes take the way of user packets, through the policies.
  Fd fd(::socket(AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const int on = 1;
  const OuterAddress own(UdpEndpoint{address, proto::kProbePort, 0});
  // The address comes to the device a moment later.
  if (!fd.is_open() || setsockopt(fd.get(), IPPROTO_IPV6, kIpv6Freebind, &on, sizeof on) != 0 ||
      bind(fd.get(), &own.any, own.length()) != 0) {
    refusals_.add(Error{kErrSocket,
                        std::string("probes cannot be received: ") + std::strerror(errno),
                        to_string(UdpEndpoint{address, proto::kProbePort, 0})});
    return;
  }
  if (watcher_) watcher_->watch_probes(fd.get());
  std::swap(probe_socket_, fd);
  retired_probe_sockets_.push_back(std::move(fd));
}

void XfrmBackend::own_prefix(const IpPrefix& prefix) {
  own_.insert(prefix);
  for (const PolicyConfig& policy : own_policies(prefix)) set(policy);
  for (const auto& [given, id] : given_) {
    if (given.address.is_v6 != prefix.address.is_v6) continue;
    for (const PolicyConfig& policy : inbound_policies(given, prefix, peers_[id].reqid)) {
      set(policy);
    }
  }
}

void XfrmBackend::give_prefix(const IpPrefix& prefix, proto::PeerId id) {
  if (const auto before = given_.find(prefix); before != given_.end()) {
    if (Peer* const old = find(before->second)) old->prefixes.erase(prefix);
  }
  given_[prefix] = id;
  Peer& peer = peers_[id];
  peer.prefixes.insert(prefix);
  for (const PolicyConfig& policy : inbound_blocks(prefix)) set(policy);
  for (const IpPrefix& own : own_) {
    if (own.address.is_v6 != prefix.address.is_v6) continue;
    for (const PolicyConfig& policy : inbound_policies(prefix, own, peer.reqid)) set(policy);
  }
  set(outbound_policy(prefix, outbound_of(peer)));
}

void XfrmBackend::take_prefix(const IpPrefix& prefix, bool fail_closed) {
  if (own_.erase(prefix) != 0) {
    for (const auto& [given, id] : given_) {
      if (given.address.is_v6 != prefix.address.is_v6) continue;
      for (const PolicyConfig& policy : inbound_policies(given, prefix, 0)) drop(policy.key);
    }
    for (const PolicyConfig& policy : own_policies(prefix)) drop(policy.key);
    return;
  }
  const auto it = given_.find(prefix);
  if (it == given_.end()) return;
  if (Peer* const peer = find(it->second)) peer->prefixes.erase(prefix);
  given_.erase(it);
  // Inbound, the block beneath takes over; outbound, the same policy changes its mind.
  for (const IpPrefix& own : own_) {
    if (own.address.is_v6 != prefix.address.is_v6) continue;
    for (const PolicyConfig& policy : inbound_policies(prefix, own, 0)) drop(policy.key);
  }
  const PolicyConfig closed = outbound_policy(prefix, {Outbound::Kind::kBlock, 0, {}});
  if (fail_closed) return set(closed);
  drop(closed.key);
  for (const PolicyConfig& policy : inbound_blocks(prefix)) drop(policy.key);
}

// ---- Peers ----

Status XfrmBackend::set_peer(const PeerConfig& config) {
  const auto [it, fresh] = peers_.try_emplace(config.peer);
  Peer& peer = it->second;
  if (fresh) {
    auto reqid = reqid_before({config.mesh_address, address_bits(config.mesh_address)});
    if (!reqid) reqid = new_reqid(true);
    if (!reqid) {
      peers_.erase(it);
      return fail(kErrReqids, "more peers than the kernel backend can number", config.name,
                  "set data_plane: userspace");
    }
    peer.reqid = *reqid;
  }
  by_mesh_address_.erase(peer.mesh_address);
  by_mesh_address_[config.mesh_address] = config.peer;
  peer.name = config.name;
  peer.mesh_address = config.mesh_address;
  peer.candidates = config.endpoints;
  if (!peer.endpoint_learned) follow_candidates(config.peer, peer);
  Refusals all;
  all.add(router_.set_peer(config));
  flush();
  all.add(std::exchange(refusals_, {}).status("peer " + config.name));
  return std::move(all).status("peer " + config.name);
}

void XfrmBackend::remove_peer(proto::PeerId id, bool keep_fail_closed) {
  Peer* const peer = find(id);
  if (peer == nullptr) return;
  peer->chosen.reset();
  drop(probe_policy(peer->mesh_address, probe_mark(), {}).key);
  // Policies first: they change from protecting to blocking before the SAs go.
  router_.remove_peer(id, keep_fail_closed);
  for (auto& [pair_id, pair] : peer->pairs) {
    remove_sas(pair.inbound);
    remove_sas(pair.outbound);
  }
  end_inherited(peer->reqid);
  by_mesh_address_.erase(peer->mesh_address);
  used_reqids_.erase(peer->reqid);
  peers_.erase(id);
  flush();
  // A policy that cannot be changed any more protects with an SA that is gone: nothing leaks.
  static_cast<void>(std::exchange(refusals_, {}).status(""));
}

XfrmBackend::Peer* XfrmBackend::find(proto::PeerId id) {
  const auto it = peers_.find(id);
  return it == peers_.end() ? nullptr : &it->second;
}
XfrmBackend::Pair* XfrmBackend::find(proto::PeerId id, proto::SaPairId pair) {
  Peer* const peer = find(id);
  if (peer == nullptr) return nullptr;
  const auto it = peer->pairs.find(pair);
  return it == peer->pairs.end() ? nullptr : &it->second;
}
XfrmBackend::Sa* XfrmBackend::find(const Place& place) {
  Pair* const pair = find(place.peer, place.pair);
  if (pair == nullptr) return nullptr;
  auto& sas = place.inbound ? pair->inbound : pair->outbound;
  return place.lane < sas.size() ? &sas[place.lane] : nullptr;
}

// SAs and policies stay as they are, for the next start to take over; nothing leaves in clear.
void XfrmBackend::shut_down(bool open) {
  if (watcher_ == nullptr) return;
  reporter_.mute();
  *alive_ = false;
  watcher_.reset();
  if (open) {
    for (const auto& [key, policy] : std::map(policies_)) drop(key);
    for (auto& [id, peer] : peers_) {
      for (auto& [pair_id, pair] : peer.pairs) {
        remove_sas(pair.inbound);
        remove_sas(pair.outbound);
      }
    }
    while (!inherited_.empty()) end_inherited(inherited_.begin()->first);
  }
  remove_sas(ending_);
  flush();
  if (open) {
    static_cast<void>(router_.routes().remove_everything());
    static_cast<void>(device_->set_persistent(false));
  }
  device_.reset();
  sockets_ = {};
}

}  // namespace cygnet::agent::xfrm
