// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The Internet checksum (RFC 1071) and its incremental update (RFC 1624). Pure.

#include <cstdint>

#include "cygnet/agent/backend/api/backend.h"
#include "cygnet/base/bytes.h"

namespace cygnet::agent::userspace {

/// Adds octets to a running sum; an odd last octet counts as if a zero followed it. The octets
/// begin at an even distance from the first that is covered.
[[nodiscard]] std::uint64_t checksum_add(std::uint64_t sum, ByteView octets);
/// The same, and copies the octets to `out`, which does not overlap them: one pass instead of two.
[[nodiscard]] std::uint64_t checksum_copy(std::uint64_t sum, ByteView octets, std::uint8_t* out);

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
  return std::uint64_t{load_be16(source)} + load_be16(source + 2) + load_be16(destination) +
         load_be16(destination + 2) + (length >> 16) + (length & 0xffff) + protocol;
}

}  // namespace cygnet::agent::userspace
