// SPDX-License-Identifier: Apache-2.0
#include "cygnet/crypto/dh.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

namespace cygnet::crypto {
namespace {

static_assert(!std::is_copy_constructible_v<DhPrivate>);
static_assert(std::is_nothrow_move_constructible_v<DhPrivate>);

const std::vector<DhGroup> kAll{DhGroup::kModp2048, DhGroup::kModp3072, DhGroup::kModp4096,
                                DhGroup::kEcp256,   DhGroup::kEcp384,   DhGroup::kEcp521,
                                DhGroup::kX25519,   DhGroup::kX448};
const std::vector<DhGroup> kModp{DhGroup::kModp2048, DhGroup::kModp3072, DhGroup::kModp4096};
const std::vector<DhGroup> kEcp{DhGroup::kEcp256, DhGroup::kEcp384, DhGroup::kEcp521};

std::string name(const testing::TestParamInfo<DhGroup>& group) {
  return std::string(to_string(group.param));
}

Bytes unhex(const std::string& text) { return from_hex(text).value(); }

/// The error's message, or "taken" when there is none.
std::string refusal(DhGroup group, ByteView value) {
  const Status status = check_public_value(group, value);
  if (status.has_value()) return "taken";
  EXPECT_EQ(status.error().code, kErrPublicValue);
  EXPECT_NE(status.error().message.find(to_string(group)), std::string::npos)
      << "the error must name the group: " << status.error().message;
  return status.error().message;
}

std::string private_refusal(DhGroup group, ByteView value) {
  const auto key = DhPrivate::from_octets(group, value);
  if (key.has_value()) return "taken";
  EXPECT_EQ(key.error().code, kErrPrivateValue);
  return key.error().message;
}

#define EXPECT_SAYS(text, part) EXPECT_NE((text).find(part), std::string::npos) << (text)

class EveryGroup : public testing::TestWithParam<DhGroup> {};

TEST_P(EveryGroup, TwoSidesDeriveTheSameSecretOfTheRightLength) {
  const DhGroup group = GetParam();
  const auto a = DhPrivate::generate(group);
  const auto b = DhPrivate::generate(group);
  ASSERT_TRUE(a.has_value() && b.has_value());
  EXPECT_EQ(a->group(), group);
  EXPECT_EQ(a->public_value().size(), public_value_length(group));
  EXPECT_NE(a->public_value(), b->public_value());
  const auto ab = a->derive(b->public_value());
  const auto ba = b->derive(a->public_value());
  ASSERT_TRUE(ab.has_value() && ba.has_value());
  EXPECT_EQ(ab->size(), shared_secret_length(group));
  EXPECT_EQ(to_hex(ab->reveal()), to_hex(ba->reveal()));
}

TEST_P(EveryGroup, APublicValueOfAnotherLengthIsRefused) {
  const DhGroup group = GetParam();
  const auto key = DhPrivate::generate(group);
  ASSERT_TRUE(key.has_value());
  Bytes value = key->public_value();
  EXPECT_EQ(refusal(group, value), "taken");
  value.push_back(0);
  EXPECT_SAYS(refusal(group, value), "octets, not");
  EXPECT_FALSE(key->derive(value).has_value());
  value.pop_back();
  value.pop_back();
  EXPECT_SAYS(refusal(group, value), "octets, not");
  EXPECT_SAYS(refusal(group, {}), "has 0 octets");
  value.insert(value.begin(), 0x04);  // SEC 1's form octet or a zero before: neither is ours
  value.insert(value.begin(), 0x00);
  EXPECT_SAYS(refusal(group, value), "octets, not");
}

TEST_P(EveryGroup, ARefusedValueDoesNotDisturbTheNextDerivation) {
  const DhGroup group = GetParam();
  const auto a = DhPrivate::generate(group);
  const auto b = DhPrivate::generate(group);
  ASSERT_TRUE(a.has_value() && b.has_value());
  const auto before = a->derive(b->public_value());
  ASSERT_TRUE(before.has_value());
  EXPECT_FALSE(a->derive(Bytes(public_value_length(group), 0)).has_value());
  const auto after = a->derive(b->public_value());
  ASSERT_TRUE(after.has_value());
  EXPECT_EQ(to_hex(before->reveal()), to_hex(after->reveal()));
}

TEST_P(EveryGroup, APrivateValueOfAnotherLengthIsRefused) {
  const DhGroup group = GetParam();
  const std::size_t length = private_value_length(group);
  EXPECT_SAYS(private_refusal(group, Bytes(length + 1, 1)), "octets");
  EXPECT_SAYS(private_refusal(group, {}), "octets");
  if (length < 256) {  // a MODP exponent may be shorter than the modulus
    EXPECT_SAYS(private_refusal(group, Bytes(length - 1, 1)), "octets");
  }
}

TEST_P(EveryGroup, APrivateValueFromOctetsGivesTheSameKeyAgain) {
  const DhGroup group = GetParam();
  Bytes octets(private_value_length(group), 0x11);
  octets[0] = 0;  // below every order
  const auto a = DhPrivate::from_octets(group, octets);
  const auto b = DhPrivate::from_octets(group, octets);
  const auto peer = DhPrivate::generate(group);
  ASSERT_TRUE(a.has_value() && b.has_value() && peer.has_value());
  EXPECT_EQ(a->public_value(), b->public_value());
  const auto secret = a->derive(peer->public_value());
  const auto again = peer->derive(b->public_value());
  ASSERT_TRUE(secret.has_value() && again.has_value());
  EXPECT_EQ(to_hex(secret->reveal()), to_hex(again->reveal()));
}

TEST_P(EveryGroup, OneKeyMayDeriveInSeveralThreadsAtOnce) {
  const DhGroup group = GetParam();
  const auto key = DhPrivate::generate(group);
  const auto peer = DhPrivate::generate(group);
  ASSERT_TRUE(key.has_value() && peer.has_value());
  const auto expected = peer->derive(key->public_value());
  ASSERT_TRUE(expected.has_value());
  std::vector<int> right(3, 0);
  {
    std::vector<std::jthread> threads;
    for (int& count : right) {
      threads.emplace_back([&] {
        for (int i = 0; i < 4; ++i) {
          const auto secret = key->derive(peer->public_value());
          if (secret.has_value() && equal(secret->reveal(), expected->reveal())) ++count;
        }
      });
    }
  }
  EXPECT_EQ(right, std::vector<int>(3, 4));
}

INSTANTIATE_TEST_SUITE_P(Dh, EveryGroup, testing::ValuesIn(kAll), name);

// --- MODP ---------------------------------------------------------------------------------------

class ModpGroup : public testing::TestWithParam<DhGroup> {};

// p, worked out from the group itself: with n the modulus length in bits, 2^(n-1) < p < 2^n, so the
// public value of the private value n is 2^n mod p = 2^n - p, and p is its negative modulo 2^n.
// ThePrimeIsTheOneOfRfc3526 compares the result with the RFC.
Bytes modp_prime_octets(DhGroup group) {
  const std::size_t n = public_value_length(group);
  Bytes exponent(2);
  const std::size_t bits = n * 8;
  exponent[0] = static_cast<std::uint8_t>(bits >> 8);
  exponent[1] = static_cast<std::uint8_t>(bits);
  const auto key = DhPrivate::from_octets(group, exponent);
  EXPECT_TRUE(key.has_value());
  Bytes p = key->public_value();
  unsigned carry = 1;
  for (std::size_t i = n; i-- > 0;) {
    const unsigned sum = static_cast<std::uint8_t>(~p[i]) + carry;
    p[i] = static_cast<std::uint8_t>(sum);
    carry = sum >> 8;
  }
  return p;
}

Bytes plus(Bytes value, int delta) {
  for (std::size_t i = value.size(); i-- > 0 && delta != 0;) {
    const int sum = value[i] + delta;
    value[i] = static_cast<std::uint8_t>(sum & 0xff);
    delta = sum < 0 ? -1 : sum > 255 ? 1 : 0;
  }
  return value;
}

TEST_P(ModpGroup, ThePrimeIsTheOneOfRfc3526) {
  // All of them begin with 64 one-bits and the first octets of pi, and end with 64 one-bits.
  const std::string p = to_hex(modp_prime_octets(GetParam()));
  EXPECT_EQ(p.substr(0, 48), "ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd1");
  EXPECT_EQ(p.substr(p.size() - 16), "ffffffffffffffff");
  const std::string before_end = p.substr(p.size() - 32, 16);
  EXPECT_EQ(before_end, GetParam() == DhGroup::kModp2048   ? "15728e5a8aacaa68"
                        : GetParam() == DhGroup::kModp3072 ? "4b82d120a93ad2ca"
                                                           : "4df435c934063199");
}

TEST_P(ModpGroup, ValuesOutsideOneAndPMinusOneAreRefused) {
  const DhGroup group = GetParam();
  const std::size_t n = public_value_length(group);
  const Bytes p = modp_prime_octets(group);
  const auto key = DhPrivate::generate(group);
  ASSERT_TRUE(key.has_value());
  const Bytes zero(n, 0);
  struct Case {
    Bytes value;
    const char* says;
  };
  for (const Case& c : std::vector<Case>{{zero, "not above 1"},
                                         {plus(zero, 1), "not above 1"},
                                         {plus(zero, 2), "taken"},
                                         {plus(p, -2), "taken"},
                                         {plus(p, -1), "not below p - 1"},
                                         {p, "not below p - 1"},
                                         {plus(p, 1), "not below p - 1"},
                                         {Bytes(n, 0xff), "not below p - 1"}}) {
    EXPECT_SAYS(refusal(group, c.value), c.says);
    EXPECT_EQ(key->derive(c.value).has_value(), std::string(c.says) == "taken") << c.says;
  }
}

TEST_P(ModpGroup, TheSecretIsPaddedToTheModulus) {
  // g^ir with i = 3 and r's value 2 is 8: all zeroes but the last octet.
  const auto key = DhPrivate::from_octets(GetParam(), Bytes{3});
  ASSERT_TRUE(key.has_value());
  const std::size_t n = public_value_length(GetParam());
  EXPECT_EQ(key->public_value(), plus(Bytes(n, 0), 8));
  const auto secret = key->derive(plus(Bytes(n, 0), 2));
  ASSERT_TRUE(secret.has_value());
  EXPECT_TRUE(equal(secret->reveal(), plus(Bytes(n, 0), 8)));
}

TEST_P(ModpGroup, PrivateValuesThatNoPeerWouldTakeAreRefused) {
  const DhGroup group = GetParam();
  const Bytes p = modp_prime_octets(group);
  EXPECT_SAYS(private_refusal(group, Bytes(4, 0)), "is zero");
  EXPECT_SAYS(private_refusal(group, p), "not below p");
  EXPECT_SAYS(private_refusal(group, Bytes(p.size(), 0xff)), "not below p");
  EXPECT_SAYS(private_refusal(group, plus(p, -1)), "no valid public value");  // g^(p-1) = 1
  EXPECT_EQ(private_refusal(group, plus(p, -2)), "taken");
  Bytes padded(p.size(), 0);
  padded.back() = 77;
  EXPECT_EQ(DhPrivate::from_octets(group, padded)->public_value(),
            DhPrivate::from_octets(group, Bytes{77})->public_value());
}

INSTANTIATE_TEST_SUITE_P(Dh, ModpGroup, testing::ValuesIn(kModp), name);

// --- ECP ----------------------------------------------------------------------------------------

class EcpGroup : public testing::TestWithParam<DhGroup> {};

TEST_P(EcpGroup, PointsOffTheCurveAreRefused) {
  const DhGroup group = GetParam();
  const auto key = DhPrivate::generate(group);
  ASSERT_TRUE(key.has_value());
  Bytes value = key->public_value();
  value.back() ^= 1;
  EXPECT_SAYS(refusal(group, value), "not a point on the curve");
  EXPECT_FALSE(key->derive(value).has_value());
  EXPECT_SAYS(refusal(group, Bytes(value.size(), 0)), "not a point on the curve");
}

TEST_P(EcpGroup, CoordinatesThatAreNotReducedAreRefused) {
  const DhGroup group = GetParam();
  const auto key = DhPrivate::generate(group);
  ASSERT_TRUE(key.has_value());
  const std::size_t half = key->public_value().size() / 2;
  for (const std::size_t from : {std::size_t{0}, half}) {
    Bytes value = key->public_value();
    std::fill_n(value.begin() + static_cast<std::ptrdiff_t>(from), half, std::uint8_t{0xff});
    EXPECT_SAYS(refusal(group, value), "not below p");
    EXPECT_FALSE(key->derive(value).has_value());
  }
}

// The order of the curve, from SEC 2 / FIPS 186-4.
Bytes order_octets(DhGroup group) {
  if (group == DhGroup::kEcp256) {
    return unhex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
  }
  if (group == DhGroup::kEcp384) {
    return unhex(
        "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196acc"
        "c5"
        "2973");
  }
  return unhex(
      "01fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffa51868783bf2f966b7fcc0148"
      "f7"
      "09a5d03bb5c9b8899c47aebb6fb71e91386409");
}

TEST_P(EcpGroup, PrivateValuesOutsideTheOrderAreRefused) {
  const DhGroup group = GetParam();
  const Bytes order = order_octets(group);
  ASSERT_EQ(order.size(), private_value_length(group));
  EXPECT_SAYS(private_refusal(group, Bytes(order.size(), 0)), "is zero");
  EXPECT_SAYS(private_refusal(group, order), "not below the group's order");
  EXPECT_SAYS(private_refusal(group, plus(order, 1)), "not below the group's order");
  EXPECT_EQ(private_refusal(group, plus(order, -1)), "taken");
  EXPECT_EQ(private_refusal(group, plus(Bytes(order.size(), 0), 1)), "taken");
}

INSTANTIATE_TEST_SUITE_P(Dh, EcpGroup, testing::ValuesIn(kEcp), name);

TEST(Ecp, AnUnreducedCoordinateOfAPointOnTheCurveIsRefused) {
  // P-256 has the point (0, y) with y² = b; x = p names the same point with other octets.
  const Bytes y = unhex("66485c780e2f83d72433bd5d84a06bb6541c2af31dae871728bf856a174f93f4");
  const Bytes p = unhex("ffffffff00000001000000000000000000000000ffffffffffffffffffffffff");
  EXPECT_EQ(refusal(DhGroup::kEcp256, concat({Bytes(32, 0), y})), "taken");
  EXPECT_SAYS(refusal(DhGroup::kEcp256, concat({p, y})), "not below p");
}

// --- X25519 and X448
// ------------------------------------------------------------------------------

TEST(X25519, SmallOrderValuesAreRefusedInEveryEncoding) {
  const auto key = DhPrivate::generate(DhGroup::kX25519);
  ASSERT_TRUE(key.has_value());
  for (const char* text : {
           "0000000000000000000000000000000000000000000000000000000000000000",
           "0100000000000000000000000000000000000000000000000000000000000000",
           "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
           "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
           "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
           "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
           "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
       }) {
    Bytes value = unhex(text);
    EXPECT_SAYS(refusal(DhGroup::kX25519, value), "small order");
    EXPECT_FALSE(key->derive(value).has_value());
    value[31] |= 0x80;  // the bit that is masked away
    EXPECT_SAYS(refusal(DhGroup::kX25519, value), "small order");
    EXPECT_FALSE(key->derive(value).has_value());
  }
}

TEST(X25519, EncodingsThatAreOnlyNotCanonicalMeanTheSameValue) {
  const auto key = DhPrivate::generate(DhGroup::kX25519);
  ASSERT_TRUE(key.has_value());
  // u = 9 as 9, as p + 9, and each with the masked bit.
  const Bytes nine = unhex("0900000000000000000000000000000000000000000000000000000000000000");
  Bytes p_plus_nine = unhex("f6ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f");
  const auto expected = key->derive(nine);
  ASSERT_TRUE(expected.has_value());
  EXPECT_TRUE(equal(expected->reveal(), key->public_value()));
  for (Bytes value : {nine, p_plus_nine}) {
    for (const std::uint8_t bit : {std::uint8_t{0}, std::uint8_t{0x80}}) {
      value[31] = static_cast<std::uint8_t>((value[31] & 0x7f) | bit);
      const auto secret = key->derive(value);
      ASSERT_TRUE(secret.has_value());
      EXPECT_TRUE(equal(secret->reveal(), expected->reveal()));
    }
  }
}

TEST(X448, SmallOrderValuesAreRefusedInEveryEncoding) {
  const auto key = DhPrivate::generate(DhGroup::kX448);
  ASSERT_TRUE(key.has_value());
  const std::string low_ff(56, 'f');
  const std::string high_ff(54, 'f');
  for (const std::string& text : {
           std::string(112, '0'),                         // 0
           "01" + std::string(110, '0'),                  // 1
           "fe" + std::string(54, 'f') + "fe" + high_ff,  // p - 1
           low_ff + "fe" + high_ff,                       // p
           std::string(56, '0') + "ff" + high_ff,         // p + 1
       }) {
    const Bytes value = unhex(text);
    EXPECT_SAYS(refusal(DhGroup::kX448, value), "small order");
    EXPECT_FALSE(key->derive(value).has_value());
  }
}

TEST(X448, EncodingsThatAreOnlyNotCanonicalMeanTheSameValue) {
  const auto key = DhPrivate::generate(DhGroup::kX448);
  ASSERT_TRUE(key.has_value());
  // p + 5: the base point's u = 5, written unreduced.
  const auto secret = key->derive(unhex("04" + std::string(54, '0') + "ff" + std::string(54, 'f')));
  ASSERT_TRUE(secret.has_value());
  EXPECT_TRUE(equal(secret->reveal(), key->public_value()));
}

TEST(Dh, MovingAKeyMovesEverything) {
  auto key = DhPrivate::generate(DhGroup::kX25519);
  ASSERT_TRUE(key.has_value());
  const Bytes value = key->public_value();
  DhPrivate other = std::move(*key);
  EXPECT_EQ(other.public_value(), value);
  auto third = DhPrivate::generate(DhGroup::kEcp256);
  ASSERT_TRUE(third.has_value());
  other = std::move(*third);
  EXPECT_EQ(other.group(), DhGroup::kEcp256);
}

}  // namespace
}  // namespace cygnet::crypto
