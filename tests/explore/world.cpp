// SPDX-License-Identifier: Apache-2.0
#include "world.h"

#include <algorithm>

#include "checkers.h"
#include "cygnet/base/assert.h"
#include "world_parts.h"

namespace cygnet::explore {

World::World(const Scenario& scenario)
    : devices(scenario.devices),
      triangle(scenario.triangle),
      rekeys(scenario.rekeys),
      restarts(scenario.restarts),
      detaches(scenario.detaches),
      removals(scenario.removals),
      flushes(scenario.flushes),
      rollbacks(scenario.rollbacks),
      install_failures(scenario.install_failures),
      now(Timestamp(std::chrono::hours(1000))) {
  CYGNET_ASSERT(devices == 2 || devices == 3);
  for (std::size_t i = 0; i < devices; ++i) {
    device[i].core = rekey::RekeyCore(scenario.params);
    CYGNET_ASSERT(!feed(scenario, i, rekey::Start{1, 0, true}, nullptr));
    for (std::size_t k = 0; k < devices; ++k) {
      if (!linked(i, k)) continue;
      CYGNET_ASSERT(!feed(scenario, i, rekey::PeerAdded{peer_id(k), std::nullopt}, nullptr));
    }
    CYGNET_ASSERT(!attach(scenario, i, nullptr));
  }
  if (scenario.start_settled) begin_settled(scenario);
  plant(scenario);
}

// Settled is also who has only chosen what Start tries; a packet each way makes it live.
void World::begin_settled(const Scenario& scenario) {
  CYGNET_ASSERT(!settle(scenario, 1000));
  for (std::size_t i = 0; i < devices; ++i) {
    for (std::size_t k = 0; k < devices; ++k) {
      if (!linked(i, k)) continue;
      const Action send{Act::kSend, static_cast<std::uint8_t>(i), static_cast<std::uint8_t>(k)};
      CYGNET_ASSERT(!apply(scenario, send));
      CYGNET_ASSERT(!settle(scenario, 1000));
    }
  }
}

World::Broken World::settle(const Scenario& scenario, std::size_t steps_max,
                            std::vector<Action>* done) {
  std::size_t turn = 0;
  for (std::size_t steps = 0; !is_settled(*this) || !wires_empty(); ++steps) {
    if (steps == steps_max)
      return Violation{"L1", "does not settle when nothing more is inflicted"};
    // What is under way first; then packets and time in turns.
    std::vector<Action> idle;
    std::optional<Action> next;
    for (const Action& action : actions(scenario)) {
      if (is_inflicted(action.act)) continue;
      if (action.act != Act::kSend && action.act != Act::kTime) {
        next = action;
        break;
      }
      if (action.act == Act::kTime || !is_settled(*this)) idle.push_back(action);
    }
    if (!next && idle.empty()) return Violation{"L1", "nothing can happen any more"};
    if (!next) next = idle[turn++ % idle.size()];
    if (done != nullptr) done->push_back(*next);
    if (auto broken = apply(scenario, *next)) return broken;
  }
  return std::nullopt;
}

void World::plant(const Scenario& scenario) {
  for (std::size_t i = 0; i < devices; ++i) {
    if (!scenario.planted[i]) continue;
    (void)device[i].core.handle(rekey::SettingsChanged{*scenario.planted[i]}, now);
  }
}

bool World::wires_empty() const {
  for (const auto& to : wire) {
    for (const auto& packets : to) {
      if (!packets.empty()) return false;
    }
  }
  return true;
}

// ---- what can happen -------------------------------------------------------

std::vector<Action> World::actions(const Scenario& scenario) const {
  std::vector<Action> all;
  for (std::size_t i = 0; i < devices; ++i) {
    const Device& d = device[i];
    const auto may = [&all, i](Act act, std::size_t peer = 0, std::size_t index = 0) {
      all.push_back(Action{act, static_cast<std::uint8_t>(i), static_cast<std::uint8_t>(peer),
                           static_cast<std::uint8_t>(index)});
    };
    const auto each_peer = [&](const auto& what) {
      for (std::size_t k = 0; k < devices; ++k) {
        if (linked(i, k)) what(k, d.towards[k]);
      }
    };
    for (std::size_t n = 0; n < d.drawing.size(); ++n) may(Act::kDrawn, 0, n);
    each_peer([&](std::size_t k, const Towards& t) {
      for (std::size_t n = 0; n < t.installing.size(); ++n) {
        may(Act::kInstalled, k, n);
        if (install_failures > 0) may(Act::kInstallFails, k, n);
      }
    });
    if (d.attached) {
      if (d.publishing) may(Act::kDurable);
      if (d.result) may(Act::kResult);
      each_peer([&](std::size_t k, const Towards&) {
        if (dim_waits(i, k)) may(Act::kDim, k);
      });
      if (mark_waits(i)) may(Act::kMark);
      if (detaches[i] > 0) may(Act::kDetach);
    } else {
      may(Act::kAttach);
    }
    each_peer([&](std::size_t k, const Towards& t) {
      for (std::size_t n = 0; n < wire[i][k].size(); ++n) {
        may(Act::kDeliver, k, n);
        if (lost_in_row[i][k] < scenario.losses_in_row) may(Act::kLose, k, n);
        if (scenario.duplication && !wire[i][k][n].copy) may(Act::kDuplicate, k, n);
      }
      const bool room = scenario.wire_capacity == 0 || wire[k][i].size() < scenario.wire_capacity;
      if (scenario.user_traffic[i] && t.choice && room) may(Act::kSend, k);
    });
    if (rekeys[i] > 0) may(Act::kRekey);
    if (restarts[i] > 0) may(Act::kRestart);
    if (rollbacks[i] > 0) may(Act::kRollback);
    each_peer([&](std::size_t k, const Towards& t) {
      if (removals[i] > 0 && !t.removed) may(Act::kRemove, k);
      if (t.removed) may(Act::kReturn, k);
      for (std::size_t n = 0; flushes[i] > 0 && n < t.inbound.size(); ++n) may(Act::kFlush, k, n);
    });
  }
  if (next_time(scenario)) all.push_back(Action{Act::kTime, 0, 0, 0});
  return all;
}

bool World::dim_waits(std::size_t i, std::size_t k) const {
  const auto& stored = controller.stored[k];
  const Towards& t = device[i].towards[k];
  return stored && !t.removed && (!t.seen || *t.seen < stored->counter);
}

// What the next mark would say, if it says anything new.
std::optional<Mark> World::mark_waits(std::size_t i) const {
  const auto& mine = controller.stored[i];
  const Device& d = device[i];
  if (!mine || d.result) return std::nullopt;
  Mark mark{mine->counter, {}, false};
  bool any = false;
  for (std::size_t k = 0; k < devices; ++k) {
    if (!linked(i, k)) continue;
    mark.acknowledged[k] = controller.acknowledged[i][k] == mine->counter;
    any = any || mark.acknowledged[k];
    if (!mark.acknowledged[k] && device[k].attached) mark.attached_missing = true;
  }
  if (d.marked == mark || (!any && mark.attached_missing)) return std::nullopt;
  return mark;
}

// Time does not pass over a packet in flight: a drain is longer than any packet lives.
std::optional<Timestamp> World::next_time(const Scenario& scenario) const {
  if (!wires_empty()) return std::nullopt;
  for (std::size_t i = 0; i < devices && !scenario.time_any_time; ++i) {
    if (!device[i].drawing.empty()) return std::nullopt;
    const bool attached = device[i].attached;
    for (std::size_t k = 0; k < devices; ++k) {
      if (!linked(i, k)) continue;
      if (!towards(i, k).installing.empty()) return std::nullopt;
      if (attached && dim_waits(i, k)) return std::nullopt;
    }
    if (attached && (device[i].publishing || device[i].result || mark_waits(i))) {
      return std::nullopt;
    }
  }
  std::optional<Timestamp> next;
  for (std::size_t i = 0; i < devices; ++i) {
    const auto deadline = device[i].core.next_deadline();
    if (deadline && (!next || *deadline < *next)) next = deadline;
  }
  if (next && scenario.jump_max != Duration(0) && *next > now + scenario.jump_max) {
    return std::nullopt;
  }
  return next;
}

// ---- what happens ----------------------------------------------------------

World::Broken World::apply(const Scenario& scenario, const Action& action, std::string* story) {
  auto broken = step(scenario, action, story);
  // Without a wire what was sent arrives before anything else happens.
  for (bool arrived = true; arrived && !broken && scenario.wire_capacity == 0;) {
    arrived = false;
    for (std::size_t i = 0; i < devices && !broken; ++i) {
      for (std::size_t k = 0; k < devices && !broken; ++k) {
        if (wire[i][k].empty()) continue;
        arrived = true;
        broken = deliver(scenario, i, k, 0, story);
      }
    }
  }
  return broken;
}

World::Broken World::step(const Scenario& scenario, const Action& action, std::string* story) {
  const std::size_t i = action.device, k = action.peer;
  Device& d = device[i];
  Towards& t = d.towards[k];
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
      const SaPairId pair = t.installing[action.index];
      t.installing.erase(t.installing.begin() + action.index);
      put(t.inbound, pair);
      put(t.outbound, pair);
      if (scenario.lazy) put(t.underived, pair);
      return feed(scenario, i, rekey::SaPairInstalled{peer_id(k), pair}, story);
    }
    case Act::kInstallFails: {
      --install_failures;
      const SaPairId pair = t.installing[action.index];
      t.installing.erase(t.installing.begin() + action.index);
      take(t.ever_installed, pair);
      return feed(scenario, i,
                  rekey::SaPairFailed{peer_id(k), pair, rekey::InstallFailure::kCollision}, story);
    }
    case Act::kDurable:
      return store(scenario, i, story);
    case Act::kResult:
      return tell_result(scenario, i, story);
    case Act::kDim:
      return give_dim(scenario, i, k, story);
    case Act::kMark:
      return give_mark(scenario, i, story);
    case Act::kSend:
      if (auto broken = send(scenario, i, k, *t.choice, PacketKind::kUser, story)) return broken;
      if (!scenario.dormancy) return std::nullopt;
      return feed(scenario, i, rekey::UserTraffic{peer_id(k)}, story);
    case Act::kDeliver:
      return deliver(scenario, i, k, action.index, story);
    case Act::kLose:
      ++lost_in_row[i][k];
      wire[i][k].erase(wire[i][k].begin() + action.index);
      return std::nullopt;
    case Act::kDuplicate: {
      wire[i][k][action.index].copy = true;  // this one stays behind, its original arrives
      Packet original = wire[i][k][action.index];
      original.copy = false;
      wire[i][k].push_back(original);
      return deliver(scenario, i, k, wire[i][k].size() - 1, story);
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
    case Act::kRollback:
      return restart(scenario, i, action.act == Act::kRollback, story);
    case Act::kRemove:
      --removals[i];
      t.removed = true;
      t.told_delivered.reset();
      t.returned_from = RekeyCounter(d.highest_drawn.boot_count(), d.highest_drawn.sequence() + 1);
      forget_acknowledged(k, i);
      return feed(scenario, i, rekey::PeerRemoved{peer_id(k)}, story);
    case Act::kReturn:
      t.removed = false;
      t.seen.reset();
      return feed(scenario, i, rekey::PeerAdded{peer_id(k), t.disk_last_accepted}, story);
    case Act::kFlush: {
      --flushes[i];
      const SaPairId pair = t.inbound[action.index];
      take(t.inbound, pair);
      take(t.outbound, pair);
      t.told_from = RekeyCounter(d.highest_drawn.boot_count(), d.highest_drawn.sequence() + 1);
      return feed(scenario, i, rekey::SaPairLost{peer_id(k), pair}, story);
    }
    case Act::kTime:
      return pass_time(scenario, story);
  }
  return std::nullopt;
}

