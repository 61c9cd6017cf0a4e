// SPDX-License-Identifier: Apache-2.0
// XfrmBackend: SAs, and which of them packets leave by.
#include <algorithm>
#include <utility>

#include "cygnet/agent/backend/xfrm/xfrm_backend.h"
#include "cygnet/proto/ids/ids.h"
#include "cygnet/rt/log.h"

namespace cygnet::agent::xfrm {
namespace {

bool link_local(const IpAddress& address) {
  return address.is_v6 && address.octets[0] == 0xfe && (address.octets[1] & 0xc0) == 0x80;
}

}  // namespace

std::optional<std::uint32_t> XfrmBackend::new_reqid(bool for_peer) {
  const auto used = [this](std::uint32_t reqid) { return used_reqids_.contains(reqid); };
  const auto reqid = for_peer ? reqids_.peer(used) : reqids_.outbound(used);
  if (reqid) used_reqids_.insert(*reqid);
  return reqid;
}

// The kernel finds an inbound SA by its destination: both ends have to mean the same address.
std::optional<XfrmBackend::Path> XfrmBackend::path_to(const Peer& peer) {
  for (const UdpEndpoint& candidate : peer.candidates) {
    const bool v6 = candidate.address.is_v6;
    if (sockets_[v6 ? 1 : 0] == nullptr || link_local(candidate.address)) continue;
    const auto source = router_.routes().source_towards(candidate.address);
    if (!source) continue;
    for (const IpAddress& known : config_.local_addresses) {
      if (known.is_v6 == v6 && router_.routes().is_local(known)) return Path{known, candidate};
    }
    return Path{*source, candidate};
  }
  return std::nullopt;
}

void XfrmBackend::install(SaPairSpec spec) {
  const auto job = std::make_shared<Installing>();
  job->peer = spec.peer;
  job->pair = spec.pair;
  installing_.push_back(job);
  flush_soon();
  Peer* const peer = find(spec.peer);
  if (peer == nullptr) {
    job->error = Error{kErrUnknownPeer, "SAs for a peer that is not set", "data plane"};
    return;
  }
  // docs/protocol.md section 6, "Install once": the same keys with counters back at zero would use
  // an IV twice.
  if (peer->pairs.contains(spec.pair)) {
    job->error = Error{kErrInstalledTwice, "an SA pair that is installed already", peer->name,
                       "roll over instead"};
    return;
  }
  if (spec.lanes.empty() || !abilities_.can(spec.suite)) {
    job->error = explain_sa_refusal(spec.suite, false, ENOSYS, {});
    return;
  }
  Pair& pair = peer->pairs[spec.pair];
  pair.id = spec.pair;
  pair.suite = spec.suite;
  pair.esn = spec.esn;
  for (const LaneSpec& lane : spec.lanes) pair.spis.emplace_back(lane.inbound, lane.outbound);
  install_inbound(*peer, pair, spec, job);
  if (peer->path) {
    install_outbound(spec.peer, pair, spec, job);
  } else {
    pair.waiting = std::move(spec);
  }
}

// What an SA of either direction has of its pair; keys and ports differ.
SaConfig XfrmBackend::config_of(const Sa& sa, const SaPairSpec& spec) const {
  SaConfig config;
  config.key = sa.key;
  config.source = sa.source;
  config.reqid = sa.reqid;
  config.suite = spec.suite;
  config.esn = spec.esn;
  config.soft_packet_limit = soft_packet_limit_;
  return config;
}

void XfrmBackend::install_inbound(Peer& peer, Pair& pair, const SaPairSpec& spec,
                                  const std::shared_ptr<Installing>& job) {
  // A peer whose address is not known yet finds us where our own address says.
  Path path = peer.path.value_or(Path{});
  if (!peer.path) {
    const auto& known = config_.local_addresses;
    const auto ours = std::find_if(known.begin(), known.end(), [this](const IpAddress& address) {
      return sockets_[address.is_v6 ? 1 : 0] != nullptr && router_.routes().is_local(address);
    });
    if (ours == known.end()) {
      job->error = Error{kErrNoPath, "neither the peer's address nor our own is known", peer.name,
                         "give this device an endpoint (--endpoint), or the peer one"};
      return;
    }
    path.local = *ours;
    path.remote.address.is_v6 = path.local.is_v6;
  }
  pair.path = path;
  for (std::size_t i = 0; i < spec.lanes.size(); ++i) {
    const LaneSpec& lane = spec.lanes[i];
    Sa sa;
    sa.key = {path.local, lane.inbound.value()};
    sa.source = path.remote.address;
    sa.reqid = peer.reqid;
    sa.inbound = true;
    sa.watched = true;
    SaConfig config = config_of(sa, spec);
    config.encr = lane.inbound_encr.reveal();
    config.integ = lane.inbound_integ.reveal();
    config.replay_window = spec.replay_window;
    config.encapsulation = Encapsulation{path.remote.port, config_.port};
    config.watch = true;
    const Place place{spec.peer, spec.pair, true, i};
    if (!places_.emplace(sa.key, place).second) {
      job->error = explain_sa_refusal(spec.suite, sa.key.destination.is_v6, EEXIST, {});
      job->collision = true;
      return;
    }
    pair.inbound.push_back(sa);
    ask([&](MessageBatch& batch) { batch.add_sa(config); },
        [this, job, key = sa.key, suite = spec.suite](const Refusal& refusal) {
          // What the kernel refused is not ours to remove: it may be somebody else's.
          if (Pair* const failed = find(job->peer, job->pair)) {
            std::erase_if(failed->inbound, [&](const Sa& s) { return s.key == key; });
          }
          places_.erase(key);
          job->collision = refusal.error == EEXIST;
          job->error =
              explain_sa_refusal(suite, key.destination.is_v6, refusal.error, refusal.text);
        });
  }
}

void XfrmBackend::install_outbound(proto::PeerId id, Pair& pair, const SaPairSpec& spec,
                                   const std::shared_ptr<Installing>& job) {
  if (job->error) return;
  const Peer& peer = *find(id);
  const auto reqid = new_reqid(false);
  if (!reqid) {
    job->error = Error{kErrReqids, "more SAs than the kernel backend can number", peer.name};
    return;
  }
  // Without lanes for CPUs (Linux 6.13) one SA carries what leaves; the peer's window takes it.
  const LaneSpec& lane = spec.lanes.front();
  pair.path = *peer.path;
  Sa sa;
  sa.key = {pair.path.remote.address, lane.outbound.value()};
  sa.source = pair.path.local;
  sa.reqid = *reqid;
  SaConfig config = config_of(sa, spec);
  config.encr = lane.outbound_encr.reveal();
  config.integ = lane.outbound_integ.reveal();
  config.encapsulation = Encapsulation{config_.port, pair.path.remote.port};
  config.output_mark = config_.routing.fwmark;
  if (!places_.emplace(sa.key, Place{id, spec.pair, false, 0}).second) {
    used_reqids_.erase(*reqid);
    job->error = explain_sa_refusal(spec.suite, sa.key.destination.is_v6, EEXIST, {});
    job->collision = true;
    return;
  }
  pair.outbound.push_back(sa);
  ask([&](MessageBatch& batch) { batch.add_sa(config); },
      [this, job, sa, suite = spec.suite](const Refusal& refusal) {
        if (Pair* const failed = find(job->peer, job->pair)) failed->outbound.clear();
        places_.erase(sa.key);
        used_reqids_.erase(sa.reqid);
        job->collision = refusal.error == EEXIST;
        job->error =
            explain_sa_refusal(suite, sa.key.destination.is_v6, refusal.error, refusal.text);
      });
}

void XfrmBackend::report_installs() {
  const Timestamp now = read_clock();
  for (const auto& job : std::exchange(installing_, {})) {
    Pair* const pair = find(job->peer, job->pair);
    if (!job->error) {
      lost_told_ = false;
      if (pair != nullptr) {
        for (auto* sas : {&pair->inbound, &pair->outbound}) {
          for (Sa& sa : *sas) {
            sa.confirmed = true;
            sa.since = now;
          }
        }
      }
      if (!job->announced) continue;
      reporter_.tell([peer = job->peer, pair = job->pair](BackendEvents& events) {
        events.on_installed(peer, pair);
      });
      continue;
    }
    if (!job->announced) {
      rt::log_warning("an outbound SA cannot be made", *job->error);
      continue;
    }
    if (job->error->code != kErrInstalledTwice && pair != nullptr) {
      remove_sas(pair->inbound);
      remove_sas(pair->outbound);
      find(job->peer)->pairs.erase(job->pair);
    }
    reporter_.tell([peer = job->peer, pair = job->pair, collision = job->collision,
                    error = *job->error](BackendEvents& events) {
      events.on_install_failed(peer, pair, collision, error);
    });
  }
}

void XfrmBackend::locate(proto::PeerId id, Peer& peer, const Path& path) {
  peer.path = path;
  for (auto& [pair_id, pair] : peer.pairs) {
    if (!pair.waiting) continue;
    const SaPairSpec spec = std::move(*pair.waiting);
    pair.waiting.reset();
    const auto job = std::make_shared<Installing>();
    job->peer = id;
    job->pair = pair_id;
    job->announced = false;
    install_outbound(id, pair, spec, job);
    installing_.push_back(job);
  }
  apply_outbound(peer);
}

void XfrmBackend::choose_outbound(proto::PeerId id, std::optional<proto::SaPairId> pair) {
  Peer* const peer = find(id);
  if (peer == nullptr) return;
  peer->chosen = pair && peer->pairs.contains(*pair) ? pair : std::nullopt;
  apply_outbound(*peer);
  review_inherited(read_clock());
}

// Its last packets may still be on their way through the kernel: it goes at the next look.
void XfrmBackend::remove_outbound(proto::PeerId id, proto::SaPairId pair_id) {
  Peer* const peer = find(id);
  Pair* const pair = find(id, pair_id);
  if (pair == nullptr) return;
  pair->waiting.reset();
  if (peer->chosen == pair_id) {
    peer->chosen.reset();
    apply_outbound(*peer);
  }
  for (Sa& sa : pair->outbound) {
    places_.erase(sa.key);
    sa.since = read_clock();
    ending_.push_back(sa);
  }
  pair->outbound.clear();
  erase_if_empty(*peer, pair_id);
}

void XfrmBackend::remove_inbound(proto::PeerId id, proto::SaPairId pair_id) {
  Pair* const pair = find(id, pair_id);
  if (pair == nullptr) return;
  remove_sas(pair->inbound);
  erase_if_empty(*find(id), pair_id);
}

void XfrmBackend::remove_sas(std::vector<Sa>& sas) {
  for (const Sa& sa : sas) {
    places_.erase(sa.key);
    ask([&](MessageBatch& batch) { batch.remove_sa(sa.key); });
    // Outbound SAs have numbers of their own; a peer's is shared by what comes from it.
    if (!sa.inbound) used_reqids_.erase(sa.reqid);
  }
  sas.clear();
}

void XfrmBackend::erase_if_empty(Peer& peer, proto::SaPairId pair) {
  const auto it = peer.pairs.find(pair);
  if (it != peer.pairs.end() && it->second.inbound.empty() && it->second.outbound.empty() &&
      !it->second.waiting) {
    peer.pairs.erase(it);
  }
}

}  // namespace cygnet::agent::xfrm
