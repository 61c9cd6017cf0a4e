// SPDX-License-Identifier: Apache-2.0
#pragma once

/// For the end-to-end tests: two devices on one underlay, each with a network behind it.
///
///   left:  underlay 192.0.2.1, 2001:db8:f::1   LAN 10.1.0.1/16, 2001:db8:1::1/64
///   right: underlay 192.0.2.2, 2001:db8:f::2   LAN 10.2.0.1/16, 2001:db8:2::1/64

#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <string>

#include "cygnet/agent/backend/userspace/e2e/device.h"

namespace cygnet::agent::userspace::e2e {

inline constexpr std::uint16_t kTrafficPort = 7000;

struct Site {
  std::string underlay4, underlay6, lan4, lan6, lan4_net, lan6_net, mesh;
};
inline const std::array<Site, 2> kSites{{
    {"192.0.2.1", "2001:db8:f::1", "10.1.0.1", "2001:db8:1::1", "10.1.0.0/16", "2001:db8:1::/64",
     "fd01:203:405:0:1::1"},
    {"192.0.2.2", "2001:db8:f::2", "10.2.0.1", "2001:db8:2::1", "10.2.0.0/16", "2001:db8:2::/64",
     "fd01:203:405:0:2::1"},
}};
/// As each end calls the other.
inline constexpr proto::PeerId kOther{7};

class TwoDevices : public testing::Test {
 protected:
  void SetUp() override;

  /// The device of `end`: here, a userspace backend.
  [[nodiscard]] virtual std::unique_ptr<Device> make_device(int end, UserspaceConfig config);
  /// Starts both backends; `adapt` may change a device's settings.
  void start(const std::function<void(int, UserspaceConfig&)>& adapt = {});
  [[nodiscard]] static PeerConfig other_of(int end, bool outer_v6 = false);
  [[nodiscard]] static SelfConfig self_of(int end);
  /// set_self and set_peer at both ends.
  void introduce(bool outer_v6 = false);
  /// Installs at both ends and waits until both have said so.
  void install(const PairPlan& plan);
  void choose(int end, const PairPlan& plan);
  void choose_both(const PairPlan& plan);
  /// start, introduce, install, choose.
  void bring_up(const PairPlan& plan = {}, bool outer_v6 = false);

  /// One datagram from `end`'s LAN address to the other's; true when it arrives unchanged.
  [[nodiscard]] bool passes(int end, bool v6, const std::string& text = "hello");
  void expect_no_losses();

  /// A packet on `plan`'s SA towards `end`, made by hand.
  [[nodiscard]] static Bytes forge(const PairPlan& plan, int end, std::uint64_t sequence,
                                   ByteView inner, std::uint8_t next_header = 4);
  /// An IPv4 UDP packet with a valid header.
  [[nodiscard]] static Bytes udp4(const std::string& source, const std::string& destination,
                                  std::string_view text = "hi");

  std::array<Namespace, 2> ns_;
  std::array<std::unique_ptr<Device>, 2> device_;
};

}  // namespace cygnet::agent::userspace::e2e
