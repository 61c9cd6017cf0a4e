// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The Internet checksum (RFC 1071) and its incremental update (RFC 1624). Pure.

#include <cstdint>
#include <cstring>

#include "cygnet/agent/backend/api/backend.h"
#include "cygnet/base/bytes.h"

namespace cygnet::agent::userspace {

/// Adds octets to a running sum; an odd last octet counts as if a zero followed it. The octets
/// begin at an even distance from the first that is covered.
///
/// Four octets at a time, in the order of memory: one's complement addition does not mind the byte
/// order as long as the result is turned round (RFC 1071 section 2, parts B and C). A 64-bit sum of
/// 32-bit words holds 16 GiB.
[[nodiscard]] inline std::uint64_t checksum_add(std::uint64_t sum, ByteView octets) {
  const std::uint8_t* at = octets.data();
  std::size_t left = octets.size();
  std::uint64_t even = 0;
  std::uint64_t odd = 0;
  for (; left >= 16; left -= 16, at += 16) {
    std::uint32_t words[4];
    std::memcpy(words, at, sizeof words);
    even += std::uint64_t{words[0]} + words[2];
    odd += std::uint64_t{words[1]} + words[3];
  }
  std::uint64_t memory_order = even + odd;
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
/// Folds and complements.
[[nodiscard]] inline std::uint16_t checksum_finish(std::uint64_t sum) {
  while ((sum >> 16) != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum & 0xffff);
}
/// A checksum field after one 16-bit word it covers changed (RFC 1624 equation 3): a field that
/// was wrong before stays wrong.
[[nodiscard]] inline std::uint16_t checksum_replace(std::uint16_t field, std::uint16_t before,
                                                    std::uint16_t after) {
  return checksum_finish(std::uint64_t{static_cast<std::uint16_t>(~field)} +
                         static_cast<std::uint16_t>(~before) + after);
}
/// The sum of the IPv6 pseudo-header (RFC 8200 section 8.1).
[[nodiscard]] inline std::uint64_t ipv6_pseudo_sum(const std::uint8_t* source,
                                                   const std::uint8_t* destination,
                                                   std::uint32_t length, std::uint8_t protocol) {
  return checksum_add(checksum_add(0, {source, 16}), {destination, 16}) + (length >> 16) +
         (length & 0xffff) + protocol;
}

/// … of the IPv4 pseudo-header (RFC 793 section 3.1, RFC 768).
[[nodiscard]] inline std::uint64_t ipv4_pseudo_sum(const std::uint8_t* source,
                                                   const std::uint8_t* destination,
                                                   std::uint32_t length, std::uint8_t protocol) {
  return checksum_add(checksum_add(0, {source, 4}), {destination, 4}) + (length >> 16) +
         (length & 0xffff) + protocol;
}

}  // namespace cygnet::agent::userspace
