// SPDX-License-Identifier: Apache-2.0
#include "cygnet/crypto/dh_groups.h"

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/obj_mac.h>

#include "cygnet/base/assert.h"

namespace cygnet::crypto {
namespace {

ec_group_st* new_curve(int nid) {
  ec_group_st* const curve = EC_GROUP_new_by_curve_name(nid);
  CYGNET_ASSERT(curve != nullptr);
  return curve;
}

}  // namespace

DhKind kind_of(DhGroup group) {
  switch (group) {
    case DhGroup::kModp2048:
    case DhGroup::kModp3072:
    case DhGroup::kModp4096:
      return DhKind::kModp;
    case DhGroup::kEcp256:
    case DhGroup::kEcp384:
    case DhGroup::kEcp521:
      return DhKind::kEcp;
    case DhGroup::kX25519:
    case DhGroup::kX448:
      return DhKind::kMontgomery;
  }
  CYGNET_ASSERT(false && "a DhGroup without a kind");
  return DhKind::kMontgomery;
}

const char* openssl_algorithm(DhGroup group) {
  switch (kind_of(group)) {
    case DhKind::kModp:
      return "DH";
    case DhKind::kEcp:
      return "EC";
    case DhKind::kMontgomery:
      break;
  }
  return group == DhGroup::kX25519 ? "X25519" : "X448";
}

const char* openssl_group_name(DhGroup group) {
  switch (group) {
    case DhGroup::kModp2048:
      return "modp_2048";
    case DhGroup::kModp3072:
      return "modp_3072";
    case DhGroup::kModp4096:
      return "modp_4096";
    case DhGroup::kEcp256:
      return "P-256";
    case DhGroup::kEcp384:
      return "P-384";
    case DhGroup::kEcp521:
      return "P-521";
    case DhGroup::kX25519:
    case DhGroup::kX448:
      break;
  }
  return "";
}

const bignum_st& modp_prime(DhGroup group) {
  // Never freed: threads may still derive while the process ends.
  static const bignum_st* const p2048 = BN_get_rfc3526_prime_2048(nullptr);
  static const bignum_st* const p3072 = BN_get_rfc3526_prime_3072(nullptr);
  static const bignum_st* const p4096 = BN_get_rfc3526_prime_4096(nullptr);
  CYGNET_ASSERT(kind_of(group) == DhKind::kModp);
  CYGNET_ASSERT(p2048 != nullptr && p3072 != nullptr && p4096 != nullptr);
  if (group == DhGroup::kModp2048) return *p2048;
  return group == DhGroup::kModp3072 ? *p3072 : *p4096;
}

const ec_group_st& ec_group(DhGroup group) {
  static const ec_group_st* const p256 = new_curve(NID_X9_62_prime256v1);
  static const ec_group_st* const p384 = new_curve(NID_secp384r1);
  static const ec_group_st* const p521 = new_curve(NID_secp521r1);
  CYGNET_ASSERT(kind_of(group) == DhKind::kEcp);
  if (group == DhGroup::kEcp256) return *p256;
  return group == DhGroup::kEcp384 ? *p384 : *p521;
}

}  // namespace cygnet::crypto
