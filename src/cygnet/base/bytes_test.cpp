// SPDX-License-Identifier: Apache-2.0
#include "cygnet/base/bytes.h"

#include <gtest/gtest.h>

namespace cygnet {
namespace {

TEST(Bytes, HexRoundTripsEveryOctet) {
  Bytes all;
  for (int i = 0; i < 256; ++i) all.push_back(static_cast<std::uint8_t>(i));
  const auto back = from_hex(to_hex(all));
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(*back, all);
}

TEST(Bytes, HexRefusesOddLengthAndNamesTheBadDigit) {
  EXPECT_EQ(from_hex("abc").error().code, kErrHex);
  const auto bad = from_hex("00x1");
  ASSERT_FALSE(bad.has_value());
  EXPECT_NE(bad.error().message.find("position 2"), std::string::npos);
}

TEST(Bytes, ComparePutsAPrefixFirst) {
  const Bytes shorter{1, 2};
  const Bytes longer{1, 2, 0};
  EXPECT_LT(compare(shorter, longer), 0);
  EXPECT_GT(compare(longer, shorter), 0);
  EXPECT_EQ(compare(longer, longer), 0);
  EXPECT_GT(compare(Bytes{2}, longer), 0);
}

TEST(Bytes, ConstantTimeEqualityAgreesWithPlainEquality) {
  EXPECT_TRUE(equal_constant_time(Bytes{1, 2}, Bytes{1, 2}));
  EXPECT_FALSE(equal_constant_time(Bytes{1, 2}, Bytes{1, 3}));
  EXPECT_FALSE(equal_constant_time(Bytes{1, 2}, Bytes{1, 2, 3}));
}

TEST(Bytes, WriterIsBigEndianAndPatches) {
  ByteWriter w;
  w.u16(0);
  w.u32(0x01020304);
  w.u64(0x05060708090a0b0cULL);
  w.patch_u16(0, 0xfffe);
  EXPECT_EQ(to_hex(w.view()), "fffe0102030405060708090a0b0c");
}

}  // namespace
}  // namespace cygnet
