// SPDX-License-Identifier: Apache-2.0
// XfrmBackend: what the kernel tells, and what follows from it.
#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "cygnet/agent/backend/common/outer_address.h"
#include "cygnet/agent/backend/xfrm/xfrm_backend.h"
#include "cygnet/proto/probe/probe.h"

namespace cygnet::agent::xfrm {
namespace {

constexpr Duration kOnceASecond = std::chrono::seconds(1);
// Long enough for what is queued in the kernel to leave.
constexpr Duration kGrace = std::chrono::milliseconds(500);
// RFC 3948 section 2.3: one octet 0xff, which the receiver ignores.
constexpr std::uint8_t kKeepalive = 0xff;
// RFC 4303 section 3.3.3: well before the last sequence number of an SA without ESN.
constexpr std::uint64_t kRekeySequence = 0xffffffffULL / 4 * 3;

/// Errors that lose nobody's packet: a dummy is dropped by design, and counted as one of these.
bool is_loss(const std::string& name) { return name != "XfrmInStateProtoError"; }

/// "XfrmInNoStates" as "xfrm-in-no-states".
std::string drop_name(const std::string& kernel) {
  std::string out;
  for (const char c : kernel) {
    if (c >= 'A' && c <= 'Z') {
      if (!out.empty()) out += '-';
      out += static_cast<char>(c - 'A' + 'a');
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace

void XfrmBackend::take(const News& news) {
  for (const ReplayEvent& event : news.replay) take_first_packet(event, news.now);
  for (const MappingEvent& event : news.mappings) take_mapping(event);
  for (const ExpireEvent& event : news.expired) {
    const auto it = places_.find(event.sa.key);
    Pair* const pair = it == places_.end() ? nullptr : find(it->second.peer, it->second.pair);
    if (pair != nullptr) tell_soft_limit(it->second.peer, *pair);
  }
  for (const AcquireEvent& event : news.acquires) {
    for (auto& [id, peer] : peers_) {
      if (peer.reqid != event.reqid) continue;
      ++peer.waited;
      if (!peer.packet_waiting.pass(news.now, kOnceASecond)) break;
      reporter_.tell([id = id](BackendEvents& events) { events.on_packet_waiting(id); });
      break;
    }
  }
  for (const auto& [source, payload] : news.control) {
    if (!control_.pass(news.now)) {
      ++control_refused_;
      continue;
    }
    reporter_.tell([source = source, payload = payload](BackendEvents& events) {
      events.on_control_datagram(source, payload);
    });
  }
  for (const UnknownSpiReport& report : news.unknown_spis) {
    reporter_.tell([report](BackendEvents& events) {
      events.on_unknown_spi(report.spi, report.source, report.count);
    });
  }
  if (news.states) take_states(news);
  // After the counters: they say which SA a probe came by.
  for (const auto& [from, payload] : news.probes) take_probe(from, payload, news.now);
  review_inherited(news.now);
  review_ports(news.now);
  if (!news.states) return;
  for (auto& [id, peer] : peers_) {
    for (auto& [pair_id, pair] : peer.pairs) judge_traffic(id, peer, pair, news.now);
  }
  look_for_lost(news);
  std::vector<Sa> due;
  std::erase_if(ending_, [&](const Sa& sa) {
    if (sa.since + kGrace > news.now) return false;
    due.push_back(sa);
    return true;
  });
  remove_sas(due);
  send_keepalives(news.now);
  answer_counters(news.states_asked);
}

void XfrmBackend::tell_evidence(proto::PeerId peer, Pair& pair, EvidenceKind kind, Timestamp now) {
  RateGate& gate = kind == EvidenceKind::kUser ? pair.user_evidence : pair.evidence;
  if (!gate.pass(now, kOnceASecond)) return;
  reporter_.tell(
      [peer, id = pair.id, kind](BackendEvents& events) { events.on_evidence(peer, id, kind); });
}

// Told by the kernel for a packet whose ICV verified, never for a forged or a replayed one. Whether
// it was a user's or a probe is known a look later; that the pair works is known now.
void XfrmBackend::take_first_packet(const ReplayEvent& event, Timestamp now) {
  const auto it = places_.find(event.key);
  if (!event.advanced || it == places_.end() || !it->second.inbound) return;
  Sa* const sa = find(it->second);
  if (sa == nullptr || !sa->watched) return;
  sa->watched = false;
  ask([&](MessageBatch& batch) { batch.unwatch_sa(sa->key, sa->source, sa->reqid); });
  Pair& pair = *find(it->second.peer, it->second.pair);
  pair.heard = true;
  pair.heard_at = now;
  tell_evidence(it->second.peer, pair, EvidenceKind::kProbe, now);
}

void XfrmBackend::take_states(const News& news) {
  for (const SaState& state : *news.states) {
    const auto it = places_.find(state.key);
    Sa* const sa = it == places_.end() ? nullptr : find(it->second);
    if (sa == nullptr || state.reqid != sa->reqid) continue;
    sa->packets_last_look = sa->counters.packets;
    if (it->second.inbound && state.packets > sa->counters.packets) {
      Pair& pair = *find(it->second.peer, it->second.pair);
      pair.heard = true;
      pair.heard_at = news.now;
    }
    sa->counters.packets = state.packets;
    sa->counters.octets = state.octets;
    sa->highest = sa->inbound ? state.highest_in : state.highest_out;
  }
}

// The policies say whose SAs a packet from this address came by; the counters, by which of them.
void XfrmBackend::take_probe(const IpAddress& from, const Bytes& payload, Timestamp now) {
  const auto whose = by_mesh_address_.find(from);
  Peer* const peer = whose == by_mesh_address_.end() ? nullptr : find(whose->second);
  if (peer == nullptr) return;
  Pair* newest = nullptr;
  for (auto& [pair_id, pair] : peer->pairs) {
    if (!pair.heard || pair.inbound.empty()) continue;
    if (newest == nullptr || pair.heard_at >= newest->heard_at) newest = &pair;
  }
  if (newest == nullptr) return;
  ++newest->inbound.front().probes;
  if (proves_port(whose->second, *peer, payload)) return;
  if (!peer->probes.pass(now)) return;
  reporter_.tell([peer = whose->second, pair = newest->id, payload](BackendEvents& events) {
    events.on_probe(peer, pair, payload);
  });
}

// Every probe among the packets counted at the last look has been read by now; what is left of them
// was a user's.
void XfrmBackend::judge_traffic(proto::PeerId id, Peer& peer, Pair& pair, Timestamp now) {
  const auto sum = [](const std::vector<Sa>& sas, auto member) {
    std::uint64_t total = 0;
    for (const Sa& sa : sas) total += member(sa);
    return total;
  };
  const auto user = [&](const std::vector<Sa>& sas) {
    const std::uint64_t packets = sum(sas, [](const Sa& sa) { return sa.packets_last_look; });
    const std::uint64_t probes = sum(sas, [](const Sa& sa) { return sa.probes; });
    return packets > probes ? packets - probes : 0;
  };
  if (pair.heard && pair.heard_at == now) tell_evidence(id, pair, EvidenceKind::kProbe, now);
  const std::uint64_t in = user(pair.inbound);
  const std::uint64_t out = user(pair.outbound);
  if (in > pair.user_in) tell_evidence(id, pair, EvidenceKind::kUser, now);
  if ((in > pair.user_in || out > pair.user_out) && peer.user_traffic.pass(now, kOnceASecond)) {
    reporter_.tell([id](BackendEvents& events) { events.on_user_traffic(id); });
  }
  pair.user_in = std::max(pair.user_in, in);
  pair.user_out = std::max(pair.user_out, out);
  bool limit = false;
  for (const auto* sas : {&pair.inbound, &pair.outbound}) {
    for (const Sa& sa : *sas) {
      limit = limit || (soft_packet_limit_ != 0 && sa.counters.packets >= soft_packet_limit_) ||
              (!pair.esn && sa.highest >= kRekeySequence);
    }
  }
  if (limit) tell_soft_limit(id, pair);
}

void XfrmBackend::tell_soft_limit(proto::PeerId id, Pair& pair) {
  if (std::exchange(pair.soft_limit_reported, true)) return;
  reporter_.tell(
      [id, pair_id = pair.id](BackendEvents& events) { events.on_soft_limit(id, pair_id); });
}

// Somebody flushed the kernel's SAs, or removed one. The same keys are never put back: nobody knows
// what was sent with them. Policies drop what they would have carried until new ones are there.
void XfrmBackend::look_for_lost(const News& news) {
  std::set<SaKey> held;
  for (const SaState& state : *news.states) {
    if (state.has_keys) held.insert(state.key);
  }
  std::size_t lost = 0;
  for (const auto& [key, place] : places_) {
    const Sa* const sa = find(place);
    if (sa != nullptr && sa->confirmed && sa->since < news.states_asked && !held.contains(key))
      ++lost;
  }
  if (lost == 0 || lost_told_) return;
  lost_told_ = true;
  const Error error{kErrStatesLost, std::to_string(lost) + " of our SAs are gone from the kernel",
                    "kernel SAs",
                    "a roll-over replaces them; find out who removes them (`ip xfrm monitor`)"};
  reporter_.tell([error](BackendEvents& events) { events.on_states_lost(error); });
}

void XfrmBackend::send_keepalives(Timestamp now) {
  if (config_.keepalive == Duration::zero() || now < next_keepalive_) return;
  next_keepalive_ = now + config_.keepalive;
  for (const auto& [id, peer] : peers_) {
    if (!peer.path || !peer.chosen) continue;
    const OuterAddress to(peer.path->remote);
    const auto& socket = sockets_[to.is_v6() ? 1 : 0];
    // One that is lost is followed by the next.
    if (socket) ::sendto(socket->fd(), &kKeepalive, 1, MSG_DONTWAIT, &to.any, to.length());
  }
}

void XfrmBackend::send_probe(proto::PeerId id, proto::SaPairId pair_id, Bytes payload) {
  Peer* const peer = find(id);
  Pair* const pair = find(id, pair_id);
  // The policies send by the chosen SA only.
  if (pair == nullptr || peer->chosen != pair_id || pair->outbound.empty() ||
      !probe_socket_.is_open()) {
    ++probes_without_sa_;
    return;
  }
  flush();  // what the probe is to prove has to be in force
  const OuterAddress to(UdpEndpoint{peer->mesh_address, proto::kProbePort, 0});
  const auto mark = [this](std::uint32_t value) {
    setsockopt(probe_socket_.get(), SOL_SOCKET, SO_MARK, &value, sizeof value);
  };
  const bool apart = inherited_template(*peer).has_value();
  if (apart) mark(probe_mark());
  const ssize_t n = ::sendto(probe_socket_.get(), payload.data(), payload.size(), MSG_DONTWAIT,
                             &to.any, to.length());
  if (apart) mark(0);
  if (n < 0) {
    ++probes_without_sa_;
  } else {
    ++pair->outbound.front().probes;
  }
}

void XfrmBackend::send_control_datagram(const UdpEndpoint& to, Bytes payload) {
  const OuterAddress address(to);
  const auto& socket = sockets_[address.is_v6() ? 1 : 0];
  if (!socket) return;
  Bytes marked(4, 0);
  marked.insert(marked.end(), payload.begin(), payload.end());
  // Asked again by whoever needs the answer.
  ::sendto(socket->fd(), marked.data(), marked.size(), MSG_DONTWAIT, &address.any,
           address.length());
}

void XfrmBackend::query_counters(std::function<void(std::vector<PairCounters>)> done) {
  flush();
  counter_queries_.push_back({read_clock(), std::move(done)});
  watcher_->look();
}

void XfrmBackend::answer_counters(Timestamp states_asked) {
  std::vector<CounterQuery> due;
  std::erase_if(counter_queries_, [&](CounterQuery& query) {
    if (query.asked > states_asked) return false;
    due.push_back(std::move(query));
    return true;
  });
  if (due.empty()) return;
  std::vector<PairCounters> rows;
  const auto add = [](SaCounters& into, std::uint64_t& highest, const Sa& sa) {
    into.packets += sa.counters.packets;
    into.octets += sa.counters.octets;
    into.user_packets += sa.counters.packets - std::min(sa.probes, sa.counters.packets);
    highest = std::max(highest, sa.highest);
  };
  for (const auto& [id, peer] : peers_) {
    for (const auto& [pair_id, pair] : peer.pairs) {
      PairCounters& row = rows.emplace_back();
      row.peer = id;
      row.pair = pair_id;
      row.spis = pair.spis;
      for (const Sa& sa : pair.inbound) add(row.in, row.highest_seq_in, sa);
      for (const Sa& sa : pair.outbound) add(row.out, row.highest_seq_out, sa);
    }
  }
  for (CounterQuery& query : due) {
    reporter_.tell([done = std::move(query.done), rows](BackendEvents&) { done(rows); });
  }
}

void XfrmBackend::query_drops(std::function<void(std::vector<DropCounter>)> done) {
  watcher_->read_kernel_counters(
      [this, alive = alive_, post = post_, done = std::move(done)](const KernelCounters& now) {
        post([this, alive, done, now] {
          if (!*alive) return;
          std::vector<DropCounter> rows;
          for (const auto& [name, count] : now) {
            const auto before = counters_at_start_.find(name);
            const std::uint64_t since = before == counters_at_start_.end() ? 0 : before->second;
            rows.push_back({drop_name(name), count - std::min(since, count), is_loss(name)});
          }
          rows.push_back({"probe-no-sa", probes_without_sa_, false});
          rows.push_back({"control-rate", control_refused_, true});
          done(rows);
        });
      });
}

void XfrmBackend::query_paths(std::function<void(std::vector<PeerPath>)> done) {
  std::vector<PeerPath> rows;
  for (const auto& [id, peer] : peers_) {
    PeerPath& row = rows.emplace_back();
    row.peer = id;
    if (peer.path) row.endpoint = peer.path->remote;
    row.endpoint_learned = peer.endpoint_learned;
    row.no_sa = peer.waited;
  }
  reporter_.tell([done = std::move(done), rows](BackendEvents&) { done(rows); });
}

}  // namespace cygnet::agent::xfrm
