// SPDX-License-Identifier: Apache-2.0
// Large packets: cut, joined, and both again. The oracle is arithmetic of its own, two octets at a
// time, and the packets themselves: what is joined and cut again must be what was joined.

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>

#include "cygnet/agent/backend/userspace/checksum.h"
#include "cygnet/agent/backend/userspace/coalescer.h"
#include "cygnet/agent/backend/userspace/segmenter.h"
#include "cygnet/agent/backend/userspace/tcp_header.h"

namespace cygnet::agent::userspace {
namespace {

/// RFC 1071 as it stands in the RFC: word after word.
std::uint16_t slow_checksum(const Bytes& octets) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < octets.size(); i += 2) {
    sum +=
        static_cast<std::uint32_t>(octets[i] << 8) | (i + 1 < octets.size() ? octets[i + 1] : 0U);
    sum = (sum & 0xffff) + (sum >> 16);
  }
  return static_cast<std::uint16_t>(~sum & 0xffff);
}
/// Transport checksum, over a pseudo-header that is spelled out.
std::uint16_t slow_transport_checksum(const Bytes& packet) {
  const bool v6 = (packet[0] >> 4) == 6;
  const std::size_t header = v6 ? 40 : 20;
  Bytes covered(packet.begin() + (v6 ? 8 : 12), packet.begin() + static_cast<long>(header));
  const std::size_t length = packet.size() - header;
  for (const int shift : {24, 16, 8, 0})
    covered.push_back(static_cast<std::uint8_t>(length >> shift));
  for (const std::uint8_t o :
       {std::uint8_t{0}, std::uint8_t{0}, std::uint8_t{0}, v6 ? packet[6] : packet[9]}) {
    covered.push_back(o);
  }
  covered.insert(covered.end(), packet.begin() + static_cast<long>(header), packet.end());
  return slow_checksum(covered);
}

struct Shape {
  bool v6 = false;
  bool tcp = true;
  std::size_t options = 12;  ///< of TCP
  std::uint8_t flags = kTcpAck;
};

Bytes make(const Shape& shape, std::size_t payload, std::uint32_t sequence, std::uint16_t id,
           std::uint8_t seed = 1) {
  const std::size_t ip = shape.v6 ? 40 : 20;
  const std::size_t transport = shape.tcp ? 20 + shape.options : 8;
  Bytes p(ip + transport + payload);
  if (shape.v6) {
    p[0] = 0x60;
    p[3] = 7;  // flow label
    store_be16(p.data() + 4, static_cast<std::uint16_t>(transport + payload));
    p[6] = shape.tcp ? 6 : 17;
    p[7] = 64;
    p[8] = p[24] = 0x20;
    p[23] = 1;
    p[39] = 2;
  } else {
    p[0] = 0x45;
    store_be16(p.data() + 2, static_cast<std::uint16_t>(p.size()));
    store_be16(p.data() + 4, id);
    p[8] = 64;
    p[9] = shape.tcp ? 6 : 17;
    store_be32(p.data() + 12, 0x0a010001);
    store_be32(p.data() + 16, 0x0a020001);
    Bytes header(p.begin(), p.begin() + 20);
    store_be16(p.data() + 10, slow_checksum(header));
  }
  std::uint8_t* const t = p.data() + ip;
  store_be16(t, 1234);
  store_be16(t + 2, 80);
  if (shape.tcp) {
    store_be32(t + 4, sequence);
    store_be32(t + 8, 99);
    t[12] = static_cast<std::uint8_t>(transport / 4 << 4);
    t[13] = shape.flags;
    store_be16(t + 14, 500);
    for (std::size_t i = 0; i < shape.options; ++i) t[20 + i] = 1;
  } else {
    store_be16(t + 4, static_cast<std::uint16_t>(8 + payload));
  }
  for (std::size_t i = 0; i < payload; ++i) {
    p[ip + transport + i] = static_cast<std::uint8_t>(seed + sequence + i * 7);
  }
  std::uint16_t sum = slow_transport_checksum(p);
  if (!shape.tcp && sum == 0) sum = 0xffff;
  store_be16(t + (shape.tcp ? 16 : 6), sum);
  return p;
}

/// What a card would put on the wire.
std::vector<Bytes> cut(const GsoInfo& gso, const Bytes& packet) {
  if (gso.kind == GsoKind::kNone) return {packet};
  const auto inner = parse_inner(packet);
  const auto segments = Segmenter::create(gso, *inner, packet);
  std::vector<Bytes> out;
  for (std::size_t i = 0; segments && i < segments->count(); ++i) {
    out.emplace_back(segments->length(i));
    segments->write(i, out.back().data());
  }
  return out;
}

