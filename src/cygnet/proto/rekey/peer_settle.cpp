// SPDX-License-Identifier: Apache-2.0

/// What a PeerMachine concludes after every event: which remote generations count as received, what
/// to transmit on, what retires, what the bounds leave; and what it does when time passes.

#include <algorithm>
#include <array>

#include "cygnet/proto/rekey/outbound_decision.h"
#include "cygnet/proto/rekey/peer_machine.h"

namespace cygnet::proto::rekey {
namespace {

const OwnGeneration* newest_accepted(const std::vector<OwnGeneration>& own) {
  const OwnGeneration* newest = nullptr;
  for (const OwnGeneration& generation : own) {
    if (generation.phase == GenerationPhase::kAccepted) newest = &generation;
  }
  return newest;
}

template <class List>
bool contains(const List& values, RekeyCounter value) {
  return std::find(values.begin(), values.end(), value) != values.end();
}

/// A handful of generations: this is asked at every event, and the heap costs more than the answer.
class Few {
 public:
  void add(RekeyCounter counter) {
    if (std::find(begin(), end(), counter) == end()) values_[size_++] = counter;
  }
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] const RekeyCounter* begin() const { return values_.data(); }
  [[nodiscard]] const RekeyCounter* end() const { return values_.data() + size_; }

 private:
  std::array<RekeyCounter, 4> values_;
  std::size_t size_ = 0;
};

}  // namespace

const PeerMachine::Remote* PeerMachine::newest_complete() const {
  const Remote* newest = nullptr;
  for (const Remote& remote : remotes_) {
    if (remote.complete) newest = &remote;
  }
  return newest;
}

std::optional<RekeyCounter> PeerMachine::newest_complete_counter() const {
  const Remote* remote = newest_complete();
  return remote == nullptr ? std::nullopt : std::optional(remote->counter);
}

std::optional<RekeyCounter> PeerMachine::newest_live() const {
  return live_.empty() ? std::nullopt : std::optional(live_.back());
}

