// SPDX-License-Identifier: Apache-2.0
// The kernel's IPsec carries packets between two devices, and between one of each kind. Needs a
// kernel with ESP, and root.

#include <chrono>
#include <cstdio>

#include "cygnet/agent/backend/userspace/e2e/two_devices.h"
#include "cygnet/agent/backend/xfrm/xfrm_backend.h"
#include "cygnet/proto/probe/probe.h"

namespace cygnet::agent::xfrm {
namespace {

using userspace::UserspaceConfig;
using userspace::e2e::Device;
using userspace::e2e::eventually;
using userspace::e2e::kOther;
using userspace::e2e::kSites;
using userspace::e2e::kTrafficPort;
using userspace::e2e::PairPlan;
using userspace::e2e::Socket;
using userspace::e2e::TwoDevices;

/// Which end has the kernel's data plane.
struct Mix {
  const char* name;
  std::array<bool, 2> kernel;
};
constexpr Mix kKernels{"KernelBoth", {true, true}};
constexpr Mix kLeft{"KernelLeft", {true, false}};
constexpr Mix kRight{"KernelRight", {false, true}};

class Devices : public TwoDevices, public testing::WithParamInterface<Mix> {
 protected:
  std::unique_ptr<Device> make_device(int end, UserspaceConfig config) override {
    const auto i = static_cast<std::size_t>(end);
    if (!kernel(end)) return TwoDevices::make_device(end, std::move(config));
    XfrmConfig mine;
    mine.keepalive = config.keepalive;
    mine.poll = std::chrono::milliseconds(100);
    mine.local_addresses = local_addresses_[i];
    return std::make_unique<Device>(
        ns_[i],
        [&](BackendEvents& events, PostToControl post) -> Result<std::unique_ptr<SadBackend>> {
          CYGNET_TRY(std::unique_ptr<SadBackend> backend,
                     XfrmBackend::create(std::move(mine), events, std::move(post)));
          return backend;
        });
  }
  [[nodiscard]] virtual bool kernel(int end) const {
    return GetParam().kernel[static_cast<std::size_t>(end)];
  }
  [[nodiscard]] Device& device(int end) { return *device_[static_cast<std::size_t>(end)]; }
  void TearDown() override {
    for (const int end : {0, 1}) {
      if (!HasFailure() || !kernel(end)) continue;
      const auto i = static_cast<std::size_t>(end);
      std::printf("---- end %d\n%s\n", end,
                  ns_[i]
                      .output("ip -s xfrm state | grep -v -e aead -e enc -e auth; ip xfrm policy; "
                              "grep -v ' 0$' /proc/thread-self/net/xfrm_stat; ip -4 route show "
                              "table 17235; ip -6 route show table 17235; ip addr")
                      .c_str());
    }
  }