// Device k has lost, or was told to forget, what it acknowledged of i.
void World::forget_acknowledged(std::size_t i, std::size_t k) {
  controller.acknowledged[i][k].reset();
  device[i].marked.reset();
}

World::Broken World::restart(const Scenario& scenario, std::size_t i, bool restored,
                             std::string* story) {
  restored ? --rollbacks[i] : --restarts[i];
  Device& d = device[i];
  const Device before = d;
  d = Device();
  d.core = rekey::RekeyCore(scenario.planted[i].value_or(scenario.params));
  d.boot_count = restored ? before.boot_count : before.boot_count + 1;
  d.incarnation = static_cast<std::uint8_t>(before.incarnation + (restored ? 1 : 0));
  for (std::size_t k = 0; k < devices; ++k) {
    if (!linked(i, k)) continue;
    Towards& t = d.towards[k];
    t.removed = before.towards[k].removed;
    if (!restored) t.disk_last_accepted = before.towards[k].disk_last_accepted;
    t.told_from = RekeyCounter(d.boot_count + (restored ? 1 : 0), 1);
    forget_acknowledged(k, i);
    for (Packet& packet : wire[k][i]) packet.excused = true;  // its sender is gone
  }
  if (auto broken = feed(scenario, i, rekey::Start{d.boot_count, 0, true}, story)) return broken;
  for (std::size_t k = 0; k < devices; ++k) {
    if (!linked(i, k) || d.towards[k].removed) continue;
    const rekey::PeerAdded added{peer_id(k), d.towards[k].disk_last_accepted};
    if (auto broken = feed(scenario, i, added, story)) return broken;
  }
  return std::nullopt;
}

