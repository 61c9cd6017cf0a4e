// SPDX-License-Identifier: Apache-2.0
#include "cygnet/crypto/prf.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "cygnet/crypto/hash.h"
#include "cygnet/crypto/random.h"

namespace cygnet::crypto {
namespace {

std::string hex_of(const SecretBytes& secret) { return to_hex(secret.reveal()); }

TEST(Prf, AgreesWithRfc4231TestCase2) {
  const ByteView key = as_bytes("Jefe");
  const ByteView data = as_bytes("what do ya want for nothing?");
  EXPECT_EQ(hex_of(prf(PrfId::kHmacSha2_256, key, data)),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  EXPECT_EQ(
      hex_of(prf(PrfId::kHmacSha2_384, key, data)),
      "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ec"
      "fab21649");
  EXPECT_EQ(
      hex_of(prf(PrfId::kHmacSha2_512, key, data)),
      "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65"
      "f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737");
}

TEST(Prf, TakesAnEmptyKeyAndEmptyData) {
  // An empty key must not mean "the key of the last call" to the library beneath.
  (void)prf(PrfId::kHmacSha2_256, as_bytes("some other key"), as_bytes("x"));
  EXPECT_EQ(hex_of(prf(PrfId::kHmacSha2_256, {}, {})),
            "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

TEST(Prf, TakesAKeyLongerThanTheHashsBlock) {
  // RFC 4231 test case 6: 131 octets aa.
  EXPECT_EQ(hex_of(prf(PrfId::kHmacSha2_256, Bytes(131, 0xaa),
                       as_bytes("Test Using Larger Than Block-Size Key - Hash Key First"))),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

TEST(PrfPlus, IsTheChainOfPrfsThatRfc7296Writes) {
  const Bytes key(32, 1);
  const Bytes seed{7, 7, 7};
  const SecretBytes t1 = prf(PrfId::kHmacSha2_256, key, concat({seed, Bytes{1}}));
  const SecretBytes t2 = prf(PrfId::kHmacSha2_256, key, concat({t1.reveal(), seed, Bytes{2}}));
  const SecretBytes t3 = prf(PrfId::kHmacSha2_256, key, concat({t2.reveal(), seed, Bytes{3}}));
  const std::string whole = hex_of(t1) + hex_of(t2) + hex_of(t3);
  EXPECT_EQ(hex_of(prf_plus(PrfId::kHmacSha2_256, key, seed, 96)), whole);
  for (const std::size_t length : {0U, 1U, 31U, 32U, 33U, 64U, 65U, 95U}) {
    EXPECT_EQ(hex_of(prf_plus(PrfId::kHmacSha2_256, key, seed, length)),
              whole.substr(0, 2 * length));
  }
}

TEST(PrfPlus, GoesTo255BlocksAndNoFurther) {
  const SecretBytes longest = prf_plus(PrfId::kHmacSha2_256, Bytes(32, 1), Bytes{1}, 255 * 32);
  const ByteView last = longest.reveal().last(32);
  const ByteView before = longest.reveal().subspan(253 * 32, 32);
  EXPECT_EQ(hex_of(prf(PrfId::kHmacSha2_256, Bytes(32, 1), concat({before, Bytes{1}, Bytes{255}}))),
            to_hex(last));
  EXPECT_DEATH((void)prf_plus(PrfId::kHmacSha2_256, Bytes(32, 1), Bytes{1}, 255 * 32 + 1),
               "255 \\* block");
}

TEST(Prf, MayRunInSeveralThreadsAtOnce) {
  const std::string expected =
      hex_of(prf_plus(PrfId::kHmacSha2_512, Bytes(40, 2), Bytes(64, 3), 500));
  std::vector<int> wrong(4, 0);
  {
    std::vector<std::jthread> threads;
    for (int& count : wrong) {
      threads.emplace_back([&count, &expected] {
        for (int i = 0; i < 200; ++i) {
          (void)prf(PrfId::kHmacSha2_512, Bytes(8, static_cast<std::uint8_t>(i)), Bytes(8, 1));
          if (hex_of(prf_plus(PrfId::kHmacSha2_512, Bytes(40, 2), Bytes(64, 3), 500)) != expected) {
            ++count;
          }
        }
      });
    }
  }
  EXPECT_EQ(wrong, std::vector<int>(4, 0));
}

TEST(Sha256, HashesThePartsAsOneMessage) {
  // FIPS 180-2 appendix B.1 and the empty message.
  constexpr const char* kAbc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
  EXPECT_EQ(to_hex(sha256({as_bytes("abc")})), kAbc);
  EXPECT_EQ(to_hex(sha256({as_bytes("a"), {}, as_bytes("bc")})), kAbc);
  EXPECT_EQ(to_hex(sha256({})), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST(SystemRandom, FillsEveryLengthAndDoesNotRepeat) {
  EXPECT_TRUE(system_random().octets(0).empty());
  const Bytes a = system_random().octets(32);
  const Bytes b = system_random().octets(32);
  EXPECT_NE(a, b);
  // Longer than one request to the library: the last part must be filled too.
  const Bytes long_one = system_random().octets((std::size_t{1} << 20) + 64);
  EXPECT_NE(Bytes(long_one.end() - 64, long_one.end()), Bytes(64, 0));
}

}  // namespace
}  // namespace cygnet::crypto
