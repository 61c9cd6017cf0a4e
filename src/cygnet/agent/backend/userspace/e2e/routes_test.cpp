// SPDX-License-Identifier: Apache-2.0
// What the kernel is told, and what stays when the agent goes: nothing protected leaves in clear.

#include <cerrno>

#include "cygnet/agent/backend/userspace/e2e/two_devices.h"
#include "cygnet/agent/backend/userspace/key_export.h"

namespace cygnet::agent::userspace::e2e {
namespace {

bool unreachable(int error) { return error == EHOSTUNREACH || error == ENETUNREACH; }

class Routing : public TwoDevices {
 protected:
  /// What a host of the left site gets when it sends to `address`: 0 or an errno.
  [[nodiscard]] int try_from_left(const std::string& address) {
    Socket sender(ns_[0], address.find(':') == std::string::npos ? "0.0.0.0" : "::", 0);
    return sender.try_send(address, kTrafficPort, Bytes{1});
  }
  [[nodiscard]] std::string table(std::size_t end) const {
    return ns_[end].output("ip route show table 17235; ip -6 route show table 17235");
  }
  [[nodiscard]] std::string rules(std::size_t end) const {
    return ns_[end].output("ip rule; ip -6 rule");
  }
  [[nodiscard]] static std::size_t count(const std::string& text, const std::string& what) {
    std::size_t n = 0;
    for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++n;
    return n;
  }
  /// A default route on the underlay, so that what is not protected would leave in clear.
  void default_route() {
    ns_[0].shell("ip route add default via 192.0.2.2 && ip -6 route add default via 2001:db8:f::2");
  }
};

TEST_F(Routing, FailClosedRoutesOutliveTheAgentAndOnlyOpenRemovesThem) {
  default_route();
  bring_up();
  ASSERT_TRUE(passes(0, false));
  device_[0]->stop(false);
  EXPECT_EQ(table(0).find("cygnet0"), std::string::npos);
  EXPECT_GE(count(table(0), "unreachable"), 3U) << table(0);
  EXPECT_TRUE(unreachable(try_from_left("10.2.0.1")));
  EXPECT_TRUE(unreachable(try_from_left("2001:db8:2::1")));
  EXPECT_TRUE(unreachable(try_from_left(kSites[1].mesh)));
  EXPECT_EQ(try_from_left("10.9.0.1"), 0) << "what is not protected passes";
  ns_[0].run([] {
    const Status opened = UserspaceBackend::open_all(RoutingConfig{});
    EXPECT_TRUE(opened.has_value()) << opened.error().to_string();
  });
  EXPECT_EQ(table(0), "");
  EXPECT_EQ(rules(0).find("17235"), std::string::npos);
  EXPECT_EQ(try_from_left("10.2.0.1"), 0);
  // Twice is once.
  ns_[0].run([] { EXPECT_TRUE(UserspaceBackend::open_all(RoutingConfig{}).has_value()); });
}

TEST_F(Routing, ShuttingDownOpenLeavesNothing) {
  default_route();
  bring_up();
  device_[0]->stop(true);
  EXPECT_EQ(table(0), "");
  EXPECT_EQ(rules(0).find("17235"), std::string::npos);
  EXPECT_EQ(try_from_left("10.2.0.1"), 0);
}

TEST_F(Routing, AnAgentThatStartsAgainTakesOverItsRoutes) {
  bring_up();
  device_[0]->stop(false);
  device_[0] = std::make_unique<Device>(ns_[0]);
  ASSERT_EQ(device_[0]->create_error(), "");
  EXPECT_TRUE(unreachable(try_from_left("10.2.0.1"))) << "before the peer is known again";
  device_[0]->with([](UserspaceBackend& b) {
    EXPECT_TRUE(b.set_self(self_of(0)).has_value());
    EXPECT_TRUE(b.set_peer(other_of(0)).has_value());
  });
  PairPlan next;
  next.generation = 2;
  install(next);
  choose_both(next);
  EXPECT_TRUE(passes(0, false));
  EXPECT_EQ(count(rules(0), "17235"), 4U) << "one rule a family: " << rules(0);
}

TEST_F(Routing, FailClosedRoutesOfFormerPoliciesGoWhenAsked) {
  start();
  introduce();
  device_[0]->with([](UserspaceBackend& b) {
    PeerConfig peer = other_of(0);
    peer.prefixes.push_back(net("10.77.0.0/16"));
    EXPECT_TRUE(b.set_peer(peer).has_value());
  });
  device_[0]->stop(false);
  device_[0] = std::make_unique<Device>(ns_[0]);
  device_[0]->with([](UserspaceBackend& b) {
    EXPECT_TRUE(b.set_self(self_of(0)).has_value());
    EXPECT_TRUE(b.set_peer(other_of(0)).has_value());
  });
  EXPECT_NE(table(0).find("10.77.0.0/16"), std::string::npos);
  device_[0]->with(
      [](UserspaceBackend& b) { EXPECT_TRUE(b.drop_unclaimed_fail_closed().has_value()); });
  EXPECT_EQ(table(0).find("10.77.0.0/16"), std::string::npos);
  EXPECT_NE(table(0).find("unreachable 10.2.0.0/16"), std::string::npos);
  EXPECT_NE(table(0).find("unreachable fd01:203:405::/64"), std::string::npos) << table(0);
}

TEST_F(Routing, RoutesCanBeClosedWithoutAnAgent) {
  default_route();
  ns_[0].run([] {
    const Status closed =
        UserspaceBackend::close_all(RoutingConfig{}, {net("10.2.0.0/16"), net("2001:db8:2::/64")});
    EXPECT_TRUE(closed.has_value()) << closed.error().to_string();
  });
  EXPECT_TRUE(unreachable(try_from_left("10.2.0.1")));
  EXPECT_TRUE(unreachable(try_from_left("2001:db8:2::1")));
}

TEST_F(Routing, RemovingAPeerTakesItsRoutesOrKeepsThemClosed) {
  default_route();
  bring_up();
  ASSERT_TRUE(passes(0, false));
  device_[0]->with([](UserspaceBackend& b) { b.remove_peer(kOther, true); });
  EXPECT_TRUE(unreachable(try_from_left("10.2.0.1")));
  EXPECT_TRUE(device_[0]->counters().empty());
  device_[0]->with([](UserspaceBackend& b) {
    EXPECT_TRUE(b.set_peer(other_of(0)).has_value());
    b.remove_peer(kOther, false);
  });
  EXPECT_EQ(try_from_left("10.2.0.1"), 0);
  EXPECT_EQ(table(0).find("10.2.0.0/16"), std::string::npos);
  EXPECT_TRUE(device_[0]->paths().empty());
}

TEST_F(Routing, APrefixThatPolicyTakesAwayIsNoLongerProtected) {
  start();
  introduce();
  device_[0]->with([](UserspaceBackend& b) {
    PeerConfig peer = other_of(0);
    peer.prefixes = {net("2001:db8:2::/64")};
    EXPECT_TRUE(b.set_peer(peer).has_value());
  });
  EXPECT_EQ(table(0).find("10.2.0.0/16"), std::string::npos);
  EXPECT_NE(table(0).find("2001:db8:2::/64"), std::string::npos);
}

TEST_F(Routing, AForeignRouteForTheSamePrefixIsLeftAlone) {
  ns_[0].shell("ip route add 10.2.0.0/16 via 192.0.2.2");
  start();
  const auto set = [&] {
    std::string error;
    device_[0]->with([&](UserspaceBackend& b) {
      EXPECT_TRUE(b.set_self(self_of(0)).has_value());
      const Status status = b.set_peer(other_of(0));
      if (!status) error = status.error().to_string();
    });
    return error;
  };
  const std::string error = set();
  EXPECT_NE(error.find("route-conflict"), std::string::npos);
  EXPECT_NE(error.find("10.2.0.0/16"), std::string::npos);
  EXPECT_NE(error.find("via 192.0.2.2 dev u0"), std::string::npos) << error;
  EXPECT_EQ(error.find("2001:db8:2::/64"), std::string::npos) << "the others are taken";
  EXPECT_EQ(table(0).find("10.2.0.0/16"), std::string::npos);
  EXPECT_NE(table(0).find("2001:db8:2::/64 dev cygnet0"), std::string::npos);
  EXPECT_NE(ns_[0].output("ip route").find("10.2.0.0/16 via 192.0.2.2"), std::string::npos);
  // When the route has gone, setting the peer again takes the prefix.
  ns_[0].shell("ip route del 10.2.0.0/16");
  EXPECT_EQ(set(), "");
  EXPECT_NE(table(0).find("10.2.0.0/16 dev cygnet0"), std::string::npos);
}

TEST_F(Routing, AForeignRouteYieldsWhenTold) {
  ns_[0].shell("ip route add 10.2.0.0/16 via 192.0.2.2");
  start([](int, UserspaceConfig& config) { config.routing.override_conflicts = true; });
  introduce();
  install({});
  choose_both({});
  EXPECT_TRUE(passes(0, false));
  EXPECT_EQ(device_[0]->counters()[0].out.user_packets, 1U);
}

TEST_F(Routing, PrefixesThatCannotBeAPeersAreRefusedByName) {
  start();
  device_[0]->with([](UserspaceBackend& b) {
    EXPECT_TRUE(b.set_self(self_of(0)).has_value());
    PeerConfig peer = other_of(0);
    peer.prefixes = {net("10.1.0.0/16"), net("127.0.0.0/8"),   net("224.0.0.0/4"),
                     net("fe80::/64"),   {ip("10.2.0.5"), 16}, net("10.2.0.0/16")};
    const Status status = b.set_peer(peer);
    ASSERT_FALSE(status.has_value());
    const std::string text = status.error().to_string();
    for (const char* name :
         {"peer right", "10.1.0.0/16", "127.0.0.0/8", "224.0.0.0/4", "fe80::/64", "10.2.0.5/16"}) {
      EXPECT_NE(text.find(name), std::string::npos) << name << ": " << text;
    }
    PeerConfig rival = other_of(0);
    rival.peer = proto::PeerId(8);
    rival.name = "rival";
    rival.mesh_address = ip("fd01:203:405:0:8::1");
    rival.prefixes = {net("10.2.0.0/16"), net("10.2.9.0/24")};
    const Status second = b.set_peer(rival);
    ASSERT_FALSE(second.has_value());
    EXPECT_EQ(second.error().code, kErrPrefixTaken);
    EXPECT_NE(second.error().message.find("10.2.0.0/16 is right's"), std::string::npos);
    EXPECT_EQ(second.error().message.find("10.2.9.0/24"), std::string::npos);
  });
  EXPECT_NE(table(0).find("10.2.0.0/16 dev cygnet0"), std::string::npos);
  EXPECT_NE(table(0).find("10.2.9.0/24 dev cygnet0"), std::string::npos);
}

TEST_F(Routing, APrefixMovesToThePeerThatWaitedForIt) {
  bring_up();
  ASSERT_TRUE(passes(0, false));
  constexpr proto::PeerId kSecond{8};
  // Another peer is given right's network before right has lost it; both are the same host here.
  PairPlan plan;
  plan.generation = 3;
  device_[0]->with([&](UserspaceBackend& b) {
    PeerConfig second = other_of(0);
    second.peer = kSecond;
    second.name = "second";
    second.mesh_address = ip("fd01:203:405:0:8::1");
    EXPECT_FALSE(b.set_peer(second).has_value());
    b.install(plan.spec(kSecond, 0));
    b.choose_outbound(kSecond, plan.id());
    b.remove_peer(kOther, false);
  });
  device_[1]->with([&](UserspaceBackend& b) { b.install(plan.spec(kOther, 1)); });
  EXPECT_TRUE(passes(0, false));
  EXPECT_NE(table(0).find("unreachable 10.2.0.0/16"), std::string::npos);
  EXPECT_EQ(device_[0]->counters()[0].peer, kSecond);
}

TEST_F(Routing, OwnNetworksAreNotCapturedByAPeersLargerPrefix) {
  bring_up();
  device_[0]->with([](UserspaceBackend& b) {
    PeerConfig peer = other_of(0);
    peer.prefixes = {net("10.0.0.0/8"), net("2001:db8::/32")};
    EXPECT_TRUE(b.set_peer(peer).has_value());
  });
  // A neighbour on the own network, and the underlay of the same larger prefix.
  EXPECT_NE(ns_[0].output("ip route get 10.1.0.77").find("dev lan0"), std::string::npos);
  EXPECT_NE(ns_[0].output("ip -6 route get 2001:db8:1::77").find("dev lan0"), std::string::npos);
  EXPECT_NE(ns_[0].output("ip route get 10.99.0.1").find("dev cygnet0"), std::string::npos);
  EXPECT_TRUE(passes(0, false));
}

TEST_F(Routing, APeersEndpointInsideItsProtectedPrefixDoesNotLoop) {
  default_route();
  bring_up();
  for (const int end : {0, 1}) {
    device_[static_cast<std::size_t>(end)]->with([&](UserspaceBackend& b) {
      PeerConfig peer = other_of(end);
      if (end == 0) peer.prefixes = {net("0.0.0.0/0"), net("::/0")};
      const Status status = b.set_peer(peer);
      EXPECT_TRUE(status.has_value()) << status.error().to_string();
    });
  }
  EXPECT_TRUE(passes(0, false));
  EXPECT_TRUE(passes(0, true));
  EXPECT_TRUE(passes(1, false));
  // Somebody else's traffic to the endpoint's own host is protected too.
  EXPECT_NE(ns_[0].output("ip route get 192.0.2.2").find("dev cygnet0"), std::string::npos);
  EXPECT_NE(ns_[0].output("ip route get 192.0.2.2 mark 0x4379").find("dev u0"), std::string::npos);
  expect_no_losses();
}

TEST_F(Routing, APacketOfThisHostLeavesWithAnAddressOfItsNetwork) {
  bring_up();
  EXPECT_NE(ns_[0].output("ip route get 10.2.0.1").find("src 10.1.0.1"), std::string::npos);
  EXPECT_NE(ns_[0].output("ip -6 route get 2001:db8:2::1").find("src 2001:db8:1::1"),
            std::string::npos);
}

TEST_F(Routing, ChangingTheOwnNetworksTakesEffect) {
  bring_up();
  ASSERT_TRUE(passes(1, false));
  device_[0]->with([](UserspaceBackend& b) {
    EXPECT_TRUE(b.set_self({ip(kSites[0].mesh), {net("2001:db8:1::/64")}}).has_value());
  });
  Socket sender(ns_[1], "0.0.0.0", 0);
  sender.send("10.1.0.1", kTrafficPort, Bytes{1});
  EXPECT_TRUE(eventually([&] { return device_[0]->drops("inner-destination") == 1; }));
  EXPECT_EQ(table(0).find("throw 10.1.0.0/16"), std::string::npos);
  device_[0]->with([](UserspaceBackend& b) { EXPECT_TRUE(b.set_self(self_of(0)).has_value()); });
  EXPECT_TRUE(passes(1, false));
}

class Starting : public TwoDevices {};

TEST_F(Starting, APortInUseIsNamedWithItsHolder) {
  Socket holder(ns_[0], "0.0.0.0", 4500);
  const Device device(ns_[0]);
  EXPECT_NE(device.create_error().find("port-in-use"), std::string::npos);
  EXPECT_NE(device.create_error().find("UDP port 4500 is held by"), std::string::npos);
  EXPECT_NE(device.create_error().find("esp_port"), std::string::npos) << device.create_error();
}

TEST_F(Starting, AnotherPortWorksAtBothEnds) {
  start([](int, UserspaceConfig& config) { config.port = 4599; });
  introduce();
  for (const int end : {0, 1}) {
    device_[static_cast<std::size_t>(end)]->with([&](UserspaceBackend& b) {
      PeerConfig peer = other_of(end);
      peer.endpoints[0].port = 4599;
      EXPECT_TRUE(b.set_peer(peer).has_value());
    });
  }
  install({});
  choose_both({});
  EXPECT_TRUE(passes(0, false));
}

TEST_F(Starting, ATunnelDeviceInUseIsNamed) {
  start();
  UserspaceConfig config;
  config.port = 4501;
  const Device second(ns_[0], config);
  EXPECT_NE(second.create_error().find("tun-busy"), std::string::npos);
  EXPECT_NE(second.create_error().find("cygnet0"), std::string::npos);
  EXPECT_NE(second.create_error().find("choose another device name"), std::string::npos);
}

TEST_F(Starting, BadSettingsAreRefusedBeforeAnythingIsMade) {
  const auto error = [&](const std::function<void(UserspaceConfig&)>& change) {
    UserspaceConfig config;
    change(config);
    return Device(ns_[0], config).create_error();
  };
  EXPECT_NE(error([](auto& c) { c.tun_name = "much-too-long-a-name"; }).find("tun-name"),
            std::string::npos);
  EXPECT_NE(error([](auto& c) { c.tun_name = "a/b"; }).find("tun-name"), std::string::npos);
  EXPECT_NE(error([](auto& c) { c.tun_name = ""; }).find("tun-name"), std::string::npos);
  EXPECT_NE(error([](auto& c) { c.inner_mtu = 1279; }).find("mtu"), std::string::npos);
  EXPECT_NE(error([](auto& c) { c.tun_name = "lan0"; }).find("tun-busy"), std::string::npos);
  if (!kInsecureKeyExport) {
    EXPECT_NE(error([](auto& c) { c.key_export_path = "keys"; }).find("key-export"),
              std::string::npos);
  }
  EXPECT_EQ(ns_[0].output("ip rule").find("17235"), std::string::npos);
}

TEST_F(Starting, WithoutIpv6TheUnderlayIsIpv4AndTheMeshAddressIsRefusedWithTheCure) {
  ns_[0].shell("sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1");
  start();
  device_[0]->with([](UserspaceBackend& b) {
    const Status status = b.set_self(self_of(0));
    ASSERT_FALSE(status.has_value());
    EXPECT_EQ(status.error().code, kErrNoIpv6);
    EXPECT_NE(status.error().cure.find("disable_ipv6"), std::string::npos);
  });
}

TEST_F(Starting, ADeviceDeletedUnderTheAgentIsAFault) {
  bring_up();
  ns_[0].shell("ip link del cygnet0");
  ASSERT_TRUE(eventually([&] { return !device_[0]->events().faults().empty(); }));
  EXPECT_EQ(device_[0]->events().faults()[0], "tun-gone");
  EXPECT_EQ(device_[0]->events().faults().size(), 1U);
  EXPECT_TRUE(unreachable([&] {
    Socket sender(ns_[0], "0.0.0.0", 0);
    return sender.try_send("10.2.0.1", kTrafficPort, Bytes{1});
  }()));
}

}  // namespace
}  // namespace cygnet::agent::userspace::e2e
