// SPDX-License-Identifier: Apache-2.0
#include "cygnet/crypto/cipher.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "cygnet/crypto/prf.h"

namespace cygnet::crypto {
namespace {

const std::vector<EspSuite> kSuites{
    {EncrId::kAesGcm16, 128, IntegId::kNone},
    {EncrId::kAesGcm16, 256, IntegId::kNone},
    {EncrId::kChaCha20Poly1305, 256, IntegId::kNone},
    {EncrId::kAesCbc, 128, IntegId::kHmacSha2_256_128},
    {EncrId::kAesCbc, 256, IntegId::kHmacSha2_256_128},
    {EncrId::kAesCbc, 128, IntegId::kHmacSha2_384_192},
    {EncrId::kAesCbc, 256, IntegId::kHmacSha2_384_192},
    {EncrId::kAesCbc, 128, IntegId::kHmacSha2_512_256},
    {EncrId::kAesCbc, 256, IntegId::kHmacSha2_512_256},
};

Bytes counted(std::size_t length, std::uint8_t from) {
  Bytes out(length);
  for (std::size_t i = 0; i < length; ++i) out[i] = static_cast<std::uint8_t>(from + i);
  return out;
}

std::unique_ptr<PacketCipher> make(const EspSuite& suite, std::uint8_t from = 1) {
  auto made = PacketCipher::create(suite, counted(suite.encr_key_length(), from),
                                   counted(suite.integ_key_length(), from));
  EXPECT_TRUE(made.has_value());
  return std::move(*made);
}

bool all_zero(ByteView octets) {
  return std::all_of(octets.begin(), octets.end(), [](std::uint8_t o) { return o == 0; });
}

/// One packet's parts.
struct Packet {
  Bytes aad, iv, text, tail, icv;
};

Packet sealed_packet(PacketCipher& cipher, const EspSuite& suite, std::size_t length) {
  Packet packet{counted(8, 3), counted(suite.iv_length(), 9), counted(length, 40),
                suite.is_aead() ? Bytes{} : counted(4, 77), Bytes(suite.icv_length())};
  EXPECT_TRUE(cipher.seal(packet.aad, packet.iv, packet.text, packet.tail, packet.icv));
  return packet;
}

bool open(PacketCipher& cipher, Packet& packet) {
  return cipher.open(packet.aad, packet.iv, packet.text, packet.tail, packet.icv);
}

class EverySuite : public testing::TestWithParam<EspSuite> {};

TEST_P(EverySuite, OpensWhatItSealed) {
  const EspSuite suite = GetParam();
  const auto sender = make(suite);
  const auto receiver = make(suite);
  for (const std::size_t length : {16U, 32U, 64U, 1408U, 9008U, 65520U}) {
    Packet packet = sealed_packet(*sender, suite, length);
    EXPECT_NE(packet.text, counted(length, 40)) << length;
    EXPECT_FALSE(all_zero(packet.icv));
    ASSERT_TRUE(open(*receiver, packet)) << length;
    EXPECT_EQ(packet.text, counted(length, 40)) << length;
  }
}

TEST_P(EverySuite, OneObjectMaySealAndOpenInTurn) {
  const EspSuite suite = GetParam();
  const auto cipher = make(suite);
  for (int i = 0; i < 3; ++i) {
    Packet packet = sealed_packet(*cipher, suite, 48);
    ASSERT_TRUE(open(*cipher, packet));
    EXPECT_EQ(packet.text, counted(48, 40));
  }
}

TEST_P(EverySuite, AnyFlippedBitIsRefusedAndLeavesNoPlaintext) {
  const EspSuite suite = GetParam();
  const auto cipher = make(suite);
  const Packet good = sealed_packet(*cipher, suite, 32);
  for (Bytes Packet::*part :
       {&Packet::aad, &Packet::iv, &Packet::text, &Packet::tail, &Packet::icv}) {
    for (std::size_t bit = 0; bit < (good.*part).size() * 8; ++bit) {
      Packet packet = good;
      (packet.*part)[bit / 8] ^= static_cast<std::uint8_t>(1U << bit % 8);
      ASSERT_FALSE(open(*cipher, packet)) << "bit " << bit;
      ASSERT_TRUE(all_zero(packet.text)) << "bit " << bit;
    }
  }
  Packet packet = good;
  EXPECT_TRUE(open(*cipher, packet)) << "refusals must not disturb the next packet";
}

TEST_P(EverySuite, AnotherKeyOpensNothing) {
  const EspSuite suite = GetParam();
  Packet packet = sealed_packet(*make(suite, 1), suite, 32);
  EXPECT_FALSE(open(*make(suite, 2), packet));
  EXPECT_TRUE(all_zero(packet.text));
}

TEST_P(EverySuite, PartsOfAWrongLengthAreRefused) {
  const EspSuite suite = GetParam();
  const auto cipher = make(suite);
  const Packet good = sealed_packet(*cipher, suite, 32);
  for (Bytes Packet::*part : {&Packet::iv, &Packet::icv}) {
    for (const int delta : {-1, 1}) {
      Packet packet = good;
      (packet.*part).resize((packet.*part).size() + static_cast<std::size_t>(delta));
      EXPECT_FALSE(cipher->seal(packet.aad, packet.iv, packet.text, packet.tail, packet.icv));
      EXPECT_FALSE(open(*cipher, packet));
      EXPECT_TRUE(all_zero(packet.text));
    }
    Packet packet = good;
    (packet.*part).clear();
    EXPECT_FALSE(open(*cipher, packet));
    EXPECT_TRUE(all_zero(packet.text));
  }
}

TEST_P(EverySuite, KeysOfAWrongLengthAreRefusedByName) {
  const EspSuite suite = GetParam();
  const auto refused = [&](std::size_t encr, std::size_t integ) {
    const auto made = PacketCipher::create(suite, Bytes(encr, 1), Bytes(integ, 1));
    if (made.has_value()) return false;
    EXPECT_EQ(made.error().code, kErrKeyLength);
    EXPECT_NE(made.error().message.find(encr_name(suite)), std::string::npos)
        << made.error().message;
    return true;
  };
  const std::size_t encr = suite.encr_key_length();
  const std::size_t integ = suite.integ_key_length();
  EXPECT_FALSE(refused(encr, integ));
  EXPECT_TRUE(refused(encr - 1, integ));
  EXPECT_TRUE(refused(encr + 1, integ));
  EXPECT_TRUE(refused(0, integ));
  EXPECT_TRUE(refused(encr, integ + 1));
  if (integ != 0) {
    EXPECT_TRUE(refused(encr, 0));
  }
}

// OpenSSL is the oracle of the faster provider, and the other way round; the vectors judge
// whichever is chosen (tests/vectors).
TEST_P(EverySuite, EveryProviderMakesTheSameOctets) {
  const EspSuite suite = GetParam();
  const auto by = [&](CipherProvider provider) {
    auto made = PacketCipher::create(provider, suite, counted(suite.encr_key_length(), 1),
                                     counted(suite.integ_key_length(), 1));
    EXPECT_TRUE(made.has_value());
    return std::move(*made);
  };
  if (!PacketCipher::has(CipherProvider::kIpsecMb, suite)) {
    EXPECT_TRUE(PacketCipher::has(CipherProvider::kOpenssl, suite));
    std::cout << "one provider only\n";
    return;
  }
  const auto openssl = by(CipherProvider::kOpenssl);
  const auto ipsec_mb = by(CipherProvider::kIpsecMb);
  const std::size_t step = suite.block_length();
  for (std::size_t length = step; length < 600; length += step) {
    Packet a = sealed_packet(*openssl, suite, length);
    const Packet b = sealed_packet(*ipsec_mb, suite, length);
    ASSERT_EQ(a.text, b.text) << length;
    ASSERT_EQ(a.icv, b.icv) << length;
    Packet c = b;
    EXPECT_TRUE(open(*openssl, c)) << length;
    EXPECT_TRUE(open(*ipsec_mb, a)) << length;
    EXPECT_EQ(a.text, c.text);
    Packet wrong = b;
    wrong.icv[length % wrong.icv.size()] ^= 0x40;
    EXPECT_FALSE(open(*ipsec_mb, wrong));
    EXPECT_TRUE(all_zero(wrong.text));
  }
}

INSTANTIATE_TEST_SUITE_P(PacketCipher, EverySuite, testing::ValuesIn(kSuites),
                         [](const testing::TestParamInfo<EspSuite>& row) {
                           std::string name = std::string(encr_name(row.param)) + "_" +
                                              std::string(to_string(row.param.integ));
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST(PacketCipher, CombinationsThatAreNoSuiteAreRefused) {
  for (const EspSuite& suite : std::vector<EspSuite>{
           {EncrId::kAesGcm16, 192, IntegId::kNone},
           {EncrId::kAesGcm16, 0, IntegId::kNone},
           {EncrId::kChaCha20Poly1305, 128, IntegId::kNone},
           {EncrId::kAesCbc, 192, IntegId::kHmacSha2_256_128},
           {EncrId::kAesCbc, 256, IntegId::kNone},
           {EncrId::kAesGcm16, 256, IntegId::kHmacSha2_256_128},
       }) {
    const auto made = PacketCipher::create(suite, Bytes(suite.encr_key_length(), 1),
                                           Bytes(suite.integ_key_length(), 1));
    ASSERT_FALSE(made.has_value()) << suite.key_bits;
    EXPECT_EQ(made.error().code, kErrKeyLength);
  }
}

TEST(PacketCipher, AnAeadTakesNoTailAndAnyTextLength) {
  for (const EspSuite& suite : kSuites) {
    if (!suite.is_aead()) continue;
    const auto cipher = make(suite);
    for (const std::size_t length : {0U, 1U, 15U, 17U, 1399U}) {
      Packet packet = sealed_packet(*cipher, suite, length);
      EXPECT_TRUE(open(*cipher, packet)) << length;
      EXPECT_EQ(packet.text, counted(length, 40));
    }
    Packet packet = sealed_packet(*cipher, suite, 16);
    packet.tail = {0, 0, 0, 1};
    EXPECT_FALSE(cipher->seal(packet.aad, packet.iv, packet.text, packet.tail, packet.icv));
    EXPECT_FALSE(open(*cipher, packet));
    EXPECT_TRUE(all_zero(packet.text));
  }
}

TEST(PacketCipher, CbcTakesWholeBlocksOnly) {
  const EspSuite suite{EncrId::kAesCbc, 128, IntegId::kHmacSha2_256_128};
  const auto cipher = make(suite);
  for (const std::size_t length : {0U, 1U, 15U, 17U, 31U}) {
    Packet packet{counted(8, 3), counted(16, 9), counted(length, 40), {}, Bytes(16)};
    EXPECT_FALSE(cipher->seal(packet.aad, packet.iv, packet.text, {}, packet.icv)) << length;
    // A right ICV over a wrong length must not save it.
    const SecretBytes mac =
        prf(PrfId::kHmacSha2_256, counted(32, 1), concat({packet.aad, packet.iv, packet.text}));
    packet.icv.assign(mac.reveal().begin(), mac.reveal().begin() + 16);
    EXPECT_FALSE(open(*cipher, packet)) << length;
    EXPECT_TRUE(all_zero(packet.text));
  }
}

TEST(PacketCipher, CbcAgreesWithRfc3602Case1) {
  const EspSuite suite{EncrId::kAesCbc, 128, IntegId::kHmacSha2_512_256};
  const Bytes key = from_hex("06a9214036b8a15b512e03d534120006").value();
  const Bytes iv = from_hex("3dafba429d9eb430b422da802c9fac41").value();
  const auto made = PacketCipher::create(suite, key, counted(64, 0));
  ASSERT_TRUE(made.has_value());
  const ByteView plain = as_bytes("Single block msg");
  Bytes text(plain.begin(), plain.end());
  Bytes icv(32);
  ASSERT_TRUE((*made)->seal(counted(8, 0), iv, text, Bytes{0, 0, 0, 5}, icv));
  EXPECT_EQ(to_hex(text), "e353779c1079aeb82708942dbe77181a");
  // RFC 4868: the ICV is the truncated HMAC over what RFC 4303 section 2.8 lists, in that order.
  const SecretBytes mac = prf(PrfId::kHmacSha2_512, counted(64, 0),
                              concat({counted(8, 0), iv, text, Bytes{0, 0, 0, 5}}));
  EXPECT_EQ(to_hex(icv), to_hex(mac.reveal().first(32)));
}

}  // namespace
}  // namespace cygnet::crypto
