// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Diffie-Hellman groups (draft section 5.2.1.1): key generation, public-value tests (RFC 6989,
/// required because a value is reused across peers; draft section 7), shared secrets.
///
/// DhPrivate is movable and used from one thread at a time; derive() is const and may run in
/// several threads at once on one object.

#include <memory>

#include "cygnet/base/bytes.h"
#include "cygnet/base/result.h"
#include "cygnet/base/secret.h"
#include "cygnet/crypto/ids.h"

namespace cygnet::crypto {

inline constexpr ErrorCode kErrPublicValue{"public-value"};
inline constexpr ErrorCode kErrPrivateValue{"private-value"};
inline constexpr ErrorCode kErrCrypto{"crypto"};

/// RFC 6989 tests and exact length: 1 < r < p-1 for MODP; on the curve, coordinates < p for ECP;
/// small-order values refused for X25519 and X448 (non-canonical encodings are accepted, RFC 8031).
/// @retval kErrPublicValue  names the group and the test that failed.
[[nodiscard]] Status check_public_value(DhGroup group, ByteView value);

class DhPrivate {
 public:
  /// A fresh private value from OpenSSL's CSPRNG.
  [[nodiscard]] static Result<DhPrivate> generate(DhGroup group);
  /// Raw (X25519, X448) or fixed-length big-endian private value, for tests and debugging verbs.
  /// @retval kErrPrivateValue on a wrong length or a value outside [1, order).
  [[nodiscard]] static Result<DhPrivate> from_octets(DhGroup group, ByteView value);

  DhPrivate(DhPrivate&&) noexcept;
  DhPrivate& operator=(DhPrivate&&) noexcept;
  DhPrivate(const DhPrivate&) = delete;
  DhPrivate& operator=(const DhPrivate&) = delete;
  ~DhPrivate();  // zeroes

  [[nodiscard]] DhGroup group() const;
  /// KE payload octets: x|y for ECP, modulus length for MODP, raw otherwise.
  [[nodiscard]] const Bytes& public_value() const;
  /// g^ir in the octets RFC 7296 section 2.14 wants (x only for ECP). Runs check_public_value.
  /// @retval kErrPublicValue  bad value, or an all-zero result.
  [[nodiscard]] Result<SecretBytes> derive(ByteView peer_public) const;

 private:
  struct Impl;
  explicit DhPrivate(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace cygnet::crypto
