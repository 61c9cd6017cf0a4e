// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/backend/userspace/checksum.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <cstring>

namespace cygnet::agent::userspace {
namespace {

// Four octets at a time, in the order of memory: one's complement addition does not mind the byte
// order as long as the result is turned round (RFC 1071 section 2, parts B and C). A 64-bit sum of
// 32-bit words holds 16 GiB.

constexpr std::size_t kBlock = 32;

template <bool kCopy>
std::uint64_t sum_blocks(const std::uint8_t* at, std::size_t blocks, std::uint8_t* out) {
  std::uint64_t even = 0;
  std::uint64_t odd = 0;
  for (; blocks > 0; --blocks, at += kBlock) {
    std::uint32_t words[8];
    std::memcpy(words, at, sizeof words);
    if constexpr (kCopy) {
      std::memcpy(out, words, sizeof words);
      out += kBlock;
    }
    even += std::uint64_t{words[0]} + words[2] + words[4] + words[6];
    odd += std::uint64_t{words[1]} + words[3] + words[5] + words[7];
  }
  return even + odd;
}

#if defined(__x86_64__)
template <bool kCopy>
__attribute__((target("avx2"))) std::uint64_t sum_blocks_avx2(const std::uint8_t* at,
                                                              std::size_t blocks,
                                                              std::uint8_t* out) {
  const __m256i low = _mm256_set1_epi64x(0xffffffff);
  __m256i even = _mm256_setzero_si256();
  __m256i odd = _mm256_setzero_si256();
  for (; blocks > 0; --blocks, at += kBlock) {
    const __m256i words = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
    if constexpr (kCopy) {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), words);
      out += kBlock;
    }
    even = _mm256_add_epi64(even, _mm256_and_si256(words, low));
    odd = _mm256_add_epi64(odd, _mm256_srli_epi64(words, 32));
  }
  std::uint64_t lanes[4];
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(lanes), _mm256_add_epi64(even, odd));
  return lanes[0] + lanes[1] + lanes[2] + lanes[3];
}
#endif

template <bool kCopy>
std::uint64_t sum_words(const std::uint8_t* at, std::size_t blocks, std::uint8_t* out) {
#if defined(__x86_64__)
  static const bool wide = __builtin_cpu_supports("avx2") != 0;
  if (wide) return sum_blocks_avx2<kCopy>(at, blocks, out);
#endif
  return sum_blocks<kCopy>(at, blocks, out);
}

template <bool kCopy>
std::uint64_t add(std::uint64_t sum, ByteView octets, std::uint8_t* out) {
  const std::uint8_t* at = octets.data();
  std::size_t left = octets.size();
  std::uint64_t memory_order = 0;
  if (const std::size_t blocks = left / kBlock; blocks != 0) {
    memory_order = sum_words<kCopy>(at, blocks, out);
    at += blocks * kBlock;
    left -= blocks * kBlock;
    if constexpr (kCopy) out += blocks * kBlock;
  }
  if constexpr (kCopy) std::memcpy(out, at, left);
  for (; left >= 2; left -= 2, at += 2) {
    std::uint16_t word = 0;
    std::memcpy(&word, at, sizeof word);
    memory_order += word;
  }
  if (left != 0) {
    const std::uint8_t last[2] = {*at, 0};
    std::uint16_t word = 0;
    std::memcpy(&word, last, sizeof word);
    memory_order += word;
  }
  while ((memory_order >> 16) != 0) memory_order = (memory_order & 0xffff) + (memory_order >> 16);
  std::uint8_t pair[2];
  const auto folded = static_cast<std::uint16_t>(memory_order);
  std::memcpy(pair, &folded, sizeof pair);
  return sum + load_be16(pair);
}

}  // namespace

std::uint64_t checksum_add(std::uint64_t sum, ByteView octets) {
  return add<false>(sum, octets, nullptr);
}

std::uint64_t checksum_copy(std::uint64_t sum, ByteView octets, std::uint8_t* out) {
  return add<true>(sum, octets, out);
}

}  // namespace cygnet::agent::userspace
