// SPDX-License-Identifier: Apache-2.0
#include "checkers.h"

#include <algorithm>

#include "world_parts.h"

namespace cygnet::explore {

std::optional<Violation> check_s1(const World& world, std::size_t receiver, std::size_t sender,
                                  const Packet& packet) {
  const Towards& t = world.towards(receiver, sender);
  if (packet.nothing_live || packet.excused) return std::nullopt;
  if (packet.known < t.told_from || packet.heard < t.returned_from) return std::nullopt;
  const SaPairId pair{packet.pair.remote, packet.pair.local};
  return Violation{"S1", "sent on an SA its receiver lacks: " +
                             rekey::rx_name(names_of(receiver), peer_id(sender), pair)};
}

std::optional<Violation> check_start(const Scenario& scenario, const World& world,
                                     std::size_t sender, std::size_t receiver,
                                     std::optional<SaPairId> next) {
  const Towards& t = world.towards(sender, receiver);
  if (!next) return std::nullopt;
  if (next->local < t.proven_floor) return Violation{"Start", "returns to an older generation"};
  const auto status = world.device[sender].core.peer_status(peer_id(receiver));
  if (!status || !status->live.empty()) return std::nullopt;
  if (next->local < t.choice_floor) return Violation{"Start", "tries an older generation again"};
  // From one that was tried already, because the known one had no SA then (flushed by hand), a new
  // DIM moves the remote half only.
  const bool tried = t.told_delivered && *t.told_delivered < t.choice_floor;
  if (t.told_delivered && !tried && *t.told_delivered < next->local &&
      contains(t.outbound, SaPairId{*t.told_delivered, next->remote})) {
    return Violation{"Start", "passes over the generation that the peer is known to have"};
  }
  if (t.choice) return std::nullopt;
  if (t.told_delivered && !(*t.told_delivered < next->local)) return std::nullopt;
  const Duration waited = world.now - t.could_start_at.value_or(world.now);
  if (waited >= scenario.params.start_hold) return std::nullopt;
  return Violation{"Start", "transmits at once, although the peer may not have our DIM"};
}

namespace {

// No SA outlives its hard lifetime; a removed peer keeps none.
std::optional<Violation> check_lifetimes_towards(const Scenario& scenario, const World& world,
                                                 std::size_t i, std::size_t k) {
  const Device& d = world.device[i];
  const Towards& t = d.towards[k];
  if (t.removed && !(t.inbound.empty() && t.outbound.empty() && t.installing.empty())) {
    return Violation{"removal", "keeps SAs with a removed peer"};
  }
  if (!scenario.lifetimes) return std::nullopt;
  const auto deadline = d.core.next_deadline();
  if (deadline && *deadline <= world.now) return std::nullopt;
  const auto status = d.core.peer_status(peer_id(k));
  if (!status) return std::nullopt;
  for (const auto& pair : status->pairs) {
    if (!pair.outbound) continue;
    std::optional<Timestamp> younger;
    for (const auto& own : d.core.generations()) {
      if (own.counter == pair.id.local) younger = own.accepted_at;
    }
    for (const auto& remote : status->remotes) {
      if (younger && remote.counter == pair.id.remote) {
        younger = std::max(*younger, remote.accepted_at);
      }
    }
    if (younger && world.now >= *younger + scenario.params.hard) {
      return Violation{"hard", "an outbound SA outlives its hard lifetime"};
    }
  }
  return std::nullopt;
}

bool uses(const Towards& t, RekeyCounter own) {
  const auto of_it = [own](const SaPairId& pair) { return pair.local == own; };
  return std::any_of(t.inbound.begin(), t.inbound.end(), of_it) ||
         std::any_of(t.installing.begin(), t.installing.end(), of_it);
}

template <class T>
bool has_effect(const rekey::Effects& effects) {
  return std::any_of(effects.list.begin(), effects.list.end(),
                     [](const rekey::Effect& effect) { return std::holds_alternative<T>(effect); });
}

/// The peer that an event names.
std::optional<PeerId> peer_of(const rekey::Event& event) {
  return std::visit(
      [](const auto& e) -> std::optional<PeerId> {
        if constexpr (requires { e.peer; }) return e.peer;
        return std::nullopt;
      },
      event);
}

}  // namespace

std::optional<Violation> check_lifetimes(const Scenario& scenario, const World& world) {
  for (std::size_t i = 0; i < world.devices; ++i) {
    for (std::size_t k = 0; k < world.devices; ++k) {
      if (!world.linked(i, k)) continue;
      if (auto broken = check_lifetimes_towards(scenario, world, i, k)) return broken;
    }
  }
  return std::nullopt;
}

std::optional<Violation> check_s2_install(const Device& device, const Towards& towards,
                                          SaPairId pair) {
  if (contains(towards.ever_installed, pair)) {
    return Violation{"S2", "makes a pair again that was there before"};
  }
  if (!contains(device.privates, pair.local)) {
    return Violation{"S4", "needs a private value that is erased"};
  }
  return std::nullopt;
}

std::optional<Violation> check_s2_draw(const Device& device, RekeyCounter counter) {
  if (device.highest_drawn < counter) return std::nullopt;
  return Violation{"S2", "draws a second generation under one counter"};
}

std::optional<Violation> check_s3(const Scenario& scenario, const World& world) {
  for (std::size_t i = 0; i < world.devices; ++i) {
    const Device& d = world.device[i];
    for (const Towards& t : d.towards) {
      const std::size_t pairs = t.inbound.size() + t.installing.size();
      if (pairs > scenario.pairs_expected_max) {
        return Violation{"S3", std::to_string(pairs) + " SA pairs towards one peer"};
      }
    }
    if (d.privates.size() + d.drawing.size() > 2) {
      return Violation{"S3", "more than two private values"};
    }
  }
  return std::nullopt;
}

std::optional<Violation> check_effects(const World& world, std::size_t i, const rekey::Event& event,
                                       const rekey::Effects& effects) {
  const Device& d = world.device[i];
  const bool erases = has_effect<rekey::EraseDhPair>(effects);
  std::optional<rekey::OwnGeneration> second;
  for (const auto& own : d.core.generations()) {
    if (own.accepted_at) second = own;
  }
  // Erases what is older than the newest accepted one, and draws: not a redraw of what failed.
  const bool third = second && has_effect<rekey::GenerateDhPair>(effects) &&
                     std::any_of(effects.list.begin(), effects.list.end(), [&](const auto& effect) {
                       const auto* erased = std::get_if<rekey::EraseDhPair>(&effect);
                       return erased != nullptr && erased->counter < second->counter;
                     });
  std::optional<PeerId> from = peer_of(event);
  if (erases || has_effect<rekey::StoreBootCount>(effects)) from.reset();
  std::vector<std::pair<PeerId, SaPairId>> gone;
  for (const rekey::Effect& effect : effects.list) {
    if (const auto* removed = std::get_if<rekey::RemoveInbound>(&effect)) {
      gone.emplace_back(removed->peer, removed->pair);
    } else if (const auto* chosen = std::get_if<rekey::ChooseOutbound>(&effect)) {
      if (from && *from != chosen->peer) {
        return Violation{"Apart", "what comes of one peer chooses towards another"};
      }
    } else if (const auto* erased = std::get_if<rekey::EraseDhPair>(&effect)) {
      std::optional<Timestamp> superseded;
      for (const auto& own : d.core.generations()) {
        if (erased->counter < own.counter && own.accepted_at && !superseded) {
          superseded = own.accepted_at;
        }
      }
      const bool at_cap = superseded && world.now >= *superseded + d.core.params().forget_cap;
      for (std::size_t k = 0; k < world.devices && !third && !at_cap; ++k) {
        Towards t = d.towards[k];
        for (const auto& [peer, pair] : gone) {
          if (peer != peer_id(k)) continue;
          take(t.inbound, pair);
          take(t.installing, pair);
        }
        if (uses(t, erased->counter)) {
          return Violation{"S4", "erases a private value that SAs with a peer still need"};
        }
      }
    }
  }
  if (third && second->counter != d.delivered &&
      world.now < *second->accepted_at + d.core.params().third_after) {
    return Violation{"Bounds", "a third generation while an attached peer misses the second"};
  }
  return std::nullopt;
}

std::optional<Violation> check_s4_erase(const World& world, std::size_t i, RekeyCounter counter) {
  const Device& device = world.device[i];
  if (!contains(device.privates, counter)) {
    return Violation{"S4", "erases a private value twice"};
  }
  const auto& given_out = world.controller.stored[i];
  if (given_out && given_out->counter == counter && given_out->incarnation == device.incarnation) {
    return Violation{"S4", "erases a private value whose DIM is the one the controller gives out"};
  }
  return std::nullopt;
}

std::optional<Violation> check_take_over(const World& world) {
  for (std::size_t i = 0; i < world.devices; ++i) {
    const Device& d = world.device[i];
    if (d.privates.empty()) continue;
    for (std::size_t k = 0; k < world.devices; ++k) {
      if (!world.linked(i, k)) continue;
      const auto status = d.core.peer_status(peer_id(k));
      if (!status || !status->present) continue;
      for (const auto& remote : status->remotes) {
        if (remote.complete) continue;
        bool newest_there = false, misses = false;
        for (const auto& pair : status->pairs) {
          if (pair.id.remote != remote.counter) continue;
          misses = misses || pair.state == rekey::PairState::kInstalling ||
                   pair.state == rekey::PairState::kFailed;
          newest_there = newest_there || (pair.id.local == d.privates.back() &&
                                          pair.state == rekey::PairState::kInstalled);
        }
        if (newest_there && !misses) {
          return Violation{"Take-over", "a DIM does not count although all its pairs are there"};
        }
      }
    }
  }
  return std::nullopt;
}

std::optional<Violation> check_retry(const Device& device, std::size_t k,
                                     const rekey::PeerStatus& before,
                                     const rekey::Effects& effects) {
  for (const auto& pair : before.pairs) {
    if (pair.state != rekey::PairState::kFailed || !contains(device.privates, pair.id.local)) {
      continue;
    }
    if (!before.live.empty() && pair.id.local < before.live.back()) continue;  // not held
    const bool pending = std::any_of(
        before.remotes.begin(), before.remotes.end(),
        [&](const rekey::RemoteStatus& r) { return r.counter == pair.id.remote && !r.complete; });
    const bool asked =
        std::any_of(effects.list.begin(), effects.list.end(), [&](const rekey::Effect& effect) {
          const auto* install = std::get_if<rekey::InstallSaPair>(&effect);
          return install != nullptr && install->peer == peer_id(k) && install->pair == pair.id;
        });
    if (pending && !asked) {
      return Violation{"Take-over", "a pending DIM is not tried again with a new generation"};
    }
  }
  return std::nullopt;
}

std::optional<Violation> check_s4(const Scenario& scenario, const World& world) {
  for (std::size_t i = 0; i < world.devices; ++i) {
    const Device& device = world.device[i];
    const auto deadline = device.core.next_deadline();
    if (deadline && *deadline <= world.now) continue;  // its TimePassed is still to come
    for (const RekeyCounter counter : device.privates) {
      bool known = false;
      std::optional<Timestamp> superseded;
      for (const auto& own : device.core.generations()) {
        if (own.counter == counter) known = own.private_held;
        if (counter < own.counter && own.accepted_at && !superseded) superseded = own.accepted_at;
      }
      if (!known) return Violation{"S4", "a private value nobody will erase"};
      if (superseded && world.now >= *superseded + scenario.params.forget_cap) {
        return Violation{"S4", "a private value outlives the cap"};
      }
      // Nobody needs it: no SA, not the newest, the newer one accepted.
      const bool used = std::any_of(device.towards.begin(), device.towards.end(),
                                    [&](const Towards& t) { return uses(t, counter); });
      if (superseded && !used) return Violation{"S4", "a private value is kept that nobody needs"};
    }
  }
  return std::nullopt;
}

std::optional<Violation> check_s5(const World& world) {
  for (std::size_t i = 0; i < world.devices; ++i) {
    for (std::size_t k = 0; k < world.devices; ++k) {
      const Device& device = world.device[i];
      const auto status = device.core.peer_status(peer_id(k));
      if (!status || !status->present || !status->last_accepted) continue;
      const RekeyCounter last = *status->last_accepted;
      const RekeyCounter older = RekeyCounter::from_wire(last.to_wire() - 1);
      for (const rekey::PeerDim& dim :
           {rekey::PeerDim{peer_id(k), older, false, world.now},
            rekey::PeerDim{peer_id(k), RekeyCounter(last.boot_count(), last.sequence() + 1), true,
                           world.now}}) {
        rekey::RekeyCore core = device.core;
        const auto effects = core.handle(dim, world.now);
        if (!effects.rejected || !(core == device.core)) {
          return Violation{"S5", "a stale or impossible DIM changed something"};
        }
      }
    }
  }
  return std::nullopt;
}

std::optional<Violation> check_s6(const World& world, std::size_t i, RekeyCounter counter) {
  const Device& d = world.device[i];
  const bool again = !(d.highest_published < counter);
  for (std::size_t k = 0; k < world.devices; ++k) {
    if (!world.linked(i, k)) continue;
    const auto status = d.core.peer_status(peer_id(k));
    if (!status || !status->present) continue;
    for (const auto& remote : status->remotes) {
      if (again && !remote.complete) continue;
      const SaPairId id{counter, remote.counter};
      const auto pair = std::find_if(status->pairs.begin(), status->pairs.end(),
                                     [&](const rekey::PairStatus& p) { return p.id == id; });
      if (pair == status->pairs.end()) {
        return Violation{"S6", "published without a pair for a known DIM of the peer"};
      }
      const bool promised =
          pair->state != rekey::PairState::kNoProposal && pair->state != rekey::PairState::kSpent;
      if (promised && !contains(d.towards[k].inbound, id)) {
        return Violation{"S6", "published before an inbound SA it promises is installed"};
      }
    }
  }
  return std::nullopt;
}

bool is_settled(const World& world) {
  PerDevice<RekeyCounter> newest;
  for (std::size_t i = 0; i < world.devices; ++i) {
    const Device& d = world.device[i];
    const auto& own = d.core.generations();
    if (own.size() != 1 || d.core.rekey_wanted() || !d.attached) return false;
    if (own[0].phase != rekey::GenerationPhase::kAccepted || d.privates.size() != 1) return false;
    newest[i] = own[0].counter;
  }
  for (std::size_t i = 0; i < world.devices; ++i) {
    for (std::size_t k = 0; k < world.devices; ++k) {
      if (!world.linked(i, k)) continue;
      const Towards& t = world.towards(i, k);
      const SaPairId pair{newest[i], newest[k]};
      if (t.inbound.size() != 1 || t.outbound.size() != 1) return false;
      if (t.choice != pair || t.inbound[0] != pair) return false;
    }
  }
  return true;
}

bool keeps_nothing_old(const Scenario& scenario, const World& world) {
  for (std::size_t i = 0; i < world.devices; ++i) {
    const Device& d = world.device[i];
    const auto& own = d.core.generations();
    if (own.size() != 1 || d.privates.size() != 1) return false;
    for (std::size_t k = 0; k < world.devices; ++k) {
      if (!world.linked(i, k)) continue;
      const auto status = d.core.peer_status(peer_id(k));
      if (!status || !status->dormant || d.towards[k].inbound.size() > 1) return false;
      for (const SaPairId& pair : d.towards[k].inbound) {
        if (pair.local != own[0].counter || pair.remote != status->newest) return false;
      }
    }
    // The pair that is kept ends one day; nothing else is due.
    Timestamp ends = Timestamp::max();
    if (own[0].accepted_at) ends = *own[0].accepted_at + scenario.params.hard;
    const auto deadline = d.core.next_deadline();
    if (deadline && *deadline < ends) return false;
  }
  return true;
}

bool carries_traffic(const World& world) {
  for (std::size_t i = 0; i < world.devices; ++i) {
    for (std::size_t k = 0; k < world.devices; ++k) {
      if (!world.linked(i, k)) continue;
      const auto& choice = world.towards(i, k).choice;
      if (!choice) return false;
      if (!contains(world.towards(k, i).inbound, SaPairId{choice->remote, choice->local})) {
        return false;
      }
    }
  }
  return true;
}

std::optional<Violation> check_state(const Scenario& scenario, const World& world) {
  if (auto broken = check_s3(scenario, world)) return broken;
  if (auto broken = check_lifetimes(scenario, world)) return broken;
  if (auto broken = check_s4(scenario, world)) return broken;
  return check_take_over(world);
}

}  // namespace cygnet::explore
