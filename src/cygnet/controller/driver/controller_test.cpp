// SPDX-License-Identifier: Apache-2.0
// The controller on loopback: real TLS, real signed DIMs, both stores.
#include "cygnet/controller/driver/controller.h"

#include <gtest/gtest.h>

#include "cygnet/controller/driver/test_mesh.h"

namespace cygnet::controller::test {
namespace {

class ControllerLoopback : public testing::TestWithParam<TestMesh::Engine> {};

INSTANTIATE_TEST_SUITE_P(Stores, ControllerLoopback,
                         testing::Values(TestMesh::Engine::kMemory, TestMesh::Engine::kSqlite),
                         [](const auto& engine) {
                           return engine.param == TestMesh::Engine::kMemory ? "Memory" : "Sqlite";
                         });

constexpr const char* kStar = R"(
devices:
  - {name: hub, prefixes: [10.0.0.0/8]}
  - {name: a, prefixes: [10.1.0.0/24], endpoints: ["198.51.100.1:4500"]}
  - {name: b, prefixes: [10.2.0.0/24]}
rules:
  - {from: name=hub, to: any}
)";

TEST_P(ControllerLoopback, ADeviceJoinsPublishesAndItsAllowedPeersHearIt) {
  TestMesh mesh(GetParam());
  ASSERT_TRUE(mesh.apply(kStar));
  const auto hub = mesh.joined("hub");
  const auto a = mesh.joined("a");
  const auto b = mesh.joined("b");
  for (auto* device : {hub.get(), a.get(), b.get()}) {
    ASSERT_TRUE(device->attach()) << device->name;
    EXPECT_FALSE(device->welcome->has_own_dim());
    EXPECT_FALSE(device->welcome->resumed());
    EXPECT_EQ(device->welcome->settings().policy_version(), 1U);
  }
  EXPECT_TRUE(a->publish(1, 1).accepted());
  ASSERT_TRUE(mesh.wait([&] { return hub->peers["a.corp"].counter != 0; }));
  EXPECT_EQ(hub->peers["a.corp"].counter, proto::RekeyCounter(1, 1).to_wire());
  EXPECT_TRUE(hub->publish(1, 1).accepted());
  ASSERT_TRUE(mesh.wait(
      [&] { return a->peers["hub.corp"].counter != 0 && b->peers["hub.corp"].counter != 0; }));
  // "Peers get only DIMs that policy allows."
  b->settle();
  EXPECT_FALSE(b->peers.contains("a.corp"));
  EXPECT_FALSE(a->peers.contains("b.corp"));
  // The delivery mark names the hub, and then nobody is missing.
  ASSERT_TRUE(mesh.wait(
      [&] { return !a->statuses.empty() && a->statuses.back().attached_missing() == 0; }));
  bool named = false;
  for (const auto& status : a->statuses) {
    for (const auto& peer : status.acknowledged()) named |= peer == "hub.corp";
  }
  EXPECT_TRUE(named);
  // What policy says of the peer travels with it.
  EXPECT_EQ(hub->peers["a.corp"].dims_heard, 1);
  bool prefix = false;
  bool endpoint = false;
  for (const auto& update : hub->updates) {
    for (const auto& change : update.changes()) {
      if (change.device() != "a.corp") continue;
      prefix |= change.prefixes().items_size() == 1 && change.prefixes().items(0).length() == 24;
      endpoint |=
          change.endpoints().items_size() == 1 && change.endpoints().items(0).port() == 4500;
    }
  }
  EXPECT_TRUE(prefix);
  EXPECT_TRUE(endpoint);
}

}  // namespace
}  // namespace cygnet::controller::test