class Written final : public Coalescer::Sink {
 public:
  void write(std::span<const iovec> pieces, const GsoInfo& gso, std::size_t packets) override {
    Bytes whole;
    for (const iovec& piece : pieces) {
      const auto* const at = static_cast<const std::uint8_t*>(piece.iov_base);
      whole.insert(whole.end(), at, at + piece.iov_len);
    }
    if (gso.kind != GsoKind::kNone) {
      EXPECT_TRUE(gso.partial_checksum);
      // The field holds the pseudo-header's sum: completed, the large packet is a right one.
      Bytes completed = whole;
      EXPECT_TRUE(complete_checksum(gso, completed));
      EXPECT_EQ(slow_transport_checksum(completed), 0);
    }
    const std::vector<Bytes> segments = cut(gso, whole);
    EXPECT_EQ(segments.size(), packets);
    wire.insert(wire.end(), segments.begin(), segments.end());
    ++writes;
    largest = std::max(largest, whole.size());
  }
  std::vector<Bytes> wire;
  std::size_t writes = 0;
  std::size_t largest = 0;
};

class Join : public ::testing::Test {
 protected:
  Join() { coalescer.allow({true, true}); }
  void add(Bytes packet) {
    given.push_back(packet);
    kept.push_back(std::make_unique<Bytes>(std::move(packet)));
    coalescer.add(*kept.back(), *parse_inner(*kept.back()));
  }
  /// Everything comes out as it went in, in `writes` pieces.
  void expect(std::size_t writes) {
    coalescer.flush();
    EXPECT_EQ(sink.wire, given);
    EXPECT_EQ(sink.writes, writes);
  }
  std::vector<Bytes> given;
  std::vector<std::unique_ptr<Bytes>> kept;
  Written sink;
  Coalescer coalescer{sink};
};

TEST(Checksum, AgreesWithTheWordByWordSumAtEveryLength) {
  std::mt19937 random(7);
  for (std::size_t length = 0; length < 200; ++length) {
    Bytes octets(length);
    for (auto& o : octets) o = static_cast<std::uint8_t>(random());
    EXPECT_EQ(checksum_finish(checksum_add(0, octets)), slow_checksum(octets)) << length;
  }
  const Bytes ones(65535, 0xff);
  EXPECT_EQ(checksum_finish(checksum_add(0, ones)), slow_checksum(ones));
}

TEST(Segmenter, CutsTcpIntoTheSegmentsThatTcpWouldHaveSent) {
  for (const bool v6 : {false, true}) {
    Shape shape{v6, true, 12, kTcpAck | kTcpPush | kTcpFin | kTcpCwr};
    const Bytes large = make(shape, 2500, 0xfffffc00, 0xfffe);
    const std::vector<Bytes> segments =
        cut({v6 ? GsoKind::kTcpV6 : GsoKind::kTcpV4, 1000, true, false, 0, 0, 0}, large);
    ASSERT_EQ(segments.size(), 3U);
    Bytes joined;
    const std::size_t headers = (v6 ? 40U : 20U) + 32U;
    const std::uint8_t flags[] = {kTcpAck | kTcpCwr, kTcpAck, kTcpAck | kTcpPush | kTcpFin};
    for (std::size_t i = 0; i < 3; ++i) {
      const Bytes& s = segments[i];
      const auto inner = parse_inner(s);
      ASSERT_TRUE(inner);
      EXPECT_EQ(inner->total_length, s.size());
      EXPECT_EQ(s.size() - headers, i < 2 ? 1000U : 500U);
      EXPECT_EQ(load_be32(s.data() + headers - 28),
                static_cast<std::uint32_t>(0xfffffc00 + i * 1000));
      EXPECT_EQ(s[headers - 19], flags[i]) << i;
      EXPECT_EQ(slow_transport_checksum(s), 0);
      if (!v6) {
        EXPECT_EQ(load_be16(s.data() + 4), static_cast<std::uint16_t>(0xfffe + i));
        EXPECT_EQ(slow_checksum(Bytes(s.begin(), s.begin() + 20)), 0);
      }
      joined.insert(joined.end(), s.begin() + static_cast<long>(headers), s.end());
    }
    EXPECT_EQ(joined, Bytes(large.begin() + static_cast<long>(headers), large.end()));
  }
}

TEST(Segmenter, CutsUdpIntoDatagrams) {
  for (const bool v6 : {false, true}) {
    const Bytes large = make({v6, false}, 3000, 5, 9);
    const auto segments = cut({GsoKind::kUdp, 1200, true, false, 0, 0, 0}, large);
    ASSERT_EQ(segments.size(), 3U);
    for (std::size_t i = 0; i < 3; ++i) {
      const std::size_t ip = v6 ? 40 : 20;
      EXPECT_EQ(segments[i].size(), ip + 8 + (i < 2 ? 1200U : 600U));
      EXPECT_EQ(load_be16(segments[i].data() + ip + 4), segments[i].size() - ip);
      EXPECT_EQ(slow_transport_checksum(segments[i]), 0);
    }
  }
}

