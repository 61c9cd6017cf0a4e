// SPDX-License-Identifier: Apache-2.0
// What must not pass: every refusal by its own name, and nothing else changes.

#include <netinet/in.h>

#include <numeric>

#include "cygnet/agent/backend/userspace/checksum.h"
#include "cygnet/agent/backend/userspace/e2e/two_devices.h"
#include "cygnet/agent/backend/userspace/icmp_too_big.h"
#include "cygnet/agent/backend/userspace/probe_packet.h"

namespace cygnet::agent::userspace::e2e {
namespace {

/// Sends from a place on the underlay that is no device; right is the victim.
class Hostile : public TwoDevices {
 protected:
  void SetUp() override {
    TwoDevices::SetUp();
    bring_up(plan_);
    outside_ = std::make_unique<Socket>(ns_[0], "192.0.2.1", 5555);
    receiver_ = std::make_unique<Socket>(ns_[1], "10.2.0.1", kTrafficPort);
  }
  void send(ByteView packet) { outside_->send("192.0.2.2", 4500, packet); }
  /// Sends and waits until the counter has gone up by one.
  void expect_drop(const std::string& name, ByteView packet) {
    const std::uint64_t before = device_[1]->drops(name);
    send(packet);
    EXPECT_TRUE(eventually([&] { return device_[1]->drops(name) == before + 1; }))
        << name << " stayed " << before << "; " << device_[1]->all_losses();
  }
  [[nodiscard]] Bytes good(std::uint64_t sequence) const {
    return forge(plan_, 1, sequence, udp4("10.1.0.1", "10.2.0.1"));
  }
  void expect_nothing_delivered() {
    EXPECT_FALSE(receiver_->receive(std::chrono::milliseconds(50)).has_value());
  }

