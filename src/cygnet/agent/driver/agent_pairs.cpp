// SPDX-License-Identifier: Apache-2.0
// Agent: SA pairs, from the order to make one until it is gone (docs/protocol.md section 5). Keys
// come from a worker at once, or, for a claimed pair, when something needs them.
#include "cygnet/agent/core/derive.h"
#include "cygnet/agent/driver/agent.h"
#include "cygnet/base/assert.h"

namespace cygnet::agent {
namespace {

// Enough for one job to be worth its way to a worker and back, few enough to spread over workers.
constexpr std::size_t kClaimsInOneJob = 64;

}  // namespace

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-3
//# Upon receiving a peer's DH public value and nonce, the receiver creates IPsec SAs
void Agent::run(InstallPair& effect) {
  const PairKey key{effect.peer, effect.pair};
  PairRecord& record = pairs_[key];
  record = PairRecord{};
  record.serial = next_pair_++;
  record.view.suite = effect.agreement.policy.suite;
  record.view.lanes = effect.agreement.lanes;
  record.recipe =
      std::make_unique<Recipe>(Recipe{std::move(effect.local), std::move(effect.remote),
                                      std::move(effect.agreement), effect.replay_window});
  if (effect.lazy) {
    claims_.push_back({key, record.serial, std::move(record.recipe), {}});
    if (claims_.size() == kClaimsInOneJob) flush_claims();
    return;
  }
  derive(key, record);
}

Agent::PairRecord* Agent::record_of(PairKey key, std::uint64_t serial) {
  const auto it = pairs_.find(key);
  return it == pairs_.end() || it->second.serial != serial ? nullptr : &it->second;
}

// ---- Claims ----

void Agent::flush_claims() {
  if (claims_.empty()) return;
  workers_->submit(
      [claims = std::exchange(claims_, {})]() mutable {
        for (Claim& claim : claims) {
          const Recipe& recipe = *claim.recipe;
          claim.spis = claim_pair({claim.key.first, *recipe.local, *recipe.remote, recipe.agreement,
                                   recipe.replay_window});
        }
        return std::move(claims);
      },
      [this](std::vector<Claim> claims) {
        for (Claim& claim : claims) claimed(std::move(claim));
      });
}

void Agent::claimed(Claim claim) {
  PairRecord* const record = record_of(claim.key, claim.serial);
  if (record == nullptr) return;  // removed meanwhile
  if (!claim.spis) return pair_failed(claim.key, claim.spis.error());
  record->phase = PairPhase::kClaimed;
  record->recipe = std::move(claim.recipe);
  record->view.keyed = false;
  record->view.spis = claim.spis->spis;
  backend_->claim(std::move(*claim.spis));
}

// "a claimed pair is derived at most once": its recipe is used up here.
void Agent::derive_claimed(PairKey key) {
  const auto it = pairs_.find(key);
  if (it == pairs_.end()) return;
  PairRecord& record = it->second;
  if (record.phase == PairPhase::kPreparing || !record.view.installed_at) {
    record.wanted = true;
    return;
  }
  if (record.phase != PairPhase::kClaimed) return;
  record.phase = PairPhase::kDeriving;
  derive(key, record);
}

void Agent::derive_claimed_of(proto::PeerId peer) {
  for (auto it = pairs_.lower_bound({peer, {}}); it != pairs_.end() && it->first.first == peer;
       ++it) {
    derive_claimed(it->first);
  }
}

void Agent::run(DeriveNow& effect) { derive_claimed({effect.peer, effect.pair}); }

void Agent::on_keys_wanted(proto::PeerId peer, proto::SaPairId pair) {
  const auto it = pairs_.find({peer, pair});
  if (it == pairs_.end() || it->second.phase != PairPhase::kClaimed) return;
  ++derived_for_data_plane_;
  derive_claimed({peer, pair});
}

// ---- Keys ----

void Agent::derive(PairKey key, PairRecord& record) {
  const std::unique_ptr<Recipe> recipe = std::move(record.recipe);
  SecretBytes ppk;
  if (recipe->agreement.ppk_id) ppk = ppks_.find(*recipe->agreement.ppk_id);
  ++derivations_;
  workers_->submit(
      [key, keys = keys_.borrow(key.second.local), recipe = std::move(*recipe),
       ppk = std::move(ppk)]() mutable {
        Result<SaPairSpec> spec = [&]() -> Result<SaPairSpec> {
          const auto* dh = keys ? keys->find(recipe.agreement.policy.group) : nullptr;
          if (dh == nullptr) {
            return fail(kErrNoPrivate, "the DH private value of this generation is erased",
                        proto::to_string(key.second.local));
          }
          return derive_pair(
              {key.first, *recipe.local, *recipe.remote, recipe.agreement, recipe.replay_window},
              *dh, ppk.reveal());
        }();
        keys.reset();  // here, so that an erase meanwhile takes effect on this thread, now
        return spec;
      },
      [this, key, serial = record.serial](Result<SaPairSpec> spec) {
        pair_derived(key, serial, std::move(spec));
      });
}

void Agent::pair_derived(PairKey key, std::uint64_t serial, Result<SaPairSpec> spec) {
  PairRecord* const record = record_of(key, serial);
  if (record == nullptr) return;  // removed meanwhile
  if (!spec) return pair_failed(key, spec.error());
  const bool was_claimed = record->phase == PairPhase::kDeriving;
  record->phase = PairPhase::kKeyed;
  record->view.keyed = true;
  if (was_claimed) return backend_->give_keys(std::move(*spec));
  for (const LaneSpec& lane : spec->lanes) {
    record->view.spis.emplace_back(lane.inbound, lane.outbound);
  }
  backend_->install(std::move(*spec));
}

// ---- What became of them ----

void Agent::pair_failed(PairKey key, const Error& error, bool collision) {
  const auto it = pairs_.find(key);
  if (it == pairs_.end()) return;
  if (it->second.view.installed_at) {
    // It is claimed, and peers have been told: the core takes it back.
    event([key, error](AgentCore& core, Now now) {
      return core.on_keys_failed(key.first, key.second, error, now);
    });
    return;
  }
  pairs_.erase(it);
  event([key, collision, error](AgentCore& core, Now now) {
    return core.on_pair_failed(key.first, key.second, collision, error, now);
  });
}

void Agent::on_installed(proto::PeerId peer, proto::SaPairId pair) {
  const auto it = pairs_.find({peer, pair});
  if (it != pairs_.end()) {
    it->second.view.installed_at = loop_.now();
    if (it->second.wanted) derive_claimed({peer, pair});
  }
  event([peer, pair](AgentCore& core, Now now) { return core.on_pair_installed(peer, pair, now); });
}

void Agent::on_install_failed(proto::PeerId peer, proto::SaPairId pair, bool collision,
                              const Error& error) {
  pair_failed({peer, pair}, error, collision);
}

void Agent::run(RemoveOutbound& effect) { drop_direction(effect.peer, effect.pair, false); }
void Agent::run(RemoveInbound& effect) { drop_direction(effect.peer, effect.pair, true); }

void Agent::drop_direction(proto::PeerId peer, proto::SaPairId pair, bool inbound) {
  const auto it = pairs_.find({peer, pair});
  if (it == pairs_.end()) return;
  if (it->second.phase == PairPhase::kPreparing) {
    // Nothing of it is installed yet; its keys go as the derivation comes back.
    pairs_.erase(it);
    return;
  }
  if (inbound) {
    backend_->remove_inbound(peer, pair);
    it->second.inbound = false;
  } else {
    backend_->remove_outbound(peer, pair);
    it->second.outbound = false;
  }
  if (!it->second.inbound && !it->second.outbound) pairs_.erase(it);
}

void Agent::forget_pairs_of(proto::PeerId peer) {
  auto first = pairs_.lower_bound({peer, {}});
  auto last = first;
  while (last != pairs_.end() && last->first.first == peer) ++last;
  pairs_.erase(first, last);
}

}  // namespace cygnet::agent
