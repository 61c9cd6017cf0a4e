// SPDX-License-Identifier: Apache-2.0
#pragma once

/// HMAC-SHA2 with a context that is made once and keyed again (RFC 2104), the engine of prf, prf+
/// and of the integrity half of AES-CBC suites. Internal to this directory. Not thread-safe.

#include <array>
#include <cstddef>
#include <initializer_list>

#include "cygnet/base/bytes.h"
#include "cygnet/crypto/ids.h"
#include "cygnet/crypto/openssl_ptr.h"

namespace cygnet::crypto {

class Hmac {
 public:
  static constexpr std::size_t kMaxLength = 64;

  explicit Hmac(PrfId hash);
  Hmac(const Hmac&) = delete;
  Hmac& operator=(const Hmac&) = delete;

  void set_key(ByteView key);
  /// One MAC under the key set last; `out` has at most the hash's length and may be shorter.
  void compute(std::initializer_list<ByteView> parts, MutableByteView out);
  /// Puts a public key in place of the last one, so that none outlives its use.
  void forget_key();

 private:
  std::size_t length_;
  MacCtxPtr context_;
};

}  // namespace cygnet::crypto