  PairPlan plan_;
  std::unique_ptr<Socket> outside_;
  std::unique_ptr<Socket> receiver_;
};

TEST_F(Hostile, ReplayedPacketsAreDropped) {
  send(good(10));
  ASSERT_TRUE(receiver_->receive().has_value());
  expect_drop("replay", good(10));
  send(good(2000));
  ASSERT_TRUE(receiver_->receive().has_value());
  expect_drop("replay", good(10));
  expect_drop("replay", good(2000 - 1024));  // just left of the window
  expect_nothing_delivered();
  send(good(2000 - 1023));  // its left edge
  EXPECT_TRUE(receiver_->receive().has_value());
}

TEST_F(Hostile, AGapOfBillionsOfPacketsIsCaughtUpWith) {
  send(good(10));
  ASSERT_TRUE(receiver_->receive().has_value());
  const std::uint64_t far = (std::uint64_t{3} << 32) + 1000;
  for (std::uint64_t i = 0; i < 500; ++i) send(good(far + i));
  ASSERT_TRUE(eventually([&] { return device_[1]->counters()[0].highest_seq_in >= far; }));
  send(good(far + 501));
  ASSERT_TRUE(eventually([&] { return device_[1]->counters()[0].highest_seq_in == far + 501; }));
}

TEST_F(Hostile, ForgedPacketsAreDroppedAndTheWindowStays) {
  Bytes forged = good(1U << 30);
  forged.back() = static_cast<std::uint8_t>(forged.back() ^ 1);
  expect_drop("icv", forged);
  // Had the forged number moved the window, this one would be a replay.
  send(good(5));
  EXPECT_TRUE(receiver_->receive().has_value());
  EXPECT_EQ(device_[1]->counters()[0].in.packets, 1U);
}

TEST_F(Hostile, EveryTruncationIsDropped) {
  const Bytes whole = good(7);
  std::uint64_t sent = 0;
  for (std::size_t n = 2; n < whole.size(); ++n) {
    send(ByteView(whole).first(n));
    ++sent;
  }
  ASSERT_TRUE(eventually([&] {
    return device_[1]->drops("too-short") + device_[1]->drops("length") +
               device_[1]->drops("icv") ==
           sent;
  })) << device_[1]->all_losses();
  EXPECT_EQ(device_[1]->drops("too-short"), 36U - 2);  // 8 header, 8 IV, 4 block, 16 ICV
  send(whole);
  EXPECT_TRUE(receiver_->receive().has_value());
}

TEST_F(Hostile, UnknownSpisAreCountedAndToldSeldom) {
  Bytes packet = good(1);
  store_be32(packet.data(), 0xdeadbeef);
  for (int i = 0; i < 500; ++i) send(packet);
  ASSERT_TRUE(eventually([&] { return device_[1]->drops("unknown-spi") == 500; }));
  ASSERT_TRUE(eventually([&] {
    std::uint64_t told = 0;
    for (const auto& u : device_[1]->events().unknown()) told += u.count;
    return told == 500;
  }));
  const auto unknown = device_[1]->events().unknown();
  EXPECT_LE(unknown.size(), 4U);
  EXPECT_EQ(unknown[0].spi, 0xdeadbeefU);
  EXPECT_EQ(unknown[0].source, at("192.0.2.1", 5555));
  // Reserved SPIs are nobody's either.
  store_be32(packet.data(), 200);
  expect_drop("unknown-spi", packet);
}

TEST_F(Hostile, PaddingAndNextHeaderAreCheckedAfterTheIcv) {
  const auto suite = plan_.suite;
  const esp::Keys keys = plan_.keys(1);
  const auto sealed_text = [&](std::uint64_t sequence, const Bytes& text) {
    const esp::EspFormat format(suite, true);
    auto cipher = crypto::PacketCipher::create(suite, keys.encr, {});
    Bytes packet(format.header_length() + text.size() + format.icv_length());
    store_be32(packet.data(), plan_.spi(1).value());
    store_be32(packet.data() + 4, static_cast<std::uint32_t>(sequence));
    store_be64(packet.data() + 8, sequence | (std::uint64_t{1} << 62));
    std::copy(text.begin(), text.end(), packet.begin() + 16);
    Bytes aad(12);
    store_be32(aad.data(), plan_.spi(1).value());
    store_be64(aad.data() + 4, sequence);
    MutableByteView all(packet);
    EXPECT_TRUE(
        (*cipher)->seal(aad, all.subspan(8, 8), all.subspan(16, text.size()), {}, all.last(16)));
    return packet;
  };
  Bytes text = udp4("10.1.0.1", "10.2.0.1");
  text.insert(text.end(), {1, 2, 3, 9, 4, 4});
  expect_drop("padding", sealed_text(1, text));
  expect_drop("next-header", forge(plan_, 1, 2, udp4("10.1.0.1", "10.2.0.1"), 6));
  const std::uint64_t losses_before = device_[1]->all_losses().size();
  expect_drop("dummy", forge(plan_, 1, 3, Bytes(40), 59));
  EXPECT_EQ(device_[1]->all_losses().size(), losses_before) << "a dummy is no loss";
  ASSERT_FALSE(device_[1]->events().evidence().empty());
  EXPECT_EQ(device_[1]->events().evidence()[0].kind, EvidenceKind::kDummy);
  expect_nothing_delivered();
}

TEST_F(Hostile, WhatIsInsideMustBeTheAnnouncedIpVersionAndWhole) {
  const Bytes inner = udp4("10.1.0.1", "10.2.0.1");
  expect_drop("inner-version", forge(plan_, 1, 1, inner, 41));
  Bytes odd = inner;
  odd[0] = 0x25;
  expect_drop("inner-version", forge(plan_, 1, 2, odd, 4));
  for (const std::size_t n : {0U, 1U, 19U, 20U, 27U}) {
    expect_drop("inner-length", forge(plan_, 1, 10 + n, ByteView(inner).first(n)));
  }
  Bytes long_header = inner;
  long_header[0] = 0x4f;
  expect_drop("inner-length", forge(plan_, 1, 50, long_header));
  Bytes short_header = inner;
  short_header[0] = 0x44;
  expect_drop("inner-length", forge(plan_, 1, 51, short_header));
  Bytes v6(39, 0x60);
  expect_drop("inner-length", forge(plan_, 1, 52, v6, 41));
  expect_nothing_delivered();
  // What stands behind the inner packet is padding against traffic analysis, and goes.
  Bytes padded = inner;
  padded.resize(inner.size() + 300);
  send(forge(plan_, 1, 60, padded));
  const auto got = receiver_->receive();
  ASSERT_TRUE(got.has_value());
  EXPECT_EQ(as_text(*got), "hi");
}

TEST_F(Hostile, InnerSourceMustBeThePeersAndDestinationOurs) {
  const auto packet = [&](std::uint64_t sequence, const char* from, const char* to) {
    return forge(plan_, 1, sequence, udp4(from, to));
  };
  expect_drop("inner-source", packet(1, "10.3.0.1", "10.2.0.1"));
  expect_drop("inner-source", packet(2, "10.2.0.9", "10.2.0.1"));  // our own
  expect_drop("inner-source", packet(3, "192.0.2.1", "10.2.0.1"));
  expect_drop("inner-source", packet(4, "0.0.0.0", "10.2.0.1"));
  expect_drop("inner-destination", packet(5, "10.1.0.1", "10.1.0.2"));
  expect_drop("inner-destination", packet(6, "10.1.0.1", "192.0.2.2"));
  expect_drop("inner-destination", packet(7, "10.1.0.1", "224.0.0.1"));
  expect_drop("inner-destination", packet(8, "10.1.0.1", "8.8.8.8"));
  expect_nothing_delivered();
  // Refused inside, and still proof that the keys work (the ICV verified).
  EXPECT_FALSE(device_[1]->events().evidence().empty());
}

TEST_F(Hostile, TheMostSpecificPrefixDecidesWhoseASourceIs) {
  constexpr proto::PeerId kBranch{8};
  device_[1]->with([&](UserspaceBackend& b) {
    PeerConfig branch;
    branch.peer = kBranch;
    branch.name = "branch";
    branch.mesh_address = ip("fd01:203:405:0:3::1");
    branch.prefixes = {net("10.1.64.0/24")};
    EXPECT_TRUE(b.set_peer(branch).has_value());
  });
  expect_drop("inner-source", forge(plan_, 1, 1, udp4("10.1.64.5", "10.2.0.1")));
  send(forge(plan_, 1, 2, udp4("10.1.65.5", "10.2.0.1")));
  EXPECT_TRUE(receiver_->receive().has_value());
  // Without the branch the address is left's again.
  device_[1]->with([&](UserspaceBackend& b) { b.remove_peer(kBranch, false); });
  send(forge(plan_, 1, 3, udp4("10.1.64.5", "10.2.0.1")));
  EXPECT_TRUE(receiver_->receive().has_value());
}

TEST_F(Hostile, IcmpErrorsAreJudgedByThePacketTheyAreAbout) {
  // A router behind left (an address nobody announced) reports on a packet we sent to left.
  const auto error = [&](const char* router, const char* about_from, const char* about_to) {
    const Bytes about = udp4(about_from, about_to);
    Bytes packet = udp4(router, "10.2.0.1", std::string(8 + about.size() - 8, '\0'));
    packet[9] = 1;
    store_be16(packet.data() + 10, 0);
    store_be16(packet.data() + 10, checksum_finish(checksum_add(0, ByteView(packet).first(20))));
    packet[20] = 3;
    packet[21] = 1;
    std::fill_n(packet.begin() + 22, 6, std::uint8_t{0});
    std::copy(about.begin(), about.end(), packet.begin() + 28);
    return packet;
  };
  expect_drop("inner-icmp", forge(plan_, 1, 1, error("172.16.0.1", "10.2.0.1", "10.9.0.1")));
  expect_drop("inner-icmp", forge(plan_, 1, 2, error("10.1.0.1", "10.2.0.1", "10.9.0.1")));
  expect_drop("inner-icmp", forge(plan_, 1, 3, error("172.16.0.1", "10.1.0.1", "10.2.0.1")));
  expect_drop("inner-source", forge(plan_, 1, 4, error("10.2.0.7", "10.2.0.1", "10.1.0.1")));
  const auto before = device_[1]->counters()[0].in.user_packets;
  send(forge(plan_, 1, 5, error("172.16.0.1", "10.2.0.1", "10.1.0.1")));
  EXPECT_TRUE(eventually([&] { return device_[1]->counters()[0].in.user_packets == before + 1; }));
}

TEST_F(Hostile, MalformedProbesAreDropped) {
  Bytes probe(kProbeOverhead + 4);
  build_probe(ip(kSites[0].mesh), ip(kSites[1].mesh), Bytes{1, 2, 3, 4}, probe);
  Bytes wrong = probe;
  wrong.back() = 9;  // checksum
  expect_drop("probe", forge(plan_, 1, 1, wrong, 41));
  // From an address that is not this peer's mesh address it is no probe, but traffic that must
  // pass the checks of traffic.
  Bytes foreign(kProbeOverhead + 4);
  build_probe(ip("fd01:203:405:0:9::1"), ip(kSites[1].mesh), Bytes{1, 2, 3, 4}, foreign);
  expect_drop("inner-source", forge(plan_, 1, 2, foreign, 41));
  device_[1]->settle();
  EXPECT_TRUE(device_[1]->events().probes().empty());
  send(forge(plan_, 1, 3, probe, 41));
  EXPECT_TRUE(eventually([&] { return device_[1]->events().probes().size() == 1; }));
}

TEST_F(Hostile, AFloodOfProbesDoesNotReachTheControlThread) {
  Bytes probe(kProbeOverhead + 4);
  build_probe(ip(kSites[0].mesh), ip(kSites[1].mesh), Bytes{1, 2, 3, 4}, probe);
  for (std::uint64_t i = 1; i <= 400; ++i) send(forge(plan_, 1, i, probe, 41));
  ASSERT_TRUE(eventually([&] { return device_[1]->counters()[0].in.packets == 400; }));
  device_[1]->settle();
  EXPECT_EQ(device_[1]->events().probes().size() + device_[1]->drops("probe-rate"), 400U);
  EXPECT_GE(device_[1]->drops("probe-rate"), 100U);
}

TEST_F(Hostile, NonEspDatagramsGoToControlSeldom) {
  Bytes marked = {0, 0, 0, 0, 'h', 'i'};
  send(marked);
  ASSERT_TRUE(eventually([&] { return device_[1]->events().control().size() == 1; }));
  EXPECT_EQ(as_text(device_[1]->events().control()[0]), "hi");
  for (int i = 0; i < 300; ++i) send(marked);
  ASSERT_TRUE(eventually([&] {
    return device_[1]->events().control().size() + device_[1]->drops("control-rate") == 301;
  }));
  EXPECT_GE(device_[1]->drops("control-rate"), 100U);
  // And the other way: a datagram behind the marker goes out from the ESP port.
  device_[1]->with([&](UserspaceBackend& b) {
    b.send_control_datagram(at("192.0.2.1", 5555), {'y', 'o'});
  });
  const auto answer = outside_->receive();
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(*answer, (Bytes{0, 0, 0, 0, 'y', 'o'}));
}

TEST_F(Hostile, KeepalivesAndRuntsAreHarmless) {
  send(Bytes{0xff});
  expect_drop("too-short", Bytes{0xfe});
  expect_drop("too-short", Bytes{1, 2, 3});
  EXPECT_EQ(device_[1]->drops("too-short"), 2U);
  EXPECT_TRUE(passes(0, false));
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-5.2.1.3
//= type=test
//# its SA lookup process needs to be aware that duplicates could occur.
//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-5.2.1.3
//= type=test
//# In that case, the inbound SA Lookup SHOULD include a source IP addresses in addition to the SPI
//# value
TEST_F(Hostile, EqualSpisOfTwoPeersAreToldApart) {
  constexpr proto::PeerId kThird{9};
  PairPlan other;
  other.generation = 1;
  other.spi_base = plan_.spi_base;  // the same SPIs
  SaPairSpec spec = other.spec(kThird, 1);
  const esp::Keys third_keys = esp::keys_for(other.suite, 99);
  spec.lanes[0].inbound_encr = SecretBytes(ByteView(third_keys.encr));
  device_[1]->with([&](UserspaceBackend& b) {
    PeerConfig third;
    third.peer = kThird;
    third.name = "third";
    third.mesh_address = ip("fd01:203:405:0:3::1");
    third.prefixes = {net("10.3.0.0/16")};
    third.endpoints = {at("192.0.2.1", 5555)};
    EXPECT_TRUE(b.set_peer(third).has_value());
    b.install(std::move(spec));
  });
  ASSERT_TRUE(eventually([&] { return device_[1]->events().installed().size() == 2; }));
  const auto from_third = [&](std::uint64_t sequence) {
    Bytes iv(8);
    store_be64(iv.data(), sequence);
    return *esp::seal_packet(other.suite, third_keys.views(), true, plan_.spi(1).value(), sequence,
                             iv, 4, udp4("10.3.0.1", "10.2.0.1"));
  };
  // By source, and when the source is another one, by ICV.
  send(from_third(1));
  EXPECT_TRUE(receiver_->receive().has_value());
  EXPECT_TRUE(passes(0, false));
  Socket roamed(ns_[0], "192.0.2.1", 5556);
  roamed.send("192.0.2.2", 4500, from_third(2));
  EXPECT_TRUE(receiver_->receive().has_value());
  roamed.send("192.0.2.2", 4500, from_third(2));
  ASSERT_TRUE(
      eventually([&] { return device_[1]->drops("icv") + device_[1]->drops("replay") == 1; }));
  // A source must still be the peer's whose key it was.
  Bytes iv(8);
  store_be64(iv.data(), 3);
  expect_drop("inner-source",
              *esp::seal_packet(other.suite, third_keys.views(), true, plan_.spi(1).value(), 3, iv,
                                4, udp4("10.1.0.1", "10.2.0.1")));
}

TEST_F(Hostile, InstallIsRefusedByName) {
  const auto refused = [&](SaPairSpec spec) {
    const std::size_t before = device_[1]->events().failed().size();
    device_[1]->with([&](UserspaceBackend& b) { b.install(std::move(spec)); });
    EXPECT_TRUE(eventually([&] { return device_[1]->events().failed().size() > before; }));
    return device_[1]->events().failed().back();
  };
  PairPlan next;
  next.generation = 2;
  EXPECT_EQ(refused(plan_.spec(kOther, 1)), "installed-twice");
  EXPECT_EQ(refused(next.spec(proto::PeerId(55), 1)), "unknown-peer");
  SaPairSpec short_key = next.spec(kOther, 1);
  short_key.lanes[0].inbound_encr = SecretBytes(5);
  EXPECT_EQ(refused(std::move(short_key)), "key-length");
  next.replay_window = 31;
  EXPECT_EQ(refused(next.spec(kOther, 1)), "replay-window");
  next.replay_window = 65537;
  EXPECT_EQ(refused(next.spec(kOther, 1)), "replay-window");
  next.replay_window = 64;
  next.lanes = 0;
  EXPECT_EQ(refused(next.spec(kOther, 1)), "lanes");
  // The same SPI more often than is worth trying: a collision, and nothing half installed.
  std::string last;
  for (std::uint32_t i = 0; i < 9; ++i) {
    SaPairSpec same = plan_.spec(kOther, 1);
    same.pair.local = proto::RekeyCounter(9, i + 1);
    if (i < 7) {
      const std::size_t before = device_[1]->events().installed().size();
      device_[1]->with([&](UserspaceBackend& b) { b.install(std::move(same)); });
      ASSERT_TRUE(eventually([&] { return device_[1]->events().installed().size() > before; }));
    } else {
      EXPECT_EQ(refused(std::move(same)), "spi-collision collision");
    }
  }
}

TEST_F(Hostile, AnOutboundPacketFromAForeignSourceStaysHere) {
  Socket foreign(ns_[0], "192.0.2.1", 6000);
  foreign.send("10.2.0.1", kTrafficPort, Bytes{1});
  ASSERT_TRUE(eventually([&] { return device_[0]->drops("outbound-source") == 1; }));
  expect_nothing_delivered();
}

TEST_F(Hostile, PacketsOverTheMtuAreAnsweredWithTheMtu) {
  // Somebody raised the device's MTU behind our back.
  ns_[0].shell("ip link set cygnet0 mtu 2000");
  Socket sender(ns_[0], "10.1.0.1", 6001);
  const Bytes big(1600);
  EXPECT_EQ(sender.try_send("10.2.0.1", kTrafficPort, big), 0);
  ASSERT_TRUE(eventually([&] { return device_[0]->drops("too-big") == 1; }));
  // The kernel has learned 1400 from our message: now it fragments, and the packet arrives.
  sender.send("10.2.0.1", kTrafficPort, big);
  const auto got = receiver_->receive();
  ASSERT_TRUE(got.has_value());
  EXPECT_EQ(got->size(), 1600U);
}

TEST_F(Hostile, CongestionOutsideIsToldInside) {
  Socket marked(ns_[0], "192.0.2.1", 5557);
  marked.set_tos(3);  // congestion experienced
  Bytes capable = udp4("10.1.0.1", "10.2.0.1");
  capable[1] = 2;
  store_be16(capable.data() + 10, 0);
  store_be16(capable.data() + 10, checksum_finish(checksum_add(0, ByteView(capable).first(20))));
  receiver_->want_tos();
  marked.send("192.0.2.2", 4500, forge(plan_, 1, 1, capable));
  const auto got = receiver_->receive_with_tos();
  ASSERT_TRUE(got.has_value());
  EXPECT_EQ(got->second & 3, 3);
  // An inner sender that does not know ECN can only be told by loss.
  const std::uint64_t before = device_[1]->drops("ecn");
  marked.send("192.0.2.2", 4500, forge(plan_, 1, 2, udp4("10.1.0.1", "10.2.0.1")));
  EXPECT_TRUE(eventually([&] { return device_[1]->drops("ecn") == before + 1; }));
}

TEST_F(Hostile, EcnOfTheInnerPacketGoesOutside) {
  Socket watcher(ns_[1], "192.0.2.2", 7777);
  watcher.want_tos();
  device_[0]->with([&](UserspaceBackend& b) {
    PeerConfig peer = other_of(0);
    peer.endpoints = {at("192.0.2.2", 7777)};
    EXPECT_TRUE(b.set_peer(peer).has_value());
  });
  Socket sender(ns_[0], "0.0.0.0", 0);
  sender.set_tos((46 << 2) | 2);
  sender.send("10.2.0.1", kTrafficPort, Bytes{1});
  const auto got = watcher.receive_with_tos();
  ASSERT_TRUE(got.has_value());
  EXPECT_EQ(got->second, 2) << "ECN is copied, DSCP only by setting";
}

}  // namespace
}  // namespace cygnet::agent::userspace::e2e
