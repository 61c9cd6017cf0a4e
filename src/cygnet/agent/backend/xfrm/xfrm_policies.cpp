// SPDX-License-Identifier: Apache-2.0
// XfrmBackend: what is asked of the kernel, and the policies it has of ours.
#include <utility>

#include "cygnet/agent/backend/api/ip_text.h"
#include "cygnet/agent/backend/xfrm/xfrm_backend.h"
#include "cygnet/rt/log.h"

namespace cygnet::agent::xfrm {
namespace {

std::string name_of(const PolicyKey& key) {
  static constexpr const char* kNames[] = {"in", "out", "fwd"};
  return std::string(kNames[static_cast<int>(key.direction)]) + " " +
         to_string(key.selector.source) + " to " + to_string(key.selector.destination);
}

bool same(const PolicyConfig& a, const PolicyConfig& b) {
  return a.priority == b.priority && a.action == b.action && a.protect == b.protect;
}

}  // namespace

void XfrmBackend::ask(const std::function<void(MessageBatch&)>& fill, OnRefusal on_refusal) {
  if (batch_.full()) send_batch();
  fill(batch_);
  on_refusal_.push_back(std::move(on_refusal));
  flush_soon();
}

void XfrmBackend::flush_soon() {
  if (flush_posted_) return;
  flush_posted_ = true;
  post_([this, alive = alive_] {
    if (!*alive) return;
    flush_posted_ = false;
    flush();
  });
}

void XfrmBackend::flush() {
  send_batch();
  report_installs();
}

void XfrmBackend::send_batch() {
  while (!batch_.empty()) {
    const std::vector<OnRefusal> handlers = std::exchange(on_refusal_, {});
    const auto refusals = socket_.send(batch_);
    if (!refusals) {
      // Not known what the kernel did: what asks to be told is told the worst.
      rt::log_error("the kernel's IPsec does not answer", refusals.error());
      for (std::size_t i = 0; i < handlers.size(); ++i) {
        if (handlers[i]) handlers[i]({i, EIO, refusals.error().message});
      }
      continue;
    }
    for (const Refusal& refusal : *refusals) {
      if (handlers[refusal.index]) handlers[refusal.index](refusal);
    }
  }
}

void XfrmBackend::set(const PolicyConfig& policy) {
  const auto [it, made] = policies_.try_emplace(policy.key, policy);
  const bool fresh = made;
  if (!fresh && same(it->second, policy)) return;
  PolicyConfig wanted = policy;
  if (fresh) wanted.index = indexes_.next(policy.key.direction);
  it->second = wanted;
  ask([&](MessageBatch& batch) { fresh ? batch.add_policy(wanted) : batch.set_policy(wanted); },
      [this, key = policy.key](const Refusal& refusal) {
        policies_.erase(key);
        refusals_.add(explain_policy_refusal(name_of(key), refusal.error, refusal.text));
      });
}

void XfrmBackend::drop(const PolicyKey& key) {
  if (policies_.erase(key) == 0) return;
  // A policy that somebody removed meanwhile is gone as it should be.
  ask([&](MessageBatch& batch) { batch.remove_policy(key); });
}

std::optional<Template> XfrmBackend::chosen_template(const Peer& peer) {
  if (!peer.chosen) return std::nullopt;
  const auto it = peer.pairs.find(*peer.chosen);
  if (it == peer.pairs.end() || it->second.outbound.empty()) return std::nullopt;
  const Sa& sa = it->second.outbound.front();
  return Template{sa.source, sa.key.destination, sa.key.spi, sa.reqid};
}

Outbound XfrmBackend::outbound_of(const Peer& peer) const {
  const std::optional<Template> inherited = inherited_template(peer);
  const std::optional<Template> protect = inherited ? inherited : chosen_template(peer);
  if (protect) return {Outbound::Kind::kProtect, protect->reqid, *protect};
  return {Outbound::Kind::kHold, peer.reqid, {}};
}

void XfrmBackend::apply_outbound(const Peer& peer) {
  const Outbound how = outbound_of(peer);
  for (const IpPrefix& prefix : peer.prefixes) set(outbound_policy(prefix, how));
  // While packets still leave by an SA of an earlier run, probes try the new one: the peer at the
  // other end may be waiting to hear us, as we are to hear it.
  const std::optional<Template> chosen = chosen_template(peer);
  const PolicyConfig probes =
      probe_policy(peer.mesh_address, probe_mark(), chosen.value_or(Template{}));
  if (chosen && inherited_template(peer)) {
    set(probes);
  } else {
    drop(probes.key);
  }
}

}  // namespace cygnet::agent::xfrm
