// SPDX-License-Identifier: Apache-2.0
// AgentCore: from a DIM as it came to a DIM that counts (docs/protocol.md section 3: "A device
// checks, before any state changes … A refused DIM changes nothing, is counted, logged with its
// reason and reported to the controller").
#include <algorithm>

#include "cygnet/agent/core/agent_core.h"
#include "cygnet/base/assert.h"

namespace cygnet::agent {

namespace rekey = proto::rekey;

// One DIM a peer is judged at a time; of those that come meanwhile only the latest counts.
void AgentCore::take_dim(Peer& peer, const StoredDim& stored, Now now) {
  Job job{next_ticket_++, stored, epoch_};
  acks_.wait_for_judgement(job.ticket);
  if (!peer.judging) {
    judge(peer, std::move(job), now);
    return;
  }
  if (peer.queued) acks_.judged(peer.queued->ticket);
  peer.queued = std::move(job);
}

void AgentCore::judge(Peer& peer, Job job, Now now) {
  auto context = std::make_shared<proto::DimCheckContext>();
  context->mesh = identity_.mesh;
  context->now = time_.now(now);
  context->trust = identity_.trust;
  context->proofs = seams_.proofs;
  context->last_accepted = [last = peer.last_accepted](const proto::DeviceName&) { return last; };
  context->pad_allows = [name = peer.device](const proto::DeviceName& d) { return d == name; };
  // The worker decodes the certificate, which costs ten times as much as the rest of this: what is
  // asked of it is answered there, as of now.
  if (!revoked_now_) revoked_now_ = std::make_shared<const Revocations>(revocations_);
  context->is_revoked = [list = revoked_now_](const crypto::Certificate& certificate) {
    return is_revoked(*list, certificate);
  };
  context->pin = [judge = pins_.judge_later(peer.device, settings_or_none())](
                     const proto::DeviceName&, const crypto::Sha256& shown) {
    return judge(shown);
  };
  std::optional<std::string> holder;
  if (auto form = seams_.proofs->form(job.stored.dim)) {
    holder = nonce_holder(peer.device, (*form)->dim.counter, (*form)->dim.nonce);
    context->form = std::move(*form);
  }
  context->nonce_holder = [holder](const proto::DeviceName&, ByteView) { return holder; };

  job.epoch = epoch_;
  tickets_[job.ticket] = peer.id;
  out_.emplace_back(JudgeDim{job.ticket, job.stored, std::move(context)});
  peer.judging = std::move(job);
}

Effects AgentCore::on_dim_judged(std::uint64_t ticket, proto::DimCheckResult result, Now now) {
  const auto known = tickets_.find(ticket);
  if (known == tickets_.end()) return finish(now);
  Peer& peer = peer_at(known->second);
  CYGNET_ASSERT(peer.judging && peer.judging->ticket == ticket);
  tickets_.erase(known);
  Job job = std::move(*peer.judging);
  peer.judging.reset();

  if (!peer.allowed) {  // removed meanwhile
    acks_.judged(ticket);
  } else if (job.epoch != epoch_) {  // pins, revocations or trust changed meanwhile: look again
    judge(peer, std::move(job), now);
    return finish(now);
  } else if (result.verdict == proto::DimVerdict::kAccepted ||
             result.verdict == proto::DimVerdict::kSame) {
    accept(peer, job, result, now);
  } else {
    CYGNET_ASSERT(result.error.has_value());
    if (result.verdict == proto::DimVerdict::kEquivocation) {
      const auto held = peer.dims.find(result.dim->dim.counter);
      out_.emplace_back(KeepEvidence{peer.device, result.dim->dim.counter,
                                     held == peer.dims.end() ? Bytes{} : held->second.dim->octets,
                                     job.stored.dim});
    }
    refuse(peer, result, *result.error);
    acks_.judged(ticket);
  }
  if (peer.queued) {
    Job next = std::move(*peer.queued);
    peer.queued.reset();
    judge(peer, std::move(next), now);
  }
  return finish(now);
}

void AgentCore::accept(Peer& peer, const Job& job, const proto::DimCheckResult& result, Now now) {
  const proto::AcceptedDim& accepted = *result.dim;
  const proto::RekeyCounter counter = accepted.dim.counter;
  // Another device's DIM may have brought this nonce while the worker looked at this one.
  if (const auto holder = nonce_holder(peer.device, counter, accepted.dim.nonce)) {
    refuse(
        peer, result,
        Error{proto::kErrNonceReused,
              "the nonce of DIM " + proto::to_string(counter) + " is already held from " + *holder,
              {},
              "roll the device over: it has to draw a new nonce"});
    acks_.judged(job.ticket);
    return;
  }
  const auto pinned = pins_.take(peer.device, accepted.certificate.spki_hash(), settings_or_none());
  if (pinned != Pins::Change::kNone) out_.emplace_back(StorePins{});
  if (pinned == Pins::Change::kReplaced) {
    alarm("peer-key-replaced",
          peer.device.value() +
              " signs with another key from now on, as policy or an operator "
              "on this device allowed",
          peer.device);
  }
  peer.last_refusal.reset();
  peer.last_accepted = accepted.known();
  nonces_[accepted.dim.nonce] = {peer.id, counter};
  peer.dims[counter] = HeldDim{result.dim, job.stored.accepted_at};
  out_.emplace_back(StoreTable{});
  acks_.accepted(job.ticket, {peer.id, counter});
  give_to_rekey(peer, counter, result.treat_as_initial_contact, now);
}

void AgentCore::give_to_rekey(Peer& peer, proto::RekeyCounter counter, bool initial_contact,
                              Now now) {
  const HeldDim& held = peer.dims.at(counter);
  feed(rekey::PeerDim{peer.id, counter, initial_contact, time_.on_our_clock(held.accepted_at, now)},
       now);
  settle_acks(peer);
  prune(peer);
}

const MeshSettings& AgentCore::settings_or_none() const {
  static const MeshSettings kNone;
  return settings_ ? *settings_ : kNone;
}

// What the machine says of the newest DIM, whichever effect told it.
void AgentCore::settle_acks(const Peer& peer) {
  if (peer.dims.empty()) return;
  const proto::RekeyCounter newest = peer.dims.rbegin()->first;
  if (!rekey_.present(peer.id)) return;
  const auto remote = rekey_.remote_status(peer.id, newest);
  if (!remote || remote->complete || remote->refused) {
    acks_.done({peer.id, newest});
  } else if (remote->pending) {
    acks_.pending({peer.id, newest});
  }
}

// Keeps what the machine may still combine with an own generation, and the newest always.
void AgentCore::prune(Peer& peer) {
  if (peer.dims.size() < 2) return;
  const proto::RekeyCounter newest = peer.dims.rbegin()->first;
  std::erase_if(peer.dims, [&](const auto& entry) {
    if (entry.first == newest) return false;
    const bool needed = rekey_.remote_status(peer.id, entry.first).has_value();
    if (!needed) nonces_.erase(entry.second.dim->dim.nonce);
    return !needed;
  });
}

std::optional<std::string> AgentCore::nonce_holder(const proto::DeviceName& device,
                                                   proto::RekeyCounter counter,
                                                   ByteView nonce) const {
  for (const auto& [own, generation] : own_) {
    if (generation.dim && equal(generation.dim->nonce, nonce)) return "this device itself";
  }
  const auto it = nonces_.find(Bytes(nonce.begin(), nonce.end()));
  if (it == nonces_.end()) return std::nullopt;
  const auto& [holder, held_counter] = it->second;
  const proto::DeviceName& name = peer_at(holder).device;
  if (name == device && held_counter == counter) return std::nullopt;
  if (name == device) return "its generation " + proto::to_string(held_counter);
  return name.value();
}

void AgentCore::refuse(Peer& peer, const proto::DimCheckResult& result, const Error& error) {
  const bool stale = result.verdict == proto::DimVerdict::kStale;
  ++refusals_[std::string(error.code.name())];
  if (!stale) peer.last_refusal = error;
  const bool is_alarm =
      error.code == proto::kErrPeerKeyChanged || error.code == proto::kErrEquivocation;
  if (is_alarm) {
    alarm(std::string(error.code.name()), error.to_string(), peer.device);
  } else if (!stale || !resuming_) {
    out_.emplace_back(Note{NoteLevel::kWarning, "DIM refused", peer.device, error});
  }
  // "lower counter: ignored (reported only outside a resume)"
  if (stale && resuming_) return;
  RefusedReport report{peer.device, {}, std::string(error.code.name()), error.to_string(), {}};
  if (result.dim) {
    report.counter = result.dim->dim.counter;
    if (result.verdict == proto::DimVerdict::kEquivocation) report.evidence = result.dim->octets;
  }
  out_.emplace_back(SendReport{std::move(report)});
}

}  // namespace cygnet::agent
