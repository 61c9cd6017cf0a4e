// SPDX-License-Identifier: Apache-2.0
#include "checkers.h"

#include <algorithm>

#include "world_parts.h"

namespace cygnet::explore {

std::optional<Violation> check_s1(const Scenario&, const World& world, std::size_t receiver,
                                  const Packet& packet) {
  if (packet.nothing_live || packet.excused) return std::nullopt;
  if (packet.known < world.device[receiver].told_from) return std::nullopt;
  if (packet.heard < world.device[receiver].returned_from) return std::nullopt;
  const SaPairId pair{packet.pair.remote, packet.pair.local};
  return Violation{
      "S1", "sent on an SA its receiver lacks: " + rekey::rx_name(names_of(receiver), kPeer, pair)};
}

std::optional<Violation> check_start(const Scenario& scenario, const World& world,
                                     std::size_t sender, std::optional<SaPairId> next) {
  const Device& d = world.device[sender];
  if (!next) return std::nullopt;
  if (next->local < d.proven_floor) return Violation{"Start", "returns to an older generation"};
  const auto status = d.core.peer_status(kPeer);
  if (!status || !status->live.empty()) return std::nullopt;
  if (next->local < d.choice_floor) return Violation{"Start", "tries an older generation again"};
  if (d.told_delivered && *d.told_delivered < next->local &&
      contains(d.outbound, SaPairId{*d.told_delivered, next->remote})) {
    return Violation{"Start", "passes over the generation that the peer is known to have"};
  }
  if (d.choice) return std::nullopt;
  if (d.told_delivered && !(*d.told_delivered < next->local)) return std::nullopt;
  const Duration waited = world.now - d.could_start_at.value_or(world.now);
  if (waited >= scenario.params.start_hold) return std::nullopt;
  return Violation{"Start", "transmits at once, although the peer may not have our DIM"};
}

std::optional<Violation> check_lifetimes(const Scenario& scenario, const World& world) {
  for (const Device& d : world.device) {
    if (d.removed_peer && !(d.inbound.empty() && d.outbound.empty() && d.installing.empty())) {
      return Violation{"removal", "keeps SAs with a removed peer"};
    }
    if (!scenario.lifetimes) continue;
    const auto deadline = d.core.next_deadline();
    if (deadline && *deadline <= world.now) continue;
    const auto status = d.core.peer_status(kPeer);
    if (!status) continue;
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
  }
  return std::nullopt;
}

std::optional<Violation> check_s2_install(const Device& device, SaPairId pair) {
  if (contains(device.ever_installed, pair)) {
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
  for (std::size_t i = 0; i < kDevices; ++i) {
    std::size_t pairs = world.device[i].inbound.size() + world.device[i].installing.size();
    if (pairs > scenario.pairs_expected_max) {
      return Violation{"S3", std::to_string(pairs) + " SA pairs towards one peer"};
    }
    if (world.device[i].privates.size() + world.device[i].drawing.size() > 2) {
      return Violation{"S3", "more than two private values"};
    }
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

std::optional<Violation> check_retry(const Device& device, const rekey::PeerStatus& before,
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
          return install != nullptr && install->pair == pair.id;
        });
    if (pending && !asked) {
      return Violation{"Take-over", "a pending DIM is not tried again with a new generation"};
    }
  }
  return std::nullopt;
}

std::optional<Violation> check_s4(const Scenario& scenario, const World& world) {
  for (const Device& device : world.device) {
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
      const bool used = std::any_of(device.inbound.begin(), device.inbound.end(),
                                    [&](const SaPairId& p) { return p.local == counter; }) ||
                        std::any_of(device.installing.begin(), device.installing.end(),
                                    [&](const SaPairId& p) { return p.local == counter; });
      if (superseded && !used) return Violation{"S4", "a private value is kept that nobody needs"};
    }
  }
  return std::nullopt;
}

std::optional<Violation> check_s5(const World& world) {
  for (const Device& device : world.device) {
    const auto status = device.core.peer_status(kPeer);
    if (!status || !status->present || !status->last_accepted) continue;
    const RekeyCounter last = *status->last_accepted;
    const RekeyCounter older = RekeyCounter::from_wire(last.to_wire() - 1);
    for (const rekey::PeerDim& dim :
         {rekey::PeerDim{kPeer, older, false, world.now},
          rekey::PeerDim{kPeer, RekeyCounter(last.boot_count(), last.sequence() + 1), true,
                         world.now}}) {
      rekey::RekeyCore core = device.core;
      const auto effects = core.handle(dim, world.now);
      if (!effects.rejected || !(core == device.core)) {
        return Violation{"S5", "a stale or impossible DIM changed something"};
      }
    }
  }
  return std::nullopt;
}

std::optional<Violation> check_s6(const Device& device, RekeyCounter counter) {
  const auto status = device.core.peer_status(kPeer);
  if (!status || !status->present) return std::nullopt;
  for (const auto& pair : status->pairs) {
    if (pair.id.local != counter) continue;
    const bool promised =
        pair.state != rekey::PairState::kNoProposal && pair.state != rekey::PairState::kSpent;
    if (promised && !contains(device.inbound, pair.id)) {
      return Violation{"S6", "published before an inbound SA it promises is installed"};
    }
  }
  for (const auto& remote : status->remotes) {
    const bool there =
        std::any_of(status->pairs.begin(), status->pairs.end(), [&](const rekey::PairStatus& p) {
          return p.id == SaPairId{counter, remote.counter};
        });
    if (!there) return Violation{"S6", "published without a pair for a known DIM of the peer"};
  }
  return std::nullopt;
}

bool is_settled(const World& world) {
  std::array<RekeyCounter, kDevices> newest;
  for (std::size_t i = 0; i < kDevices; ++i) {
    const Device& d = world.device[i];
    const auto& own = d.core.generations();
    if (own.size() != 1 || d.core.rekey_wanted() || !d.attached) return false;
    if (own[0].phase != rekey::GenerationPhase::kAccepted) return false;
    if (d.privates.size() != 1 || d.inbound.size() != 1 || d.outbound.size() != 1) return false;
    newest[i] = own[0].counter;
  }
  for (std::size_t i = 0; i < kDevices; ++i) {
    const SaPairId pair{newest[i], newest[1 - i]};
    if (world.device[i].choice != pair || world.device[i].inbound[0] != pair) return false;
  }
  return true;
}

bool keeps_nothing_old(const Scenario& scenario, const World& world) {
  for (const Device& d : world.device) {
    const auto& own = d.core.generations();
    if (own.size() != 1 || d.privates.size() != 1 || d.inbound.size() > 1) return false;
    const auto status = d.core.peer_status(kPeer);
    if (!status || !status->dormant) return false;
    for (const SaPairId& pair : d.inbound) {
      if (pair.local != own[0].counter || pair.remote != status->newest) return false;
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
  for (std::size_t i = 0; i < kDevices; ++i) {
    const auto& choice = world.device[i].choice;
    if (!choice) return false;
    if (!contains(world.device[1 - i].inbound, SaPairId{choice->remote, choice->local})) {
      return false;
    }
  }
  return true;
}

std::optional<Violation> check_state(const Scenario& scenario, const World& world) {
  if (auto broken = check_s3(scenario, world)) return broken;
  if (auto broken = check_lifetimes(scenario, world)) return broken;
  return check_s4(scenario, world);
}

}  // namespace cygnet::explore
