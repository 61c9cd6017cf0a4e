// SPDX-License-Identifier: Apache-2.0
#include "world.h"

#include <algorithm>
#include <type_traits>

#include "checkers.h"
#include "cygnet/base/assert.h"
#include "world_parts.h"

namespace cygnet::explore {
namespace {

RekeyCounter newest_published(const Device& device, bool& any) {
  RekeyCounter newest;
  any = false;
  for (const auto& own : device.core.device_status().generations) {
    if (own.phase < rekey::GenerationPhase::kPublishing) continue;
    newest = own.counter;
    any = true;
  }
  return newest;
}

}  // namespace

World::World(const Scenario& scenario)
    : rekeys(scenario.rekeys),
      restarts(scenario.restarts),
      detaches(scenario.detaches),
      removals(scenario.removals),
      flushes(scenario.flushes),
      rollbacks(scenario.rollbacks),
      install_failures(scenario.install_failures),
      now(Timestamp(std::chrono::hours(1000))) {
  for (std::size_t i = 0; i < kDevices; ++i) {
    device[i].core = rekey::RekeyCore(scenario.params);
    const auto broken = feed(scenario, i, rekey::Start{1, 0, true}, nullptr);
    CYGNET_ASSERT(!broken);
    CYGNET_ASSERT(!feed(scenario, i, rekey::PeerAdded{kPeer, std::nullopt}, nullptr));
    CYGNET_ASSERT(!attach(scenario, i, nullptr));
  }
  if (!scenario.start_settled) {
    plant(scenario);
    return;
  }
  // Let everything happen in order until nothing but time is left and both are settled.
  for (int steps = 0; !is_settled(*this) || wire[0].size() + wire[1].size() > 0; ++steps) {
    CYGNET_ASSERT(steps < 1000);
    const auto possible = actions(scenario);
    const auto next = std::find_if(possible.begin(), possible.end(), [&](const Action& a) {
      return !is_inflicted(a.act) && !(a.act == Act::kSend && is_settled(*this));
    });
    CYGNET_ASSERT(next != possible.end());
    CYGNET_ASSERT(!apply(scenario, *next));
  }
  plant(scenario);
}

void World::plant(const Scenario& scenario) {
  for (std::size_t i = 0; i < kDevices; ++i) {
    if (!scenario.planted[i]) continue;
    (void)device[i].core.handle(rekey::SettingsChanged{*scenario.planted[i]}, now);
  }
}

std::vector<Action> World::actions(const Scenario& scenario) const {
  std::vector<Action> all;
  for (std::uint8_t i = 0; i < kDevices; ++i) {
    const Device& d = device[i];
    const auto at = [i](Act act, std::size_t index = 0) {
      return Action{act, i, static_cast<std::uint8_t>(index)};
    };
    for (std::size_t k = 0; k < d.drawing.size(); ++k) all.push_back(at(Act::kDrawn, k));
    for (std::size_t k = 0; k < d.installing.size(); ++k) {
      all.push_back(at(Act::kInstalled, k));
      if (install_failures > 0) all.push_back(at(Act::kInstallFails, k));
    }
    if (d.attached) {
      if (d.publishing) all.push_back(at(Act::kDurable));
      if (d.result) all.push_back(at(Act::kResult));
      if (dim_waits(i)) all.push_back(at(Act::kDim));
      if (mark_waits(i)) all.push_back(at(Act::kMark));
      if (detaches[i] > 0) all.push_back(at(Act::kDetach));
    } else {
      all.push_back(at(Act::kAttach));
    }
    for (std::size_t k = 0; k < wire[i].size(); ++k) {
      all.push_back(at(Act::kDeliver, k));
      if (lost_in_row[i] < scenario.losses_in_row) all.push_back(at(Act::kLose, k));
      if (scenario.duplication && !wire[i][k].copy) all.push_back(at(Act::kDuplicate, k));
    }
    if (scenario.user_traffic[i] && d.choice && wire[1 - i].size() < scenario.wire_capacity) {
      all.push_back(at(Act::kSend));
    }
    if (rekeys[i] > 0) all.push_back(at(Act::kRekey));
    if (restarts[i] > 0) all.push_back(at(Act::kRestart));
    if (rollbacks[i] > 0) all.push_back(at(Act::kRollback));
    if (removals[i] > 0 && !d.removed_peer) all.push_back(at(Act::kRemove));
    if (d.removed_peer) all.push_back(at(Act::kReturn));
    if (flushes[i] > 0 && !d.inbound.empty()) {
      for (std::size_t k = 0; k < d.inbound.size(); ++k) all.push_back(at(Act::kFlush, k));
    }
  }
  if (next_time(scenario)) all.push_back(Action{Act::kTime, 0, 0});
  return all;
}

bool World::dim_waits(std::size_t i) const {
  const auto& stored = controller.stored[1 - i];
  const Device& d = device[i];
  return stored && !d.removed_peer && (!d.seen || *d.seen < stored->counter);
}

bool World::mark_waits(std::size_t i) const {
  const auto& mine = controller.stored[i];
  const Device& d = device[i];
  if (!mine || d.result) return false;
  if (controller.acknowledged[i] == mine->counter) return d.marked != mine->counter;
  return !device[1 - i].attached && d.marked_unattached != mine->counter;
}

// Time does not pass over a packet in flight: a drain is longer than any packet lives.
std::optional<Timestamp> World::next_time(const Scenario& scenario) const {
  if (!wire[0].empty() || !wire[1].empty()) return std::nullopt;
  if (!scenario.time_any_time) {
    for (std::size_t i = 0; i < kDevices; ++i) {
      if (!device[i].installing.empty() || !device[i].drawing.empty()) return std::nullopt;
      if (!device[i].attached) continue;
      if (device[i].publishing || device[i].result || dim_waits(i) || mark_waits(i)) {
        return std::nullopt;
      }
    }
  }
  std::optional<Timestamp> next;
  for (const Device& d : device) {
    const auto deadline = d.core.next_deadline();
    if (deadline && (!next || *deadline < *next)) next = deadline;
  }
  if (next && scenario.jump_max != Duration(0) && *next > now + scenario.jump_max) {
    return std::nullopt;
  }
  return next;
}

std::optional<Violation> World::apply(const Scenario& scenario, const Action& action,
                                      std::string* story) {
  const std::size_t i = action.device;
  Device& d = device[i];
  switch (action.act) {
    case Act::kRekey:
      --rekeys[i];
      return feed(scenario, i, rekey::RekeyRequired{rekey::RekeyCause::kCommand}, story);
    case Act::kDrawn: {
      const RekeyCounter counter = d.drawing[action.index];
      d.drawing.erase(d.drawing.begin() + action.index);
      put(d.privates, counter);
      return feed(scenario, i, rekey::GenerationReady{counter, 1U << 31}, story);
    }
    case Act::kInstalled: {
      const SaPairId pair = d.installing[action.index];
      d.installing.erase(d.installing.begin() + action.index);
      put(d.inbound, pair);
      put(d.outbound, pair);
      if (scenario.lazy) put(d.underived, pair);
      return feed(scenario, i, rekey::SaPairInstalled{kPeer, pair}, story);
    }
    case Act::kInstallFails: {
      --install_failures;
      const SaPairId pair = d.installing[action.index];
      d.installing.erase(d.installing.begin() + action.index);
      take(d.ever_installed, pair);
      return feed(scenario, i, rekey::SaPairFailed{kPeer, pair, rekey::InstallFailure::kCollision},
                  story);
    }
    case Act::kDurable: {
      const Published sent = *d.publishing;
      d.publishing.reset();
      auto& stored = controller.stored[i];
      if (!stored || stored->counter < sent.counter) {
        stored = sent;
        stored->accepted_at = now;
        tell(story, "the controller stores " + rekey::name_of(generation_letter(i), sent.counter));
      } else if (stored->counter == sent.counter && stored->incarnation != sent.incarnation) {
        return Violation{"S2", "two different DIMs under one counter"};
      }
      d.result = stored;
      d.result->refused = sent.counter < stored->counter;
      if (scenario.slow_results) return std::nullopt;
      return apply(scenario, Action{Act::kResult, action.device, 0}, story);
    }
    case Act::kResult: {
      const Published result = *d.result;
      d.result.reset();
      if (result.refused) {
        bool any = false;
        const RekeyCounter mine = newest_published(d, any);
        return feed(scenario, i,
                    rekey::PublishRefused{mine, rekey::PublishRefusal::kStale, result.counter},
                    story);
      }
      return feed(scenario, i, rekey::PublishAccepted{result.counter, result.accepted_at}, story);
    }
    case Act::kDim: {
      const Published& dim = *controller.stored[1 - i];
      d.seen = dim.counter;
      if (d.disk_last_accepted && d.disk_last_accepted->boot_count() < dim.counter.boot_count()) {
        d.told_delivered.reset();
        d.choice_floor = d.proven_floor = RekeyCounter();
      }
      if (!d.disk_last_accepted || *d.disk_last_accepted < dim.counter) {
        d.disk_last_accepted = dim.counter;
      }
      return feed(scenario, i,
                  rekey::PeerDim{kPeer, dim.counter, dim.initial_contact, dim.accepted_at}, story);
    }
    case Act::kMark: {
      const RekeyCounter counter = controller.stored[i]->counter;
      rekey::DeliveryMark mark{counter, {}, 0, 0};
      if (controller.acknowledged[i] == counter) {
        mark.acknowledged = {kPeer};
        d.marked = counter;
        d.told_delivered = counter;
      } else {
        mark.unattached_missing = 1;
        d.marked_unattached = counter;
      }
      return feed(scenario, i, mark, story);
    }
    case Act::kSend:
      if (auto broken = send(scenario, i, *d.choice, PacketKind::kUser, story)) return broken;
      if (!scenario.dormancy) return std::nullopt;
      return feed(scenario, i, rekey::UserTraffic{kPeer}, story);
    case Act::kDeliver:
      return deliver(scenario, i, action.index, story);
    case Act::kLose:
      ++lost_in_row[i];
      wire[i].erase(wire[i].begin() + action.index);
      return std::nullopt;
    case Act::kDuplicate:
      wire[i][action.index].copy = true;  // this one stays behind, its original arrives
      {
        Packet original = wire[i][action.index];
        original.copy = false;
        wire[i].push_back(original);
        return deliver(scenario, i, wire[i].size() - 1, story);
      }
    case Act::kDetach:
      --detaches[i];
      d.attached = false;
      d.publishing.reset();
      d.result.reset();
      return feed(scenario, i, rekey::LinkDown{}, story);
    case Act::kAttach:
      return attach(scenario, i, story);
    case Act::kRestart:
    case Act::kRollback: {
      const bool restored = action.act == Act::kRollback;
      restored ? --rollbacks[i] : --restarts[i];
      const bool removed = d.removed_peer;
      const auto disk = restored ? std::nullopt : d.disk_last_accepted;
      const std::uint32_t boot = restored ? d.boot_count : d.boot_count + 1;
      const auto incarnation = static_cast<std::uint8_t>(d.incarnation + (restored ? 1 : 0));
      d = Device();
      d.core = rekey::RekeyCore(scenario.planted[i].value_or(scenario.params));
      d.removed_peer = removed;
      d.boot_count = boot;
      d.incarnation = incarnation;
      d.disk_last_accepted = disk;
      d.told_from = RekeyCounter(boot, 1);
      if (restored) d.told_from = RekeyCounter(boot + 1, 1);
      controller.acknowledged[1 - i].reset();
      device[1 - i].marked.reset();
      for (Packet& packet : wire[1 - i]) packet.excused = true;  // its sender is gone
      if (auto broken = feed(scenario, i, rekey::Start{boot, 0, true}, story)) return broken;
      if (removed) return std::nullopt;
      return feed(scenario, i, rekey::PeerAdded{kPeer, disk}, story);
    }
    case Act::kRemove:
      --removals[i];
      d.removed_peer = true;
      d.told_delivered.reset();
      d.returned_from = RekeyCounter(d.highest_drawn.boot_count(), d.highest_drawn.sequence() + 1);
      controller.acknowledged[1 - i].reset();
      device[1 - i].marked.reset();
      return feed(scenario, i, rekey::PeerRemoved{kPeer}, story);
    case Act::kReturn:
      d.removed_peer = false;
      d.seen.reset();
      return feed(scenario, i, rekey::PeerAdded{kPeer, d.disk_last_accepted}, story);
    case Act::kFlush: {
      --flushes[i];
      const SaPairId pair = d.inbound[action.index];
      take(d.inbound, pair);
      take(d.outbound, pair);
      d.told_from = RekeyCounter(d.highest_drawn.boot_count(), d.highest_drawn.sequence() + 1);
      return feed(scenario, i, rekey::SaPairLost{kPeer, pair}, story);
    }
    case Act::kTime: {
      now = *next_time(scenario);
      for (std::size_t k = 0; k < kDevices; ++k) {
        const auto deadline = device[k].core.next_deadline();
        if (!deadline || *deadline > now) continue;
        const auto kept = device[k].inbound;
        if (auto broken = feed(scenario, k, rekey::TimePassed{}, story)) return broken;
        excuse_dormant(k, kept);
        const auto next = device[k].core.next_deadline();
        if (next && *next <= now) return Violation{"time", "a deadline passed and stays due"};
      }
      return std::nullopt;
    }
  }
  return std::nullopt;
}

// "Documented limit: while its peer has lost the controller, [a dormant pair] is dark until that
// returns": what it forgot at the cap, a peer that has not its newest DIM may still send on.
void World::excuse_dormant(std::size_t i, const std::vector<SaPairId>& kept) {
  Device& d = device[i];
  const auto status = d.core.peer_status(kPeer);
  if (!status || !status->dormant) return;
  for (const auto& own : d.core.generations()) {
    if (own.phase != rekey::GenerationPhase::kAccepted) continue;
    const bool forgot = std::any_of(kept.begin(), kept.end(), [&](const SaPairId& pair) {
      return pair.local < own.counter && !contains(d.inbound, pair);
    });
    if (forgot) d.told_from = std::max(d.told_from, own.counter);
  }
}

std::optional<Violation> World::attach(const Scenario& scenario, std::size_t i,
                                       std::string* story) {
  Device& d = device[i];
  d.attached = true;
  d.seen.reset();
  d.marked.reset();
  d.marked_unattached.reset();
  if (auto broken = feed(scenario, i, rekey::LinkUp{}, story)) return broken;
  rekey::OwnDimReported own;
  const auto& stored = controller.stored[i];
  if (stored) {
    own.stored = stored->counter;
    own.accepted_at = stored->accepted_at;
    const auto status = d.core.device_status();
    const bool ours =
        stored->incarnation == d.incarnation &&
        std::any_of(status.generations.begin(), status.generations.end(), [&](const auto& g) {
          return g.counter == stored->counter && g.phase >= rekey::GenerationPhase::kPublishing;
        });
    const RekeyCounter newest(status.boot_count, status.last_sequence);
    if (ours) {
      own.verdict = rekey::OwnDimVerdict::kSame;
    } else if (newest < stored->counter || stored->counter == newest ||
               stored->incarnation != d.incarnation) {
      own.verdict = rekey::OwnDimVerdict::kStoredNewer;
    } else {
      own.verdict = rekey::OwnDimVerdict::kDeviceNewer;
    }
  }
  return feed(scenario, i, own, story);
}

bool World::derive(std::size_t i, SaPairId pair) {
  take(device[i].underived, pair);
  return !contains(device[i].dead, pair);
}

std::optional<Violation> World::send(const Scenario& scenario, std::size_t i, SaPairId pair,
                                     PacketKind kind, std::string* story) {
  const std::size_t to = 1 - i;
  Packet packet;
  packet.pair = pair;
  packet.kind = kind;
  const auto status = device[i].core.peer_status(kPeer);
  packet.nothing_live = !status || status->live.empty();
  if (status && status->newest_complete) packet.known = *status->newest_complete;
  if (status && status->heard) packet.heard = *status->heard;
  if (!contains(device[i].outbound, pair)) {
    tell(story, "!! " + device_letter(i) + " has no " + rekey::tx_name(names_of(i), kPeer, pair));
  }
  tell(story, device_letter(i) + " sends on " + rekey::tx_name(names_of(i), kPeer, pair) +
                  (wire[to].size() < scenario.wire_capacity ? "" : " (lost, the wire is full)"));
  if (!derive(i, pair)) {
    return Violation{"S1", "chooses an SA whose keys cannot be derived any more"};
  }
  if (scenario.learns_endpoint[i] && !device[i].endpoint_learned) {
    tell(story, "   (it does not know where to)");
    return std::nullopt;
  }
  if (wire[to].size() < scenario.wire_capacity) wire[to].push_back(packet);
  return std::nullopt;
}

std::optional<Violation> World::deliver(const Scenario& scenario, std::size_t i, std::size_t index,
                                        std::string* story) {
  const Packet packet = wire[i][index];
  wire[i].erase(wire[i].begin() + static_cast<std::ptrdiff_t>(index));
  lost_in_row[i] = 0;
  const SaPairId pair{packet.pair.remote, packet.pair.local};  // as the receiver names it
  const std::string name = rekey::rx_name(names_of(i), kPeer, pair);
  if (!contains(device[i].inbound, pair) || !derive(i, pair)) {
    tell(story, device_letter(i) + " lacks " + name + ": dropped");
    return check_s1(scenario, *this, i, packet);
  }
  device[i].endpoint_learned = scenario.learns_endpoint[i];
  if (packet.copy) {
    tell(story, device_letter(i) + " gets a copy on " + name + ": replay window");
    return std::nullopt;
  }
  tell(story, device_letter(i) + " receives on " + name);
  if (packet.kind == PacketKind::kRequest) {
    return feed(scenario, i, rekey::ProbeRequested{kPeer, pair}, story);
  }
  const bool user = packet.kind == PacketKind::kUser && scenario.dormancy;
  return feed(
      scenario, i,
      rekey::InboundEvidence{kPeer, pair, user ? rekey::Evidence::kUser : rekey::Evidence::kProbe},
      story);
}

std::optional<Violation> World::feed(const Scenario& scenario, std::size_t i,
                                     const rekey::Event& event, std::string* story) {
  if (scenario.unheard_of && scenario.unheard_of(event)) return std::nullopt;
  const auto before = device[i].core.peer_status(kPeer);
  const rekey::Effects effects = device[i].core.handle(event, now);
  if (before && std::holds_alternative<rekey::GenerationReady>(event)) {
    if (auto broken = check_retry(device[i], *before, effects)) return broken;
  }
  if (effects.rejected) {
    tell(story, device_letter(i) + ": refused, " + std::string(to_string(*effects.rejected)));
  }
  for (const rekey::Effect& effect : effects.list) {
    if (auto broken = carry_out(scenario, i, effect, story)) return broken;
  }
  Device& d = device[i];
  if (d.choice) {
    // Start may try a generation that the peer has not; it counts once the peer is known to have
    // it.
    const auto status = d.core.peer_status(kPeer);
    const bool live = status && contains(status->live, d.choice->local);
    if (live || (d.told_delivered && !(*d.told_delivered < d.choice->local))) {
      d.proven_floor = std::max(d.proven_floor, d.choice->local);
    }
  }
  if (d.choice || d.outbound.empty()) {
    d.could_start_at.reset();
  } else if (!d.could_start_at) {
    d.could_start_at = now;
  }
  // Answers that come at once.
  while (!answers_[i].empty()) {
    const rekey::Event next = answers_[i].front();
    answers_[i].erase(answers_[i].begin());
    if (auto broken = feed(scenario, i, next, story)) return broken;
  }
  return std::nullopt;
}

std::optional<Violation> World::carry_out(const Scenario& scenario, std::size_t i,
                                          const rekey::Effect& effect, std::string* story) {
  Device& d = device[i];
  if (story != nullptr) {
    std::string line = to_text(effect, names_of(i));
    line.pop_back();
    tell(story, device_letter(i) + ": " + line);
  }
  return std::visit(
      [&](const auto& e) -> std::optional<Violation> {
        using T = std::decay_t<decltype(e)>;
        if constexpr (std::is_same_v<T, rekey::StoreBootCount>) {
          d.boot_count = e.boot_count;
          d.choice_floor = d.proven_floor = RekeyCounter();
        } else if constexpr (std::is_same_v<T, rekey::GenerateDhPair>) {
          if (auto broken = check_s2_draw(d, e.counter)) return broken;
          d.highest_drawn = e.counter;
          if (scenario.slow_draws) {
            d.drawing.push_back(e.counter);
          } else {
            put(d.privates, e.counter);
            answers_[i].push_back(rekey::GenerationReady{e.counter, 1U << 31});
          }
        } else if constexpr (std::is_same_v<T, rekey::InstallSaPair>) {
          if (auto broken = check_s2_install(d, e.pair)) return broken;
          put(d.ever_installed, e.pair);
          if (scenario.slow_installs) {
            put(d.installing, e.pair);
          } else {
            put(d.inbound, e.pair);
            put(d.outbound, e.pair);
            if (scenario.lazy) put(d.underived, e.pair);
            answers_[i].push_back(rekey::SaPairInstalled{kPeer, e.pair});
          }
        } else if constexpr (std::is_same_v<T, rekey::ChooseOutbound>) {
          if (auto broken = check_start(scenario, *this, i, e.pair)) return broken;
          d.choice = e.pair;
          if (e.pair) d.choice_floor = std::max(d.choice_floor, e.pair->local);
          if (e.pair && !contains(d.outbound, *e.pair)) {
            return Violation{"S1", "chooses an outbound SA it does not have"};
          }
        } else if constexpr (std::is_same_v<T, rekey::RemoveOutbound>) {
          take(d.outbound, e.pair);
          take(d.installing, e.pair);
          if (d.choice == e.pair) return Violation{"S1", "removes the outbound SA it sends on"};
        } else if constexpr (std::is_same_v<T, rekey::RemoveInbound>) {
          take(d.inbound, e.pair);
          take(d.underived, e.pair);
          take(d.dead, e.pair);
          take(d.installing, e.pair);
          // An answer already on its way is not given any more.
          std::erase_if(answers_[i], [&](const rekey::Event& event) {
            const auto* installed = std::get_if<rekey::SaPairInstalled>(&event);
            return installed != nullptr && installed->pair == e.pair;
          });
        } else if constexpr (std::is_same_v<T, rekey::PublishGeneration>) {
          if (auto broken = check_s6(d, e.counter)) return broken;
          if (d.attached) {
            d.publishing = Published{e.counter, e.initial_contact, d.incarnation, now, false};
          }
        } else if constexpr (std::is_same_v<T, rekey::EraseDhPair>) {
          if (auto broken = check_s4_erase(*this, i, e.counter)) return broken;
          take(d.privates, e.counter);
          std::erase_if(d.underived, [&](const SaPairId& pair) {
            if (pair.local != e.counter) return false;
            put(d.dead, pair);
            return true;
          });
          std::erase_if(d.ever_installed,
                        [&](const SaPairId& pair) { return pair.local == e.counter; });
        } else if constexpr (std::is_same_v<T, rekey::DeriveNow>) {
          derive(i, e.pair);
        } else if constexpr (std::is_same_v<T, rekey::SendProbe>) {
          return send(scenario, i, e.pair, PacketKind::kRequest, story);
        } else if constexpr (std::is_same_v<T, rekey::AnswerProbe>) {
          return send(scenario, i, e.pair, PacketKind::kReply, story);
        } else if constexpr (std::is_same_v<T, rekey::AcknowledgeDim>) {
          if (d.attached && e.outcome == rekey::DimOutcome::kInstalled) {
            controller.acknowledged[1 - i] = e.counter;
          }
        }
        return std::nullopt;
      },
      effect);
}

}  // namespace cygnet::explore
