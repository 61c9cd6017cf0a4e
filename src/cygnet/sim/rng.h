// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The one generator of a simulated run: xoshiro256**, seeded through SplitMix64. Everything that
/// is left to chance draws from it, in the order of events, so a seed is the whole run. Pure.

#include <array>
#include <cstddef>
#include <cstdint>

#include "cygnet/base/time.h"
#include "cygnet/crypto/random.h"

namespace cygnet::sim {

[[nodiscard]] constexpr std::uint64_t mix64(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

class Rng final : public crypto::Random {
 public:
  explicit Rng(std::uint64_t seed) {
    for (std::uint64_t& word : state_) word = seed = mix64(seed);
  }

  std::uint64_t next() {
    const std::uint64_t result = rotate(state_[1] * 5, 7) * 9;
    const std::uint64_t t = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= t;
    state_[3] = rotate(state_[3], 45);
    return result;
  }
  /// Uniform in [0, n); n > 0.
  std::uint64_t below(std::uint64_t n) {
    return next() % n;  // n is far below 2^64: the bias is out of sight
  }
  /// Once in a million times `ppm`.
  bool chance_ppm(std::uint32_t ppm) { return ppm != 0 && below(1'000'000) < ppm; }
  /// Uniform in [from, to].
  Duration between(Duration from, Duration to) {
    if (to <= from) return from;
    return from + Duration(static_cast<Duration::rep>(
                      below(static_cast<std::uint64_t>((to - from).count()) + 1)));
  }
  void fill(MutableByteView out) override {
    std::size_t i = 0;
    while (i < out.size()) {
      std::uint64_t word = next();
      for (int k = 0; k < 8 && i < out.size(); ++k, word >>= 8) {
        out[i++] = static_cast<std::uint8_t>(word);
      }
    }
  }

 private:
  static constexpr std::uint64_t rotate(std::uint64_t x, int k) {
    return (x << k) | (x >> (64 - k));
  }
  std::array<std::uint64_t, 4> state_{};
};

}  // namespace cygnet::sim