World::Broken World::pass_time(const Scenario& scenario, std::string* story) {
  now = *next_time(scenario);
  for (std::size_t i = 0; i < devices; ++i) {
    const auto deadline = device[i].core.next_deadline();
    if (!deadline || *deadline > now) continue;
    PerDevice<std::vector<SaPairId>> kept;
    for (std::size_t k = 0; k < devices; ++k) kept[k] = towards(i, k).inbound;
    if (auto broken = feed(scenario, i, rekey::TimePassed{}, story)) return broken;
    for (std::size_t k = 0; k < devices; ++k) excuse_dormant(i, k, kept[k]);
    const auto next = device[i].core.next_deadline();
    if (next && *next <= now) return Violation{"time", "a deadline passed and stays due"};
  }
  return std::nullopt;
}

// "Documented limit: while its peer has lost the controller, [a dormant pair] is dark until that
// returns": what it forgot at the cap, a peer that has not its newest DIM may still send on.
void World::excuse_dormant(std::size_t i, std::size_t k, const std::vector<SaPairId>& kept) {
  Towards& t = towards(i, k);
  const auto status = device[i].core.peer_status(peer_id(k));
  if (!status || !status->dormant) return;
  for (const auto& own : device[i].core.generations()) {
    if (own.phase != rekey::GenerationPhase::kAccepted) continue;
    const bool forgot = std::any_of(kept.begin(), kept.end(), [&](const SaPairId& pair) {
      return pair.local < own.counter && !contains(t.inbound, pair);
    });
    if (forgot) t.told_from = std::max(t.told_from, own.counter);
  }
}

}  // namespace cygnet::explore
