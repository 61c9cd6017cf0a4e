// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The groups' parameters as OpenSSL knows them. Internal to this directory; everything returned is
/// immutable and lives as long as the process.

#include "cygnet/crypto/ids.h"
#include "cygnet/crypto/openssl_ptr.h"

namespace cygnet::crypto {

enum class DhKind : std::uint8_t { kModp, kEcp, kMontgomery };
[[nodiscard]] DhKind kind_of(DhGroup group);

/// "DH", "EC", "X25519", "X448".
[[nodiscard]] const char* openssl_algorithm(DhGroup group);
/// "modp_2048", "P-256", …; empty for X25519 and X448, whose algorithm is the group.
[[nodiscard]] const char* openssl_group_name(DhGroup group);

/// The RFC 3526 prime of a MODP group.
[[nodiscard]] const bignum_st& modp_prime(DhGroup group);
/// The curve of an ECP group.
[[nodiscard]] const ec_group_st& ec_group(DhGroup group);

}  // namespace cygnet::crypto
