// SPDX-License-Identifier: Apache-2.0
// S2: both ends of an SA hold equal keys; no (key, IV) pair is ever used twice, across idle-out,
// removal, re-adding, flush and rollback.
#include <deque>
#include <map>
#include <set>

#include "cygnet/sim/checkers/checker.h"
#include "cygnet/sim/checkers/losses.h"
#include "cygnet/sim/world.h"

namespace cygnet::sim {
namespace {

class S2 final : public Checker {
 public:
  explicit S2(World& world) : Checker(world, "S2") {}

  void on_drawn(DeviceId device, proto::RekeyCounter counter) override {
    losses_.drawn(device, counter, world_.queue.now());
  }
  void on_peer_removed(DeviceId device, DeviceId peer) override {
    losses_.removed(device, peer, world_.queue.now());
  }
  void on_lost_state(DeviceId device, StateLoss loss) override {
    losses_.lost(device, world_.queue.now());
    if (loss == StateLoss::kFlush) return;
    // Private values are gone with the memory: nothing of it can be derived again.
    std::erase_if(keys_, [device](const auto& entry) { return entry.first.first == device; });
  }
  void on_installed(DeviceId device, DeviceId peer, proto::SaPairId pair,
                    const PairKeys& keys) override {
    ++looked_;
    auto& list = keys_[{device, peer}];
    for (const auto& [id, key] : list) {
      if (id == pair) {
        return broken("makes a pair again that was there before: " + text_of(device, peer, pair),
                      {device, peer});
      }
      if (key == keys.out) {
        return broken("two SAs have one key: " + text_of(device, peer, pair) + " and " +
                          text_of(device, peer, id),
                      {device, peer});
      }
    }
    list.emplace_back(pair, keys.out);
    if (list.size() > (world_.scenario().sample_state ? 24U : 4U)) list.pop_front();
    sent_.erase({{device, peer}, pair});
  }
  void on_sent(const Packet& packet) override {
    std::uint64_t& last = sent_[{{packet.from, packet.to}, packet.pair}];
    if (packet.sequence <= last) {
      broken("sequence number " + std::to_string(packet.sequence) + " goes out again on " +
                 text_of(packet.from, packet.to, packet.pair),
             {packet.from, packet.to});
    }
    last = packet.sequence;
  }
  void on_removed(DeviceId device, DeviceId peer, proto::SaPairId pair, bool inbound) override {
    if (!inbound) sent_.erase({{device, peer}, pair});
    if (inbound) opened_.erase({{peer, device}, {pair.remote, pair.local}});
  }
  void on_bad_icv(const Packet& packet) override {
    if (packet.spoofed || packet.incarnation != world_.device(packet.from).incarnation()) return;
    if (losses_.excused(packet.to, packet.from, packet.known)) return;
    broken("the ends hold different keys: " + text_of(packet.from, packet.to, packet.pair),
           {packet.from, packet.to});
  }
  void on_opened(const Packet& packet) override {
    const SimPeer* const peer = world_.device(packet.to).towards(packet.from);
    const SimSa* const sa = peer->find({packet.pair.remote, packet.pair.local});
    if (sa->keys.in != packet.key) {
      return broken(
          "a packet under another key was opened: " + text_of(packet.from, packet.to, packet.pair),
          {packet.from, packet.to});
    }
    if (!world_.scenario().sample_state) return;
    auto& seen = opened_[{{packet.from, packet.to}, packet.pair}];
    if (!seen.insert(packet.sequence).second) {
      broken("sequence number " + std::to_string(packet.sequence) + " was opened twice on " +
                 text_of(packet.from, packet.to, packet.pair),
             {packet.from, packet.to});
    }
    if (seen.size() > 4096) seen.erase(seen.begin());
  }

 private:
  using Ends = std::pair<DeviceId, DeviceId>;
  Losses losses_;
  std::map<Ends, std::deque<std::pair<proto::SaPairId, std::uint64_t>>> keys_;
  std::map<std::pair<Ends, proto::SaPairId>, std::uint64_t> sent_;
  std::map<std::pair<Ends, proto::SaPairId>, std::set<std::uint64_t>> opened_;
};

}  // namespace

CheckerPtr make_s2(World& world) { return std::make_unique<S2>(world); }

}  // namespace cygnet::sim
