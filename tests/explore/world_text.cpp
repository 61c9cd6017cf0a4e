// SPDX-License-Identifier: Apache-2.0

/// A World in letters: the canonical form that tells equal worlds, and the actions for people.

#include <algorithm>

#include "cygnet/base/assert.h"
#include "world.h"
#include "world_parts.h"

namespace cygnet::explore {
namespace {

/// Generations by their rank among all that the world still knows of a device: the machines only
/// compare counters, so states repeat although counters rise.
class CounterRanks {
 public:
  void note(std::string& out, std::size_t of, RekeyCounter value) {
    places_[of].push_back({value, out.size()});
    out.push_back(0);
  }
  void fill_in(std::string& out) {
    for (auto& places : places_) {
      std::sort(places.begin(), places.end());
      unsigned rank = 1;
      for (std::size_t k = 0; k < places.size(); ++k) {
        if (k > 0 && places[k - 1].first != places[k].first) {
          ++rank;
          // Across a boot count the order is the same, but its meaning is not.
          if (places[k - 1].first.boot_count() != places[k].first.boot_count()) {
            out.push_back(static_cast<char>(rank));
          }
        }
        CYGNET_ASSERT(rank < 255);
        out[places[k].second] = static_cast<char>(rank + 1);
      }
      out.push_back(0);
    }
  }

 private:
  PerDevice<std::vector<std::pair<RekeyCounter, std::size_t>>> places_;
};

/// Writes a canonical form: times relative to now, older ones than the horizon alike.
class CanonicalSink final : public rekey::StateSink {
 public:
  CanonicalSink(std::string& out, CounterRanks& names, const World& world, const Scenario& scenario,
                std::size_t self)
      : out_(out), names_(names), world_(world), scenario_(scenario), self_(self) {}

  void number(std::uint64_t value) override {
    while (value >= 0x80) {
      out_.push_back(static_cast<char>(value | 0x80));
      value >>= 7;
    }
    out_.push_back(static_cast<char>(value));
  }
  void time(std::optional<Timestamp> value) override {
    if (!value) return number(0);
    if (*value == Timestamp::max()) return number(1);
    const Duration relative = std::max(*value - world_.now, -scenario_.horizon);
    // Scenario times are whole ticks of 100 ms; +2^20 keeps them positive.
    number(static_cast<std::uint64_t>(relative / std::chrono::milliseconds(100) + (1 << 20)));
  }
  void acceptance(std::optional<Timestamp> value) override {
    scenario_.lifetimes ? time(value) : number(value.has_value());
  }
  void delivery(std::optional<Timestamp> value) override {
    if (value && *value + scenario_.params.drain <= world_.now) {
      number(1);  // a third is allowed since some time
    } else {
      time(value);
    }
  }
  void last_user(Timestamp value) override {
    if (scenario_.dormancy) time(value);
  }
  /// Whose generations the following remote() are.
  void peer(PeerId id) override {
    of_ = device_of(id);
    number(of_);
  }
  void own(std::optional<RekeyCounter> value) override { counter(value, self_); }
  void remote(std::optional<RekeyCounter> value) override { counter(value, of_); }

  void counter(std::optional<RekeyCounter> value, std::size_t of) {
    if (!value) return number(0);
    if (*value == RekeyCounter()) return number(1);
    names_.note(out_, of, *value);
  }

