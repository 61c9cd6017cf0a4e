// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/backend/userspace/e2e/two_devices.h"

#include <algorithm>

#include "cygnet/agent/backend/userspace/checksum.h"
#include "cygnet/agent/backend/userspace/inner_packet.h"

namespace cygnet::agent::userspace::e2e {

void TwoDevices::SetUp() {
  ASSERT_EQ(geteuid(), 0U) << "these tests make network namespaces: run them as root";
  connect(ns_[0], "u0", ns_[1], "u0");
  for (const std::size_t end : {0U, 1U}) {
    const Site& site = kSites[end];
    ns_[end].shell("ip addr add " + site.underlay4 + "/24 dev u0");
    ns_[end].shell("ip addr add " + site.underlay6 + "/64 dev u0 nodad");
    ns_[end].shell("ip link add lan0 type veth peer name lan1");
    ns_[end].shell("ip link set lan0 up && ip link set lan1 up");
    ns_[end].shell("ip addr add " + site.lan4 + "/16 dev lan0");
    ns_[end].shell("ip addr add " + site.lan6 + "/64 dev lan0 nodad");
  }
}

std::unique_ptr<Device> TwoDevices::make_device(int end, UserspaceConfig config) {
  return std::make_unique<Device>(ns_[static_cast<std::size_t>(end)], std::move(config));
}

void TwoDevices::start(const std::function<void(int, UserspaceConfig&)>& adapt) {
  for (const int end : {0, 1}) {
    UserspaceConfig config;
    if (adapt) adapt(end, config);
    auto& device = device_[static_cast<std::size_t>(end)];
    device = make_device(end, config);
    ASSERT_EQ(device->create_error(), "");
  }
}

SelfConfig TwoDevices::self_of(int end) {
  const Site& site = kSites[static_cast<std::size_t>(end)];
  return {ip(site.mesh), {net(site.lan4_net), net(site.lan6_net)}};
}

PeerConfig TwoDevices::other_of(int end, bool outer_v6) {
  const Site& site = kSites[static_cast<std::size_t>(1 - end)];
  return {kOther,
          end == 0 ? "right" : "left",
          ip(site.mesh),
          {net(site.lan4_net), net(site.lan6_net)},
          {at(outer_v6 ? site.underlay6 : site.underlay4, 4500)}};
}

void TwoDevices::introduce(bool outer_v6) {
  for (const int end : {0, 1}) {
    device_[static_cast<std::size_t>(end)]->on([&](SadBackend& backend) {
      const Status self = backend.set_self(self_of(end));
      EXPECT_TRUE(self.has_value()) << self.error().to_string();
      const Status peer = backend.set_peer(other_of(end, outer_v6));
      EXPECT_TRUE(peer.has_value()) << peer.error().to_string();
    });
  }
}

void TwoDevices::install(const PairPlan& plan) {
  for (const int end : {0, 1}) {
    Device& device = *device_[static_cast<std::size_t>(end)];
    const std::size_t before = device.events().installed().size();
    device.on([&](SadBackend& backend) { backend.install(plan.spec(kOther, end)); });
    ASSERT_TRUE(eventually([&] { return device.events().installed().size() > before; }))
        << testing::PrintToString(device.events().failed());
  }
}

void TwoDevices::choose(int end, const PairPlan& plan) {
  device_[static_cast<std::size_t>(end)]->on(
      [&](SadBackend& backend) { backend.choose_outbound(kOther, plan.id()); });
}

void TwoDevices::choose_both(const PairPlan& plan) {
  choose(0, plan);
  choose(1, plan);
}

void TwoDevices::bring_up(const PairPlan& plan, bool outer_v6) {
  start();
  introduce(outer_v6);
  install(plan);
  choose_both(plan);
}

bool TwoDevices::passes(int end, bool v6, const std::string& text) {
  const auto from = static_cast<std::size_t>(end);
  const std::size_t to = 1 - from;
  const auto lan = [&](std::size_t i) { return v6 ? kSites[i].lan6 : kSites[i].lan4; };
  Socket receiver(ns_[to], lan(to), kTrafficPort);
  Socket sender(ns_[from], v6 ? "::" : "0.0.0.0", 0);
  sender.send(lan(to), kTrafficPort, as_bytes(text));
  const auto got = receiver.receive();
  return got && as_text(*got) == text;
}

void TwoDevices::expect_no_losses() {
  for (const auto& device : device_) EXPECT_EQ(device->all_losses(), "");
}

Bytes TwoDevices::forge(const PairPlan& plan, int end, std::uint64_t sequence, ByteView inner,
                        std::uint8_t next_header) {
  const esp::Keys keys = plan.keys(end);
  Bytes iv(plan.suite.iv_length());
  // The device's own counter never gets that far in a test: no IV is used twice.
  store_be64(iv.data(), sequence | (std::uint64_t{1} << 63));
  const auto packet = esp::seal_packet(plan.suite, keys.views(), plan.esn, plan.spi(end).value(),
                                       sequence, iv, next_header, inner);
  CYGNET_ASSERT(packet.has_value());
  return *packet;
}

Bytes TwoDevices::udp4(const std::string& source, const std::string& destination,
                       std::string_view text) {
  Bytes packet(kIpv4HeaderLength + kUdpHeaderLength + text.size());
  packet[0] = 0x45;
  store_be16(packet.data() + 2, static_cast<std::uint16_t>(packet.size()));
  packet[8] = 64;
  packet[9] = kProtocolUdp;
  std::copy_n(ip(source).octets.begin(), 4, packet.begin() + 12);
  std::copy_n(ip(destination).octets.begin(), 4, packet.begin() + 16);
  store_be16(packet.data() + 10,
             checksum_finish(checksum_add(0, ByteView(packet).first(kIpv4HeaderLength))));
  store_be16(packet.data() + 20, kTrafficPort);
  store_be16(packet.data() + 22, kTrafficPort);
  store_be16(packet.data() + 24, static_cast<std::uint16_t>(kUdpHeaderLength + text.size()));
  std::copy(text.begin(), text.end(), packet.begin() + 28);
  return packet;
}

}  // namespace cygnet::agent::userspace::e2e