  std::array<std::vector<IpAddress>, 2> local_addresses_;
};
INSTANTIATE_TEST_SUITE_P(All, Devices, testing::Values(kKernels, kLeft, kRight),
                         [](const auto& mix) { return mix.param.name; });

TEST_P(Devices, CarryIpv4AndIpv6BothWays) {
  bring_up();
  for (const int end : {0, 1}) {
    EXPECT_TRUE(passes(end, false));
    EXPECT_TRUE(passes(end, true));
  }
  expect_no_losses();
}

TEST_P(Devices, CarryBothFamiliesOverAnIpv6Underlay) {
  bring_up({}, true);
  for (const int end : {0, 1}) {
    EXPECT_TRUE(passes(end, false));
    EXPECT_TRUE(passes(end, true));
  }
  expect_no_losses();
}

TEST_P(Devices, AnswerPingAtTheMeshAddress) {
  bring_up();
  EXPECT_NE(ns_[0].output("ping -c 2 -i 0.2 -W 2 " + kSites[1].mesh).find(" 2 received"),
            std::string::npos);
  expect_no_losses();
}

TEST_P(Devices, CarryEverySuite) {
  start();
  introduce();
  std::uint32_t generation = 1;
  for (const auto& named : esp::all_suites()) {
    PairPlan plan;
    plan.generation = generation++;
    plan.suite = named.suite;
    install(plan);
    choose_both(plan);
    EXPECT_TRUE(passes(0, false)) << named.test_name;
    EXPECT_TRUE(passes(1, true)) << named.test_name;
  }
  expect_no_losses();
}

TEST_P(Devices, CarryWithoutEsn) {
  PairPlan plan;
  plan.esn = false;
  bring_up(plan);
  EXPECT_TRUE(passes(0, false));
  EXPECT_TRUE(passes(1, true));
  expect_no_losses();
}

// Evidence is what moves the peer's choice: it must come from every pair, and name the right one.
TEST_P(Devices, TellTheFirstPacketOfEachPair) {
  PairPlan first;
  bring_up(first);
  ASSERT_TRUE(passes(0, false));
  PairPlan second;
  second.generation = 2;
  install(second);
  ASSERT_TRUE(passes(0, false));
  const auto heard = [&](const PairPlan& plan) {
    for (const auto& evidence : device(1).events().evidence()) {
      if (evidence.pair == plan.id()) return true;
    }
    return false;
  };
  EXPECT_TRUE(eventually([&] { return heard(first); }));
  EXPECT_FALSE(heard(second));
  choose(0, second);
  ASSERT_TRUE(passes(0, false));
  EXPECT_TRUE(eventually([&] { return heard(second); }));
}

TEST_P(Devices, CarryProbesByTheChosenPair) {
  PairPlan plan;
  bring_up(plan);
  for (const int end : {0, 1}) {
    device(end).on([&](SadBackend& backend) {
      backend.send_probe(kOther, plan.id(), {1, 2, 3, static_cast<std::uint8_t>(end)});
    });
    ASSERT_TRUE(eventually([&] { return !device(1 - end).events().probes().empty(); }));
    EXPECT_EQ(device(1 - end).events().probes()[0],
              (Bytes{1, 2, 3, static_cast<std::uint8_t>(end)}));
  }
  // A probe is no user's packet.
  for (const int end : {0, 1}) {
    for (const PairCounters& row : device(end).counters()) {
      EXPECT_EQ(row.in.user_packets, 0U);
      EXPECT_EQ(row.out.user_packets, 0U);
      EXPECT_EQ(row.in.packets, 1U);
    }
  }
}

// Rule 4 in traffic: both ends change to new pairs while packets flow, and none is lost.
TEST_P(Devices, RekeyUnderTrafficWithoutLoss) {
  constexpr std::uint32_t kRekeys = 5;
  constexpr int kPackets = 100;  // for each
  PairPlan plan;
  bring_up(plan);
  std::array<Socket, 2> receiver{Socket(ns_[0], kSites[0].lan4, kTrafficPort),
                                 Socket(ns_[1], kSites[1].lan4, kTrafficPort)};
  std::array<Socket, 2> sender{Socket(ns_[0], "0.0.0.0", 0), Socket(ns_[1], "0.0.0.0", 0)};
  std::uint32_t sent = 0;
  std::array<std::uint32_t, 2> got{};
  const auto exchange = [&] {
    for (const std::size_t end : {0U, 1U}) {
      sender[end].send(kSites[1 - end].lan4, kTrafficPort, as_bytes("x"));
    }
    ++sent;
    for (const std::size_t end : {0U, 1U}) {
      if (receiver[end].receive(std::chrono::seconds(2))) ++got[end];
    }
  };
  for (std::uint32_t rekey = 1; rekey <= kRekeys; ++rekey) {
    PairPlan next = plan;
    next.generation = plan.generation + 1;
    install(next);
    for (int i = 0; i < kPackets; ++i) {
      if (i == kPackets / 4) choose(0, next);
      if (i == kPackets / 2) choose(1, next);
      exchange();
    }
    for (const int end : {0, 1}) {
      device(end).on([&](SadBackend& backend) {
        backend.remove_outbound(kOther, plan.id());
        backend.remove_inbound(kOther, plan.id());
      });
    }
    plan = next;
  }
  EXPECT_EQ(sent, kRekeys * kPackets);
  EXPECT_EQ(got[0], sent);
  EXPECT_EQ(got[1], sent);
  expect_no_losses();
}

/// Tests of one kernel device; the other end is whatever the parameter says.
class Kernel : public Devices {
 protected:
  [[nodiscard]] int end() const { return GetParam().kernel[0] ? 0 : 1; }
  [[nodiscard]] const userspace::e2e::Namespace& ns() const {
    return ns_[static_cast<std::size_t>(end())];
  }
  [[nodiscard]] std::string shell(const std::string& command) const { return ns().output(command); }
};
INSTANTIATE_TEST_SUITE_P(Left, Kernel, testing::Values(kLeft),
                         [](const auto& mix) { return mix.param.name; });

TEST_P(Kernel, HoldsPacketsUntilAnSaIsChosenAndSaysThatTheyWait) {
  start();
  introduce();
  PairPlan plan;
  install(plan);
  Socket receiver(ns_[1], kSites[1].lan4, kTrafficPort);
  Socket sender(ns_[0], "0.0.0.0", 0);
  sender.send(kSites[1].lan4, kTrafficPort, as_bytes("early"));
  EXPECT_TRUE(eventually([&] { return !device(0).events().waiting().empty(); }));
  choose_both(plan);
  const auto got = receiver.receive(std::chrono::seconds(10));
  ASSERT_TRUE(got.has_value());
  EXPECT_EQ(as_text(*got), "early");
}

TEST_P(Kernel, RefusesAnSpiThatSomebodyElseHasAndLeavesThatSaAlone) {
  start();
  introduce();
  PairPlan plan;
  const std::string foreign = "ip xfrm state add src 192.0.2.9 dst 192.0.2.1 proto esp spi " +
                              std::to_string(plan.spi(0).value()) +
                              " reqid 9 mode tunnel aead 'rfc4106(gcm(aes))' "
                              "0x000102030405060708090a0b0c0d0e0f10111213 128";
  ns_[0].shell(foreign);
  device(0).on([&](SadBackend& backend) { backend.install(plan.spec(kOther, 0)); });
  ASSERT_TRUE(eventually([&] { return !device(0).events().failed().empty(); }));
  EXPECT_EQ(device(0).events().failed()[0], "spi-collision collision");
  device(0).settle();
  const std::string left = shell("ip xfrm state");
  EXPECT_NE(left.find("reqid 9 "), std::string::npos) << left;
  EXPECT_EQ(left.find("src 192.0.2.1 dst 192.0.2.2"), std::string::npos) << left;
}

TEST_P(Kernel, NothingLeavesInClearWhenItsSasAreFlushedByHand) {
  PairPlan plan;
  bring_up(plan);
  ASSERT_TRUE(passes(0, false));
  ns_[0].shell("ip xfrm state flush");
  EXPECT_TRUE(eventually([&] { return !device(0).events().faults().empty(); }));
  EXPECT_EQ(device(0).events().faults()[0], "states-lost");
  // The other end's LAN is on the same cable for once: what leaves in clear would arrive.
  Socket receiver(ns_[1], kSites[1].lan4, kTrafficPort);
  Socket sender(ns_[0], "0.0.0.0", 0);
  static_cast<void>(sender.try_send(kSites[1].lan4, kTrafficPort, as_bytes("clear")));
  EXPECT_FALSE(receiver.receive(std::chrono::milliseconds(500)).has_value());
  // A new pair heals it.
  PairPlan next;
  next.generation = 2;
  install(next);
  choose_both(next);
  // The kernel may have held the datagram of before: it comes too then, sealed, and perhaps first.
  EXPECT_TRUE(eventually([&] { return passes(0, false); }));
}

TEST_P(Kernel, AStoppedDevicesSasGoOnUntilItIsToldToOpen) {
  PairPlan plan;
  bring_up(plan);
  ASSERT_TRUE(passes(0, false));
  ns_[0].shell("ip xfrm policy add dir out src 203.0.113.0/24 dst 198.51.100.0/24 action block");
  device(0).stop(false);
  EXPECT_TRUE(passes(0, false)) << "by the kernel alone";
  std::string status;
  ns().run([&] {
    const Status opened = XfrmBackend::open_all({});
    if (!opened) status = opened.error().to_string();
  });
  EXPECT_EQ(status, "");
  EXPECT_EQ(shell("ip -br link show cygnet0 2>/dev/null"), "");
  // What others have stays.
  const std::string left = shell("ip xfrm policy; ip xfrm state");
  EXPECT_EQ(left.find("proto esp"), std::string::npos) << left;
  EXPECT_NE(left.find("203.0.113.0/24"), std::string::npos) << left;
  EXPECT_EQ(left.find(kSites[1].lan4_net), std::string::npos) << left;
}

/// A device whose process ended and that was started again.
class Restarted : public Kernel {
 protected:
  void restart(int end) {
    const auto i = static_cast<std::size_t>(end);
    device_[i]->stop(false);
    device_[i] = make_device(end, {});
    ASSERT_EQ(device(end).create_error(), "");
    device(end).on([&](SadBackend& backend) { EXPECT_TRUE(backend.features().took_over); });
  }
  [[nodiscard]] std::string outbound_policy(int end) const {
    return ns_[static_cast<std::size_t>(end)].output(
        "ip xfrm policy list dir out dst " + kSites[static_cast<std::size_t>(1 - end)].lan4_net);
  }
  [[nodiscard]] static std::string text_of(proto::Spi spi) {
    std::array<char, 16> text{};
    std::snprintf(text.data(), text.size(), "0x%08x", spi.value());
    return text.data();
  }
  void expect_outbound(int end, const PairPlan& plan) {
    const std::string wanted = "spi " + text_of(plan.spi(1 - end));
    EXPECT_TRUE(eventually([&] { return outbound_policy(end).find(wanted) != std::string::npos; }))
        << wanted << "\n"
        << outbound_policy(end);
  }
};
INSTANTIATE_TEST_SUITE_P(Left, Restarted, testing::Values(kLeft),
                         [](const auto& mix) { return mix.param.name; });

// "a new generation replaces them make-before-break": the peer is sent to on what it has, until it
// is heard on what is new.
TEST_P(Restarted, ItsSasGoOnUntilThePeerIsHeardOnNewOnes) {
  PairPlan plan;
  bring_up(plan);
  ASSERT_TRUE(passes(0, false));
  restart(0);
  EXPECT_TRUE(passes(0, false));
  EXPECT_TRUE(passes(1, true));
  introduce();
  EXPECT_TRUE(passes(0, true));
  EXPECT_TRUE(passes(1, false));
  PairPlan next;
  next.generation = 2;
  install(next);
  choose(0, next);
  EXPECT_TRUE(passes(0, false));
  device(0).settle();
  expect_outbound(0, plan);
  choose(1, next);
  EXPECT_TRUE(passes(1, false));
  expect_outbound(0, next);
  EXPECT_TRUE(passes(0, false));
  EXPECT_TRUE(passes(0, true));
  // The old ones drain, then go.
  const std::string old = text_of(plan.spi(0));
  EXPECT_TRUE(eventually([&] { return shell("ip xfrm state").find(old) == std::string::npos; },
                         std::chrono::seconds(30)));
  EXPECT_TRUE(passes(1, true));
}

class BothRestarted : public Restarted {};
INSTANTIATE_TEST_SUITE_P(All, BothRestarted, testing::Values(kKernels),
                         [](const auto& mix) { return mix.param.name; });

// Each waits to hear the other on new SAs; their probes try them.
TEST_P(BothRestarted, FindEachOtherOnNewOnes) {
  PairPlan plan;
  bring_up(plan);
  for (const int end : {0, 1}) restart(end);
  introduce();
  PairPlan next;
  next.generation = 2;
  install(next);
  choose_both(next);
  for (const int end : {0, 1}) {
    device(end).on([&](SadBackend& backend) {
      backend.send_probe(kOther, next.id(), {1, 2, 3, 4});
    });
  }
  for (const int end : {0, 1}) {
    EXPECT_TRUE(eventually([&] { return !device(end).events().probes().empty(); }));
    expect_outbound(end, next);
    EXPECT_TRUE(passes(end, false));
  }
}

TEST_P(Restarted, APeerThatIsRemovedOrForgottenLosesThem) {
  PairPlan plan;
  bring_up(plan);
  ASSERT_TRUE(passes(0, false));
  restart(0);
  introduce();
  EXPECT_TRUE(passes(0, false));
  device(0).on([&](SadBackend& backend) { backend.remove_peer(kOther, true); });
  Socket sender(ns_[0], "0.0.0.0", 0);
  EXPECT_NE(sender.try_send(kSites[1].lan4, kTrafficPort, as_bytes("x")), 0);
  const std::string left = shell("ip xfrm state");
  EXPECT_EQ(left.find("proto esp spi 0x0"), std::string::npos) << left;
}

TEST_P(Restarted, WhatNobodyClaimsGoesAfterAWhile) {
  PairPlan plan;
  bring_up(plan);
  ASSERT_TRUE(passes(0, false));
  restart(0);
  EXPECT_TRUE(eventually([&] { return outbound_policy(0).find("block") != std::string::npos; },
                         std::chrono::seconds(30)));
  const std::string left = shell("ip xfrm state");
  EXPECT_EQ(left.find("proto esp spi 0x0"), std::string::npos) << left;
}

TEST_P(Kernel, ANewStartReplacesWhatAnEarlierRunLeft) {
  PairPlan plan;
  bring_up(plan);
  ns_[0].shell(
      "ip xfrm state add src 192.0.2.9 dst 192.0.2.1 proto esp spi 0x999 reqid 9 mode tunnel aead "
      "'rfc4106(gcm(aes))' 0x000102030405060708090a0b0c0d0e0f10111213 128");
  // As after a crash: SAs and policies of a device that nobody runs any more.
  ns_[0].shell("ip xfrm state add src 192.0.2.1 dst 192.0.2.2 proto esp spi 0x4242 reqid " +
               std::to_string((17235U << 16) | 0x8765) +
               " mode tunnel aead 'rfc4106(gcm(aes))' 0x000102030405060708090a0b0c0d0e0f10111213 "
               "128");
  device_[0]->stop(false);
  device_[0] = make_device(0, {});
  ASSERT_EQ(device(0).create_error(), "");
  const std::string states = shell("ip xfrm state");
  EXPECT_EQ(states.find("0x00004242"), std::string::npos) << states;
  EXPECT_NE(states.find("0x00000999"), std::string::npos) << states;
  introduce();
  PairPlan next;
  next.generation = 2;
  install(next);
  choose_both(next);
  EXPECT_TRUE(passes(0, false));
  EXPECT_TRUE(passes(1, true));
}

TEST_P(Kernel, ReportsAnSpiThatNobodyHas) {
  PairPlan plan;
  bring_up(plan);
  PairPlan strange;
  strange.generation = 9;
  Socket sender(ns_[1], kSites[1].underlay4, 4777);
  std::uint64_t sequence = 0;
  EXPECT_TRUE(eventually([&] {
    sender.send(kSites[0].underlay4, 4500,
                forge(strange, 0, ++sequence, udp4(kSites[1].lan4, kSites[0].lan4)));
    return !device(0).events().unknown().empty();
  }));
  ASSERT_FALSE(device(0).events().unknown().empty());
  const auto report = device(0).events().unknown()[0];
  EXPECT_EQ(report.spi, strange.spi(0).value());
  EXPECT_EQ(report.source, userspace::e2e::at(kSites[1].underlay4, 4777));
  EXPECT_GE(report.count, 1U);
}

// Thousands of SAs a second need many messages a system call. The rate is printed, not judged.
TEST_P(Kernel, InstallsManySasWithFewSystemCalls) {
  constexpr std::uint32_t kPairs = 500;
  start();
  introduce();
  const auto calls = [&] {
    std::uint64_t count = 0;
    device(0).on(
        [&](SadBackend& backend) { count = dynamic_cast<XfrmBackend&>(backend).system_calls(); });
    return count;
  };
  const auto measure = [&](const char* how, std::uint32_t first, bool together) {
    const std::uint64_t before = calls();
    const std::size_t installed = device(0).events().installed().size();
    const auto began = std::chrono::steady_clock::now();
    const auto install_one = [&](SadBackend& backend, std::uint32_t i) {
      PairPlan plan;
      plan.generation = first + i;
      plan.suite = {crypto::EncrId::kAesGcm16, 256, crypto::IntegId::kNone};
      backend.install(plan.spec(kOther, 0));
    };
    if (together) {
      device(0).on([&](SadBackend& backend) {
        for (std::uint32_t i = 0; i < kPairs; ++i) install_one(backend, i);
      });
    } else {
      for (std::uint32_t i = 0; i < kPairs; ++i) {
        device(0).on([&](SadBackend& backend) { install_one(backend, i); });
      }
    }
    EXPECT_TRUE(
        eventually([&] { return device(0).events().installed().size() == installed + kPairs; },
                   std::chrono::seconds(60)));
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
    const double each = static_cast<double>(calls() - before) / (2.0 * kPairs);
    std::printf("%s: %u SAs, %.0f SAs/s, %.3f system calls an SA\n", how, 2 * kPairs,
                2 * kPairs / took.count(), each);
    return each;
  };
  const double one_by_one = measure("one pair at a time", 10, false);
  const double batched = measure("batched", 10 + kPairs, true);
  EXPECT_LE(batched, 0.05);
  EXPECT_GT(one_by_one, batched);
  EXPECT_TRUE(device(0).events().failed().empty());
}

TEST_P(Kernel, LearnsThePeersAddressFromItsFirstPacket) {
  local_addresses_[0] = {userspace::e2e::ip(kSites[0].underlay4)};
  start();
  for (const int e : {0, 1}) {
    device(e).on([&](SadBackend& backend) {
      EXPECT_TRUE(backend.set_self(self_of(e)).has_value());
      PeerConfig peer = other_of(e);
      if (e == 0) peer.endpoints.clear();
      EXPECT_TRUE(backend.set_peer(peer).has_value());
    });
  }
  PairPlan plan;
  install(plan);
  choose_both(plan);
  ASSERT_TRUE(passes(1, false));
  EXPECT_TRUE(eventually([&] { return !device(0).events().moved().empty(); }));
  EXPECT_TRUE(passes(0, false));
}

/// The peer is said to be at a port where it is not; the kernel tells where it sends from.
class WrongPort : public Kernel {
 protected:
  void SetUp() override {
    Kernel::SetUp();
    start();
    for (const int e : {0, 1}) {
      device(e).on([&](SadBackend& backend) {
        EXPECT_TRUE(backend.set_self(self_of(e)).has_value());
        PeerConfig peer = other_of(e);
        if (e == 0) peer.endpoints.front().port = kWrong;
        EXPECT_TRUE(backend.set_peer(peer).has_value());
      });
    }
    install(plan_);
    choose_both(plan_);
    ASSERT_TRUE(passes(1, false));
    // The packets that told it are the peer's; what is sent there now is a question.
    ASSERT_TRUE(eventually([&] { return !device(1).events().probes().empty(); }));
  }
  [[nodiscard]] std::uint16_t port() { return device(0).paths().at(0).endpoint->port; }

