// SPDX-License-Identifier: Apache-2.0
// L2: with one-way traffic too; a dormant pair keeps no old generation, private value or timer
// beyond the cap.
#include <vector>

#include "cygnet/sim/checkers/checker.h"
#include "cygnet/sim/checkers/settled.h"

namespace cygnet::sim {
namespace {

class L2 final : public Checker {
 public:
  explicit L2(World& world) : Checker(world, "L2"), pairs_(world.pair_count()) {}

  void on_started(DeviceId device) override {
    for (DeviceId peer = 0; peer < world_.device_count(); ++peer) {
      if (world_.same_block(device, peer)) pairs_[world_.pair_index(device, peer)] = {};
    }
  }
  void on_peer_removed(DeviceId device, DeviceId peer) override {
    pairs_[world_.pair_index(device, peer)] = {};
  }
  void on_install_asked(DeviceId device, DeviceId peer, proto::SaPairId, bool) override {
    Timestamp& since = pairs_[world_.pair_index(device, peer)].silent_since;
    if (since == Timestamp{}) since = world_.queue.now();  // it knows the peer now
  }
  // The timer of a dormant pair: "not probed any more" after one soft lifetime without users.
  void on_sent(const Packet& packet) override {
    const Pair& pair = pairs_[world_.pair_index(packet.from, packet.to)];
    const Timestamp now = world_.queue.now();
    const bool used = packet.kind == PacketKind::kUser || world_.carries(packet.from, packet.to) ||
                      world_.carries(packet.to, packet.from);
    if (used) {
      used_now(packet.from, packet.to);
      used_now(packet.to, packet.from);
      return;
    }
    if (packet.kind != PacketKind::kRequest || pair.silent_since == Timestamp{}) return;
    ++looked_;
    const Duration soft = world_.device(packet.from).core().rekey().params().soft;
    if (now - pair.silent_since > soft + kMargin) {
      broken("a pair that nobody uses is still probed: " +
                 text_of(packet.from, packet.to, packet.pair),
             {packet.from, packet.to});
    }
  }

  void on_sample() override {
    for (DeviceId a = 0; a < world_.device_count(); ++a) {
      for (DeviceId b = a + 1; b < world_.device_count(); ++b) {
        if (!world_.same_block(a, b)) break;
        if (!world_.carries(a, b) && !world_.carries(b, a)) continue;
        used_now(a, b);
        used_now(b, a);
      }
    }
    if (!world_.healed()) return;
    for (DeviceId a = 0; a < world_.device_count(); ++a) {
      for (DeviceId b = a + 1; b < world_.device_count(); ++b) {
        if (!world_.same_block(a, b)) break;
        const bool forth = world_.carries(a, b);
        const bool back = world_.carries(b, a);
        if ((forth && back) || !must_be_settled(world_, a, b)) continue;
        ++looked_;
        if (forth || back) {
          if (const auto why = not_settled(world_, a, b)) {
            return broken("a pair with one-way traffic has not settled: " + *why, {a, b});
          }
        } else if (const auto old = keeps_old(a, b)) {
          return broken("a silent pair keeps an old generation: " + *old, {a, b});
        } else if (const auto other = keeps_old(b, a)) {
          return broken("a silent pair keeps an old generation: " + *other, {a, b});
        }
      }
    }
  }

 private:
  /// Of what a device knows of one peer.
  struct Pair {
    /// Since when no user packet can have woken it; zero: it does not know the peer yet.
    Timestamp silent_since{};
  };
  /// What a device notices of user packets may come a second late.
  static constexpr Duration kMargin = std::chrono::seconds(2);

  void used_now(DeviceId device, DeviceId peer) {
    Timestamp& since = pairs_[world_.pair_index(device, peer)].silent_since;
    if (since != Timestamp{}) since = world_.queue.now();
  }
  [[nodiscard]] std::optional<std::string> keeps_old(DeviceId a, DeviceId b) const {
    const SimPeer* const peer = world_.device(a).towards(b);
    if (peer == nullptr) return label_of(a) + " does not know " + label_of(b);
    const auto newest = world_.device(a).core().rekey().generations().back().counter;
    for (const SimSa& sa : peer->pairs) {
      if (sa.id.local != newest) return text_of(a, b, sa.id);
    }
    if (world_.device(a).privates().size() > 1) {
      return label_of(a) + " holds " + std::to_string(world_.device(a).privates().size()) +
             " private values";
    }
    return std::nullopt;
  }

  std::vector<Pair> pairs_;  ///< by World::pair_index
};

}  // namespace

CheckerPtr make_l2(World& world) { return std::make_unique<L2>(world); }

}  // namespace cygnet::sim
