// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The receiver's replay window and its guess of an extended sequence number's high half (RFC 4303
/// sections 3.4.3 and A2). All arithmetic is 64-bit; exactly `size` numbers are in the window,
/// highest - size + 1 … highest. Use: infer, check, verify the ICV, and only then update.
///
/// Pure; allocates when constructed, never after. Not thread-safe.

#include <cstddef>
#include <cstdint>
#include <vector>

namespace cygnet::esp {

class ReplayWindow {
 public:
  static constexpr std::uint32_t kMinSize = 32;  ///< RFC 4303 section 3.4.3
  static constexpr std::uint32_t kMaxSize = 65536;
  static constexpr std::uint64_t kMaxJump = std::uint64_t{1} << 31;

  /// Asserts kMinSize <= size <= kMaxSize.
  ReplayWindow(std::uint32_t size, bool esn);

  /// The whole number behind the 32 bits on the wire (A2.2). Without ESN the 32 bits themselves.
  [[nodiscard]] std::uint64_t infer(std::uint32_t sequence_low) const;
  /// True when the number is new: right of the window, or in it and not seen. 0 never is.
  [[nodiscard]] bool check(std::uint64_t sequence) const;
  /// False for a number so far ahead that it is rather one from left of the window: with ESN the
  /// guess puts those into the next half (A2.1), and their ICV would be checked in vain. A gap that
  /// long in earnest is EsnResync's business.
  [[nodiscard]] bool plausible(std::uint64_t sequence) const {
    return sequence <= highest_ || sequence - highest_ <= kMaxJump;
  }
  /// Marks a number whose packet's ICV has verified. Changes nothing when check() is false.
  /// @return true when it is the highest so far.
  bool update(std::uint64_t sequence);

  [[nodiscard]] std::uint64_t highest() const { return highest_; }
  [[nodiscard]] std::uint32_t size() const { return size_; }

 private:
  [[nodiscard]] bool in_window(std::uint64_t sequence) const {
    // Not `sequence + size > highest`: near 2^64 that overflows.
    return highest_ - sequence < size_;
  }
  void clear_range(std::uint64_t first, std::uint64_t count);

  std::uint64_t highest_ = 0;
  std::uint32_t size_;
  bool esn_;
  std::uint64_t mask_;               ///< ring bits - 1; the ring is the next power of two
  std::vector<std::uint64_t> bits_;  ///< bit (sequence & mask_)
};

/// Decides when to try a higher high half (RFC 4303 section A3): after a gap of billions of packets
/// the guess is wrong, or not believed, for every packet, and only an ICV that verifies under a
/// later half can tell. Forged packets look the same, so a try is granted only after many failures
/// in a row without one success, and then once in a while. Pure.
class EsnResync {
 public:
  static constexpr std::uint32_t kFailuresBeforeTry = 256;
  static constexpr std::uint32_t kFailuresBetweenTries = 16;
  static constexpr std::uint32_t kMaxSkippedHalves = 4;

  void on_verified() { failures_ = 0; }
  void on_failed() { ++failures_; }
  /// Asked before each packet: 0, or by how many halves to try higher should the guess fail.
  [[nodiscard]] std::uint32_t halves_to_try() const;

 private:
  std::uint32_t failures_ = 0;
};

}  // namespace cygnet::esp
