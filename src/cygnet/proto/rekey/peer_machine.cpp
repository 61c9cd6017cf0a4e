// SPDX-License-Identifier: Apache-2.0
#include "cygnet/proto/rekey/peer_machine.h"

#include <algorithm>

#include "cygnet/base/assert.h"

namespace cygnet::proto::rekey {
namespace {

bool exists(PairState state) {
  return state == PairState::kInstalling || state == PairState::kInstalled ||
         state == PairState::kDraining;
}

}  // namespace

OwnGeneration* PeerContext::own_generation(RekeyCounter counter) const {
  const auto it = std::find_if(own.begin(), own.end(),
                               [&](const OwnGeneration& g) { return g.counter == counter; });
  return it == own.end() ? nullptr : &*it;
}

// ---- policy ----------------------------------------------------------------

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-3
//# This process repeats on both A and B as they discover other IPsec devices with which they are
//# authorized to communicate.
std::optional<Rejected> PeerMachine::add(PeerContext& ctx,
                                         std::optional<RekeyCounter> last_accepted) {
  if (present_) return Rejected::kAlreadyThere;
  present_ = true;
  dormant_ = false;
  last_user_ = ctx.now;
  if (last_accepted && (!last_accepted_ || *last_accepted > *last_accepted_)) {
    last_accepted_ = last_accepted;
  }
  return std::nullopt;
}

// Removal is explicit, so everything goes at once. What survives: the last accepted counter and the
// pairs that were made ("the last accepted counter and DIM digest of a peer survive its removal by
// policy and its return", Install once).
std::optional<Rejected> PeerMachine::remove(PeerContext& ctx) {
  if (!present_) return Rejected::kUnknownPeer;
  present_ = false;
  if (ctx.params.rules.removal_forgets) {
    for (Pair& pair : pairs_) drop(ctx, pair);
  }
  choose(ctx, std::nullopt, 'A');
  remotes_.clear();
  live_.clear();
  heard_.reset();
  left_.reset();
  acknowledged_.reset();
  hold_until_.reset();
  probe_at_.reset();
  answers_since_.reset();
  answers_ = 0;
  bad_spi_until_.reset();
  dormant_ = false;
  retired_below_ = RekeyCounter();
  prune(ctx);
  return std::nullopt;
}

// ---- the peer's DIMs -------------------------------------------------------

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-4
//# Rule 2 When an IPsec device receives a new remote peer's DH public value from the controller it
//# creates and installs a new pair of IPsec SAs by combining the remote peer's new DH public value
//# with its own current local DH private values. If both devices are in the midst of a rollover,
//# this may result in creating two sets of SAs with the remote peer's new DH public value: one with
//# the local old DH private value, and one with the local new DH private value. The outbound SA
//# decision process is performed.
std::optional<Rejected> PeerMachine::take_dim(PeerContext& ctx, const PeerDim& dim) {
  if (!present_) return Rejected::kUnknownPeer;
  const bool known = last_accepted_.has_value();
  if (known && ctx.params.rules.counter_check && dim.counter < *last_accepted_) {
    return Rejected::kStaleCounter;
  }
  const bool same = known && dim.counter == *last_accepted_;
  if (same && !ctx.params.rules.equal_counter) return Rejected::kStaleCounter;
  const bool restarted = known && dim.counter.boot_count() > last_accepted_->boot_count();
  if (known && !same && !restarted && dim.initial_contact) return Rejected::kInitialContact;

  Remote* remote = find_remote(dim.counter);
  if (remote != nullptr) {
    // The same DIM again: the latest told acceptance counts, missing pairs are completed.
    remote->accepted_at = dim.accepted_at;
    if (remote->told) {
      ctx.out.emplace_back(AcknowledgeDim{id_, remote->counter, *remote->told});
    }
    request_missing(ctx, dim.counter, ctx.params.rules.retry_pending);
    settle(ctx);
    return std::nullopt;
  }

  if (restarted && ctx.params.rules.restart_replaces) {
    observe(ctx, Observed::kPeerRestarted, {}, dim.counter);
    replace_state(ctx);
  }
  if (!known || dim.counter > *last_accepted_) last_accepted_ = dim.counter;
  const auto place =
      std::lower_bound(remotes_.begin(), remotes_.end(), dim.counter,
                       [](const Remote& r, RekeyCounter counter) { return r.counter < counter; });
  remotes_.insert(place, Remote{dim.counter, dim.accepted_at, false, std::nullopt});
  // Until it is heard the peer may be sending on the first of its generations that we know.
  if (!heard_) heard_ = dim.counter;
  observe(ctx, Observed::kDimTaken, {}, dim.counter);
  request_missing(ctx, dim.counter, false);

  // Install once: a pair that was there before is not made again, so only a new own generation
  // brings newest × newest back. That holds for one that is on its way to the controller as well.
  if (!ctx.own.empty()) {
    const Pair* newest = find(SaPairId{ctx.own.back().counter, dim.counter});
    if (newest != nullptr && newest->state == PairState::kSpent) {
      ctx.roll_over = RekeyCause::kInstallOnce;
    }
  }
  settle(ctx);
  return std::nullopt;
}

// "Peers replace state at once on a higher boot count."
//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-A.2
//# This alerts peers to destroy earlier keying state that they may still believe is current.
void PeerMachine::replace_state(PeerContext& ctx) {
  for (Pair& pair : pairs_) drop(ctx, pair);
  choose(ctx, std::nullopt, 'A');
  remotes_.clear();
  live_.clear();
  heard_.reset();
  left_.reset();
  // Whichever of its lives acknowledged a generation of ours, or sent on it (retired_below_), the
  // controller held that one by then: no later life is told of an older one. The mark itself says
  // nothing about this life.
  if (!ctx.params.rules.start_acknowledged) retired_below_ = RekeyCounter();
  if (acknowledged_ && ctx.params.rules.start_acknowledged) {
    retired_below_ = std::max(retired_below_, *acknowledged_);
  }
  acknowledged_.reset();
  hold_until_.reset();
  choice_floor_ = proven_floor_ = RekeyCounter();
}

// ---- answers of the backend ------------------------------------------------

std::optional<Rejected> PeerMachine::pair_installed(PeerContext& ctx, SaPairId id) {
  Pair* pair = find(id);
  if (pair == nullptr) return Rejected::kUnknownPair;
  if (pair->state != PairState::kInstalling) return Rejected::kWrongPhase;
  pair->state = PairState::kInstalled;
  pair->outbound = true;
  OwnGeneration* own = ctx.own_generation(id.local);
  CYGNET_ASSERT(own != nullptr && own->awaited > 0);
  --own->awaited;
  settle(ctx);
  return std::nullopt;
}

std::optional<Rejected> PeerMachine::pair_failed(PeerContext& ctx, SaPairId id,
                                                 InstallFailure why) {
  Pair* pair = find(id);
  if (pair == nullptr) return Rejected::kUnknownPair;
  if (pair->state != PairState::kInstalling) return Rejected::kWrongPhase;
  OwnGeneration* own = ctx.own_generation(id.local);
  CYGNET_ASSERT(own != nullptr && own->awaited > 0 && own->sa_pairs > 0);
  --own->awaited;
  --own->sa_pairs;
  //= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-6.1
  //# These devices MUST NOT establish new SAs until a DIM is received that does produce a match.
  if (why == InstallFailure::kNoProposal) {
    // "No match: no SA, report NO_PROPOSAL_CHOSEN, retry at the next DIM of either." Nothing is
    // promised by this pair, so it is no hole in anything.
    pair->state = PairState::kNoProposal;
    ctx.out.emplace_back(ReportToController{ReportCode::kNoProposal, id_, id, std::nullopt});
  } else {
    pair->state = PairState::kFailed;
    if (own->phase == GenerationPhase::kInstalling && ctx.params.rules.no_hole) {
      ctx.redraw = RekeyCause::kInstallFailed;  // no trace of it stays
      return std::nullopt;
    }
    ctx.out.emplace_back(ReportToController{ReportCode::kInstallFailed, id_, id, std::nullopt});
    if (ctx.params.rules.roll_over_on_failure) ctx.roll_over = RekeyCause::kInstallFailed;
  }
  settle(ctx);
  return std::nullopt;
}

std::optional<Rejected> PeerMachine::pair_lost(PeerContext& ctx, SaPairId id) {
  Pair* pair = find(id);
  if (pair == nullptr || !exists(pair->state)) return Rejected::kUnknownPair;
  const bool was_draining = pair->state == PairState::kDraining;
  drop(ctx, *pair);
  // It was on its way out, and a spent pair is not made again: no counter of it is needed any more.
  if (was_draining) {
    settle(ctx);
    return std::nullopt;
  }
  // "Where counters are not known for certain … the device rolls over instead." A younger
  // generation that is under way does that. One that nobody can have seen yet would be published
  // with a hole: it is drawn again.
  const OwnGeneration& newest = ctx.own.back();
  if (newest.counter == id.local && newest.unseen() && ctx.params.rules.no_hole) {
    ctx.redraw = RekeyCause::kCountersUnknown;
    return std::nullopt;
  }
  if (newest.counter == id.local || newest.phase >= GenerationPhase::kPublishing) {
    ctx.roll_over = RekeyCause::kCountersUnknown;
  }
  settle(ctx);
  return std::nullopt;
}

// ---- traffic ---------------------------------------------------------------

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-4
//# Rule 3 The first IPsec packet received by a rekeying IPsec device on an inbound SA using its new
//# DH pair causes it to perform the outbound SA decision process.
std::optional<Rejected> PeerMachine::evidence(PeerContext& ctx, SaPairId id, Evidence kind) {
  Pair* pair = find(id);
  if (pair == nullptr || !exists(pair->state)) return Rejected::kUnknownPair;
  if (!pair->heard) {
    pair->heard = true;
    if (choice_ == id) observe(ctx, Observed::kConfirmed, id);
  }
  const auto place = std::lower_bound(live_.begin(), live_.end(), id.local);
  const bool is_live = place != live_.end() && *place == id.local;
  if (!is_live && !(id.local < retired_below_)) {
    live_.insert(place, id.local);
    observe(ctx, Observed::kLive, {}, id.local);
  }
  if (find_remote(id.remote) != nullptr && (!heard_ || *heard_ < id.remote)) heard_ = id.remote;
  if (kind == Evidence::kUser) wake(ctx);
  settle(ctx);
  return std::nullopt;
}

// "Every REQUEST gets one REPLY on the current choice (≤ 10/s a peer)."
std::optional<Rejected> PeerMachine::probe_requested(PeerContext& ctx, SaPairId id) {
  if (const auto refused = evidence(ctx, id, Evidence::kProbe)) return refused;
  if (!choice_ || !ctx.params.rules.probe_answers) return std::nullopt;
  const std::uint32_t limit = ctx.params.probe_answers_per_second;
  if (limit == 0) {
    ctx.out.emplace_back(AnswerProbe{id_, *choice_});
    return std::nullopt;
  }
  if (!answers_since_ || ctx.now >= *answers_since_ + std::chrono::seconds(1)) {
    answers_since_ = ctx.now;
    answers_ = 0;
  }
  if (answers_ < limit) {
    ++answers_;
    ctx.out.emplace_back(AnswerProbe{id_, *choice_});
  }
  return std::nullopt;
}

std::optional<Rejected> PeerMachine::user_traffic(PeerContext& ctx) {
  if (!present_) return Rejected::kUnknownPeer;
  wake(ctx);
  settle(ctx);
  return std::nullopt;
}

void PeerMachine::wake(PeerContext& ctx) {
  last_user_ = ctx.now;
  if (!dormant_) return;
  dormant_ = false;
  observe(ctx, Observed::kAwake);
}

// ---- the controller's word -------------------------------------------------

void PeerMachine::acknowledged(PeerContext& ctx, RekeyCounter own) {
  if (!present_) return;
  if (!acknowledged_ || *acknowledged_ < own) acknowledged_ = own;
  settle(ctx);
  // The peer has our newest generation and should be heard on it soon: ask, in case it has nothing
  // to send.
  if (wants_probe(ctx) && !seen_on_newest(ctx)) schedule_probe(ctx, ctx.params.probe_first);
}

// "a side that has it and still lacks the pair newest × newest rolls over, at most once a minute"
std::optional<Rejected> PeerMachine::missing_newest(PeerContext& ctx) {
  if (!present_) return Rejected::kUnknownPeer;
  if (bad_spi_until_ && ctx.now < *bad_spi_until_) return Rejected::kPaused;
  if (remotes_.empty() || ctx.own.empty()) return Rejected::kPaused;
  const OwnGeneration& own = ctx.own.back();
  if (own.phase != GenerationPhase::kAccepted) return Rejected::kPaused;  // under way already
  const Pair* pair = find(SaPairId{own.counter, remotes_.back().counter});
  if (pair != nullptr && exists(pair->state)) return Rejected::kPaused;
  bad_spi_until_ = ctx.now + ctx.params.bad_spi_pause;
  if (ctx.params.rules.bad_spi) ctx.roll_over = RekeyCause::kBadSpi;
  return std::nullopt;
}

// ---- own generations -------------------------------------------------------

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-4
//# Rule 1 When an IPsec device needs to perform a rekey with a remote peer, it creates a new pair
//# of IPsec SAs by combining the new DH private value with the peer's DH public values. If the
//# remote peer is also in the midst of a rollover and its DH public value has already been
//# received, then this may result in creating two sets of SAs: one pair with the remote peer's old
//# DH public value, and one pair with the remote peer's new DH public value.
void PeerMachine::own_ready(PeerContext& ctx, RekeyCounter own) {
  if (!present_) return;
  for (const Remote& remote : remotes_) request(ctx, SaPairId{own, remote.counter});
  retry_pending(ctx);
  settle(ctx);
}

void PeerMachine::own_given_up(PeerContext& ctx, RekeyCounter own) {
  for (Pair& pair : pairs_) {
    if (pair.id.local == own) drop(ctx, pair);
  }
  std::erase_if(pairs_, [&](const Pair& pair) { return pair.id.local == own; });
  settle(ctx);
}

void PeerMachine::own_accepted(PeerContext& ctx) { settle(ctx); }

// "Before erasing, lazy pairs that carried traffic within the last soft lifetime and whose peer has
// not confirmed are derived." "(a generation neither live towards nor acknowledged by that peer
// goes at the cap)"
void PeerMachine::before_erasing(PeerContext& ctx, RekeyCounter own, bool at_cap) {
  if (at_cap) {
    expire_dormant(ctx);
    const bool live = std::find(live_.begin(), live_.end(), own) != live_.end();
    if (!live && acknowledged_ != own) {
      for (Pair& pair : pairs_) {
        if (pair.id.local == own) drop(ctx, pair);
      }
    }
  }
  if (ctx.params.rules.derive_before_erase && !dormant_) {
    for (const Pair& pair : pairs_) {
      if (pair.id.local == own && pair.state == PairState::kInstalled) {
        ctx.out.emplace_back(DeriveNow{id_, pair.id});
      }
    }
  }
}

void PeerMachine::own_changed(PeerContext& ctx) {
  if (!present_) return;
  retry_pending(ctx);
  settle(ctx);
}

void PeerMachine::lose_pairs(PeerContext& ctx) {
  for (Pair& pair : pairs_) drop(ctx, pair);
  settle(ctx);
}

void PeerMachine::lose_everything(PeerContext& ctx) {
  for (Pair& pair : pairs_) drop(ctx, pair);
  pairs_.clear();
  choose(ctx, std::nullopt, 'A');
  live_.clear();
  heard_.reset();
  left_.reset();
  acknowledged_.reset();
  hold_until_.reset();
  retired_below_ = RekeyCounter();
  choice_floor_ = proven_floor_ = RekeyCounter();
  for (Remote& remote : remotes_) {
    remote.complete = false;
    remote.told.reset();
  }
  settle(ctx);
}

// ---- pairs -----------------------------------------------------------------

PeerMachine::Pair* PeerMachine::find(SaPairId id) {
  const auto it = std::lower_bound(pairs_.begin(), pairs_.end(), id,
                                   [](const Pair& pair, SaPairId key) { return pair.id < key; });
  return it != pairs_.end() && it->id == id ? &*it : nullptr;
}
const PeerMachine::Pair* PeerMachine::find(SaPairId id) const {
  const auto it = std::lower_bound(pairs_.begin(), pairs_.end(), id,
                                   [](const Pair& pair, SaPairId key) { return pair.id < key; });
  return it != pairs_.end() && it->id == id ? &*it : nullptr;
}
PeerMachine::Remote* PeerMachine::find_remote(RekeyCounter counter) {
  const auto it = std::find_if(remotes_.begin(), remotes_.end(),
                               [&](const Remote& r) { return r.counter == counter; });
  return it == remotes_.end() ? nullptr : &*it;
}

// "An SA (l, r, lane, direction) that any packet has used is never made again." A pair that was
// asked for may have been used as soon as it was there, before we heard of it; so every pair that
// did not fail counts as used.
void PeerMachine::request(PeerContext& ctx, SaPairId id) {
  Pair* pair = find(id);
  if (pair == nullptr) {
    const auto it = std::lower_bound(pairs_.begin(), pairs_.end(), id,
                                     [](const Pair& p, SaPairId key) { return p.id < key; });
    pair = &*pairs_.insert(it, Pair{id, PairState::kInstalling, false, false, std::nullopt});
  } else if (pair->state == PairState::kFailed) {
    pair->state = PairState::kInstalling;
  } else {
    return;
  }
  OwnGeneration* own = ctx.own_generation(id.local);
  CYGNET_ASSERT(own != nullptr && own->private_held);
  ++own->sa_pairs;
  ++own->awaited;
  ctx.out.emplace_back(InstallSaPair{id_, id});
}

// "Held: a local generation whose private value is there and that still has SAs with that peer or
// has not had any yet." SAs that only drain are on their way out and do not count; the newest
// generation is held in any case, or a used-up pair would keep it from ever meeting the peer's next
// one.
//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-A.2
//# Any new peer that receives and acts upon a "stale" controller message (containing the old DH
//# public number) will still be able to setup IPsec SAs using the old DH public number, and can use
//# them until the new DH public number is received.
bool PeerMachine::is_held(const PeerContext& ctx, const OwnGeneration& own) const {
  if (!own.private_held) return false;
  const bool newest = own.counter == ctx.own.back().counter ||
                      (!ctx.own.back().private_held && ctx.own.size() > 1 &&
                       own.counter == ctx.own[ctx.own.size() - 2].counter);
  if (newest) return true;
  return ctx.params.rules.held && !(own.counter < retired_below_);
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-4.2
//# they must be prepared to use IPsec SAs using each permutation of DH values: a1-b1, a1-b2, a2-b1,
//# a2-b2.
void PeerMachine::request_missing(PeerContext& ctx, RekeyCounter remote, bool retry_failed) {
  for (const OwnGeneration& own : ctx.own) {
    if (!is_held(ctx, own)) continue;
    const SaPairId id{own.counter, remote};
    const Pair* pair = find(id);
    if (pair == nullptr || (retry_failed && pair->state == PairState::kFailed)) request(ctx, id);
  }
}

// "it stays pending, retried whenever a local generation comes or goes"
void PeerMachine::retry_pending(PeerContext& ctx) {
  if (!ctx.params.rules.retry_pending) return;
  for (const Remote& remote : remotes_) {
    if (!remote.complete) request_missing(ctx, remote.counter, true);
  }
}

void PeerMachine::remove_outbound(PeerContext& ctx, Pair& pair) {
  if (!pair.outbound) return;
  pair.outbound = false;
  ctx.out.emplace_back(RemoveOutbound{id_, pair.id});
}

void PeerMachine::drop(PeerContext& ctx, Pair& pair) {
  if (pair.state == PairState::kFailed || pair.state == PairState::kNoProposal) return;
  if (!exists(pair.state)) return;
  if (choice_ == pair.id) choose(ctx, std::nullopt, 'A');
  OwnGeneration* own = ctx.own_generation(pair.id.local);
  CYGNET_ASSERT(own != nullptr && own->sa_pairs > 0);
  --own->sa_pairs;
  if (pair.state == PairState::kInstalling) {
    CYGNET_ASSERT(own->awaited > 0);
    --own->awaited;
    pair.outbound = true;  // it may be there already: have both directions removed
  }
  remove_outbound(ctx, pair);
  ctx.out.emplace_back(RemoveInbound{id_, pair.id});
  pair.state = PairState::kSpent;
  pair.heard = false;
  pair.drain_until.reset();
  observe(ctx, Observed::kPairGone, pair.id);
}

// "Drain: an outbound SA goes the moment it is no longer chosen; an inbound SA drains (default 10
// s), then goes."
void PeerMachine::drain(PeerContext& ctx, Pair& pair) {
  if (pair.state != PairState::kInstalled || !ctx.params.rules.drain) {
    drop(ctx, pair);
    return;
  }
  remove_outbound(ctx, pair);
  pair.state = PairState::kDraining;
  pair.drain_until = ctx.now + ctx.params.drain;
  observe(ctx, Observed::kPairDraining, pair.id);
}

void PeerMachine::prune(PeerContext& ctx) {
  std::erase_if(pairs_, [&](const Pair& pair) {
    if (exists(pair.state)) return false;
    const OwnGeneration* own = ctx.own_generation(pair.id.local);
    if (own == nullptr || !own->private_held) return true;  // cannot be made any more
    const bool remote_known = find_remote(pair.id.remote) != nullptr;
    if (pair.state != PairState::kSpent) return !remote_known;
    if (!ctx.params.rules.install_once) return true;
    // A DIM older than the last accepted one never comes in again.
    return !remote_known && last_accepted_ && pair.id.remote < *last_accepted_;
  });
}

// ---- queries ---------------------------------------------------------------

void PeerMachine::observe(PeerContext& ctx, Observed what, std::optional<SaPairId> pair,
                          std::optional<RekeyCounter> counter) const {
  Observe seen;
  seen.what = what;
  seen.peer = id_;
  seen.pair = pair;
  seen.counter = counter;
  ctx.out.emplace_back(seen);
}

std::uint32_t PeerMachine::sa_pairs() const {
  return static_cast<std::uint32_t>(std::count_if(
      pairs_.begin(), pairs_.end(), [](const Pair& pair) { return exists(pair.state); }));
}

std::uint32_t PeerMachine::sa_pairs_of(RekeyCounter own, bool installing) const {
  return static_cast<std::uint32_t>(
      std::count_if(pairs_.begin(), pairs_.end(), [&](const Pair& pair) {
        return pair.id.local == own &&
               (installing ? pair.state == PairState::kInstalling : exists(pair.state));
      }));
}

bool PeerMachine::has_pending() const {
  return std::any_of(pairs_.begin(), pairs_.end(),
                     [](const Pair& pair) { return pair.state == PairState::kFailed; });
}

WhyNot PeerMachine::why_not(const PeerContext& ctx) const {
  if (!present_) return WhyNot::kNotAllowed;
  if (remotes_.empty()) return WhyNot::kNoDim;
  const OwnGeneration* own = nullptr;
  for (const OwnGeneration& generation : ctx.own) {
    if (generation.phase == GenerationPhase::kAccepted) own = &generation;
  }
  if (own == nullptr) return WhyNot::kNotAccepted;
  const RekeyCounter remote = remotes_.back().counter;
  const SaPairId newest{own->counter, remote};
  const Pair* pair = find(newest);
  if (pair == nullptr || pair->state == PairState::kInstalling) return WhyNot::kInstalling;
  if (pair->state == PairState::kNoProposal) return WhyNot::kNoProposal;
  if (pair->state == PairState::kFailed) return WhyNot::kInstallFailed;
  if (pair->state == PairState::kSpent) return WhyNot::kPairUsedUp;
  if (choice_ == newest) return pair->heard ? WhyNot::kSettled : WhyNot::kUnconfirmed;
  for (const Pair& other : pairs_) {
    if (other.id.remote != remote) continue;
    if (other.state == PairState::kFailed) return WhyNot::kInstallFailed;
    if (other.state == PairState::kInstalling) return WhyNot::kInstalling;
  }
  if (!choice_ && hold_until_) return WhyNot::kWaitsForMark;
  if (!pair->outbound) return WhyNot::kPairUsedUp;
  return WhyNot::kPeerNotSeen;
}

RemoteStatus PeerMachine::status_of(const Remote& remote) {
  return {remote.counter, remote.complete, remote.told == DimOutcome::kRefused,
          remote.told == DimOutcome::kPending, remote.accepted_at};
}

std::optional<RemoteStatus> PeerMachine::remote_status(RekeyCounter counter) const {
  for (const Remote& remote : remotes_) {
    if (remote.counter == counter) return status_of(remote);
  }
  return std::nullopt;
}

PeerStatus PeerMachine::status(const PeerContext& ctx) const {
  PeerStatus status;
  status.peer = id_;
  status.present = present_;
  for (const Pair& pair : pairs_) {
    status.pairs.push_back(PairStatus{pair.id, pair.state, pair.outbound, pair.heard});
  }
  for (const Remote& remote : remotes_) {
    status.remotes.push_back(status_of(remote));
    if (remote.complete) status.newest_complete = remote.counter;
    if (remote.told == DimOutcome::kPending) status.pending = remote.counter;
  }
  if (!remotes_.empty()) status.newest = remotes_.back().counter;
  status.outbound = choice_;
  status.heard = heard_;
  status.live = live_;
  status.acknowledged = acknowledged_;
  status.last_accepted = last_accepted_;
  const Pair* chosen = choice_ ? find(*choice_) : nullptr;
  status.confirmed = chosen != nullptr && chosen->heard;
  status.dormant = dormant_;
  status.why_not = why_not(ctx);
  return status;
}

void PeerMachine::describe(StateSink& sink) const {
  sink.peer(id_);
  sink.number(present_);
  sink.number(dormant_);
  sink.number(pairs_.size());
  for (const Pair& pair : pairs_) {
    sink.own(pair.id.local);
    sink.remote(pair.id.remote);
    sink.number(static_cast<std::uint64_t>(pair.state));
    sink.number(pair.outbound);
    sink.number(pair.heard);
    sink.time(pair.drain_until);
  }
  sink.number(remotes_.size());
  for (const Remote& remote : remotes_) {
    sink.remote(remote.counter);
    sink.acceptance(remote.accepted_at);
    sink.number(remote.complete);
    sink.number(remote.told ? 1 + static_cast<std::uint64_t>(*remote.told) : 0);
  }
  sink.number(live_.size());
  for (const RekeyCounter own : live_) sink.own(own);
  sink.own(choice_ ? std::optional(choice_->local) : std::nullopt);
  sink.remote(choice_ ? std::optional(choice_->remote) : std::nullopt);
  sink.remote(heard_);
  sink.remote(left_ && heard_ < left_ ? left_ : std::nullopt);
  sink.own(acknowledged_);
  sink.remote(last_accepted_);
  sink.own(retired_below_);
  sink.own(choice_floor_);
  sink.own(proven_floor_);
  sink.last_user(last_user_);
  sink.time(hold_until_);
  sink.time(probe_at_);
  sink.number(static_cast<std::uint64_t>(probe_interval_.count()));
  sink.time(answers_since_);
  sink.number(answers_);
  sink.time(bad_spi_until_);
}

}  // namespace cygnet::proto::rekey