TEST(Segmenter, AChecksumOfZeroIsSentAsOnes) {
  Bytes datagram = make({false, false}, 2, 0, 0);
  // A payload that makes the sum zero: take the checksum itself.
  std::uint8_t* const payload = datagram.data() + 28;
  payload[0] = payload[1] = 0;
  store_be16(datagram.data() + 26, 0);
  store_be16(payload, slow_transport_checksum(datagram));
  ASSERT_EQ(slow_transport_checksum(datagram), 0);
  GsoInfo gso;
  gso.partial_checksum = true;
  gso.checksum_start = 20;
  gso.checksum_offset = 6;
  store_be16(datagram.data() + 26,
             static_cast<std::uint16_t>(~checksum_finish(
                 ipv4_pseudo_sum(datagram.data() + 12, datagram.data() + 16, 10, kProtocolUdp))));
  ASSERT_TRUE(complete_checksum(gso, datagram));
  EXPECT_EQ(load_be16(datagram.data() + 26), 0xffff);
}

TEST(Segmenter, RefusesWhatIsNotWhatItSays) {
  const Bytes tcp = make({}, 3000, 1, 1);
  const auto inner = *parse_inner(tcp);
  EXPECT_FALSE(Segmenter::create({GsoKind::kUdp, 1000, true, false, 0, 0, 0}, inner, tcp));
  EXPECT_FALSE(Segmenter::create({GsoKind::kTcpV4, 0, true, false, 0, 0, 0}, inner, tcp));
  EXPECT_FALSE(Segmenter::create({}, inner, tcp));
  Bytes wild = tcp;
  wild[20 + 12] = 0xf0;  // a header of 60 octets …
  wild.resize(70);       // … in a packet that has 50
  store_be16(wild.data() + 2, 70);
  EXPECT_FALSE(
      Segmenter::create({GsoKind::kTcpV4, 10, true, false, 0, 0, 0}, *parse_inner(wild), wild));
  GsoInfo outside;
  outside.checksum_start = 60;
  outside.checksum_offset = 16;
  EXPECT_FALSE(complete_checksum(outside, wild));
}

TEST_F(Join, ConsecutiveSegmentsBecomeOne) {
  for (const bool v6 : {false, true}) {
    for (std::uint32_t i = 0; i < 5; ++i) {
      add(make({v6}, i < 4 ? 1000 : 300, 1 + i * 1000, static_cast<std::uint16_t>(i)));
    }
  }
  expect(2);
}

TEST_F(Join, EqualDatagramsBecomeOneAndAShorterOneEndsIt) {
  for (const bool v6 : {false, true}) {
    const Shape udp{v6, false};
    for (std::uint16_t i = 0; i < 3; ++i) add(make(udp, 800, i, i));
    add(make(udp, 200, 3, 3));
    add(make(udp, 800, 4, 4));
  }
  expect(4);
}

TEST_F(Join, AHoleIsNeverClosed) {
  add(make({}, 1000, 1, 1));
  add(make({}, 1000, 2001, 2));
  add(make({}, 1000, 1001, 3));
  expect(3);
}

TEST_F(Join, TwoFlowsDoNotMixAndEachKeepsItsOrder) {
  Bytes other;
  for (std::uint32_t i = 0; i < 4; ++i) {
    add(make({false}, 1000, 1 + i * 1000, static_cast<std::uint16_t>(i)));
    add(make({true}, 1000, 1 + i * 1000, 0));
  }
  coalescer.flush();
  EXPECT_EQ(sink.writes, 2U);
  std::vector<Bytes> sorted;
  for (const bool v6 : {false, true}) {
    for (const Bytes& p : given) {
      if (((p[0] >> 4) == 6) == v6) sorted.push_back(p);
    }
  }
  EXPECT_EQ(sink.wire, sorted);
}

TEST_F(Join, APushIsTheEnd) {
  add(make({}, 1000, 1, 1));
  add(make({false, true, 12, kTcpAck | kTcpPush}, 1000, 1001, 2));
  add(make({}, 1000, 2001, 3));
  expect(2);
}

TEST_F(Join, WhatIsNotPlainDataGoesAloneAndInOrder) {
  add(make({}, 1000, 1, 1));
  add(make({}, 0, 1001, 2));  // a pure acknowledgement
  add(make({}, 1000, 1001, 3));
  add(make({false, true, 12, kTcpAck | kTcpFin}, 1000, 2001, 4));
  add(make({false, true, 12, kTcpSyn}, 0, 5, 5));
  expect(5);
}