 private:
  std::string& out_;
  CounterRanks& names_;
  const World& world_;
  const Scenario& scenario_;
  std::size_t self_;
  std::size_t of_ = 0;
};

}  // namespace

rekey::GenerationNames names_of(std::size_t i) {
  rekey::GenerationNames names{generation_letter(i), {}};
  for (std::size_t k = 0; k < kDevicesMax; ++k) {
    if (k != i) names.peers[peer_id(k)] = generation_letter(k);
  }
  return names;
}

bool is_inflicted(Act act) {
  switch (act) {
    case Act::kRekey:
    case Act::kInstallFails:
    case Act::kLose:
    case Act::kDuplicate:
    case Act::kDetach:
    case Act::kRestart:
    case Act::kRemove:
    case Act::kFlush:
    case Act::kRollback:
      return true;
    case Act::kDrawn:
    case Act::kInstalled:
    case Act::kDurable:
    case Act::kResult:
    case Act::kDim:
    case Act::kMark:
    case Act::kSend:
    case Act::kDeliver:
    case Act::kAttach:
    case Act::kReturn:
    case Act::kTime:
      return false;
  }
  return false;
}

namespace {

void write_towards(CanonicalSink& sink, const Scenario& scenario, const World& world, std::size_t i,
                   std::size_t k) {
  const Towards& t = world.towards(i, k);
  const auto pairs = [&sink](const std::vector<SaPairId>& list) {
    sink.number(list.size());
    for (const SaPairId& pair : list) {
      sink.own(pair.local);
      sink.remote(pair.remote);
    }
  };
  sink.peer(peer_id(k));
  pairs(t.installing);
  pairs(t.inbound);
  pairs(t.outbound);
  pairs(t.ever_installed);
  if (scenario.lazy) {
    pairs(t.underived);
    pairs(t.dead);
  }
  sink.number(t.endpoint_learned);
  sink.own(t.choice ? std::optional(t.choice->local) : std::nullopt);
  sink.remote(t.choice ? std::optional(t.choice->remote) : std::nullopt);
  sink.remote(t.seen);
  sink.own(t.told_delivered);
  sink.number(t.removed);
  sink.remote(t.disk_last_accepted);
  // Only matters while someone may know less of us than that.
  const auto known = world.device[k].core.newest_complete(peer_id(i));
  const auto& packets = world.wire[i][k];
  const bool matters = !known || *known < t.told_from ||
                       std::any_of(packets.begin(), packets.end(),
                                   [&](const Packet& p) { return p.known < t.told_from; });
  sink.own(matters ? t.told_from : RekeyCounter());
  sink.own(t.returned_from);
  sink.time(t.could_start_at);
  sink.own(t.choice_floor);
  sink.own(t.proven_floor);
  sink.number(packets.size());
  for (const Packet& packet : packets) {
    sink.remote(packet.pair.local);
    sink.own(packet.pair.remote);
    sink.number(packet.kind == PacketKind::kRequest ? 1
                : scenario.dormancy                 ? static_cast<std::uint64_t>(packet.kind)
                                                    : 0);  // a reply tells what any packet tells
    sink.number(packet.nothing_live);
    sink.number(packet.excused);
    sink.number(packet.known < t.told_from || packet.heard < t.returned_from);
    sink.number(packet.copy);
  }
  sink.own(world.controller.acknowledged[i][k]);
  sink.number(world.lost_in_row[i][k]);
}

}  // namespace

std::string World::canonical(const Scenario& scenario) const {
  std::string out;
  out.reserve(1024);
  CounterRanks names;
  for (std::size_t i = 0; i < devices; ++i) {
    CanonicalSink sink(out, names, *this, scenario, i);
    const Device& d = device[i];
    d.core.describe(sink);
    for (std::size_t k = 0; k < devices; ++k) {
      if (linked(i, k)) write_towards(sink, scenario, *this, i, k);
    }
    sink.number(d.privates.size());
    for (const RekeyCounter counter : d.privates) sink.own(counter);
    sink.number(d.drawing.size());
    for (const RekeyCounter counter : d.drawing) sink.own(counter);
    sink.number(d.attached);
    const auto published = [&](const std::optional<Published>& p) {
      sink.own(p ? std::optional(p->counter) : std::nullopt);
      if (!p) return;
      sink.number(p->initial_contact);
      sink.number(p->incarnation);
      sink.number(p->refused);
    };
    published(d.publishing);
    published(d.result);
    if (d.result) sink.acceptance(d.result->accepted_at);
    published(controller.stored[i]);
    if (controller.stored[i]) sink.acceptance(controller.stored[i]->accepted_at);
    sink.own(d.marked ? std::optional(d.marked->counter) : std::nullopt);
    if (d.marked) {
      for (const bool acknowledged : d.marked->acknowledged) sink.number(acknowledged);
      sink.number(d.marked->attached_missing);
    }
    std::optional<RekeyCounter> accepted;
    for (const auto& own : d.core.generations()) {
      if (own.accepted_at) accepted = own.counter;
    }
    sink.number(accepted == d.delivered);
    sink.number(d.boot_count);
    sink.number(d.incarnation);
    for (const auto& budget : {rekeys, restarts, detaches, removals, flushes, rollbacks}) {
      sink.number(budget[i]);
    }
  }
  out.push_back(static_cast<char>(install_failures));
  names.fill_in(out);
  return out;
}

std::string describe(const Action& action, const World& before) {
  const std::size_t i = action.device;
  const std::string self = device_letter(i);
  const std::size_t k = action.peer;
  const std::string other = device_letter(k);
  const Device& d = before.device[i];
  const Towards& t = d.towards[k];
  const auto own = [&](RekeyCounter c) { return rekey::name_of(generation_letter(i), c); };
  const auto theirs = [&](RekeyCounter c) { return rekey::name_of(generation_letter(k), c); };
  const auto tx = [&](SaPairId pair) { return rekey::tx_name(names_of(i), peer_id(k), pair); };
  // Of two devices it is clear which one is meant.
  const std::string to = before.devices > 2 ? " for " + other : "";
  const std::string from = before.devices > 2 ? " of " + other : "";
  switch (action.act) {
    case Act::kRekey:
      return self + " is told to rekey";
    case Act::kDrawn:
      return self + " has drawn " + own(d.drawing[action.index]);
    case Act::kInstalled:
      return self + " has installed " + tx(t.installing[action.index]);
    case Act::kInstallFails:
      return self + " cannot install " + tx(t.installing[action.index]);
    case Act::kDurable:
      return "publish of " + own(d.publishing->counter) + " reaches the controller";
    case Act::kResult:
      return "result for " + own(d.result->counter) + " reaches " + self;
    case Act::kDim:
      return self + " gets " + theirs(before.controller.stored[k]->counter) +
             (before.controller.stored[k]->initial_contact ? " [IC]" : "");
    case Act::kMark:
      return self + " gets the delivery mark of " + own(before.controller.stored[i]->counter);
    case Act::kSend:
      return self + " has a user packet" + to;
    case Act::kDeliver:
      return "a packet" + from + " reaches " + self;
    case Act::kLose:
      return "a packet" + from + " to " + self + " is lost";
    case Act::kDuplicate:
      return "a packet" + from + " to " + self + " is duplicated";
    case Act::kDetach:
      return self + " loses the controller";
    case Act::kAttach:
      return self + " reaches the controller";
    case Act::kRestart:
      return self + " restarts";
    case Act::kRemove:
      return "policy removes " + other + " on " + self;
    case Act::kReturn:
      return "policy allows " + other + " on " + self + " again";
    case Act::kFlush:
      return "someone flushes " + tx(t.inbound[action.index]) + " on " + self;
    case Act::kRollback:
      return self + " comes back with an old disk";
    case Act::kTime:
      return "time passes";
  }
  return {};
}

}  // namespace cygnet::explore
