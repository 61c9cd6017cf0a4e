// SPDX-License-Identifier: Apache-2.0
// No DIM ever reaches a device that policy does not allow to have it: random policies, publishes,
// revocations, sessions and slow disks against a naive reading of the rules.
#include <gtest/gtest.h>

#include <random>

#include "cygnet/controller/core/core_test_support.h"

namespace cygnet::controller {
namespace {

using test::CoreWorld;
using test::Device;
namespace pb = test::pb;

constexpr unsigned kDevices = 6;

/// Rules as the test understands them: pairs of labels.
struct NaiveRule {
  unsigned from = 0;
  unsigned to = 0;
  bool deny = false;
};

class Trial {
 public:
  explicit Trial(std::uint32_t seed) : random_(seed), world_(limits()) {
    for (unsigned i = 0; i < kDevices; ++i) {
      labels_[i] = pick(3);
      // Half of them by a label-bound token, so that policy learns of them at enrolment.
      world_.add(name(i), {{"zone", std::to_string(labels_[i])}});
    }
  }

  void step() {
    const unsigned i = pick(kDevices);
    Device& device = world_.devices.at(name(i));
    switch (pick(9)) {
      case 0: {
        new_rules();
        break;
      }
      case 1:
      case 2:
        if (device.session && !revoked_[i]) {
          world_.publish_octets(device, world_.sign(device, world_.dim(device, 1, ++sequence_[i])));
        }
        break;
      case 3:
        if (device.session) {
          world_.drop(device);
        } else {
          attach(i, pick(2) == 0);
        }
        break;
      case 4:
        if (pick(12) == 0) {
          // In force for the model when it is durable, which finish() waits for.
          ASSERT_TRUE(world_.revoke(name(i)));
          revoked_[i] = true;
          check_everyone();
        }
        break;
      case 5:
        if (pick(8) == 0) {
          world_.restart();
          for (auto& [n, d] : world_.devices) d.heard.clear();
        }
        break;
      case 6:
        world_.pass(std::chrono::seconds(1));
        break;
      default:
        world_.commit_one();
        break;
    }
    // What is in flight may become visible at any time.
    check(device);
  }

  void settle() {
    world_.commit_all();
    for (unsigned i = 0; i < kDevices; ++i) {
      Device& device = world_.devices.at(name(i));
      if (!revoked_[i]) attach(i, false);
      check(device);
    }
    // After the last event everyone knows exactly its peers' newest DIMs.
    for (unsigned i = 0; i < kDevices; ++i) {
      if (revoked_[i]) continue;
      const Device& device = world_.devices.at(name(i));
      for (unsigned j = 0; j < kDevices; ++j) {
        if (i == j) continue;
        const auto about = device.about(name(j) + ".corp");
        if (!allowed(i, j)) {
          EXPECT_TRUE(!about || about->removed()) << name(i) << " about " << name(j);
          continue;
        }
        ASSERT_TRUE(about) << name(i) << " about " << name(j);
        EXPECT_FALSE(about->removed());
        const auto stored = world_.core->relay().dim_of(*world_.core->names()->find(name(j)));
        EXPECT_EQ(about->has_dim(), stored != nullptr);
        if (stored != nullptr) {
          EXPECT_EQ(about->dim().dim(), std::string(as_text(*stored->dim)));
        }
      }
    }
  }

 private:
  static Limits limits() {
    Limits limits;
    limits.publishes_per_minute = 1'000'000;
    limits.messages_per_minute = 1'000'000;
    limits.joins_per_minute = 1'000'000;
    limits.direct_messages_max = 1'000'000;
    return limits;
  }
  unsigned pick(unsigned n) { return static_cast<unsigned>(random_() % n); }
  static std::string name(unsigned i) { return "d" + std::to_string(i); }

  /// Straight from the words of docs/policy.md.
  [[nodiscard]] bool allowed(unsigned i, unsigned j) const {
    if (revoked_[i] || revoked_[j] || i == j) return false;
    bool any = false;
    for (const NaiveRule& rule : rules_) {
      const bool speaks = (labels_[i] == rule.from && labels_[j] == rule.to) ||
                          (labels_[j] == rule.from && labels_[i] == rule.to);
      if (!speaks) continue;
      if (rule.deny) return false;
      any = true;
    }
    return any;
  }

  void new_rules() {
    std::vector<NaiveRule> rules;
    std::string yaml = "rules:\n";
    const unsigned n = 1 + pick(4);
    for (unsigned r = 0; r < n; ++r) {
      const NaiveRule rule{pick(3), pick(3), pick(4) == 0};
      rules.push_back(rule);
      yaml += "  - {from: zone=" + std::to_string(rule.from) +
              ", to: zone=" + std::to_string(rule.to) + (rule.deny ? ", action: deny" : "") + "}\n";
    }
    ASSERT_TRUE(world_.apply(yaml));
    rules_ = std::move(rules);
    check_everyone();
  }

  void attach(unsigned i, bool resume) {
    Device& device = world_.devices.at(name(i));
    device.heard.clear();
    world_.attach(device, resume);
    if (revoked_[i]) {
      EXPECT_TRUE(device.goaway().starts_with("revoked: ")) << device.goaway();
      world_.drop(device);
    }
  }

  /// Every update that is taken now must fit what is in force now.
  void check(Device& device) {
    const std::size_t before = device.heard.size();
    world_.pull(device);
    const auto self = static_cast<unsigned>(device.name[1] - '0');
    for (std::size_t m = before; m < device.heard.size(); ++m) {
      for (const auto& change : device.heard[m].update().changes()) {
        if (change.removed()) continue;
        const auto peer = static_cast<unsigned>(change.device()[1] - '0');
        EXPECT_TRUE(allowed(self, peer)) << device.name << " heard of " << change.device();
      }
    }
  }
  void check_everyone() {
    for (auto& [n, device] : world_.devices) check(device);
  }

  std::mt19937 random_;
  CoreWorld world_;
  unsigned labels_[kDevices] = {};
  bool revoked_[kDevices] = {};
  std::uint32_t sequence_[kDevices] = {};
  std::vector<NaiveRule> rules_;
};

TEST(CoreModel, UnauthorisedDevicesNeverGetADim) {
  for (std::uint32_t seed = 1; seed <= 25; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Trial trial(seed);
    for (int i = 0; i < 120 && !testing::Test::HasFailure(); ++i) trial.step();
    trial.settle();
    if (testing::Test::HasFailure()) FAIL();
  }
}

}  // namespace
}  // namespace cygnet::controller
