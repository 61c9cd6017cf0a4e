// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The Internet checksum (RFC 1071) and its incremental update (RFC 1624). Pure.

#include <cstdint>

#include "cygnet/agent/backend/api/backend.h"
#include "cygnet/base/bytes.h"

namespace cygnet::agent::userspace {

/// Adds octets to a running sum; an odd last octet counts as if a zero followed it.
[[nodiscard]] inline std::uint64_t checksum_add(std::uint64_t sum, ByteView octets) {
  std::size_t i = 0;
  for (; i + 1 < octets.size(); i += 2) sum += load_be16(octets.data() + i);
  if (i < octets.size()) sum += std::uint64_t{octets[i]} << 8;
  return sum;
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

}  // namespace cygnet::agent::userspace