bool PeerMachine::seen_on_newest(const PeerContext& ctx) const {
  const OwnGeneration* newest = newest_accepted(ctx.own);
  return newest == nullptr || contains(live_, newest->counter);
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-4
//# The same decision process is followed regardless of whether the device is performing a rekey or
//# responding to a peer's rekey.
void PeerMachine::settle(PeerContext& ctx) {
  if (!present_) {
    prune(ctx);
    return;
  }
  // "its labels advance by DIM and delivery mark": a dormant peer that acknowledged a generation
  // will use it; that must do, since nobody sends.
  if (dormant_ && acknowledged_ && (live_.empty() || live_.back() < *acknowledged_)) {
    const bool usable = std::any_of(pairs_.begin(), pairs_.end(), [&](const Pair& pair) {
      return pair.id.local == *acknowledged_ && pair.state == PairState::kInstalled;
    });
    if (usable && ctx.own_generation(*acknowledged_) != nullptr) live_.push_back(*acknowledged_);
  }
  for (bool changed = true; changed;) {
    changed = complete_remotes(ctx);
    changed = decide(ctx) || changed;
    changed = retire(ctx) || changed;
  }
  keep_bounds(ctx);
  prune(ctx);
  if (!wants_probe(ctx)) {
    probe_at_.reset();
  } else if (!probe_at_) {
    const Pair* chosen = find(*choice_);
    schedule_probe(ctx, chosen->heard ? ctx.params.probe_every : ctx.params.probe_first);
  }
}

// "a peer's DIM counts as received (Rule 2, decision step 1) only when its SA pairs with every
// local generation held are installed, the backend having said so"
bool PeerMachine::complete_remotes(PeerContext& ctx) {
  bool changed = false;
  for (Remote& remote : remotes_) {
    if (remote.complete) continue;
    std::size_t installed = 0, waiting = 0, failed = 0, without_proposal = 0;
    std::optional<SaPairId> hole;
    for (const OwnGeneration& own : ctx.own) {
      if (!is_held(ctx, own)) continue;
      const Pair* pair = find(SaPairId{own.counter, remote.counter});
      if (pair == nullptr) continue;
      switch (pair->state) {
        case PairState::kInstalled:
          ++installed;
          break;
        case PairState::kInstalling:
          ++waiting;
          break;
        case PairState::kFailed:
          ++failed;
          hole = pair->id;
          break;
        case PairState::kNoProposal:
          ++without_proposal;
          break;
        case PairState::kDraining:
        case PairState::kSpent:
          break;  // used up: cannot be had, and is not waited for
      }
    }
    if (!ctx.params.rules.peers_apart) waiting += waits_for_others(ctx);
    const bool literal = !ctx.params.rules.take_over && installed > 0;
    std::optional<DimOutcome> outcome;
    if (literal || (installed > 0 && waiting == 0 && failed == 0)) {
      remote.complete = true;
      changed = true;
      outcome = DimOutcome::kInstalled;
      observe(ctx, Observed::kDimComplete, {}, remote.counter);
    } else if (failed > 0 && waiting == 0) {
      outcome = DimOutcome::kPending;
    } else if (without_proposal > 0 && waiting == 0 && installed == 0 && failed == 0) {
      outcome = DimOutcome::kRefused;
    }
    if (outcome && remote.told != outcome) {
      if (*outcome == DimOutcome::kPending) {
        observe(ctx, Observed::kDimPending, hole, remote.counter);
      }
      remote.told = outcome;
      ctx.out.emplace_back(AcknowledgeDim{id_, remote.counter, *outcome});
    }
  }
  return changed;
}

// What a take-over must not wait for: installs towards other peers, under way or failed.
std::uint32_t PeerMachine::waits_for_others(const PeerContext& ctx) const {
  std::uint32_t others = ctx.pending_peers - (ctx.pending_peers > 0 && has_pending() ? 1U : 0U);
  for (const OwnGeneration& own : ctx.own) others += own.awaited - sa_pairs_of(own.counter, true);
  return others;
}

// "What is live but has no SA with the newest received generation, and can get none any more, gives
// way to a younger one that the peer has acknowledged": its peer may have lost what is sent on.
bool PeerMachine::is_dead_end(const PeerContext& ctx, std::span<const RekeyCounter> usable) const {
  if (!ctx.params.rules.dead_end || live_.empty() || !acknowledged_) return false;
  if (!(live_.back() < *acknowledged_) || !contains(usable, *acknowledged_)) return false;
  const RekeyCounter remote = newest_complete()->counter;
  return std::none_of(live_.begin(), live_.end(), [&](RekeyCounter own) {
    if (contains(usable, own)) return true;
    const OwnGeneration* const generation = ctx.own_generation(own);
    const Pair* const pair = find(SaPairId{own, remote});
    const bool spent = pair != nullptr && pair->state == PairState::kSpent;
    return generation != nullptr && generation->private_held && !spent;
  });
}

bool PeerMachine::decide(PeerContext& ctx) {
  // A generation without a single SA left is not live any more, whatever was heard on it.
  std::erase_if(live_, [&](RekeyCounter own) {
    return std::none_of(pairs_.begin(), pairs_.end(), [&](const Pair& pair) {
      return pair.id.local == own && pair.state != PairState::kDraining && pair.outbound;
    });
  });

  // "The outbound choice never returns to an older local generation", once the peer is known to
  // have the younger: it may have dropped the older one. What Start only tries proves nothing.
  if (choice_) {
    const RekeyCounter chosen = choice_->local;
    const bool live = std::find(live_.begin(), live_.end(), chosen) != live_.end();
    if (live || (acknowledged_ && !(*acknowledged_ < chosen))) {
      proven_floor_ = std::max(proven_floor_, chosen);
    }
  }

  DecisionFacts facts;
  facts.choice = choice_;
  ctx.few.clear();
  facts.live = live_;
  const Remote* remote = newest_complete();
  if (remote != nullptr) {
    facts.remote = remote->counter;
    facts.heard_newer = ctx.params.rules.heard_newer && heard_ && remote->counter < *heard_;
    for (const Pair& pair : pairs_) {
      if (pair.id.remote != remote->counter || pair.state != PairState::kInstalled ||
          !pair.outbound) {
        continue;
      }
      const RekeyCounter local = pair.id.local;
      if (ctx.params.rules.never_back && local < proven_floor_) continue;
      ctx.few.push_back(local);
      const OwnGeneration* own = ctx.own_generation(local);
      const bool accepted = own != nullptr && own->phase == GenerationPhase::kAccepted;
      // What the peer acknowledged it has. The oldest is a guess: a peer that came, came back or
      // restarted after our roll-over was only ever told the newest.
      const bool better = !facts.start || !ctx.params.rules.start_oldest ||
                          (ctx.params.rules.start_acknowledged && acknowledged_ == local);
      const bool back = ctx.params.rules.never_back && local < choice_floor_;
      if (ctx.params.rules.start && accepted && !back && !(local < retired_below_) && better) {
        facts.start = local;
      }
    }
  }
  facts.usable = ctx.few;
  if (remote != nullptr && is_dead_end(ctx, facts.usable)) facts.live = {};
  if (!ctx.params.rules.decision_needs_live) facts.live = facts.usable;
  if (facts.live.empty() && facts.start && !choice_ && !facts.heard_newer) {
    const bool marked = acknowledged_ && !(*acknowledged_ < *facts.start);
    facts.start_may_send = marked || !ctx.params.rules.start_waits_for_mark ||
                           (hold_until_ && ctx.now >= *hold_until_);
    if (!facts.start_may_send && !hold_until_) hold_until_ = ctx.now + ctx.params.start_hold;
  } else {
    hold_until_.reset();
  }
  const Decision decision = choose_outbound(facts);
  if (decision.choice == choice_) return false;
  choose(ctx, decision.choice, decision.row);
  return true;
}

void PeerMachine::choose(PeerContext& ctx, std::optional<SaPairId> next, char row) {
  if (choice_ == next) return;
  Observe seen;
  seen.what = Observed::kOutboundChanged;
  seen.peer = id_;
  seen.from = choice_;
  seen.pair = next;
  seen.row = row;
  const std::optional<SaPairId> before = choice_;
  choice_ = next;
  ctx.out.emplace_back(ChooseOutbound{id_, next});
  ctx.out.emplace_back(seen);
  // A younger one that is left for an older is needed again when the peer turns out to have it.
  if (before && !(next && next->local < before->local)) {
    if (Pair* old = find(*before)) remove_outbound(ctx, *old);
  }
  hold_until_.reset();
  probe_at_.reset();
  if (!next) return;
  choice_floor_ = std::max(choice_floor_, next->local);
  if (before && before->remote != next->remote) left_ = before->remote;
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-4
//# It may also shorten the lifetime of IPsec SAs using its own old DH pair that are shared with
//# this peer, as they are no longer in use (other than the inbound SA might receive packets in
//# transit).
//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-4
//# Rule 4 The first IPsec packet received from a remote rekeying IPsec device using the remote
//# peer's new DH pair allows the IPsec device to shorten the lifetime of IPsec SAs shared with this
//# peer using unused remote DH pairs.
bool PeerMachine::retire(PeerContext& ctx) {
  const auto live = newest_live();
  RekeyCounter own_floor;  // Rule 3: the peer sends on this one, so it does not send on older ones
  if (live && ctx.params.rules.rule3) own_floor = *live;
  RekeyCounter remote_floor;  // Rule 4
  const Remote* complete = newest_complete();
  if (heard_ && complete != nullptr && ctx.params.rules.rule4) {
    remote_floor = std::min(*heard_, complete->counter);
  }
  if (own_floor == RekeyCounter() && remote_floor == RekeyCounter()) return false;
  for (Pair& pair : pairs_) {
    const bool used_up = pair.id.local < own_floor || pair.id.remote < remote_floor;
    if (!used_up || choice_ == pair.id) continue;
    if (pair.state == PairState::kInstalled || pair.state == PairState::kInstalling) {
      drain(ctx, pair);
    }
  }
  std::erase_if(live_, [&](RekeyCounter own) { return own < own_floor; });
  std::erase_if(remotes_, [&](const Remote& remote) {
    return remote.counter < remote_floor && (!choice_ || choice_->remote != remote.counter);
  });
  if (retired_below_ < own_floor) {
    retired_below_ = own_floor;
    retry_pending(ctx);
    return true;
  }
  return false;
}

// "Towards a peer only these keep SAs: local: the two newest, the live one, the newest the peer
// acknowledged; remote: the newest, the newest complete, the one last heard on, and until the peer
// is heard there or on a newer one the one sent on before. Named bound: 12 pairs a peer, draining
// included".
//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-4.2
//# During a simultaneous rekey up to four pairs of IPsec SAs may be temporarily created, but the
//# four rules ensure that they converge on a single new set of IPsec SAs.
void PeerMachine::keep_bounds(PeerContext& ctx) {
  if (!ctx.params.rules.bound_pairs) return;
  // Most peers are within any bounds at most events.
  const bool others = std::any_of(pairs_.begin(), pairs_.end(), [&](const Pair& pair) {
    const bool kept = pair.state == PairState::kInstalled || pair.state == PairState::kInstalling;
    return kept && choice_ != pair.id;
  });
  if (!others && remotes_.size() < 2 && pairs_.size() <= ctx.params.pairs_max) return;
  Few own;
  for (auto it = ctx.own.rbegin(); it != ctx.own.rend() && own.size() < 2; ++it) {
    if (it->phase != GenerationPhase::kDrawing) own.add(it->counter);
  }
  if (const auto live = newest_live()) own.add(*live);
  if (acknowledged_) own.add(*acknowledged_);
  Few remote;
  if (!remotes_.empty()) remote.add(remotes_.back().counter);
  if (const Remote* complete = newest_complete()) remote.add(complete->counter);
  if (heard_) remote.add(*heard_);
  // What we sent on may be live over there by now, and the answer on its way.
  const bool room = own.size() * (remote.size() + 1) <= ctx.params.pairs_max;
  if (left_ && heard_ < left_ && room && ctx.params.rules.keep_left) remote.add(*left_);

  for (Pair& pair : pairs_) {
    if (contains(own, pair.id.local) && contains(remote, pair.id.remote)) continue;
    if (choice_ == pair.id) continue;
    if (pair.state == PairState::kInstalled || pair.state == PairState::kInstalling) {
      drain(ctx, pair);
    }
  }
  std::erase_if(remotes_, [&](const Remote& r) {
    return !contains(remote, r.counter) && (!choice_ || choice_->remote != r.counter);
  });
  while (sa_pairs() > ctx.params.pairs_max) {
    Pair* first = nullptr;
    for (Pair& pair : pairs_) {
      if (pair.state != PairState::kDraining) continue;
      if (first == nullptr || *pair.drain_until < *first->drain_until) first = &pair;
    }
    if (first == nullptr) break;
    drop(ctx, *first);
  }
}

// ---- time ------------------------------------------------------------------

// "an outbound SA ends at the acceptance time (controller's clock, in the update) of the younger of
// its two DIMs + hard; an inbound one 60 s + drain later"
std::optional<Timestamp> PeerMachine::outbound_ends(const PeerContext& ctx,
                                                    const Pair& pair) const {
  if (!ctx.params.rules.hard_lifetime) return std::nullopt;
  const OwnGeneration* own = ctx.own_generation(pair.id.local);
  if (own == nullptr || !own->accepted_at) return std::nullopt;
  for (const Remote& remote : remotes_) {
    if (remote.counter == pair.id.remote) {
      return std::max(*own->accepted_at, remote.accepted_at) + ctx.params.hard;
    }
  }
  return std::nullopt;  // its remote generation is retired: it drains
}

// "When the choice changes and no user packet follows, REQUEST at 0.1 s doubling, then every 10 s,
// until confirmed." User packets that are answered confirm too, so they need not be watched for.
bool PeerMachine::wants_probe(const PeerContext& ctx) const {
  if (!ctx.params.rules.probe || !choice_ || dormant_) return false;
  const Pair* chosen = find(*choice_);
  if (chosen == nullptr) return false;
  if (!chosen->heard) return true;
  return ctx.params.rules.probe_roll_over && !seen_on_newest(ctx);
}

void PeerMachine::schedule_probe(PeerContext& ctx, Duration first) {
  probe_interval_ = first;
  probe_at_ = ctx.now + first;
}

// When the remote generations a dormant peer has left behind go.
std::optional<Timestamp> PeerMachine::remote_cap(const PeerContext& ctx) const {
  const Remote* complete = newest_complete();
  if (!dormant_ || complete == nullptr || remotes_.front().counter == complete->counter) {
    return std::nullopt;
  }
  return complete->accepted_at + ctx.params.forget_cap;
}

// "at the cap nothing of it counts as live or acknowledged any more; its next packet goes through
// Start" - which concerns the old: a dormant pair on newest × newest has nothing to forget.
void PeerMachine::expire_dormant(PeerContext& ctx) {
  if (!dormant_) return;
  const OwnGeneration* newest = newest_accepted(ctx.own);
  if (newest != nullptr && ctx.params.rules.forget_cap &&
      ctx.now >= *newest->accepted_at + ctx.params.forget_cap) {
    const RekeyCounter floor = newest->counter;
    std::erase_if(live_, [&](RekeyCounter own) { return own < floor; });
    if (acknowledged_ && *acknowledged_ < floor) acknowledged_.reset();
    for (Pair& pair : pairs_) {
      if (pair.id.local < floor) drop(ctx, pair);
    }
    retired_below_ = std::max(retired_below_, floor);
  }
  const auto cap = remote_cap(ctx);
  if (cap && ctx.now >= *cap) {
    const RekeyCounter floor = newest_complete()->counter;
    if (heard_ && *heard_ < floor) heard_ = floor;
    for (Pair& pair : pairs_) {
      if (pair.id.remote < floor) drop(ctx, pair);
    }
    std::erase_if(remotes_, [&](const Remote& remote) { return remote.counter < floor; });
  }
}

void PeerMachine::time_passed(PeerContext& ctx) {
  for (Pair& pair : pairs_) {
    if (pair.drain_until && ctx.now >= *pair.drain_until) drop(ctx, pair);
  }
  for (Pair& pair : pairs_) {
    if (pair.state != PairState::kInstalled && pair.state != PairState::kInstalling) continue;
    const auto ends = outbound_ends(ctx, pair);
    if (!ends) continue;
    if (ctx.now >= *ends + ctx.params.inbound_grace + ctx.params.drain) {
      drop(ctx, pair);
    } else if (ctx.now >= *ends) {
      if (choice_ == pair.id) choose(ctx, std::nullopt, 'A');
      remove_outbound(ctx, pair);
    }
  }
  if (present_ && ctx.params.rules.dormant && !dormant_ && !remotes_.empty() &&
      ctx.now >= last_user_ + ctx.params.soft) {
    dormant_ = true;
    observe(ctx, Observed::kDormant);
  }
  // Settling may make a remote generation complete whose cap has passed already (its installs were
  // never answered, and its SAs have ended): then there is more to forget, at once.
  bool due = true;
  while (due) {
    expire_dormant(ctx);
    settle(ctx);
    const auto cap = remote_cap(ctx);
    due = cap && ctx.now >= *cap;
  }
  if (probe_at_ && ctx.now >= *probe_at_) {
    ctx.out.emplace_back(SendProbe{id_, *choice_});
    probe_interval_ = std::min(probe_interval_ * 2, ctx.params.probe_every);
    probe_at_ = ctx.now + probe_interval_;
    if (!ctx.params.rules.probe_repeats) probe_at_ = Timestamp::max();
  }
}

std::optional<Timestamp> PeerMachine::next_deadline(const PeerContext& ctx) const {
  std::optional<Timestamp> first;
  const auto consider = [&first](std::optional<Timestamp> at) {
    if (at && (!first || *at < *first)) first = at;
  };
  for (const Pair& pair : pairs_) {
    consider(pair.drain_until);
    if (pair.state != PairState::kInstalled) continue;
    if (const auto ends = outbound_ends(ctx, pair)) {
      consider(pair.outbound ? *ends : *ends + ctx.params.inbound_grace + ctx.params.drain);
    }
  }
  if (!present_) return first;
  if (ctx.params.rules.dormant && !dormant_ && !remotes_.empty()) {
    consider(last_user_ + ctx.params.soft);
  }
  consider(remote_cap(ctx));
  consider(hold_until_);
  if (probe_at_ != Timestamp::max()) consider(probe_at_);
  return first;
}

}  // namespace cygnet::proto::rekey
