// SPDX-License-Identifier: Apache-2.0
#include "cygnet/esp/packet.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <numeric>
#include <set>
#include <string>

#include "cygnet/esp/test_suites.h"

namespace cygnet::esp {
namespace {

Bytes counting(std::size_t n, std::uint8_t from = 0) {
  Bytes out(n);
  std::iota(out.begin(), out.end(), from);
  return out;
}

struct Sealed {
  Keys keys;
  Bytes packet;
};
Sealed seal_some(const NamedSuite& suite, bool esn, std::uint64_t sequence, ByteView payload,
                 std::uint8_t next_header = kNextHeaderIpv4) {
  Sealed out{keys_for(suite.suite), {}};
  auto packet = seal_packet(suite.suite, out.keys.views(), esn, 0x01020304, sequence,
                            counting(suite.suite.iv_length(), 0x40), next_header, payload);
  EXPECT_TRUE(packet.has_value()) << packet.error().to_string();
  if (packet) out.packet = std::move(*packet);
  return out;
}

class EspSuites : public testing::TestWithParam<NamedSuite> {};
INSTANTIATE_TEST_SUITE_P(All, EspSuites, testing::ValuesIn(all_suites()),
                         [](const auto& suite) { return suite.param.test_name; });

TEST_P(EspSuites, WhatIsSealedOpensToTheSamePayloadForEveryLength) {
  for (const bool esn : {false, true}) {
    for (std::size_t n = 0; n < 70; ++n) {
      const Bytes payload = counting(n, 7);
      const std::uint64_t sequence = esn ? 0x500000007ULL : 7;
      const Sealed sealed = seal_some(GetParam(), esn, sequence, payload, 41);
      const auto opened = open_packet(GetParam().suite, sealed.keys.views(), esn,
                                      static_cast<std::uint32_t>(sequence >> 32), sealed.packet);
      ASSERT_TRUE(opened.has_value()) << opened.error().to_string();
      EXPECT_EQ(opened->payload, payload);
      EXPECT_EQ(opened->spi, 0x01020304U);
      EXPECT_EQ(opened->sequence, sequence);
      EXPECT_EQ(opened->next_header, 41);
      EXPECT_LT(opened->pad_length, GetParam().suite.block_length());
    }
  }
}

TEST_P(EspSuites, ThePacketHasTheLayoutOfRfc4303) {
  const Bytes payload = counting(41);
  const Sealed sealed = seal_some(GetParam(), false, 0xaabbccdd, payload);
  const crypto::EspSuite& suite = GetParam().suite;
  EXPECT_EQ(to_hex(ByteView(sealed.packet).first(8)), "01020304aabbccdd");
  EXPECT_EQ(Bytes(sealed.packet.begin() + 8,
                  sealed.packet.begin() + 8 + static_cast<std::ptrdiff_t>(suite.iv_length())),
            counting(suite.iv_length(), 0x40));
  const std::size_t text = sealed.packet.size() - 8 - suite.iv_length() - suite.icv_length();
  EXPECT_EQ(text % suite.block_length(), 0U);
  EXPECT_LT(text, 41 + 2 + suite.block_length());
}

TEST_P(EspSuites, EveryBitFlipIsRefused) {
  for (const bool esn : {false, true}) {
    const Sealed sealed = seal_some(GetParam(), esn, 99, counting(30));
    for (std::size_t bit = 0; bit < sealed.packet.size() * 8; ++bit) {
      Bytes forged = sealed.packet;
      forged[bit / 8] = static_cast<std::uint8_t>(forged[bit / 8] ^ (1U << (bit % 8)));
      const auto opened = open_packet(GetParam().suite, sealed.keys.views(), esn, 0, forged);
      ASSERT_FALSE(opened.has_value()) << "bit " << bit;
      EXPECT_EQ(opened.error().code, ErrorCode("icv")) << "bit " << bit;
    }
  }
}

TEST_P(EspSuites, EveryTruncatedLengthIsRefusedByItsName) {
  const Sealed sealed = seal_some(GetParam(), true, 99, counting(64));
  const EspFormat format(GetParam().suite, true);
  for (std::size_t n = 0; n < sealed.packet.size(); ++n) {
    const auto opened = open_packet(GetParam().suite, sealed.keys.views(), true, 0,
                                    ByteView(sealed.packet).first(n));
    ASSERT_FALSE(opened.has_value()) << n;
    const std::string expected =
        n < format.min_packet_length() ? "too-short"
        : (n - format.header_length() - format.icv_length()) % format.block_length() != 0 ? "length"
                                                                                          : "icv";
    EXPECT_EQ(opened.error().code.name(), expected) << n;
  }
}

TEST_P(EspSuites, OctetsBehindThePacketAreRefused) {
  const Sealed sealed = seal_some(GetParam(), false, 99, counting(64));
  for (std::size_t extra = 1; extra <= 33; ++extra) {
    Bytes longer = sealed.packet;
    longer.resize(longer.size() + extra);
    EXPECT_FALSE(open_packet(GetParam().suite, sealed.keys.views(), false, 0, longer).has_value());
  }
}

TEST_P(EspSuites, TheHighHalfOfTheSequenceNumberIsAuthenticated) {
  const Sealed sealed = seal_some(GetParam(), true, (std::uint64_t{3} << 32) | 5, counting(20));
  const auto& suite = GetParam().suite;
  EXPECT_TRUE(open_packet(suite, sealed.keys.views(), true, 3, sealed.packet).has_value());
  for (const std::uint32_t wrong : {0U, 2U, 4U, 0x03000000U}) {
    const auto opened = open_packet(suite, sealed.keys.views(), true, wrong, sealed.packet);
    ASSERT_FALSE(opened.has_value());
    EXPECT_EQ(opened.error().code, ErrorCode("icv"));
  }
  EXPECT_FALSE(open_packet(suite, sealed.keys.views(), false, 0, sealed.packet).has_value());
}

TEST_P(EspSuites, AnotherKeyOpensNothing) {
  const Sealed sealed = seal_some(GetParam(), false, 1, counting(20));
  Keys other = keys_for(GetParam().suite);
  // The last octet of the encryption key is salt with an AEAD; with CBC the ICV has its own key.
  Bytes& key = GetParam().suite.is_aead() ? other.encr : other.integ;
  key.back() = static_cast<std::uint8_t>(key.back() ^ 1);
  const auto opened = open_packet(GetParam().suite, other.views(), false, 0, sealed.packet);
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().code, ErrorCode("icv"));
}

// A peer that holds the key can still pad as it should not: made here with the cipher itself.
Bytes with_trailer(const NamedSuite& suite, const Keys& keys, ByteView text) {
  const EspFormat format(suite.suite, false);
  auto cipher = crypto::PacketCipher::create(suite.suite, keys.encr, keys.integ);
  EXPECT_TRUE(cipher.has_value());
  Bytes packet(format.header_length() + text.size() + format.icv_length());
  store_be32(packet.data(), 0x01020304);
  store_be32(packet.data() + 4, 1);
  std::copy(text.begin(), text.end(),
            packet.begin() + static_cast<std::ptrdiff_t>(format.header_length()));
  MutableByteView all(packet);
  EXPECT_TRUE((*cipher)->seal(all.first(8), all.subspan(8, format.iv_length()),
                              all.subspan(format.header_length(), text.size()), {},
                              all.last(format.icv_length())));
  return packet;
}

TEST_P(EspSuites, WrongPaddingIsRefusedAfterTheIcv) {
  const Keys keys = keys_for(GetParam().suite);
  Bytes text(32);
  const auto code = [&](std::initializer_list<int> tail) {
    Bytes t = text;
    std::size_t at = t.size() - tail.size();
    for (const int octet : tail) t[at++] = static_cast<std::uint8_t>(octet);
    const auto opened =
        open_packet(GetParam().suite, keys.views(), false, 0, with_trailer(GetParam(), keys, t));
    return opened ? std::string("opened") : std::string(opened.error().code.name());
  };
  EXPECT_EQ(code({1, 2, 3, 3, 4}), "opened");
  EXPECT_EQ(code({0, 4}), "opened");
  EXPECT_EQ(code({1, 2, 4, 3, 4}), "padding");
  EXPECT_EQ(code({0, 0, 0, 3, 4}), "padding");
  EXPECT_EQ(code({3, 2, 1, 3, 4}), "padding");
  EXPECT_EQ(code({31, 4}), "padding");  // longer than the text
  EXPECT_EQ(code({255, 4}), "padding");
}

TEST_P(EspSuites, PaddingOfTheLargestSizeOpens) {
  const Keys keys = keys_for(GetParam().suite);
  Bytes text(272);
  for (std::size_t i = 0; i < 255; ++i) text[272 - 2 - 255 + i] = static_cast<std::uint8_t>(i + 1);
  text[270] = 255;
  text[271] = 59;
  const auto opened =
      open_packet(GetParam().suite, keys.views(), false, 0, with_trailer(GetParam(), keys, text));
  ASSERT_TRUE(opened.has_value());
  EXPECT_EQ(opened->pad_length, 255);
  EXPECT_EQ(opened->payload.size(), 15U);
  EXPECT_EQ(opened->next_header, kNextHeaderDummy);
}

TEST_P(EspSuites, SealingNeedsRoomAndNeverWritesBeyondIt) {
  const Keys keys = keys_for(GetParam().suite);
  const EspFormat format(GetParam().suite, true);
  auto cipher = crypto::PacketCipher::create(GetParam().suite, keys.encr, keys.integ);
  ASSERT_TRUE(cipher.has_value());
  const Bytes iv = counting(format.iv_length());
  const std::size_t whole = format.packet_length(50);
  for (std::size_t room = 0; room <= whole + 4; ++room) {
    Bytes buffer(whole + 64, 0xee);
    const auto sealed = seal_in_place(format, **cipher, {0x1000, 1, iv, 4},
                                      MutableByteView(buffer).first(room), 50);
    EXPECT_EQ(sealed.has_value(), room >= whole) << room;
    if (sealed) {
      EXPECT_EQ(*sealed, whole);
    } else {
      EXPECT_EQ(sealed.error(), EspDrop::kSealFailed);
    }
    for (std::size_t i = whole; i < buffer.size(); ++i) ASSERT_EQ(buffer[i], 0xee);
  }
}

TEST(EspPacket, SequenceNumberNeverWraps) {
  const NamedSuite suite = all_suites().front();
  const Keys keys = keys_for(suite.suite);
  auto cipher = crypto::PacketCipher::create(suite.suite, keys.encr, keys.integ);
  ASSERT_TRUE(cipher.has_value());
  Bytes buffer(200);
  const Bytes iv(8);
  const auto result = [&](bool esn, std::uint64_t sequence) {
    return seal_in_place(EspFormat(suite.suite, esn), **cipher, {0x1000, sequence, iv, 4}, buffer,
                         20);
  };
  EXPECT_TRUE(result(false, 0xffffffff).has_value());
  EXPECT_EQ(result(false, 0x100000000).error(), EspDrop::kSeqOverflow);
  EXPECT_EQ(result(false, 0).error(), EspDrop::kSeqOverflow);
  EXPECT_TRUE(result(true, 0x100000000).has_value());
  EXPECT_TRUE(result(true, ~std::uint64_t{0}).has_value());
  EXPECT_EQ(result(true, 0).error(), EspDrop::kSeqOverflow);  // what follows the last one
}

TEST(EspPacket, SealRefusesReservedSpisWrongIvsAndWrongKeys) {
  const NamedSuite suite = all_suites().front();
  const Keys keys = keys_for(suite.suite);
  const Bytes iv(8);
  const auto code = [&](const DirectionKeyViews& views, std::uint32_t spi, std::uint64_t sequence,
                        std::size_t iv_length) {
    const auto sealed =
        seal_packet(suite.suite, views, false, spi, sequence, Bytes(iv_length), 4, Bytes(4));
    return sealed ? std::string("sealed") : std::string(sealed.error().code.name());
  };
  EXPECT_EQ(code(keys.views(), 256, 1, 8), "sealed");
  EXPECT_EQ(code(keys.views(), 255, 1, 8), "spi");
  EXPECT_EQ(code(keys.views(), 0, 1, 8), "spi");
  EXPECT_EQ(code(keys.views(), 256, 1, 16), "iv-length");
  EXPECT_EQ(code(keys.views(), 256, 1, 0), "iv-length");
  EXPECT_EQ(code(keys.views(), 256, 0, 8), "seq-overflow");
  EXPECT_EQ(code(keys.views(), 256, 0x100000000, 8), "seq-overflow");
  EXPECT_EQ(code({ByteView(keys.encr).first(16), {}}, 256, 1, 8), "key-length");
}

TEST(EspDrops, NamesAreKebabCaseAndAllDifferent) {
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < kEspDropCount; ++i) {
    const std::string_view name = to_string(static_cast<EspDrop>(i));
    EXPECT_TRUE(names.insert(name).second) << name;
    EXPECT_NE(name, "unknown");
    EXPECT_EQ(name.find_first_not_of("abcdefghijklmnopqrstuvwxyz-"), std::string_view::npos);
  }
}

TEST(EspDrops, EveryNameIsDocumented) {
  std::ifstream file("docs/drops.md");
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  ASSERT_FALSE(text.empty()) << "run from the top of the source tree";
  for (std::size_t i = 0; i < kEspDropCount; ++i) {
    const std::string row = "| `" + std::string(to_string(static_cast<EspDrop>(i))) + "` |";
    EXPECT_NE(text.find(row), std::string::npos) << row;
  }
}

}  // namespace
}  // namespace cygnet::esp
