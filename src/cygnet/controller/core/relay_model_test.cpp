// SPDX-License-Identifier: Apache-2.0
// The relay against a model that keeps everything and computes everything anew: random changes,
// attaches, resumes, partial reads and acknowledgements. A failure names its seed.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

#include "cygnet/controller/core/relay_test_support.h"

namespace cygnet::controller {
namespace {

using test::RelayWorld;

constexpr DeviceIndex kDevices = 7;

/// What a naive controller would remember: for each ordered pair, everything.
struct Model {
  struct Pair {
    bool edge = false;
    Position since = 0;      ///< of the edge, or of its removal
    std::uint32_t told = 0;  ///< generation in the last update that named it
    bool told_unacked = false;
    std::uint32_t acked = 0;
  };
  std::uint32_t generation[kDevices] = {};
  Position changed_at[kDevices] = {};
  std::size_t endpoints[kDevices] = {};
  bool attached[kDevices] = {};
  bool known_cursor[kDevices] = {};
  Pair pair[kDevices][kDevices];

  [[nodiscard]] Position position(DeviceIndex of, DeviceIndex to) const {
    const Pair& p = pair[to][of];
    return p.edge ? std::max(p.since, changed_at[of]) : p.since;
  }
};

class Trial {
 public:
  explicit Trial(std::uint32_t seed) : random_(seed), world_(kDevices) {}

  void step() {
    const DeviceIndex d = pick(kDevices);
    DeviceIndex e = pick(kDevices - 1);
    if (e >= d) ++e;
    switch (pick(10)) {
      case 0:
      case 1:
        world_.publish(d);
        model_.generation[d] = world_.newest(d);
        model_.changed_at[d] = world_.relay.head();
        break;
      case 2: {
        const std::size_t n = 1 + pick(5);
        std::vector<Endpoint> list;
        for (std::size_t i = 0; i < n; ++i) {
          list.push_back({{10, 0, 0, static_cast<std::uint8_t>(i)}, 4500, {}, {}});
        }
        const bool news = n != model_.endpoints[d];
        world_.relay.set_endpoints(d, list, world_.next());
        model_.endpoints[d] = n;
        if (news) model_.changed_at[d] = world_.relay.head();
        break;
      }
      case 3:
        if (!model_.pair[d][e].edge) {
          world_.edge(d, e);
          for (auto* p : {&model_.pair[d][e], &model_.pair[e][d]}) {
            p->edge = true;
            p->since = world_.relay.head();
            p->acked = 0;
          }
        } else if (pick(3) == 0) {
          world_.unedge(d, e);
          for (auto* p : {&model_.pair[d][e], &model_.pair[e][d]}) {
            p->edge = false;
            p->since = world_.relay.head();
            p->acked = 0;
            p->told_unacked = false;
          }
          pending_[d].erase(e);
          pending_[e].erase(d);
        }
        break;
      case 4:
        if (model_.attached[d]) {
          world_.detach(d);
          model_.attached[d] = false;
        } else {
          attach(d);
        }
        break;
      case 5:
      case 6:
      case 7:
        if (model_.attached[d]) take(d, world_.pull(d, pick(2) == 0 ? 100 : 65536));
        break;
      case 8:
        if (model_.attached[d] && !world_.device(d).updates.empty() && heard_in_session_[d]) ack(d);
        break;
      case 9:
        if (model_.attached[d]) drained(d);
        break;
    }
    check_counts();
  }

  void finish() {
    for (DeviceIndex d = 0; d < kDevices; ++d) {
      if (!model_.attached[d]) attach(d);
      drained(d);
      ack(d, false);
    }
    check_counts();
    // Everyone is told, everyone acknowledged: nobody misses anything.
    for (DeviceIndex d = 0; d < kDevices; ++d) {
      EXPECT_EQ(world_.missing(d).first, 0U) << d;
      EXPECT_EQ(world_.missing(d).second, 0U) << d;
    }
  }

 private:
  DeviceIndex pick(DeviceIndex n) { return static_cast<DeviceIndex>(random_() % n); }

