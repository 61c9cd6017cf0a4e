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
  std::array<std::vector<std::pair<RekeyCounter, std::size_t>>, kDevices> places_;
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
  void own(std::optional<RekeyCounter> value) override { counter(value, self_); }
  void remote(std::optional<RekeyCounter> value) override { counter(value, 1 - self_); }

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
};

}  // namespace

rekey::GenerationNames names_of(std::size_t i) {
  return rekey::GenerationNames{generation_letter(i), {{kPeer, generation_letter(1 - i)}}};
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

std::string World::canonical(const Scenario& scenario) const {
  std::string out;
  out.reserve(512);
  CounterRanks names;
  for (std::size_t i = 0; i < kDevices; ++i) {
    CanonicalSink sink(out, names, *this, scenario, i);
    const Device& d = device[i];
    d.core.describe(sink);
    const auto pairs = [&](const std::vector<SaPairId>& list) {
      sink.number(list.size());
      for (const SaPairId& pair : list) {
        sink.own(pair.local);
        sink.remote(pair.remote);
      }
    };
    pairs(d.installing);
    pairs(d.inbound);
    pairs(d.outbound);
    pairs(d.ever_installed);
    if (scenario.lazy) {
      pairs(d.underived);
      pairs(d.dead);
    }
    if (scenario.learns_endpoint[0] || scenario.learns_endpoint[1]) sink.number(d.endpoint_learned);
    sink.own(d.choice ? std::optional(d.choice->local) : std::nullopt);
    sink.remote(d.choice ? std::optional(d.choice->remote) : std::nullopt);
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
    sink.own(controller.acknowledged[i]);
    sink.remote(d.seen);
    sink.own(d.marked);
    sink.own(d.marked_unattached);
    sink.own(d.told_delivered);
    sink.number(d.removed_peer);
    sink.number(d.boot_count);
    sink.number(d.incarnation);
    sink.remote(d.disk_last_accepted);
    // Only matters while someone may know less of us than that.
    const auto known = device[1 - i].core.newest_complete(kPeer);
    bool matters = !known || *known < d.told_from;
    for (const Packet& packet : wire[i]) matters = matters || packet.known < d.told_from;
    sink.own(matters ? d.told_from : RekeyCounter());
    sink.own(d.returned_from);
    sink.time(d.could_start_at);
    sink.own(d.choice_floor);
    sink.own(d.proven_floor);
    sink.number(wire[i].size());
    for (const Packet& packet : wire[i]) {
      sink.remote(packet.pair.local);
      sink.own(packet.pair.remote);
      sink.number(packet.kind == PacketKind::kRequest ? 1
                  : scenario.dormancy                 ? static_cast<std::uint64_t>(packet.kind)
                                                      : 0);  // a reply tells what any packet tells
      sink.number(packet.nothing_live);
      sink.number(packet.excused);
      sink.number(packet.known < d.told_from || packet.heard < d.returned_from);
      sink.number(packet.copy);
    }
    sink.number(rekeys[i]);
    sink.number(restarts[i]);
    sink.number(detaches[i]);
    sink.number(removals[i]);
    sink.number(flushes[i]);
    sink.number(rollbacks[i]);
    sink.number(lost_in_row[i]);
  }
  out.push_back(static_cast<char>(install_failures));
  names.fill_in(out);
  return out;
}

std::string describe(const Action& action, const World& before) {
  const std::size_t i = action.device;
  const std::string self = device_letter(i);
  const std::string other = device_letter(1 - i);
  const Device& d = before.device[i];
  const auto own = [&](RekeyCounter c) { return rekey::name_of(generation_letter(i), c); };
  const auto theirs = [&](RekeyCounter c) { return rekey::name_of(generation_letter(1 - i), c); };
  const auto tx = [&](SaPairId pair) { return rekey::tx_name(names_of(i), kPeer, pair); };
  switch (action.act) {
    case Act::kRekey:
      return self + " is told to rekey";
    case Act::kDrawn:
      return self + " has drawn " + own(d.drawing[action.index]);
    case Act::kInstalled:
      return self + " has installed " + tx(d.installing[action.index]);
    case Act::kInstallFails:
      return self + " cannot install " + tx(d.installing[action.index]);
    case Act::kDurable:
      return "publish of " + own(d.publishing->counter) + " reaches the controller";
    case Act::kResult:
      return "result for " + own(d.result->counter) + " reaches " + self;
    case Act::kDim:
      return self + " gets " + theirs(before.controller.stored[1 - i]->counter) +
             (before.controller.stored[1 - i]->initial_contact ? " [IC]" : "");
    case Act::kMark:
      return self + " gets the delivery mark of " + own(before.controller.stored[i]->counter);
    case Act::kSend:
      return self + " has a user packet";
    case Act::kDeliver:
      return "a packet reaches " + self;
    case Act::kLose:
      return "a packet to " + self + " is lost";
    case Act::kDuplicate:
      return "a packet to " + self + " is duplicated";
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
      return "someone flushes " + tx(d.inbound[action.index]) + " on " + self;
    case Act::kRollback:
      return self + " comes back with an old disk";
    case Act::kTime:
      return "time passes";
  }
  return {};
}

}  // namespace cygnet::explore
