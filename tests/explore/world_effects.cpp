// SPDX-License-Identifier: Apache-2.0

/// A World's drivers: what a device's machine is told, what it asks for, and the packets.

#include <algorithm>
#include <type_traits>

#include "checkers.h"
#include "world.h"
#include "world_parts.h"

namespace cygnet::explore {

bool World::derive(std::size_t i, std::size_t k, SaPairId pair) {
  take(towards(i, k).underived, pair);
  return !contains(towards(i, k).dead, pair);
}

World::Broken World::send(const Scenario& scenario, std::size_t i, std::size_t k, SaPairId pair,
                          PacketKind kind, std::string* story) {
  const Towards& t = towards(i, k);
  auto& there = wire[k][i];
  const bool room = scenario.wire_capacity == 0 || there.size() < scenario.wire_capacity;
  Packet packet;
  packet.pair = pair;
  packet.kind = kind;
  const auto status = device[i].core.peer_status(peer_id(k));
  packet.nothing_live = !status || status->live.empty();
  if (status && status->newest_complete) packet.known = *status->newest_complete;
  if (status && status->heard) packet.heard = *status->heard;
  if (story != nullptr) {
    const std::string name = rekey::tx_name(names_of(i), peer_id(k), pair);
    if (!contains(t.outbound, pair)) tell(story, "!! " + device_letter(i) + " has no " + name);
    tell(story, device_letter(i) + " sends on " + name + (room ? "" : " (lost, the wire is full)"));
  }
  if (!derive(i, k, pair)) {
    return Violation{"S1", "chooses an SA whose keys cannot be derived any more"};
  }
  if (scenario.learns_endpoint[i] && !t.endpoint_learned) {
    tell(story, "   (it does not know where to)");
    return std::nullopt;
  }
  if (room) there.push_back(packet);
  return std::nullopt;
}

World::Broken World::deliver(const Scenario& scenario, std::size_t i, std::size_t k,
                             std::size_t index, std::string* story) {
  const Packet packet = wire[i][k][index];
  wire[i][k].erase(wire[i][k].begin() + static_cast<std::ptrdiff_t>(index));
  lost_in_row[i][k] = 0;
  Towards& t = towards(i, k);
  const SaPairId pair{packet.pair.remote, packet.pair.local};  // as the receiver names it
  const auto say = [&](const char* before, const char* after) {
    if (story == nullptr) return;
    tell(story, device_letter(i) + before + rekey::rx_name(names_of(i), peer_id(k), pair) + after);
  };
  if (!contains(t.inbound, pair) || !derive(i, k, pair)) {
    say(" lacks ", ": dropped");
    return check_s1(*this, i, k, packet);
  }
  t.endpoint_learned = scenario.learns_endpoint[i];
  if (packet.copy) {
    say(" gets a copy on ", ": replay window");
    return std::nullopt;
  }
  say(" receives on ", "");
  if (packet.kind == PacketKind::kRequest) {
    return feed(scenario, i, rekey::ProbeRequested{peer_id(k), pair}, story);
  }
  const bool user = packet.kind == PacketKind::kUser && scenario.dormancy;
  const auto kind = user ? rekey::Evidence::kUser : rekey::Evidence::kProbe;
  return feed(scenario, i, rekey::InboundEvidence{peer_id(k), pair, kind}, story);
}

World::Broken World::feed(const Scenario& scenario, std::size_t i, const rekey::Event& event,
                          std::string* story) {
  if (scenario.unheard_of && scenario.unheard_of(event)) return std::nullopt;
  Device& d = device[i];
  const bool ready = std::holds_alternative<rekey::GenerationReady>(event);
  PerDevice<std::optional<rekey::PeerStatus>> before;
  for (std::size_t k = 0; k < devices && ready; ++k) {
    if (linked(i, k)) before[k] = d.core.peer_status(peer_id(k));
  }
  const rekey::Effects effects = d.core.handle(event, now);
  for (std::size_t k = 0; k < devices; ++k) {
    if (!before[k]) continue;
    if (auto broken = check_retry(d, k, *before[k], effects)) return broken;
  }
  if (effects.rejected) {
    tell(story, device_letter(i) + ": refused, " + std::string(to_string(*effects.rejected)));
  }
  if (auto broken = check_effects(*this, i, event, effects)) return broken;
  for (const rekey::Effect& effect : effects.list) {
    if (auto broken = carry_out(scenario, i, effect, story)) return broken;
  }
  for (std::size_t k = 0; k < devices; ++k) {
    if (linked(i, k)) note_floors(i, k);
  }
  // Answers that come at once.
  while (!answers_[i].empty()) {
    const rekey::Event next = answers_[i].front();
    answers_[i].erase(answers_[i].begin());
    if (auto broken = feed(scenario, i, next, story)) return broken;
  }
  return std::nullopt;
}

// Start may try a generation that the peer has not; it counts once the peer is known to have it.
void World::note_floors(std::size_t i, std::size_t k) {
  Towards& t = towards(i, k);
  if (t.choice && t.proven_floor < t.choice->local) {
    const RekeyCounter chosen = t.choice->local;
    const auto status = device[i].core.peer_status(peer_id(k));
    const bool live = status && contains(status->live, chosen);
    if (live || (t.told_delivered && !(*t.told_delivered < chosen))) t.proven_floor = chosen;
  }
  if (t.choice || t.outbound.empty()) {
    t.could_start_at.reset();
  } else if (!t.could_start_at) {
    t.could_start_at = now;
  }
}

World::Broken World::carry_out(const Scenario& scenario, std::size_t i, const rekey::Effect& effect,
                               std::string* story) {
  Device& d = device[i];
  if (story != nullptr) {
    std::string line = to_text(effect, names_of(i));
    line.pop_back();
    tell(story, device_letter(i) + ": " + line);
  }
  return std::visit(
      [&](const auto& e) -> Broken {
        using T = std::decay_t<decltype(e)>;
        if constexpr (std::is_same_v<T, rekey::StoreBootCount>) {
          d.boot_count = e.boot_count;
          for (Towards& t : d.towards) t.choice_floor = t.proven_floor = RekeyCounter();
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
          Towards& t = d.towards[device_of(e.peer)];
          if (auto broken = check_s2_install(d, t, e.pair)) return broken;
          put(t.ever_installed, e.pair);
          if (scenario.slow_installs && !scenario.at_once[i]) {
            put(t.installing, e.pair);
          } else {
            put(t.inbound, e.pair);
            put(t.outbound, e.pair);
            if (scenario.lazy) put(t.underived, e.pair);
            answers_[i].push_back(rekey::SaPairInstalled{e.peer, e.pair});
          }
        } else if constexpr (std::is_same_v<T, rekey::ChooseOutbound>) {
          const std::size_t k = device_of(e.peer);
          Towards& t = d.towards[k];
          if (auto broken = check_start(scenario, *this, i, k, e.pair)) return broken;
          t.choice = e.pair;
          if (e.pair) t.choice_floor = std::max(t.choice_floor, e.pair->local);
          if (e.pair && !contains(t.outbound, *e.pair)) {
            return Violation{"S1", "chooses an outbound SA it does not have"};
          }
        } else if constexpr (std::is_same_v<T, rekey::RemoveOutbound>) {
          Towards& t = d.towards[device_of(e.peer)];
          take(t.outbound, e.pair);
          take(t.installing, e.pair);
          if (t.choice == e.pair) return Violation{"S1", "removes the outbound SA it sends on"};
        } else if constexpr (std::is_same_v<T, rekey::RemoveInbound>) {
          Towards& t = d.towards[device_of(e.peer)];
          take(t.inbound, e.pair);
          take(t.underived, e.pair);
          take(t.dead, e.pair);
          take(t.installing, e.pair);
          // An answer already on its way is not given any more.
          std::erase_if(answers_[i], [&](const rekey::Event& event) {
            const auto* installed = std::get_if<rekey::SaPairInstalled>(&event);
            return installed != nullptr && installed->peer == e.peer && installed->pair == e.pair;
          });
        } else if constexpr (std::is_same_v<T, rekey::PublishGeneration>) {
          if (auto broken = check_s6(*this, i, e.counter)) return broken;
          d.highest_published = std::max(d.highest_published, e.counter);
          if (d.attached) {
            d.publishing = Published{e.counter, e.initial_contact, d.incarnation, now, false};
          }
        } else if constexpr (std::is_same_v<T, rekey::EraseDhPair>) {
          if (auto broken = check_s4_erase(*this, i, e.counter)) return broken;
          take(d.privates, e.counter);
          for (Towards& t : d.towards) {
            std::erase_if(t.underived, [&](const SaPairId& pair) {
              if (pair.local != e.counter) return false;
              put(t.dead, pair);
              return true;
            });
            std::erase_if(t.ever_installed,
                          [&](const SaPairId& pair) { return pair.local == e.counter; });
          }
        } else if constexpr (std::is_same_v<T, rekey::DeriveNow>) {
          derive(i, device_of(e.peer), e.pair);
        } else if constexpr (std::is_same_v<T, rekey::SendProbe>) {
          return send(scenario, i, device_of(e.peer), e.pair, PacketKind::kRequest, story);
        } else if constexpr (std::is_same_v<T, rekey::AnswerProbe>) {
          return send(scenario, i, device_of(e.peer), e.pair, PacketKind::kReply, story);
        } else if constexpr (std::is_same_v<T, rekey::AcknowledgeDim>) {
          // An older one that is complete at last takes nothing back: acknowledgements are a
          // cursor.
          auto& acknowledged = controller.acknowledged[device_of(e.peer)][i];
          if (d.attached && e.outcome == rekey::DimOutcome::kInstalled &&
              (!acknowledged || *acknowledged < e.counter)) {
            acknowledged = e.counter;
          }
        }
        return std::nullopt;
      },
      effect);
}

}  // namespace cygnet::explore