/// Changes one octet and makes the checksums right again.
Bytes altered(Bytes packet, std::size_t at, std::uint8_t by) {
  packet[at] = static_cast<std::uint8_t>(packet[at] ^ by);
  store_be16(packet.data() + 10, 0);
  store_be16(packet.data() + 10, slow_checksum(Bytes(packet.begin(), packet.begin() + 20)));
  store_be16(packet.data() + 36, 0);
  store_be16(packet.data() + 36, slow_transport_checksum(packet));
  return packet;
}

TEST_F(Join, HeadersThatDifferAreNotJoined) {
  struct Field {
    const char* name;
    std::size_t at;
    std::uint8_t by;
  };
  for (const Field& f : {Field{"traffic class", 1, 4}, Field{"identification", 5, 0x10},
                         Field{"DF", 6, 0x40}, Field{"TTL", 8, 1}, Field{"source", 15, 1},
                         Field{"port", 21, 1}, Field{"acknowledgement", 31, 1},
                         Field{"window", 35, 1}, Field{"urgent", 39, 1}, Field{"option", 45, 1}}) {
    Written own;
    Coalescer one(own);
    one.allow({true, true});
    Bytes a = make({}, 1000, 1, 1);
    Bytes b = altered(make({}, 1000, 1001, 2), f.at, f.by);
    one.add(a, *parse_inner(a));
    one.add(b, *parse_inner(b));
    one.flush();
    EXPECT_EQ(own.writes, 2U) << f.name;
  }
}

TEST_F(Join, AtomicDatagramsMayShareTheirIdentification) {
  for (const std::uint32_t i : {0U, 1U, 2U}) {
    Bytes packet = make({}, 1000, 1 + i * 1000, 0);
    packet = altered(packet, 6, 0x40);
    kept.push_back(std::make_unique<Bytes>(packet));
    coalescer.add(*kept.back(), *parse_inner(*kept.back()));
  }
  coalescer.flush();
  EXPECT_EQ(sink.writes, 1U);
}

TEST_F(Join, AWrongChecksumIsHandedOnAsItCame) {
  add(make({}, 1000, 1, 1));
  Bytes wrong = make({}, 1000, 1001, 2);
  wrong.back() ^= 1;
  add(wrong);
  add(make({}, 1000, 2001, 3));
  expect(3);
}

TEST_F(Join, NothingGrowsBeyondWhatAnIpPacketHolds) {
  for (std::uint32_t i = 0; i < 200; ++i) {
    add(make({}, 1400, 1 + i * 1400, static_cast<std::uint16_t>(i)));
  }
  coalescer.flush();
  EXPECT_EQ(sink.wire, given);
  EXPECT_LE(sink.largest, 65535U);
  EXPECT_LE(sink.writes, 6U);
}

TEST_F(Join, NothingIsJoinedForAKernelThatTakesNothing) {
  coalescer.allow({});
  add(make({}, 1000, 1, 1));
  add(make({}, 1000, 1001, 2));
  expect(2);
}

TEST_F(Join, MoreFlowsThanItFollowsComeOutWhole) {
  std::mt19937 random(3);
  std::vector<std::uint32_t> next(20, 1);
  for (int i = 0; i < 400; ++i) {
    const std::size_t flow = random() % next.size();
    Bytes packet = make({}, 100, next[flow], 0);
    store_be16(packet.data() + 20, static_cast<std::uint16_t>(1000 + flow));
    packet = altered(packet, 6, 0x40);
    next[flow] += 100;
    kept.push_back(std::make_unique<Bytes>(packet));
    given.push_back(packet);
    coalescer.add(*kept.back(), *parse_inner(*kept.back()));
    if (random() % 50 == 0) coalescer.flush();
  }
  coalescer.flush();
  ASSERT_EQ(sink.wire.size(), given.size());
  EXPECT_LT(sink.writes, given.size());
  // Each flow in its own order, every octet of payload once.
  const auto flow_of = [](const Bytes& p) { return load_be16(p.data() + 20); };
  const auto by_flow = [&](const Bytes& a, const Bytes& b) { return flow_of(a) < flow_of(b); };
  std::stable_sort(given.begin(), given.end(), by_flow);
  std::stable_sort(sink.wire.begin(), sink.wire.end(), by_flow);
  for (std::size_t i = 0; i < given.size(); ++i) {
    EXPECT_EQ(Bytes(sink.wire[i].begin() + 20, sink.wire[i].end()),
              Bytes(given[i].begin() + 20, given[i].end()));
  }
}

}  // namespace
}  // namespace cygnet::agent::userspace