  void attach(DeviceIndex d) {
    const bool resume = model_.known_cursor[d] && pick(3) != 0;
    const Position cursor = world_.device(d).cursor;
    std::vector<std::pair<Position, DeviceIndex>> expected;
    for (DeviceIndex e = 0; e < kDevices; ++e) {
      auto& p = model_.pair[d][e];
      if (p.since == 0) continue;
      const Position position = model_.position(e, d);
      if (!resume || position > cursor) expected.emplace_back(position, e);
      p.told_unacked = false;
      if (!resume) p.acked = 0;
      if (resume && position <= cursor && p.edge && model_.generation[e] != 0 &&
          p.acked != model_.generation[e]) {
        p.told = model_.generation[e];
        p.told_unacked = true;
      }
    }
    if (!resume) {
      world_.device(d).table.clear();
      world_.device(d).cursor = 0;
      model_.known_cursor[d] = false;
    }
    EXPECT_EQ(world_.attach(d, resume), resume);
    model_.attached[d] = true;
    heard_in_session_[d] = false;
    pending_[d].clear();
    if (pick(2) == 0) return;
    // "A device that reconnects with its cursor gets exactly what it missed, compacted to the
    // newest per peer", in the order of the log.
    std::stable_sort(expected.begin(), expected.end());
    std::vector<DeviceIndex> want;
    for (const auto& [position, e] : expected) want.push_back(e);
    EXPECT_EQ(drained(d), want);
  }

  void take(DeviceIndex d, const std::optional<std::vector<DeviceIndex>>& changed) {
    if (!changed) return;
    heard_in_session_[d] = true;
    model_.known_cursor[d] = true;
    for (const DeviceIndex e : *changed) {
      auto& p = model_.pair[d][e];
      p.told_unacked = p.edge && model_.generation[e] != 0;
      if (p.told_unacked) p.told = model_.generation[e];
    }
  }

  std::vector<DeviceIndex> drained(DeviceIndex d) {
    std::vector<DeviceIndex> all;
    while (auto changed = world_.pull(d, pick(2) == 0 ? 150 : 65536)) {
      take(d, changed);
      all.insert(all.end(), changed->begin(), changed->end());
    }
    // The device's table is the truth as it stands.
    for (DeviceIndex e = 0; e < kDevices; ++e) {
      const auto& p = model_.pair[d][e];
      const auto it = world_.device(d).table.find("d" + std::to_string(e) + ".corp");
      if (p.since == 0) {
        EXPECT_EQ(it, world_.device(d).table.end());
        continue;
      }
      EXPECT_NE(it, world_.device(d).table.end()) << d << " knows nothing of " << e;
      if (it == world_.device(d).table.end()) continue;
      EXPECT_EQ(it->second.removed, !p.edge) << d << " about " << e;
      if (!p.edge) continue;
      EXPECT_EQ(it->second.generation, model_.generation[e]) << d << " about " << e;
      EXPECT_EQ(it->second.endpoints, model_.endpoints[e]) << d << " about " << e;
    }
    return all;
  }

  void ack(DeviceIndex d, bool with_pending = true) {
    if (!heard_in_session_[d]) return;
    std::vector<DeviceIndex> pending;
    for (DeviceIndex e = 0; e < kDevices; ++e) {
      auto& p = model_.pair[d][e];
      if (!p.edge || p.since == 0) continue;
      const bool may = p.told_unacked || pending_[d].contains(e);
      if (!may) continue;
      // What is named pending is what the device last heard, which is what the relay last told.
      if (with_pending && pick(3) == 0 && world_.heard(d, e) == p.told) {
        pending.push_back(e);
      } else if (p.told_unacked || pending_told_[d][e] == p.told) {
        p.acked = p.told;
      }
      p.told_unacked = false;
    }
    pending_[d] = {pending.begin(), pending.end()};
    for (const DeviceIndex e : pending) pending_told_[d][e] = model_.pair[d][e].told;
    world_.ack(d, pending);
  }

  void check_counts() {
    for (DeviceIndex x = 0; x < kDevices; ++x) {
      if (model_.generation[x] == 0) continue;
      std::uint32_t attached = 0;
      std::uint32_t unattached = 0;
      for (DeviceIndex y = 0; y < kDevices; ++y) {
        const auto& p = model_.pair[y][x];
        if (!p.edge || p.acked == model_.generation[x]) continue;
        ++(model_.attached[y] ? attached : unattached);
      }
      EXPECT_EQ(world_.missing(x), (std::pair{attached, unattached})) << "device " << x;
    }
  }

  std::mt19937 random_;
  RelayWorld world_;
  Model model_;
  bool heard_in_session_[kDevices] = {};
  std::set<DeviceIndex> pending_[kDevices];
  std::map<DeviceIndex, std::uint32_t> pending_told_[kDevices];
};

TEST(RelayModel, RandomRunsAgreeWithTheModel) {
  for (std::uint32_t seed = 1; seed <= 500; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Trial trial(seed);
    for (int i = 0; i < 300; ++i) {
      trial.step();
      if (testing::Test::HasFailure()) {
        FAIL() << "at step " << i;
      }
    }
    trial.finish();
    if (testing::Test::HasFailure()) FAIL() << "at the end";
  }
}

}  // namespace
}  // namespace cygnet::controller
