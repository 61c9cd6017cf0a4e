// SPDX-License-Identifier: Apache-2.0
#pragma once

/// A growing set of small integers as bits. Pure; value type.

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace cygnet::controller::policy {

class Bits {
 public:
  void set(std::size_t at) {
    const std::size_t word = at / 64;
    if (word >= words_.size()) words_.resize(word + 1);
    words_[word] |= std::uint64_t{1} << (at % 64);
  }
  void reset(std::size_t at) {
    if (at / 64 < words_.size()) words_[at / 64] &= ~(std::uint64_t{1} << (at % 64));
  }
  [[nodiscard]] bool test(std::size_t at) const {
    return at / 64 < words_.size() && ((words_[at / 64] >> (at % 64)) & 1) != 0;
  }
  /// Empties, keeping the room.
  void clear() { words_.assign(words_.size(), 0); }
  [[nodiscard]] bool empty() const {
    for (const std::uint64_t word : words_) {
      if (word != 0) return false;
    }
    return true;
  }
  Bits& operator|=(const Bits& other) {
    if (other.words_.size() > words_.size()) words_.resize(other.words_.size());
    for (std::size_t i = 0; i < other.words_.size(); ++i) words_[i] |= other.words_[i];
    return *this;
  }
  Bits& operator&=(const Bits& other) {
    for (std::size_t i = 0; i < words_.size(); ++i) {
      words_[i] &= i < other.words_.size() ? other.words_[i] : 0;
    }
    return *this;
  }
  /// Takes out what is in `other`.
  Bits& operator-=(const Bits& other) {
    const std::size_t common = std::min(words_.size(), other.words_.size());
    for (std::size_t i = 0; i < common; ++i) words_[i] &= ~other.words_[i];
    return *this;
  }
  /// Ascending.
  template <class Visit>
  void for_each(Visit&& visit) const {
    for (std::size_t i = 0; i < words_.size(); ++i) {
      for (std::uint64_t word = words_[i]; word != 0; word &= word - 1) {
        visit(i * 64 + static_cast<std::size_t>(std::countr_zero(word)));
      }
    }
  }

 private:
  std::vector<std::uint64_t> words_;
};

}  // namespace cygnet::controller::policy