  static constexpr std::uint16_t kWrong = 4999;
  PairPlan plan_;
};
INSTANTIATE_TEST_SUITE_P(Left, WrongPort, testing::Values(kLeft),
                         [](const auto& mix) { return mix.param.name; });

TEST_P(WrongPort, IsLeftForTheOneWhereAProbeIsAnswered) {
  const auto request = proto::decode_probe(device(1).events().probes()[0]);
  ASSERT_TRUE(request.has_value());
  const Bytes reply = *proto::encode_probe(proto::reply_to(*request));
  device(1).on([&](SadBackend& backend) { backend.send_probe(kOther, plan_.id(), reply); });
  ASSERT_TRUE(eventually([&] { return !device(0).events().moved().empty(); }));
  EXPECT_EQ(port(), 4500);
  EXPECT_TRUE(passes(0, false));
  EXPECT_TRUE(passes(1, true));
  EXPECT_TRUE(device(0).events().probes().empty()) << "the answer was the data plane's own";
  expect_no_losses();
}

TEST_P(WrongPort, IsGoneBackToWhenNobodyAnswers) {
  EXPECT_EQ(port(), 4500);
  EXPECT_TRUE(eventually([&] { return port() == kWrong; }, std::chrono::seconds(20)));
  EXPECT_TRUE(device(0).events().moved().empty());
}

}  // namespace
}  // namespace cygnet::agent::xfrm
