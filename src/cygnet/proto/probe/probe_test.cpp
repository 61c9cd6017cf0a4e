// SPDX-License-Identifier: Apache-2.0
#include "cygnet/proto/probe/probe.h"

#include <gtest/gtest.h>

namespace cygnet::proto {
namespace {

constexpr const char* kRequest =
    "01010000"
    "0102030405060708";

Result<Probe> decode(const std::string& hex) { return decode_probe(from_hex(hex).value()); }

TEST(Probes, WriteTheOctetsOfTheSpecification) {
  Probe probe{ProbeType::kRequest, {1, 2, 3, 4, 5, 6, 7, 8}, {}};
  EXPECT_EQ(to_hex(encode_probe(probe).value()), kRequest);
  probe.type = ProbeType::kPmtu;
  probe.tlvs = {{7, Bytes{0xaa, 0xbb}}, {9, {}}};
  EXPECT_EQ(to_hex(encode_probe(probe).value()),
            "01050000"
            "0102030405060708"
            "00070002aabb"
            "00090000");
}

TEST(Probes, ComeBackWithEveryTlv) {
  const Probe probe{
      ProbeType::kDim, {9, 9, 9, 9, 9, 9, 9, 9}, {{1, Bytes(300, 7)}, {65535, {}}, {1, Bytes{1}}}};
  const auto reread = decode_probe(encode_probe(probe).value());
  ASSERT_TRUE(reread.has_value());
  EXPECT_EQ(*reread, probe);
  ASSERT_NE(reread->find(65535), nullptr);
  EXPECT_EQ(reread->find(1)->value.size(), 300U);
  EXPECT_EQ(reread->find(2), nullptr);
}

TEST(Probes, AReplyCopiesTheCookieAndNothingElse) {
  auto request = decode(std::string(kRequest) + "00010000");
  ASSERT_TRUE(request.has_value());
  EXPECT_EQ(to_hex(encode_probe(reply_to(*request)).value()),
            "01020000"
            "0102030405060708");
}

TEST(Probes, ReservedOctetsAreIgnored) {
  EXPECT_TRUE(decode("0101ffff0102030405060708").has_value());
}

TEST(Probes, AreRefusedWhenTheyAreNone) {
  for (const char* bad :
       {"", "01", "0101000001020304050607",                      // too short
        "000100000102030405060708",                              // version
        "020100000102030405060708", "010000000102030405060708",  // type
        "010600000102030405060708", "01ff00000102030405060708", "01010000010203040506070800",
        "010100000102030405060708000100", "01010000010203040506070800010001"}) {
    const auto probe = decode(bad);
    ASSERT_FALSE(probe.has_value()) << bad;
    EXPECT_EQ(probe.error().code, kErrProbe);
  }
}

TEST(Probes, ATlvLongerThanItsLengthFieldIsNotWritten) {
  const Probe probe{ProbeType::kPmtu, {}, {{1, Bytes(65536, 0)}}};
  EXPECT_FALSE(encode_probe(probe).has_value());
}

TEST(Probes, HaveTheirNames) {
  EXPECT_EQ(to_string(ProbeType::kRequest), "REQUEST");
  EXPECT_EQ(to_string(ProbeType::kReply), "REPLY");
  EXPECT_EQ(to_string(ProbeType::kDim), "DIM");
  EXPECT_EQ(to_string(ProbeType::kDimAck), "DIM-ACK");
  EXPECT_EQ(to_string(ProbeType::kPmtu), "PMTU");
}

}  // namespace
}  // namespace cygnet::proto
