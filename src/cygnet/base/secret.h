// SPDX-License-Identifier: Apache-2.0
#pragma once

/// SecretBytes: octets that are zeroed when they go, cannot be copied by accident, compared with
/// ==, printed or formatted. Private DH values, shared secrets, SK_d, KEYMAT, PPKs live in it.
/// Pure; move-only value type.

#include <cstddef>
#include <utility>

#include "cygnet/base/bytes.h"

namespace cygnet {

/// Overwrites memory in a way the compiler may not remove.
void secure_zero(void* memory, std::size_t size) noexcept;

class SecretBytes {
 public:
  SecretBytes() = default;
  explicit SecretBytes(std::size_t size) : octets_(size) {}
  /// Takes a copy of the octets; the source is the caller's to wipe.
  explicit SecretBytes(ByteView octets) : octets_(octets.begin(), octets.end()) {}
  SecretBytes(const SecretBytes&) = delete;
  SecretBytes& operator=(const SecretBytes&) = delete;
  SecretBytes(SecretBytes&& other) noexcept : octets_(std::move(other.octets_)) {
    other.octets_.clear();
  }
  SecretBytes& operator=(SecretBytes&& other) noexcept {
    if (this != &other) {
      wipe();
      octets_ = std::move(other.octets_);
      other.octets_.clear();
    }
    return *this;
  }
  ~SecretBytes() { wipe(); }

  bool operator==(const SecretBytes&) const = delete;

  [[nodiscard]] std::size_t size() const { return octets_.size(); }
  [[nodiscard]] bool empty() const { return octets_.empty(); }
  /// Named so that every place that looks at a secret can be found by searching for it.
  [[nodiscard]] ByteView reveal() const { return octets_; }
  [[nodiscard]] MutableByteView reveal_mutable() { return octets_; }
  /// An explicit copy of a part (a KEYMAT slice).
  [[nodiscard]] SecretBytes slice(std::size_t offset, std::size_t length) const;
  [[nodiscard]] SecretBytes duplicate() const { return SecretBytes(ByteView(octets_)); }
  /// Zeroes and empties now.
  void wipe() noexcept;

 private:
  Bytes octets_;
};

}  // namespace cygnet
