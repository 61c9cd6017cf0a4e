// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The nonce of ESP's AEADs (RFC 4106 section 4, RFC 7634 section 2): the salt that ends the key
/// material, then the packet's IV. Internal to this directory; not thread-safe.

#include <algorithm>
#include <array>
#include <cstdint>

#include "cygnet/base/bytes.h"

namespace cygnet::crypto {

class AeadNonce {
 public:
  static constexpr std::size_t kSaltLength = 4;
  static constexpr std::size_t kIvLength = 8;

  /// @param encr_key  the key with its salt at the end.
  explicit AeadNonce(ByteView encr_key) {
    const ByteView salt = encr_key.last(kSaltLength);
    std::copy(salt.begin(), salt.end(), octets_.begin());
  }
  /// False when the IV has another length.
  [[nodiscard]] bool set_iv(ByteView iv) {
    if (iv.size() != kIvLength) return false;
    std::copy(iv.begin(), iv.end(), octets_.begin() + kSaltLength);
    return true;
  }
  [[nodiscard]] const std::uint8_t* data() const { return octets_.data(); }
  [[nodiscard]] static ByteView key_of(ByteView encr_key) {
    return encr_key.first(encr_key.size() - kSaltLength);
  }

 private:
  std::array<std::uint8_t, kSaltLength + kIvLength> octets_{};
};

}  // namespace cygnet::crypto
