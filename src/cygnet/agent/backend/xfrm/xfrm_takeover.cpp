// SPDX-License-Identifier: Apache-2.0
// XfrmBackend: SAs and policies of an earlier run ("a restart that nobody notices").
#include <algorithm>
#include <utility>

#include "cygnet/agent/backend/xfrm/inherited.h"
#include "cygnet/agent/backend/xfrm/xfrm_backend.h"
#include "cygnet/rt/log.h"

namespace cygnet::agent::xfrm {

Status XfrmBackend::list_ours(XfrmSocket& socket, const RoutingConfig& config,
                              std::vector<SaState>& states, std::vector<PolicyConfig>& policies) {
  const Reqids reqids(config.table);
  const PolicyIndexes indexes(config.table);
  MessageBatch batch;
  batch.list_sas();
  CYGNET_CHECK_OK(socket.list(batch, [&](const nlmsghdr* message) {
    const auto state = parse_sa(message);
    if (state && reqids.ours(state->reqid)) states.push_back(*state);
  }));
  batch.list_policies();
  return socket.list(batch, [&](const nlmsghdr* message) {
    const auto policy = parse_policy(message);
    if (!policy) return;
    const bool ours =
        policy->protect ? reqids.ours(policy->protect->reqid) : indexes.ours(policy->index);
    if (ours) policies.push_back(*policy);
  });
}

// The kernel knows the counters of an earlier run's SAs and goes on with them: they may be used,
// and are never made again. Which generations they belong to nobody knows any more, so a new one
// replaces them.
Status XfrmBackend::take_over() {
  started_ = read_clock();
  std::vector<SaState> states;
  std::vector<PolicyConfig> policies;
  CYGNET_CHECK_OK(list_ours(socket_, config_.routing, states, policies));
  std::map<SaKey, SaState> held;
  for (const SaState& state : states) {
    if (state.has_keys) held.emplace(state.key, state);
  }
  std::map<IpPrefix, std::uint32_t> peers;
  for (const PolicyConfig& found : policies) {
    indexes_.seen(found.index);
    policies_[found.key] = found;
    if (!found.protect) continue;
    used_reqids_.insert(found.protect->reqid);
    if (found.key.direction == Direction::kIn) {
      peers[found.key.selector.source] = found.protect->reqid;
    }
  }
  const auto usable = [&held](const SaKey& key) {
    const auto it = held.find(key);
    return it != held.end() && it->second.encapsulation;
  };
  const auto adopt = [&held](const SaKey& key, bool inbound) {
    const SaState& state = held.at(key);
    Sa sa;
    sa.key = key;
    sa.source = state.source;
    sa.reqid = state.reqid;
    sa.inbound = inbound;
    held.erase(key);
    return sa;
  };
  for (const PolicyConfig& found : policies) {
    if (found.key.direction != Direction::kOut || found.action != Action::kProtect) continue;
    // One that holds packets goes on doing so.
    if (found.protect->spi == 0) continue;
    if (found.key.mark != 0) {
      drop(found.key);  // for probes of a run that ended while it was taking over
      continue;
    }
    const SaKey key{found.protect->destination, found.protect->spi};
    const auto peer = peers.find(found.key.selector.destination);
    Inherited* const known =
        peer == peers.end() || !reqids_.of_peer(peer->second) ? nullptr : &inherited_[peer->second];
    if (known != nullptr && known->protect == found.protect) continue;  // another of its prefixes
    if (known != nullptr && !known->protect && usable(key)) {
      known->outbound.push_back(adopt(key, false));
      known->protect = found.protect;
      used_reqids_.insert(found.protect->reqid);
      continue;
    }
    PolicyConfig closed = found;
    closed.action = Action::kBlock;
    closed.protect.reset();
    set(closed);
  }
  for (const SaState& state : states) {
    if (!reqids_.of_peer(state.reqid) || !usable(state.key)) continue;
    if (state.encapsulation->destination_port != config_.port) continue;
    inherited_[state.reqid].inbound.push_back(adopt(state.key, true));
    used_reqids_.insert(state.reqid);
  }
  std::size_t removed = 0;
  for (const SaState& state : states) {
    const bool larval = !state.has_keys;
    if (!larval && !held.contains(state.key)) continue;
    ask([&](MessageBatch& batch) { batch.remove_sa(state.key); });
    removed += larval ? 0 : 1;
  }
  std::erase_if(inherited_, [](const auto& entry) {
    return entry.second.inbound.empty() && entry.second.outbound.empty();
  });
  flush();
  took_over_ = !inherited_.empty();
  if (took_over_ || removed != 0) {
    rt::log_info("SAs of an earlier run are there; new ones replace them",
                 {{"peers", inherited_.size()}, {"removed", removed}});
  }
  return {};
}

std::vector<int> XfrmBackend::esp_sockets() const {
  std::vector<int> found;
  for (const auto& socket : sockets_) {
    if (socket) found.push_back(socket->fd());
  }
  return found;
}

std::optional<std::uint32_t> XfrmBackend::reqid_before(const IpPrefix& prefix) {
  for (const auto& [key, policy] : policies_) {
    if (key.direction != Direction::kIn || key.selector.source != prefix || !policy.protect) {
      continue;
    }
    const std::uint32_t reqid = policy.protect->reqid;
    const bool taken = std::any_of(peers_.begin(), peers_.end(), [reqid](const auto& entry) {
      return entry.second.reqid == reqid;
    });
    if (taken || !reqids_.of_peer(reqid)) continue;
    if (const auto it = inherited_.find(reqid); it != inherited_.end()) it->second.claimed = true;
    used_reqids_.insert(reqid);
    return reqid;
  }
  return std::nullopt;
}

std::optional<Template> XfrmBackend::inherited_template(const Peer& peer) const {
  const auto it = inherited_.find(peer.reqid);
  if (it == inherited_.end()) return std::nullopt;
  return it->second.protect;
}

void XfrmBackend::end_inherited(std::uint32_t reqid) {
  const auto it = inherited_.find(reqid);
  if (it == inherited_.end()) return;
  Inherited ended = std::move(it->second);
  inherited_.erase(it);
  // Policies first: packets wait, or are dropped, before their SA goes.
  std::vector<PolicyConfig> closed;
  for (const auto& [key, policy] : policies_) {
    if (key.direction == Direction::kOut && ended.protect && policy.protect == ended.protect) {
      closed.push_back(policy);
    }
  }
  for (PolicyConfig& policy : closed) {
    policy.action = Action::kBlock;
    policy.protect.reset();
    set(policy);
  }
  remove_sas(ended.inbound);
  remove_sas(ended.outbound);
}

void XfrmBackend::review_inherited(Timestamp now) {
  if (inherited_.empty()) return;
  std::map<std::uint32_t, Peer*> peers;
  for (auto& [id, peer] : peers_) peers.emplace(peer.reqid, &peer);
  std::vector<std::uint32_t> done;
  for (auto& [reqid, old] : inherited_) {
    const auto it = peers.find(reqid);
    Peer* const peer = it == peers.end() ? nullptr : it->second;
    InheritedFacts facts{.claimed = old.claimed, .drains_until = old.drains_until};
    if (peer != nullptr) {
      facts.heard = std::any_of(peer->pairs.begin(), peer->pairs.end(),
                                [](const auto& pair) { return pair.second.heard; });
      facts.chosen = chosen_template(*peer).has_value();
    }
    switch (next_step(facts, started_, now)) {
      case InheritedStep::kKeep:
        break;
      case InheritedStep::kRemove:
        done.push_back(reqid);
        break;
      case InheritedStep::kLeave:
        old.drains_until = now + kInheritedDrain;
        old.protect.reset();
        apply_outbound(*peer);
        for (Sa& sa : std::exchange(old.outbound, {})) {
          sa.since = now;
          ending_.push_back(sa);
        }
    }
  }
  for (const std::uint32_t reqid : done) end_inherited(reqid);
}

}  // namespace cygnet::agent::xfrm
