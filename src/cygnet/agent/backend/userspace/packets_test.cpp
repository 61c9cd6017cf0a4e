// SPDX-License-Identifier: Apache-2.0
// The inner packet: parsing, checks, and what is changed on its way.

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

#include "cygnet/agent/backend/api/ip_text.h"
#include "cygnet/agent/backend/userspace/checksum.h"
#include "cygnet/agent/backend/userspace/ecn.h"
#include "cygnet/agent/backend/userspace/icmp_too_big.h"
#include "cygnet/agent/backend/userspace/inner_check.h"
#include "cygnet/agent/backend/userspace/inner_packet.h"
#include "cygnet/agent/backend/userspace/mss_clamp.h"
#include "cygnet/agent/backend/userspace/probe_packet.h"

namespace cygnet::agent::userspace {
namespace {

IpAddress ip(std::string_view text) { return *parse_ip_address(text); }

void fix_header_checksum(Bytes& packet) {
  store_be16(packet.data() + 10, 0);
  store_be16(packet.data() + 10,
             checksum_finish(checksum_add(0, ByteView(packet).first(kIpv4HeaderLength))));
}

Bytes ipv4(std::uint8_t protocol, const Bytes& payload, const char* from = "10.1.0.1",
           const char* to = "10.2.0.1") {
  Bytes packet(kIpv4HeaderLength);
  packet[0] = 0x45;
  packet[8] = 64;
  packet[9] = protocol;
  std::copy_n(ip(from).octets.begin(), 4, packet.begin() + 12);
  std::copy_n(ip(to).octets.begin(), 4, packet.begin() + 16);
  packet.insert(packet.end(), payload.begin(), payload.end());
  store_be16(packet.data() + 2, static_cast<std::uint16_t>(packet.size()));
  fix_header_checksum(packet);
  return packet;
}

Bytes ipv6(std::uint8_t protocol, const Bytes& payload, const char* from = "2001:db8:1::1",
           const char* to = "2001:db8:2::1") {
  Bytes packet(kIpv6HeaderLength);
  packet[0] = 0x60;
  store_be16(packet.data() + 4, static_cast<std::uint16_t>(payload.size()));
  packet[6] = protocol;
  packet[7] = 64;
  std::copy_n(ip(from).octets.begin(), 16, packet.begin() + 8);
  std::copy_n(ip(to).octets.begin(), 16, packet.begin() + 24);
  packet.insert(packet.end(), payload.begin(), payload.end());
  return packet;
}

Bytes tcp_syn(const Bytes& options) {
  Bytes tcp(20);
  tcp[12] = static_cast<std::uint8_t>((5 + options.size() / 4) << 4);
  tcp[13] = 0x02;
  tcp.insert(tcp.end(), options.begin(), options.end());
  return tcp;
}

std::uint16_t transport_sum(const Bytes& packet, const InnerPacket& inner) {
  const ByteView transport = inner.transport(packet);
  const std::size_t address = inner.is_v6 ? 16 : 4;
  const std::size_t at = inner.is_v6 ? 8 : 12;
  std::uint64_t sum = checksum_add(0, ByteView(packet).subspan(at, address * 2));
  sum += inner.protocol + transport.size();
  return checksum_finish(checksum_add(sum, transport));
}

TEST(InnerPacket, ReadsIpv4) {
  Bytes packet = ipv4(kProtocolUdp, Bytes(12));
  packet[1] = (46 << 2) | 1;
  packet[6] = 0x40;
  const auto inner = parse_inner(packet);
  ASSERT_TRUE(inner.has_value());
  EXPECT_EQ(inner->source, ip("10.1.0.1"));
  EXPECT_EQ(inner->destination, ip("10.2.0.1"));
  EXPECT_EQ(inner->total_length, 32U);
  EXPECT_EQ(inner->header_length, 20U);
  EXPECT_EQ(inner->protocol, kProtocolUdp);
  EXPECT_EQ(inner->dscp, 46);
  EXPECT_EQ(inner->ecn, 1);
  EXPECT_TRUE(inner->dont_fragment);
  EXPECT_FALSE(inner->later_fragment);
  EXPECT_EQ(inner->transport(packet).size(), 12U);
}

TEST(InnerPacket, WalksIpv6ExtensionHeaders) {
  // Hop-by-hop, destination options of 16 octets, first fragment, UDP.
  Bytes chain = {60, 0, 0, 0, 0, 0, 0, 0, 44, 1, 0, 0, 0, 0, 0, 0,
                 0,  0, 0, 0, 0, 0, 0, 0, 17, 0, 0, 1, 0, 0, 0, 9};
  chain.resize(chain.size() + 8);
  const Bytes packet = ipv6(0, chain);
  const auto inner = parse_inner(packet);
  ASSERT_TRUE(inner.has_value());
  EXPECT_EQ(inner->protocol, kProtocolUdp);
  EXPECT_EQ(inner->header_length, 40U + 32U);
  EXPECT_FALSE(inner->later_fragment);
  chain[26] = 0x10;  // an offset: a later fragment has no transport header
  const auto later = parse_inner(ipv6(0, chain));
  ASSERT_TRUE(later.has_value());
  EXPECT_TRUE(later->later_fragment);
}

TEST(InnerPacket, NamesEveryFault) {
  const Bytes packet = ipv4(kProtocolUdp, Bytes(12));
  for (std::size_t n = 0; n < packet.size(); ++n) {
    const auto inner = parse_inner(ByteView(packet).first(n));
    ASSERT_FALSE(inner.has_value()) << n;
    EXPECT_EQ(inner.error(), InnerFault::kLength);
  }
  const Bytes six = ipv6(kProtocolUdp, Bytes(12));
  for (std::size_t n = 0; n < six.size(); ++n) {
    EXPECT_FALSE(parse_inner(ByteView(six).first(n)).has_value()) << n;
  }
  for (const unsigned version : {0U, 1U, 2U, 3U, 5U, 7U, 8U, 15U}) {
    Bytes odd = packet;
    odd[0] = static_cast<std::uint8_t>((version << 4) | 5);
    EXPECT_EQ(parse_inner(odd).error(), InnerFault::kVersion);
  }
}

TEST(InnerPacket, NeverPointsOutsideWhateverTheOctetsAre) {
  std::mt19937 random(99);
  for (int i = 0; i < 200000; ++i) {
    Bytes packet(random() % 120);
    for (auto& octet : packet) octet = static_cast<std::uint8_t>(random());
    if (!packet.empty() && random() % 4 != 0) {
      packet[0] = static_cast<std::uint8_t>((packet[0] & 0x0f) | (random() % 2 == 0 ? 0x40 : 0x60));
    }
    if (packet.size() > 40 && random() % 2 == 0) {
      constexpr std::uint8_t kHeaders[] = {0, 43, 44, 51, 60, 58, 6, 17};
      packet[6] = kHeaders[random() % 8];
      store_be16(packet.data() + 4, static_cast<std::uint16_t>(packet.size() - 40));
    }
    const auto inner = parse_inner(packet);
    if (!inner) continue;
    ASSERT_LE(inner->header_length, inner->total_length);
    ASSERT_LE(inner->total_length, packet.size());
    static_cast<void>(icmp_error(*inner, packet));
    static_cast<void>(flow_hash(*inner, packet));
    Bytes work = packet;
    static_cast<void>(clamp_mss(work, *inner, 1400));
    Bytes out(kMaxTooBigLength);
    static_cast<void>(build_too_big(*inner, packet, 1400, out));
    static_cast<void>(probe_payload(*inner, packet));
    write_ecn(work, *inner, Ecn::kCe);
  }
}

TEST(FlowHash, IsOnePerFlowAndSpreadsFlows) {
  const auto hash = [](std::uint16_t port, bool fragment = false, std::size_t length = 20) {
    Bytes udp(length);
    store_be16(udp.data(), port);
    Bytes packet = ipv4(kProtocolUdp, udp);
    if (fragment) packet[6] = 0x20;
    return flow_hash(*parse_inner(packet), packet);
  };
  EXPECT_EQ(hash(1000), hash(1000, false, 30));
  EXPECT_NE(hash(1000), hash(1001));
  EXPECT_EQ(hash(1000, true), hash(1001, true)) << "fragments have no ports to go by";
  std::set<std::uint32_t> lanes;
  for (std::uint16_t port = 1; port < 100; ++port) lanes.insert(hash(port) % 8);
  EXPECT_EQ(lanes.size(), 8U);
}

TEST(LinkScope, IsWhatNeverLeavesALink) {
  for (const char* text : {"224.0.0.251", "255.255.255.255", "169.254.1.1", "ff02::1", "ff01::1",
                           "fe80::1", "ff12::9"}) {
    EXPECT_TRUE(is_link_scope(ip(text))) << text;
  }
  for (const char* text :
       {"224.0.1.1", "10.0.0.1", "ff05::1", "ff0e::1", "2001:db8::1", "fd00::1"}) {
    EXPECT_FALSE(is_link_scope(ip(text))) << text;
  }
}

// RFC 6040 Figure 4, row by row.
TEST(Ecn, DecapsulationFollowsTheTable) {
  struct Row {
    Ecn inner, outer, result;
    bool drop;
  };
  constexpr Ecn kNot = Ecn::kNotEct, kZero = Ecn::kEct0, kOne = Ecn::kEct1, kCe = Ecn::kCe;
  const Row rows[] = {
      {kNot, kNot, kNot, false},  {kNot, kZero, kNot, false},  {kNot, kOne, kNot, false},
      {kNot, kCe, kNot, true},    {kZero, kNot, kZero, false}, {kZero, kZero, kZero, false},
      {kZero, kOne, kOne, false}, {kZero, kCe, kCe, false},    {kOne, kNot, kOne, false},
      {kOne, kZero, kOne, false}, {kOne, kOne, kOne, false},   {kOne, kCe, kCe, false},
      {kCe, kNot, kCe, false},    {kCe, kZero, kCe, false},    {kCe, kOne, kCe, false},
      {kCe, kCe, kCe, false},
  };
  for (const Row& row : rows) {
    const EcnDecap got = ecn_decap(row.inner, row.outer);
    EXPECT_EQ(got.drop, row.drop);
    if (!row.drop) {
      EXPECT_EQ(got.ecn, row.result)
          << static_cast<int>(row.inner) << " in " << static_cast<int>(row.outer);
    }
  }
}

TEST(Ecn, WritingKeepsTheRestAndTheChecksum) {
  Bytes packet = ipv4(kProtocolUdp, Bytes(8));
  packet[1] = (46 << 2) | 2;
  fix_header_checksum(packet);
  write_ecn(packet, *parse_inner(packet), Ecn::kCe);
  EXPECT_EQ(packet[1], (46 << 2) | 3);
  EXPECT_EQ(checksum_finish(checksum_add(0, ByteView(packet).first(20))), 0);
  Bytes six = ipv6(kProtocolUdp, Bytes(8));
  store_be32(six.data(), 0x6ab12345);
  const auto before = *parse_inner(six);
  write_ecn(six, before, Ecn::kCe);
  const auto after = *parse_inner(six);
  EXPECT_EQ(after.ecn, 3);
  EXPECT_EQ(after.dscp, before.dscp);
  EXPECT_EQ(load_be32(six.data()) & 0xfffff, 0x12345U);
}

TEST(MssClamp, LowersTheOptionAndKeepsTheChecksumRight) {
  // Aligned, after a NOP (odd offset), and after another option.
  const Bytes options[] = {
      {2, 4, 0x05, 0xb4}, {1, 2, 4, 0x05, 0xb4, 1, 1, 0}, {3, 3, 7, 2, 4, 0x05, 0xb4, 1}};
  for (const bool v6 : {false, true}) {
    for (const Bytes& option : options) {
      Bytes packet = v6 ? ipv6(kProtocolTcp, tcp_syn(option)) : ipv4(kProtocolTcp, tcp_syn(option));
      const auto inner = *parse_inner(packet);
      store_be16(packet.data() + inner.header_length + 16, 0);
      store_be16(packet.data() + inner.header_length + 16, transport_sum(packet, inner));
      ASSERT_EQ(transport_sum(packet, inner), 0);
      ASSERT_TRUE(clamp_mss(packet, inner, 1400));
      EXPECT_EQ(transport_sum(packet, inner), 0);
      const std::size_t mss = v6 ? 1340 : 1360;
      const auto at = std::find(option.begin(), option.end(), 0x05) - option.begin();
      EXPECT_EQ(load_be16(packet.data() + inner.header_length + 20 + at), mss);
      EXPECT_FALSE(clamp_mss(packet, inner, 1400)) << "small enough now";
    }
  }
}

TEST(MssClamp, LeavesEverythingElseAlone) {
  const auto changed = [](Bytes tcp) {
    Bytes packet = ipv4(kProtocolTcp, tcp);
    return clamp_mss(packet, *parse_inner(packet), 1400);
  };
  EXPECT_TRUE(changed(tcp_syn({2, 4, 0x05, 0xb4})));
  Bytes no_syn = tcp_syn({2, 4, 0x05, 0xb4});
  no_syn[13] = 0x10;
  EXPECT_FALSE(changed(no_syn));
  EXPECT_FALSE(changed(tcp_syn({2, 4, 0x05, 0x00})));
  EXPECT_FALSE(changed(tcp_syn({2, 3, 0x05, 0xb4})));
  EXPECT_FALSE(changed(tcp_syn({2, 0, 0x05, 0xb4})));
  EXPECT_FALSE(changed(tcp_syn({1, 1, 1, 2})));
  EXPECT_FALSE(changed(tcp_syn({0, 4, 0x05, 0xb4})));
  EXPECT_FALSE(changed(tcp_syn({8, 200, 0x05, 0xb4})));
  Bytes short_header = tcp_syn({2, 4, 0x05, 0xb4});
  short_header[12] = 0x40;
  EXPECT_FALSE(changed(short_header));
  Bytes long_header = tcp_syn({2, 4, 0x05, 0xb4});
  long_header[12] = 0xf0;
  EXPECT_FALSE(changed(long_header));
  EXPECT_FALSE(changed(Bytes(10)));
}

TEST(TooBig, IsAValidMessageBackToTheSender) {
  Bytes out(kMaxTooBigLength);
  Bytes packet = ipv4(kProtocolUdp, Bytes(1500));
  packet[6] = 0x40;
  const std::size_t n4 = build_too_big(*parse_inner(packet), packet, 1400, out);
  ASSERT_EQ(n4, 576U);
  const auto four = parse_inner(ByteView(out).first(n4));
  ASSERT_TRUE(four.has_value());
  EXPECT_EQ(four->destination, ip("10.1.0.1"));
  EXPECT_EQ(four->source, ip("10.2.0.1"));
  EXPECT_EQ(checksum_finish(checksum_add(0, ByteView(out).first(20))), 0);
  EXPECT_EQ(checksum_finish(checksum_add(0, ByteView(out).subspan(20, n4 - 20))), 0);
  EXPECT_EQ(load_be16(out.data() + 20), 0x0304);
  EXPECT_EQ(load_be16(out.data() + 26), 1400);
  ASSERT_TRUE(icmp_error(*four, out)->readable);
  EXPECT_EQ(icmp_error(*four, out)->embedded_source, ip("10.1.0.1"));

  const Bytes six = ipv6(kProtocolUdp, Bytes(1500));
  const std::size_t n6 = build_too_big(*parse_inner(six), six, 1400, out);
  ASSERT_EQ(n6, 1280U);
  const auto message = parse_inner(ByteView(out).first(n6));
  ASSERT_TRUE(message.has_value());
  EXPECT_EQ(transport_sum(Bytes(out.begin(), out.begin() + 1280), *message), 0);
  EXPECT_EQ(out[40], 2);
  EXPECT_EQ(load_be32(out.data() + 44), 1400U);
  EXPECT_EQ(message->destination, ip("2001:db8:1::1"));
}

TEST(TooBig, IsNeverSentAboutErrorsFragmentsOrToManyHosts) {
  Bytes out(kMaxTooBigLength);
  const auto length = [&](const Bytes& packet) {
    return build_too_big(*parse_inner(packet), packet, 1400, out);
  };
  Bytes icmp(60);
  icmp[0] = 3;
  EXPECT_EQ(length(ipv4(kProtocolIcmp, icmp)), 0U);
  icmp[0] = 8;  // an echo request is no error
  EXPECT_NE(length(ipv4(kProtocolIcmp, icmp)), 0U);
  Bytes fragment = ipv4(kProtocolUdp, Bytes(60));
  fragment[7] = 9;
  EXPECT_EQ(length(fragment), 0U);
  EXPECT_EQ(length(ipv4(kProtocolUdp, Bytes(60), "224.1.1.1")), 0U);
  EXPECT_EQ(length(ipv4(kProtocolUdp, Bytes(60), "0.0.0.0")), 0U);
  EXPECT_EQ(length(ipv6(kProtocolUdp, Bytes(60), "ff05::1")), 0U);
  EXPECT_EQ(length(ipv6(kProtocolUdp, Bytes(60), "::")), 0U);
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-5
//= type=test
//# The PAD, SPD, and SAD all need to be setup as defined in the IPsec Security Architecture
TEST(InnerCheck, JudgesSourceDestinationAndIcmp) {
  const auto side = [](const IpAddress& address) {
    if (address.octets[0] == 10 && address.octets[1] == 2) return Side::kOurs;
    if (address.octets[0] == 10 && address.octets[1] == 1) return Side::kPeers;
    return Side::kOther;
  };
  const auto in = [&](const Bytes& packet) {
    return check_inner(*parse_inner(packet), packet, Side::kPeers, Side::kOurs, side);
  };
  EXPECT_EQ(in(ipv4(17, Bytes(8))), std::nullopt);
  EXPECT_EQ(in(ipv4(17, Bytes(8), "10.3.0.1")), InnerRefusal::kSource);
  EXPECT_EQ(in(ipv4(17, Bytes(8), "10.2.0.1")), InnerRefusal::kSource);
  EXPECT_EQ(in(ipv4(17, Bytes(8), "10.1.0.1", "10.1.0.2")), InnerRefusal::kDestination);
  const auto icmp_about = [&](const char* router, const char* from, const char* to) {
    Bytes icmp(8);
    icmp[0] = 11;
    const Bytes about = ipv4(17, Bytes(8), from, to);
    icmp.insert(icmp.end(), about.begin(), about.end());
    return ipv4(kProtocolIcmp, icmp, router);
  };
  EXPECT_EQ(in(icmp_about("172.16.0.1", "10.2.0.1", "10.1.0.1")), std::nullopt);
  EXPECT_EQ(in(icmp_about("10.1.0.1", "10.2.0.1", "10.1.0.1")), std::nullopt);
  EXPECT_EQ(in(icmp_about("10.2.0.5", "10.2.0.1", "10.1.0.1")), InnerRefusal::kSource);
  EXPECT_EQ(in(icmp_about("10.1.0.1", "10.1.0.1", "10.2.0.1")), InnerRefusal::kIcmp);
  EXPECT_EQ(in(icmp_about("10.1.0.1", "10.2.0.1", "10.3.0.1")), InnerRefusal::kIcmp);
  Bytes cut = ipv4(kProtocolIcmp, {3, 1, 0, 0, 0, 0, 0, 0, 0x45});
  EXPECT_EQ(in(cut), InnerRefusal::kIcmp);
  // An echo is no error, whatever it carries.
  EXPECT_EQ(in(ipv4(kProtocolIcmp, Bytes{8, 0, 0, 0, 0, 0, 0, 0})), std::nullopt);
}

TEST(ProbePacket, ReadsWhatItWrites) {
  const IpAddress a = ip("fd00:1::1");
  const IpAddress b = ip("fd00:1::2");
  for (const std::size_t n : {0U, 1U, 12U, 13U, 600U}) {
    Bytes packet(kProbeOverhead + n);
    const Bytes payload(n, 0xab);
    ASSERT_EQ(build_probe(a, b, payload, packet), packet.size());
    const auto inner = parse_inner(packet);
    ASSERT_TRUE(inner.has_value());
    EXPECT_TRUE(is_probe(*inner, packet, a, b));
    EXPECT_FALSE(is_probe(*inner, packet, b, a));
    const auto read = probe_payload(*inner, packet);
    ASSERT_TRUE(read.has_value());
    EXPECT_TRUE(equal(*read, payload));
    for (const std::size_t at : {40U, 44U, 46U}) {  // port, length, checksum
      Bytes wrong = packet;
      wrong[at] = static_cast<std::uint8_t>(wrong[at] ^ 1);
      EXPECT_FALSE(probe_payload(*parse_inner(wrong), wrong).has_value());
    }
    store_be16(packet.data() + 42, 53);
    EXPECT_FALSE(is_probe(*parse_inner(packet), packet, a, b));
  }
}

TEST(Checksum, UpdatesIncrementallyToTheSameValue) {
  std::mt19937 random(5);
  for (int i = 0; i < 10000; ++i) {
    Bytes octets(20);
    for (auto& octet : octets) octet = static_cast<std::uint8_t>(random());
    const std::uint16_t before = checksum_finish(checksum_add(0, octets));
    const std::size_t at = random() % 10 * 2;
    const std::uint16_t old_word = load_be16(octets.data() + at);
    store_be16(octets.data() + at, static_cast<std::uint16_t>(random()));
    const std::uint16_t updated = checksum_replace(before, old_word, load_be16(octets.data() + at));
    const std::uint16_t fresh = checksum_finish(checksum_add(0, octets));
    // 0 and 0xffff are the same number in one's complement.
    EXPECT_TRUE(updated == fresh || (updated ^ fresh) == 0xffff);
  }
}

}  // namespace
}  // namespace cygnet::agent::userspace
