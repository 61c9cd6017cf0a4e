// SPDX-License-Identifier: Apache-2.0
// Fragments, put together again by the rules of RFC 791 written down once more here.
#include "cygnet/agent/backend/userspace/ipv4_fragments.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "cygnet/agent/backend/userspace/checksum.h"

namespace cygnet::agent::userspace {
namespace {

constexpr std::uint16_t kMore = 0x2000;

Bytes packet_with(std::size_t payload, const Bytes& options = {}, std::uint16_t fragment = 0) {
  Bytes packet(kIpv4HeaderLength);
  packet[0] = static_cast<std::uint8_t>(0x40 | (5 + options.size() / 4));
  packet[1] = 0xb8;
  store_be16(packet.data() + 4, 0x1234);
  store_be16(packet.data() + 6, fragment);
  packet[8] = 63;
  packet[9] = kProtocolUdp;
  packet[12] = 10;
  packet[16] = 11;
  packet.insert(packet.end(), options.begin(), options.end());
  for (std::size_t i = 0; i < payload; ++i) {
    packet.push_back(static_cast<std::uint8_t>(i * 7 + i / 256));
  }
  store_be16(packet.data() + 2, static_cast<std::uint16_t>(packet.size()));
  const std::size_t header = kIpv4HeaderLength + options.size();
  store_be16(packet.data() + 10, checksum_finish(checksum_add(0, ByteView(packet).first(header))));
  return packet;
}

std::vector<Bytes> cut(const Bytes& packet, std::size_t mtu) {
  const auto fragments = Ipv4Fragments::create(*parse_inner(packet), packet, mtu);
  std::vector<Bytes> out;
  if (!fragments) return out;
  for (std::size_t i = 0; i < fragments->count(); ++i) {
    out.emplace_back(fragments->length(i));
    fragments->write(i, out.back().data());
  }
  return out;
}

/// Checks each fragment by itself, and gives the payload they carry together from `offset` on.
Bytes joined(const std::vector<Bytes>& fragments, std::size_t mtu, std::size_t offset,
             bool more_follow) {
  Bytes payload;
  for (std::size_t i = 0; i < fragments.size(); ++i) {
    const Bytes& one = fragments[i];
    const std::size_t header = std::size_t{one[0] & 0x0fU} * 4;
    EXPECT_LE(one.size(), mtu);
    EXPECT_EQ(load_be16(one.data() + 2), one.size());
    EXPECT_EQ(checksum_finish(checksum_add(0, ByteView(one).first(header))), 0);
    const std::uint16_t field = load_be16(one.data() + 6);
    EXPECT_EQ((field & 0x1fffU) * 8U, offset + payload.size());
    EXPECT_EQ((field & kMore) != 0, more_follow || i + 1 < fragments.size());
    EXPECT_EQ(load_be16(one.data() + 4), 0x1234);
    EXPECT_EQ(one[1], 0xb8);
    EXPECT_EQ(one[8], 63);
    payload.insert(payload.end(), one.begin() + static_cast<std::ptrdiff_t>(header), one.end());
  }
  return payload;
}

Bytes payload_of(const Bytes& packet) {
  return {packet.begin() + (packet[0] & 0x0f) * 4, packet.end()};
}

TEST(Ipv4Fragments, AnySizeInAnyMtuIsThePacketAgain) {
  for (const std::size_t mtu : {68U, 576U, 1280U, 1281U, 1287U, 1288U, 1399U}) {
    for (const std::size_t payload : {0U, 1U, 8U, 1259U, 1260U, 1261U, 1372U, 4000U, 65515U}) {
      const Bytes packet = packet_with(payload);
      EXPECT_EQ(joined(cut(packet, mtu), mtu, 0, false), payload_of(packet));
    }
  }
}

TEST(Ipv4Fragments, APacketThatFitsStaysOne) {
  const Bytes packet = packet_with(1260);
  EXPECT_EQ(cut(packet, 1280), std::vector<Bytes>{packet});
}

TEST(Ipv4Fragments, AFragmentIsCutFurther) {
  const Bytes middle = packet_with(1376, {}, kMore | 50);
  EXPECT_EQ(joined(cut(middle, 1280), 1280, 400, true), payload_of(middle));
  const Bytes last = packet_with(1377, {}, 50);
  EXPECT_EQ(joined(cut(last, 1280), 1280, 400, false), payload_of(last));
}

TEST(Ipv4Fragments, OptionsGoWhereTheirCopyFlagSays) {
  // Record route (7, not copied), no operation, security (130, copied).
  const Bytes options = {7, 3, 4, 1, 130, 4, 9, 9};
  const Bytes packet = packet_with(3000, options);
  const auto fragments = cut(packet, 1280);
  ASSERT_EQ(fragments.size(), 3U);
  EXPECT_EQ(joined(fragments, 1280, 0, false), payload_of(packet));
  EXPECT_TRUE(std::equal(options.begin(), options.end(), fragments[0].begin() + 20));
  for (std::size_t i = 1; i < 3; ++i) {
    EXPECT_EQ(fragments[i][0], 0x46);
    EXPECT_EQ(Bytes(fragments[i].begin() + 20, fragments[i].begin() + 24), (Bytes{130, 4, 9, 9}));
  }
}

TEST(Ipv4Fragments, MalformedOptionsAreLeftOut) {
  for (const Bytes& options : {Bytes{130, 0, 1, 1}, Bytes{130, 9, 1, 1}, Bytes{1, 1, 1, 130}}) {
    const Bytes packet = packet_with(2000, options);
    const auto fragments = cut(packet, 1280);
    ASSERT_EQ(fragments.size(), 2U);
    EXPECT_EQ(fragments[1][0], 0x45);
    EXPECT_EQ(joined(fragments, 1280, 0, false), payload_of(packet));
  }
}

TEST(Ipv4Fragments, RandomOptionsNeverLeadOutOfBounds) {
  std::mt19937 random(1);
  for (int i = 0; i < 2000; ++i) {
    Bytes options(4 * (random() % 11));
    for (auto& octet : options) octet = static_cast<std::uint8_t>(random());
    const Bytes packet = packet_with(random() % 3000, options);
    const std::size_t mtu = 68 + random() % 1400;
    ASSERT_EQ(joined(cut(packet, mtu), mtu, 0, false), payload_of(packet));
  }
}

TEST(Ipv4Fragments, WhatMustNotBeFragmentedIsNot) {
  EXPECT_TRUE(cut(packet_with(2000, {}, 0x4000), 1280).empty());
  Bytes v6(2000);
  v6[0] = 0x60;
  store_be16(v6.data() + 4, 1960);
  EXPECT_TRUE(cut(v6, 1280).empty());
}

}  // namespace
}  // namespace cygnet::agent::userspace
