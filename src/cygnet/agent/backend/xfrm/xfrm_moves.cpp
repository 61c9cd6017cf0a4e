// SPDX-License-Identifier: Apache-2.0
// XfrmBackend: peers whose outer address or port changes.
#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "cygnet/agent/backend/common/outer_address.h"
#include "cygnet/agent/backend/xfrm/xfrm_backend.h"
#include "cygnet/base/secret.h"
#include "cygnet/crypto/random.h"

namespace cygnet::agent::xfrm {
namespace {

constexpr Duration kTrial = std::chrono::seconds(3);
constexpr Duration kProbeEvery = std::chrono::milliseconds(300);

}  // namespace

void XfrmBackend::follow_candidates(proto::PeerId id, Peer& peer) {
  const auto path = path_to(peer);
  if (!path || path == peer.path) return;
  const bool moved = peer.path.has_value() && peer.chosen.has_value();
  peer.port_hint.reset();
  peer.port_trial.reset();
  locate(id, peer, *path);
  // SAs keep their addresses: new ones lead to the new place.
  if (!moved) return;
  reporter_.tell(
      [id, pair = *peer.chosen](BackendEvents& events) { events.on_soft_limit(id, pair); });
}

// A hint, which a replayed dummy packet can forge. It is believed where nothing is known yet; a new
// port is believed when a probe is answered there; a new address, when the controller tells it too.
void XfrmBackend::take_mapping(const MappingEvent& event) {
  const auto it = places_.find(event.key);
  if (it == places_.end() || !it->second.inbound) return;
  const proto::PeerId id = it->second.peer;
  Peer& peer = *find(id);
  if (!peer.path) {
    peer.endpoint_learned = true;
    locate(id, peer, Path{event.key.destination, event.source});
    reporter_.tell(
        [id, source = event.source](BackendEvents& events) { events.on_peer_moved(id, source); });
    return;
  }
  if (event.source.address != peer.path->remote.address) {
    const bool told = std::any_of(
        peer.candidates.begin(), peer.candidates.end(),
        [&](const UdpEndpoint& known) { return known.address == event.source.address; });
    peer.endpoint_learned = false;  // what the controller tells next counts again
    if (told) follow_candidates(id, peer);
    return;
  }
  if (event.source.port != peer.path->remote.port) peer.port_hint = event.source.port;
}

// The kernel changes the ports of an SA in place: keys, sequence numbers and window stay.
void XfrmBackend::set_port(Peer& peer, std::uint16_t port) {
  peer.path->remote.port = port;
  for (auto& [id, pair] : peer.pairs) {
    if (pair.path.remote.address != peer.path->remote.address) continue;
    pair.path.remote.port = port;
    // The kernel wants keys in the message, and does not look at them.
    const SecretBytes encr(pair.suite.encr_key_length());
    const SecretBytes integ(pair.suite.integ_key_length());
    for (const auto* sas : {&pair.inbound, &pair.outbound}) {
      for (const Sa& sa : *sas) {
        SaConfig config;
        config.key = sa.key;
        config.source = sa.source;
        config.reqid = sa.reqid;
        config.suite = pair.suite;
        config.encr = encr.reveal();
        config.integ = integ.reveal();
        config.esn = pair.esn;
        config.soft_packet_limit = soft_packet_limit_;
        config.encapsulation =
            sa.inbound ? Encapsulation{port, config_.port} : Encapsulation{config_.port, port};
        config.output_mark = sa.inbound ? 0 : config_.routing.fwmark;
        config.watch = sa.inbound;
        ask([&](MessageBatch& batch) { batch.update_sa(config); });
      }
    }
  }
}

void XfrmBackend::send_own_probe(Peer& peer) {
  const auto pair = peer.pairs.find(*peer.chosen);
  proto::Probe request;
  request.cookie = peer.port_trial->cookie;
  const auto payload = proto::encode_probe(request);
  if (!payload || pair == peer.pairs.end() || pair->second.outbound.empty()) return;
  flush();
  const OuterAddress to(UdpEndpoint{peer.mesh_address, proto::kProbePort, 0});
  const ssize_t n = ::sendto(probe_socket_.get(), payload->data(), payload->size(), MSG_DONTWAIT,
                             &to.any, to.length());
  if (n >= 0) ++pair->second.outbound.front().probes;
}

bool XfrmBackend::proves_port(proto::PeerId id, Peer& peer, ByteView payload) {
  if (!peer.port_trial) return false;
  const auto probe = proto::decode_probe(payload);
  if (!probe || probe->type != proto::ProbeType::kReply ||
      probe->cookie != peer.port_trial->cookie) {
    return false;
  }
  peer.port_trial.reset();
  peer.endpoint_learned = true;
  reporter_.tell([id, endpoint = peer.path->remote](BackendEvents& events) {
    events.on_peer_moved(id, endpoint);
  });
  return true;
}

void XfrmBackend::review_ports(Timestamp now) {
  for (auto& [id, peer] : peers_) {
    if (!peer.path || !peer.chosen) continue;
    if (!peer.port_trial && peer.port_hint) {
      peer.port_trial = PortTrial{peer.path->remote.port, {}, now + kTrial, now};
      crypto::system_random().fill(peer.port_trial->cookie);
      set_port(peer, *std::exchange(peer.port_hint, std::nullopt));
    }
    if (!peer.port_trial) continue;
    if (now >= peer.port_trial->until) {
      set_port(peer, std::exchange(peer.port_trial, std::nullopt)->before);
    } else if (now >= peer.port_trial->next_probe) {
      peer.port_trial->next_probe = now + kProbeEvery;
      send_own_probe(peer);
    }
  }
}

}  // namespace cygnet::agent::xfrm
