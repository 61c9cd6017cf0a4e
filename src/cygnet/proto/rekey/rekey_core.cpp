// SPDX-License-Identifier: Apache-2.0
#include "cygnet/proto/rekey/rekey_core.h"

#include <algorithm>

#include "cygnet/base/assert.h"

namespace cygnet::proto::rekey {
namespace {

class HashSink final : public StateSink {
 public:
  void number(std::uint64_t value) override {
    // splitmix64's finaliser over a running state: cheap, spreads small numbers.
    state_ += 0x9e3779b97f4a7c15ULL + value;
    state_ = (state_ ^ (state_ >> 30)) * 0xbf58476d1ce4e5b9ULL;
    state_ = (state_ ^ (state_ >> 27)) * 0x94d049bb133111ebULL;
    state_ ^= state_ >> 31;
  }
  void time(std::optional<Timestamp> value) override {
    number(value ? static_cast<std::uint64_t>(value->time_since_epoch().count()) : ~0ULL);
  }
  void own(std::optional<RekeyCounter> value) override { number(value ? value->to_wire() : ~0ULL); }
  void remote(std::optional<RekeyCounter> value) override { own(value); }
  [[nodiscard]] std::size_t value() const { return static_cast<std::size_t>(state_); }

 private:
  std::uint64_t state_ = 0;
};

}  // namespace

RekeyCore::RekeyCore(RekeyParams params) : params_(params) {}

Effects RekeyCore::handle(const Event& event, Timestamp now) {
  Effects effects;
  // Room for what most events come to, so that the list does not grow step by step.
  if (!std::holds_alternative<UserTraffic>(event)) effects.list.reserve(8);
  if (!device_.started_ && !std::holds_alternative<Start>(event)) {
    effects.rejected = Rejected::kNotStarted;
    return effects;
  }
  PeerContext ctx{params_, now, device_.own_, effects.list, few_};
  if (!params_.rules.peers_apart) {
    for (const PeerMachine& peer : peers_) ctx.pending_peers += peer.has_pending() ? 1U : 0U;
  }
  const bool was_wanted = device_.wanted_.has_value();
  all_deadlines_ = false;
  touched_.reset();
  effects.rejected = std::visit([&](const auto& e) { return on(e, ctx); }, event);
  if (effects.rejected) {
    CYGNET_ASSERT(effects.list.empty());
    return effects;
  }
  settle_device(ctx);
  if (device_.wanted_ && !was_wanted) {
    Observe seen;
    seen.what = Observed::kRekeyDeferred;
    seen.cause = device_.wanted_;
    effects.list.emplace_back(seen);
  }
  if (all_deadlines_) {
    for (std::size_t slot = 0; slot < peers_.size(); ++slot) reschedule(ctx, slot);
  } else if (touched_) {
    reschedule(ctx, *touched_);
  }
  return effects;
}

std::optional<Timestamp> RekeyCore::next_deadline() const {
  if (!device_.started_) return std::nullopt;
  std::optional<Timestamp> first = device_.next_deadline(params_);
  const std::optional<Timestamp> peers = deadlines_.first();
  return peers && (!first || *peers < *first) ? peers : first;
}

void RekeyCore::reschedule(const PeerContext& ctx, std::size_t slot) {
  deadlines_.set(slot, peers_[slot].next_deadline(ctx));
  note_high_water(peers_[slot]);
}

void RekeyCore::note_high_water(const PeerMachine& peer) {
  high_water_.sa_pairs_per_peer_max = std::max(high_water_.sa_pairs_per_peer_max, peer.sa_pairs());
}

// Handles rise from 1 and a peer that was ever added stays, so each stands at most as far from the
// first as its number says; in the agent, exactly there.
std::size_t RekeyCore::slot_of(PeerId id) const {
  const std::size_t end = std::min<std::size_t>(peers_.size(), id.value());
  if (end > 0 && peers_[end - 1].id() == id) return end - 1;
  const auto it = std::lower_bound(peers_.begin(), peers_.end(), id,
                                   [](const PeerMachine& p, PeerId key) { return p.id() < key; });
  return static_cast<std::size_t>(it - peers_.begin());
}

const PeerMachine* RekeyCore::find(PeerId id) const {
  const std::size_t slot = slot_of(id);
  return slot < peers_.size() && peers_[slot].id() == id ? &peers_[slot] : nullptr;
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-4
//# If rekeying is performed with multiple peers simultaneously, then the decision process and rules
//# described in this rekey are performed independently for each peer.
//
// Whatever concerns a peer goes to the one machine of that peer, which knows of no other.
PeerMachine* RekeyCore::find_present(PeerId id) {
  const std::size_t slot = slot_of(id);
  if (slot == peers_.size() || peers_[slot].id() != id || !peers_[slot].present()) return nullptr;
  touched_ = slot;
  return &peers_[slot];
}

// ---- start and settings ----------------------------------------------------

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-3
//# When an IPsec device begins operation, it generates a DH pair, using an algorithm defined in the
//# IKEv2 Diffie-Hellman Group Transform IDs
std::optional<Rejected> RekeyCore::on(const Start& event, PeerContext&) {
  if (device_.started_) return Rejected::kAlreadyStarted;
  device_.started_ = true;
  device_.boot_count_ = event.boot_count;
  device_.last_sequence_ = event.last_sequence;
  device_.initial_contact_ = event.initial_contact;
  device_.wanted_ = RekeyCause::kInitial;
  return std::nullopt;
}

std::optional<Rejected> RekeyCore::on(const SettingsChanged& event, PeerContext&) {
  params_ = event.params;
  all_deadlines_ = true;
  return std::nullopt;
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-4
//# Any IPsec device may initiate a rekey at any time.
std::optional<Rejected> RekeyCore::on(const RekeyRequired& event, PeerContext&) {
  if (!device_.wanted_) device_.wanted_ = event.cause;
  return std::nullopt;
}

// ---- drawing, installing, publishing ---------------------------------------

void RekeyCore::start_generation(PeerContext& ctx) {
  // "Making a third erases the oldest's private value."
  while (params_.rules.bound_local && device_.private_alive() >= 2) {
    const auto oldest = std::find_if(device_.own_.begin(), device_.own_.end(),
                                     [](const OwnGeneration& own) { return own.private_held; });
    erase_private(ctx, oldest->counter, false);
  }
  OwnGeneration own;
  own.counter = RekeyCounter(device_.boot_count_, ++device_.last_sequence_);
  own.initial_contact = device_.initial_contact_;
  device_.own_.push_back(own);
  Observe seen;
  seen.what = Observed::kGenerationStarted;
  seen.counter = own.counter;
  seen.cause = device_.wanted_;
  ctx.out.emplace_back(seen);
  ctx.out.emplace_back(GenerateDhPair{own.counter});
  device_.wanted_.reset();
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-4.1
//# it first generates a new DH pair and generates new IPsec SA pairs for each peer with which it is
//# communicating. It does this by combining the new DH private value with each peer's existing DH
//# public value.
std::optional<Rejected> RekeyCore::on(const GenerationReady& event, PeerContext& ctx) {
  const auto vain = std::find(device_.given_up_.begin(), device_.given_up_.end(), event.counter);
  if (vain != device_.given_up_.end()) {
    device_.given_up_.erase(vain);
    ctx.out.emplace_back(EraseDhPair{event.counter});
    return std::nullopt;
  }
  OwnGeneration* own = device_.newest();
  if (own == nullptr || own->counter != event.counter) return Rejected::kUnknownGeneration;
  if (own->phase != GenerationPhase::kDrawing) return Rejected::kWrongPhase;
  own->phase = GenerationPhase::kInstalling;
  own->private_held = true;
  own->random = event.random;
  high_water_.dh_private_alive_max =
      std::max(high_water_.dh_private_alive_max, device_.private_alive());
  for (PeerMachine& peer : peers_) peer.own_ready(ctx, event.counter);
  all_deadlines_ = true;
  return std::nullopt;
}

std::optional<Rejected> RekeyCore::on(const GenerationFailed& event, PeerContext&) {
  const auto vain = std::find(device_.given_up_.begin(), device_.given_up_.end(), event.counter);
  if (vain != device_.given_up_.end()) {
    device_.given_up_.erase(vain);
    return std::nullopt;
  }
  const OwnGeneration* own = device_.newest();
  if (own == nullptr || own->counter != event.counter) return Rejected::kUnknownGeneration;
  if (own->phase != GenerationPhase::kDrawing) return Rejected::kWrongPhase;
  device_.own_.pop_back();
  device_.wanted_ = RekeyCause::kInitial;
  pause(params_.publish_retry);
  return std::nullopt;
}

std::optional<Rejected> RekeyCore::on(const PublishAccepted& event, PeerContext& ctx) {
  for (OwnGeneration& own : device_.own_) {
    if (own.counter != event.counter) continue;
    if (own.phase != GenerationPhase::kPublishing && own.phase != GenerationPhase::kAccepted) {
      return Rejected::kWrongPhase;
    }
    accept(ctx, own, event.accepted_at);
    return std::nullopt;
  }
  return Rejected::kUnknownGeneration;
}

void RekeyCore::accept(PeerContext& ctx, OwnGeneration& own, Timestamp accepted_at) {
  const bool first = own.phase != GenerationPhase::kAccepted;
  own.phase = GenerationPhase::kAccepted;
  own.accepted_at = accepted_at;
  all_deadlines_ = true;
  device_.publish_again_.reset();
  if (!first) return;
  device_.redraws_ = 0;
  device_.initial_contact_ = false;
  Observe seen;
  seen.what = Observed::kGenerationAccepted;
  seen.counter = own.counter;
  ctx.out.emplace_back(seen);
  for (PeerMachine& peer : peers_) peer.own_accepted(ctx);
}

std::optional<Rejected> RekeyCore::on(const PublishRefused& event, PeerContext& ctx) {
  OwnGeneration* own = device_.newest();
  if (own == nullptr || own->counter != event.counter) return Rejected::kUnknownGeneration;
  if (own->phase != GenerationPhase::kPublishing) return Rejected::kWrongPhase;
  switch (event.why) {
    case PublishRefusal::kStale:
      lose_state(ctx, event.stored.value_or(own->counter));
      break;
    case PublishRefusal::kRedraw:
      redraw(ctx, RekeyCause::kInstallFailed);
      break;
    case PublishRefusal::kRetryLater:
      device_.publish_again_ = ctx.now + params_.publish_retry;
      break;
  }
  return std::nullopt;
}

// "if an install of it fails, the whole generation is erased unpublished and drawn again, at most 3
// times, then reported"
void RekeyCore::redraw(PeerContext& ctx, RekeyCause cause) {
  const OwnGeneration& own = device_.own_.back();
  const RekeyCounter counter = own.counter;
  // "Only the first DIM that it publishes with that boot count has it": this one was not published.
  if (own.initial_contact && own.unseen()) device_.initial_contact_ = true;
  give_up_newest(ctx);
  Observe seen;
  seen.what = Observed::kGenerationRedrawn;
  seen.counter = counter;
  ctx.out.emplace_back(seen);
  if (!device_.wanted_) device_.wanted_ = cause;
  if (cause == RekeyCause::kInstallFailed && ++device_.redraws_ > params_.redraws_max) {
    device_.redraws_ = 0;
    pause(params_.redraw_pause);
    ctx.out.emplace_back(
        ReportToController{ReportCode::kGenerationFailed, std::nullopt, std::nullopt, counter});
  } else {
    pause(Duration(0));
  }
}

// "down the driver ignores it": only what is asked for while the link is up may have gone out.
void RekeyCore::publish(PeerContext& ctx, OwnGeneration& own) {
  own.sent = own.sent || device_.link_up_;
  ctx.out.emplace_back(PublishGeneration{own.counter, own.initial_contact});
}

void RekeyCore::give_up_newest(PeerContext& ctx) {
  OwnGeneration& own = device_.own_.back();
  const RekeyCounter counter = own.counter;
  const bool drawn = own.private_held;
  own.private_held = false;  // so that no peer asks for it again
  for (PeerMachine& peer : peers_) peer.own_given_up(ctx, counter);
  all_deadlines_ = true;
  if (drawn) {
    ctx.out.emplace_back(EraseDhPair{counter});
  } else if (own.phase == GenerationPhase::kDrawing) {
    device_.given_up_.push_back(counter);
  }
  device_.own_.pop_back();
  device_.publish_again_.reset();
}

void RekeyCore::pause(Duration pause) { pause_ = pause; }

// ---- the controller --------------------------------------------------------

std::optional<Rejected> RekeyCore::on(const LinkUp&, PeerContext&) {
  if (device_.link_up_) return Rejected::kAlreadyThere;
  device_.link_up_ = true;
  return std::nullopt;
}

// "Nothing is deleted because the controller is silent."
std::optional<Rejected> RekeyCore::on(const LinkDown&, PeerContext&) {
  if (!device_.link_up_) return Rejected::kAlreadyThere;
  device_.link_up_ = false;
  return std::nullopt;
}

// "Own DIM in Welcome: … Same: accepted, with its acceptance time … Device newer: it publishes
// again. Stored newer, or equal with other octets: the device lost state or was cloned: boot count
// := stored
// + 1, new generation, alarm."
std::optional<Rejected> RekeyCore::on(const OwnDimReported& event, PeerContext& ctx) {
  if (event.verdict == OwnDimVerdict::kStoredNewer) {
    if (params_.rules.own_dim_check) lose_state(ctx, event.stored);
    return std::nullopt;
  }
  if (event.verdict == OwnDimVerdict::kSame) {
    for (OwnGeneration& own : device_.own_) {
      if (own.counter != event.stored || own.phase < GenerationPhase::kPublishing) continue;
      accept(ctx, own, event.accepted_at.value_or(ctx.now));
    }
  }
  if (!params_.rules.republish) return std::nullopt;
  // The newest one that was ever published, when the controller does not hold it.
  for (auto own = device_.own_.rbegin(); own != device_.own_.rend(); ++own) {
    if (own->phase < GenerationPhase::kPublishing) continue;
    const bool there = event.verdict == OwnDimVerdict::kSame && event.stored == own->counter;
    if (!there) publish(ctx, *own);
    break;
  }
  return std::nullopt;
}

void RekeyCore::lose_state(PeerContext& ctx, RekeyCounter stored) {
  ctx.out.emplace_back(
      ReportToController{ReportCode::kOwnDimNewer, std::nullopt, std::nullopt, stored});
  for (PeerMachine& peer : peers_) peer.lose_everything(ctx);
  while (!device_.own_.empty()) give_up_newest(ctx);
  device_.boot_count_ = std::max(device_.boot_count_, stored.boot_count()) + 1;
  device_.last_sequence_ = 0;
  device_.initial_contact_ = true;
  device_.redraws_ = 0;
  device_.not_before_.reset();
  device_.wanted_ = RekeyCause::kOwnDimNewer;
  ctx.out.emplace_back(StoreBootCount{device_.boot_count_});
}

std::optional<Rejected> RekeyCore::on(const DeliveryMark& event, PeerContext& ctx) {
  const auto own = std::find_if(device_.own_.begin(), device_.own_.end(),
                                [&](const OwnGeneration& g) { return g.counter == event.counter; });
  if (own == device_.own_.end()) return Rejected::kUnknownGeneration;
  if (own->phase != GenerationPhase::kAccepted) return Rejected::kWrongPhase;
  const bool enough = event.attached_missing == 0 ||
                      (!params_.rules.third_after_all && !event.acknowledged.empty());
  if (enough && !own->delivered_at) own->delivered_at = ctx.now;
  for (const PeerId id : event.acknowledged) {
    PeerMachine* peer = find_present(id);
    if (peer == nullptr) continue;
    peer->acknowledged(ctx, event.counter);
    reschedule(ctx, *touched_);
  }
  return std::nullopt;
}

// ---- peers -----------------------------------------------------------------

std::optional<Rejected> RekeyCore::on(const PeerAdded& event, PeerContext& ctx) {
  if (present(event.peer)) return Rejected::kAlreadyThere;
  const std::size_t slot = slot_of(event.peer);
  if (slot == peers_.size() || peers_[slot].id() != event.peer) {
    peers_.emplace(peers_.begin() + static_cast<std::ptrdiff_t>(slot), event.peer);
    deadlines_.insert(slot);
  }
  touched_ = slot;
  return peers_[slot].add(ctx, event.last_accepted);
}

std::optional<Rejected> RekeyCore::on(const PeerRemoved& event, PeerContext& ctx) {
  PeerMachine* peer = find_present(event.peer);
  return peer == nullptr ? std::optional(Rejected::kUnknownPeer) : peer->remove(ctx);
}

std::optional<Rejected> RekeyCore::on(const PeerDim& event, PeerContext& ctx) {
  PeerMachine* peer = find_present(event.peer);
  return peer == nullptr ? std::optional(Rejected::kUnknownPeer) : peer->take_dim(ctx, event);
}

std::optional<Rejected> RekeyCore::on(const SaPairInstalled& event, PeerContext& ctx) {
  PeerMachine* peer = find_present(event.peer);
  return peer == nullptr ? std::optional(Rejected::kUnknownPeer)
                         : peer->pair_installed(ctx, event.pair);
}

std::optional<Rejected> RekeyCore::on(const SaPairFailed& event, PeerContext& ctx) {
  PeerMachine* peer = find_present(event.peer);
  return peer == nullptr ? std::optional(Rejected::kUnknownPeer)
                         : peer->pair_failed(ctx, event.pair, event.why);
}

std::optional<Rejected> RekeyCore::on(const SaPairLost& event, PeerContext& ctx) {
  PeerMachine* peer = find_present(event.peer);
  return peer == nullptr ? std::optional(Rejected::kUnknownPeer) : peer->pair_lost(ctx, event.pair);
}

std::optional<Rejected> RekeyCore::on(const CountersUnknown&, PeerContext& ctx) {
  for (PeerMachine& peer : peers_) peer.lose_pairs(ctx);
  all_deadlines_ = true;
  if (!device_.wanted_) device_.wanted_ = RekeyCause::kCountersUnknown;
  const OwnGeneration* own = device_.newest();
  const bool drawn = own != nullptr && own->phase != GenerationPhase::kDrawing;
  if (drawn && own->unseen() && params_.rules.no_hole) ctx.redraw = RekeyCause::kCountersUnknown;
  return std::nullopt;
}

std::optional<Rejected> RekeyCore::on(const InboundEvidence& event, PeerContext& ctx) {
  PeerMachine* peer = find_present(event.peer);
  return peer == nullptr ? std::optional(Rejected::kUnknownPeer)
                         : peer->evidence(ctx, event.pair, event.kind);
}

std::optional<Rejected> RekeyCore::on(const ProbeRequested& event, PeerContext& ctx) {
  PeerMachine* peer = find_present(event.peer);
  return peer == nullptr ? std::optional(Rejected::kUnknownPeer)
                         : peer->probe_requested(ctx, event.pair);
}

std::optional<Rejected> RekeyCore::on(const UserTraffic& event, PeerContext& ctx) {
  PeerMachine* peer = find_present(event.peer);
  return peer == nullptr ? std::optional(Rejected::kUnknownPeer) : peer->user_traffic(ctx);
}

std::optional<Rejected> RekeyCore::on(const PacketWaiting& event, PeerContext& ctx) {
  PeerMachine* peer = find_present(event.peer);
  return peer == nullptr ? std::optional(Rejected::kUnknownPeer) : peer->user_traffic(ctx);
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-4
//# Common reasons to perform a rekey include a local time or volume based policy
std::optional<Rejected> RekeyCore::on(const SoftLimit& event, PeerContext&) {
  if (find_present(event.peer) == nullptr) return Rejected::kUnknownPeer;
  // Of an older generation: a newer one is there or under way already.
  const OwnGeneration* own = device_.newest();
  if (own == nullptr || own->counter != event.pair.local) return Rejected::kUnknownGeneration;
  if (!device_.wanted_) device_.wanted_ = RekeyCause::kPackets;
  return std::nullopt;
}

std::optional<Rejected> RekeyCore::on(const MissingNewest& event, PeerContext& ctx) {
  PeerMachine* peer = find_present(event.peer);
  return peer == nullptr ? std::optional(Rejected::kUnknownPeer) : peer->missing_newest(ctx);
}

// ---- time ------------------------------------------------------------------

std::optional<Rejected> RekeyCore::on(const TimePassed&, PeerContext& ctx) {
  const auto due = next_deadline();
  if (!due || ctx.now < *due) return Rejected::kNothingDue;
  for (auto at = deadlines_.first(); at && *at <= ctx.now; at = deadlines_.first()) {
    const std::size_t slot = deadlines_.first_slot();
    peers_[slot].time_passed(ctx);
    reschedule(ctx, slot);
    // time_passed() acted on everything due; a deadline that did not move would never end this
    // loop.
    const auto next = deadlines_.of(slot);
    CYGNET_ASSERT(!next || *next > ctx.now);
  }
  if (device_.not_before_ && ctx.now >= *device_.not_before_) device_.not_before_.reset();
  if (device_.publish_again_ && ctx.now >= *device_.publish_again_) {
    device_.publish_again_.reset();
    OwnGeneration* own = device_.newest();
    if (own != nullptr && own->phase == GenerationPhase::kPublishing) publish(ctx, *own);
  }
  //= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-4
  //# Common reasons to perform a rekey include a local time or volume based policy
  const auto soft = device_.soft_ends(params_);
  if (!device_.wanted_ && soft && ctx.now >= *soft) device_.wanted_ = RekeyCause::kLifetime;
  for (std::size_t i = 0; i < device_.own_.size(); ++i) {
    if (!device_.own_[i].private_held) continue;
    const auto cap = device_.cap_of(params_, i);
    if (cap && ctx.now >= *cap) erase_private(ctx, device_.own_[i].counter, true);
  }
  return std::nullopt;
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-7
//# However, the DH private key value and the nonce distributed with it may be forgotten only once
//# the last IPsec SA that uses the private key value is removed from the SAD and there is no
//# chance that a new IPsec SA could be setup that requires the private key value.
//
// Past the cap the value goes although SAs made from it live on: they need it no more, and no new
// one will be made from it ("A generation without its private value keeps its SAs and gets no new
// ones").
void RekeyCore::erase_private(PeerContext& ctx, RekeyCounter counter, bool at_cap) {
  for (PeerMachine& peer : peers_) peer.before_erasing(ctx, counter, at_cap);
  for (OwnGeneration& own : device_.own_) {
    if (own.counter != counter) continue;
    CYGNET_ASSERT(own.private_held);
    own.private_held = false;
  }
  ctx.out.emplace_back(EraseDhPair{counter});
  Observe seen;
  seen.what = Observed::kDhErased;
  seen.counter = counter;
  ctx.out.emplace_back(seen);
  for (PeerMachine& peer : peers_) peer.own_changed(ctx);
  all_deadlines_ = true;
}

// ---- what follows for the device -------------------------------------------

bool RekeyCore::may_publish(const OwnGeneration& own) const {
  if (own.awaited == 0 || !params_.rules.install_before_publish) return true;
  return !params_.rules.publish_after_all &&
         std::any_of(peers_.begin(), peers_.end(), [&](const PeerMachine& peer) {
           return peer.sa_pairs_of(own.counter, false) > 0 &&
                  peer.sa_pairs_of(own.counter, true) == 0;
         });
}

bool RekeyCore::is_needed(const OwnGeneration& own) const {
  if (params_.rules.forget_after_all || own.sa_pairs == 0) return own.sa_pairs != 0;
  return std::none_of(peers_.begin(), peers_.end(), [&](const PeerMachine& peer) {
    return peer.present() && peer.sa_pairs_of(own.counter, false) == 0;
  });
}

void RekeyCore::settle_device(PeerContext& ctx) {
  for (bool again = true; again;) {
    again = false;
    if (ctx.redraw) {
      const RekeyCause cause = *ctx.redraw;
      ctx.redraw.reset();
      redraw(ctx, cause);
      again = true;
    }
    if (ctx.roll_over) {
      // An unpublished generation is under way and serves as well, unless its own pair is used up.
      const OwnGeneration* own = device_.newest();
      const bool serves = own != nullptr && own->phase < GenerationPhase::kPublishing &&
                          *ctx.roll_over == RekeyCause::kInstallFailed;
      if (!device_.wanted_ && !serves) device_.wanted_ = ctx.roll_over;
      ctx.roll_over.reset();
    }
    if (pause_) {
      device_.not_before_ = *pause_ > Duration(0) ? std::optional(ctx.now + *pause_) : std::nullopt;
      pause_.reset();
    }
    OwnGeneration* own = device_.newest();
    //= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-3
    //# If the device does not have any active peers it simply distributes its DH public value to the
    //# Controller, along with a nonce used during SA creation.
    //= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-4.1
    //# Only when the new IPsec SAs have been installed and the device is prepared to receive on
    //# those new SAs does it then distribute the new DH public value to the Controller, which
    //# forwards it to its authorized peers.
    if (own != nullptr && own->phase == GenerationPhase::kInstalling && may_publish(*own)) {
      own->phase = GenerationPhase::kPublishing;
      Observe seen;
      seen.what = Observed::kGenerationInstalled;
      seen.counter = own->counter;
      ctx.out.emplace_back(seen);
      // Whether it will be stored is not known for certain any more: a DIM that replaces it is not
      // the first with this boot count, and would be refused as one.
      device_.initial_contact_ = false;
      publish(ctx, *own);
    }
    // "The private value and nonce of a generation are erased when no SA needs them, it is not the
    // newest and the newer one is accepted"
    //= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-4.1
    //# At the end of the rekey, both A and B retain a single DH pair, and a single set of IPsec SAs
    //# between them.
    for (std::size_t i = 0; params_.rules.forget && i + 1 < device_.own_.size(); ++i) {
      const OwnGeneration& old = device_.own_[i];
      if (!old.private_held || is_needed(old)) continue;
      const bool newer_accepted =
          std::any_of(device_.own_.begin() + static_cast<std::ptrdiff_t>(i) + 1, device_.own_.end(),
                      [](const OwnGeneration& g) { return g.phase == GenerationPhase::kAccepted; });
      if (newer_accepted || !params_.rules.forget_after_accepted) {
        erase_private(ctx, old.counter, false);
        again = true;
      }
    }
    if (device_.own_.size() > 1) {
      const RekeyCounter newest = device_.own_.back().counter;
      std::erase_if(device_.own_, [&](const OwnGeneration& g) {
        return g.counter != newest && g.phase == GenerationPhase::kAccepted && !g.private_held &&
               g.sa_pairs == 0;
      });
    }
    if (device_.wanted_ && device_.may_roll_over(params_, ctx.now)) {
      start_generation(ctx);
      again = true;
    }
  }
}

// ---- queries ---------------------------------------------------------------

DeviceStatus RekeyCore::device_status() const { return device_.status(); }

bool RekeyCore::present(PeerId id) const {
  const PeerMachine* const peer = find(id);
  return peer != nullptr && peer->present();
}

std::optional<RemoteStatus> RekeyCore::remote_status(PeerId id, RekeyCounter remote) const {
  const PeerMachine* const peer = find(id);
  return peer == nullptr ? std::nullopt : peer->remote_status(remote);
}

bool RekeyCore::nothing_live(PeerId id) const {
  const PeerMachine* const peer = find(id);
  return peer == nullptr || !peer->present() || peer->nothing_live();
}

std::optional<PeerStatus> RekeyCore::peer_status(PeerId id) const {
  const PeerMachine* const peer = find(id);
  if (peer == nullptr) return std::nullopt;
  std::vector<OwnGeneration> own = device_.own_;
  std::vector<Effect> none;
  std::vector<RekeyCounter> few;
  return peer->status(PeerContext{params_, Timestamp(), own, none, few});
}

std::optional<RekeyCounter> RekeyCore::newest_complete(PeerId id) const {
  const PeerMachine* const peer = find(id);
  return peer == nullptr ? std::nullopt : peer->newest_complete_counter();
}

std::vector<PeerId> RekeyCore::peers() const {
  std::vector<PeerId> ids;
  for (const PeerMachine& peer : peers_) {
    if (peer.present()) ids.push_back(peer.id());
  }
  return ids;
}

Counts RekeyCore::counts() const {
  Counts counts = high_water_;
  counts.dh_private_alive = device_.private_alive();
  for (const PeerMachine& peer : peers_) counts.sa_pairs += peer.sa_pairs();
  return counts;
}

void RekeyCore::describe(StateSink& sink) const {
  device_.describe(sink);
  sink.number(peers_.size());
  for (const PeerMachine& peer : peers_) peer.describe(sink);
}

std::size_t RekeyCore::hash() const {
  HashSink sink;
  describe(sink);
  return sink.value();
}

}  // namespace cygnet::proto::rekey
