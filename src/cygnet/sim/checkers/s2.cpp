// SPDX-License-Identifier: Apache-2.0
// S2: both ends of an SA hold equal keys; no (key, IV) pair is ever used twice, across idle-out,
// removal, re-adding, flush and rollback.
#include <algorithm>
#include <vector>

#include "cygnet/sim/checkers/checker.h"
#include "cygnet/sim/checkers/losses.h"
#include "cygnet/sim/world.h"

namespace cygnet::sim {
namespace {

class S2 final : public Checker {
 public:
  explicit S2(World& world) : Checker(world, "S2"), pairs_(world.pair_count()) {}

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
    for (DeviceId peer = 0; peer < world_.device_count(); ++peer) {
      if (world_.same_block(device, peer)) pairs_[world_.pair_index(device, peer)].made.clear();
    }
  }
  void on_installed(DeviceId device, DeviceId peer, proto::SaPairId pair,
                    const PairKeys& keys) override {
    ++looked_;
    Ends& ends = pairs_[world_.pair_index(device, peer)];
    for (const auto& [id, key] : ends.made) {
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
    ends.made.emplace_back(pair, keys.out);
    if (ends.made.size() > (world_.scenario().sample_state ? 24U : 4U)) {
      ends.made.erase(ends.made.begin());
    }
    forget(ends.sent, pair);
  }
  void on_sent(const Packet& packet) override {
    std::uint64_t& last = of(pairs_[world_.pair_index(packet.from, packet.to)].sent, packet.pair);
    if (packet.sequence <= last) {
      broken("sequence number " + std::to_string(packet.sequence) + " goes out again on " +
                 text_of(packet.from, packet.to, packet.pair),
             {packet.from, packet.to});
    }
    last = packet.sequence;
  }
  void on_removed(DeviceId device, DeviceId peer, proto::SaPairId pair, bool inbound) override {
    if (!inbound) forget(pairs_[world_.pair_index(device, peer)].sent, pair);
    if (inbound) {
      forget(pairs_[world_.pair_index(peer, device)].opened, {pair.remote, pair.local});
    }
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
    std::vector<std::uint64_t>& seen =
        of(pairs_[world_.pair_index(packet.from, packet.to)].opened, packet.pair);
    // They come nearly in order.
    auto place = seen.end();
    while (place != seen.begin() && *(place - 1) > packet.sequence) --place;
    if (place != seen.begin() && *(place - 1) == packet.sequence) {
      return broken("sequence number " + std::to_string(packet.sequence) + " was opened twice on " +
                        text_of(packet.from, packet.to, packet.pair),
                    {packet.from, packet.to});
    }
    seen.insert(place, packet.sequence);
    if (seen.size() == 2 * kSeenKept) seen.erase(seen.begin(), seen.begin() + kSeenKept);
  }

 private:
  static constexpr std::ptrdiff_t kSeenKept = 4096;
  template <class T>
  using ByPair = std::vector<std::pair<proto::SaPairId, T>>;  // a handful, in no order
  /// From one device to another.
  struct Ends {
    ByPair<std::uint64_t> made;  ///< outbound keys, oldest first
    ByPair<std::uint64_t> sent;  ///< last sequence number, while the outbound SA is there
    ByPair<std::vector<std::uint64_t>> opened;  ///< sequence numbers, while the inbound SA is
  };
  template <class T>
  static T& of(ByPair<T>& list, proto::SaPairId pair) {
    for (auto& [id, value] : list) {
      if (id == pair) return value;
    }
    return list.emplace_back(pair, T{}).second;
  }
  template <class T>
  static void forget(ByPair<T>& list, proto::SaPairId pair) {
    std::erase_if(list, [&](const auto& entry) { return entry.first == pair; });
  }

  Losses losses_;
  std::vector<Ends> pairs_;  ///< by World::pair_index
};

}  // namespace

CheckerPtr make_s2(World& world) { return std::make_unique<S2>(world); }

}  // namespace cygnet::sim
