// SPDX-License-Identifier: Apache-2.0
// RFC 6989: what a public value must pass before a private value that is used with several peers
// may meet it.
#include <openssl/bn.h>
#include <openssl/ec.h>

#include <algorithm>
#include <array>
#include <string>

#include "cygnet/base/assert.h"
#include "cygnet/crypto/dh.h"
#include "cygnet/crypto/dh_groups.h"

namespace cygnet::crypto {
namespace {

Status refuse(DhGroup group, const std::string& test) {
  return fail(kErrPublicValue,
              "public value of group " + std::string(to_string(group)) + " " + test, {},
              "the peer must send a fresh, correctly made value");
}

Status check_modp(DhGroup group, ByteView value) {
  // RFC 6989 section 2.1: "the receiver MUST check that r > 1 and that r < p - 1".
  const bignum_st& p = modp_prime(group);
  const BnPtr r(BN_bin2bn(value.data(), static_cast<int>(value.size()), nullptr));
  const BnPtr p_minus_1(BN_dup(&p));
  CYGNET_ASSERT(r != nullptr && p_minus_1 != nullptr);
  CYGNET_ASSERT(BN_sub_word(p_minus_1.get(), 1) == 1);
  if (BN_is_zero(r.get()) || BN_is_one(r.get())) return refuse(group, "is not above 1");
  if (BN_cmp(r.get(), p_minus_1.get()) >= 0) return refuse(group, "is not below p - 1");
  return {};
}

Status check_ecp(DhGroup group, ByteView value) {
  // RFC 6989 section 2.3: "a public value [...] is valid only if [...] x and y are in the range
  // [0, p-1] and the point is on the curve". All our curves have cofactor 1, and the point at
  // infinity cannot be written as x|y.
  const ec_group_st& curve = ec_group(group);
  const OsslPtr<ec_point_st> point(EC_POINT_new(&curve));
  CYGNET_ASSERT(point != nullptr);
  const std::size_t half = value.size() / 2;
  const BnPtr x(BN_bin2bn(value.data(), static_cast<int>(half), nullptr));
  const BnPtr y(BN_bin2bn(value.data() + half, static_cast<int>(half), nullptr));
  const bignum_st* field = EC_GROUP_get0_field(&curve);
  CYGNET_ASSERT(x != nullptr && y != nullptr && field != nullptr);
  if (BN_cmp(x.get(), field) >= 0 || BN_cmp(y.get(), field) >= 0) {
    return refuse(group, "has a coordinate that is not below p");
  }
  const ErrorQueueScope errors;
  if (EC_POINT_set_affine_coordinates(&curve, point.get(), x.get(), y.get(), nullptr) != 1) {
    return refuse(group, "is not a point on the curve");
  }
  return {};
}

// The u-coordinates whose multiples by any private value (a multiple of the cofactor) are zero, in
// little-endian order, with the encodings of them that are not reduced modulo p.
constexpr std::array<std::array<std::uint8_t, 32>, 7> kX25519SmallOrder{{
    {0},
    {1},
    // 325606250916557431795983626356110631294008115727848805560023387167927233504 (order 8)
    {0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3,
     0xfa, 0xf1, 0x9f, 0xc4, 0x6a, 0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32,
     0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00},
    // 39382357235489614581723060781553021112529911719440698176882885853963445705823 (order 8)
    {0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1,
     0x55, 0x9c, 0x83, 0xef, 0x5b, 0x04, 0x44, 0x5c, 0xc4, 0x58, 0x1c,
     0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f, 0x11, 0x57},
    // p - 1
    {0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
     0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
     0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
    // p, that is 0
    {0xed, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
     0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
     0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
    // p + 1, that is 1
    {0xee, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
     0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
     0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
}};

Status check_x25519(DhGroup group, ByteView value) {
  std::array<std::uint8_t, 32> masked;
  std::copy(value.begin(), value.end(), masked.begin());
  // RFC 7748 section 5: "implementations of X25519 [...] MUST mask the most significant bit in the
  // final byte."
  masked[31] &= 0x7f;
  for (const auto& bad : kX25519SmallOrder) {
    if (masked == bad) return refuse(group, "has small order");
  }
  return {};
}

Status check_x448(DhGroup group, ByteView value) {
  // p = 2^448 - 2^224 - 1: twenty-eight octets ff, then fe (the bit 2^224), then 27 octets ff.
  std::array<std::uint8_t, 56> p;
  p.fill(0xff);
  p[28] = 0xfe;
  std::array<std::uint8_t, 56> p_minus_1 = p;
  p_minus_1[0] = 0xfe;
  std::array<std::uint8_t, 56> p_plus_1{};  // 2^448 - 2^224: the low half carries over
  std::fill(p_plus_1.begin() + 28, p_plus_1.end(), std::uint8_t{0xff});
  std::array<std::uint8_t, 56> one{};
  one[0] = 1;
  const std::array<std::uint8_t, 56> zero{};
  for (const ByteView bad : std::array<ByteView, 5>{zero, one, p_minus_1, p, p_plus_1}) {
    if (equal(value, bad)) return refuse(group, "has small order");
  }
  return {};
}

}  // namespace

Status check_public_value(DhGroup group, ByteView value) {
  const std::size_t expected = public_value_length(group);
  if (value.size() != expected) {
    return refuse(
        group, "has " + std::to_string(value.size()) + " octets, not " + std::to_string(expected));
  }
  switch (group) {
    case DhGroup::kModp2048:
    case DhGroup::kModp3072:
    case DhGroup::kModp4096:
      return check_modp(group, value);
    case DhGroup::kEcp256:
    case DhGroup::kEcp384:
    case DhGroup::kEcp521:
      return check_ecp(group, value);
    case DhGroup::kX25519:
      return check_x25519(group, value);
    case DhGroup::kX448:
      return check_x448(group, value);
  }
  return refuse(group, "is of no known group");
}

}  // namespace cygnet::crypto
