// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The discovery datagram (docs/controller.md, "Discovery"): a device sends its stream's cookie
/// from its ESP socket and learns the address its NAT shows. It stands behind the four zero octets
/// of RFC 3948's non-ESP marker, as the answer does, so that ESP in UDP and this share a port.
///
///   request   00000000 | "CYGD" | version 1 | cookie 16                       25 octets
///   answer    00000000 | "CYGD" | version 1 | cookie 16 | family | address | port
///             family octet 4 or 6, address 4 or 16 octets, port 2 octets
///
/// Pure.

#include <optional>

#include "cygnet/base/bytes.h"
#include "cygnet/controller/core/values.h"

namespace cygnet::controller {

inline constexpr std::size_t kDiscoveryRequestLength = 25;
inline constexpr std::uint8_t kDiscoveryVersion = 1;

[[nodiscard]] Bytes encode_discovery_request(const Cookie& cookie);
/// nullopt for anything but a request of this version and exact length.
[[nodiscard]] std::optional<Cookie> decode_discovery_request(ByteView datagram);

struct DiscoveryAnswer {
  Cookie cookie{};
  Bytes address;  ///< 4 or 16 octets
  std::uint16_t port = 0;
};
[[nodiscard]] Bytes encode_discovery_answer(const DiscoveryAnswer& answer);
[[nodiscard]] std::optional<DiscoveryAnswer> decode_discovery_answer(ByteView datagram);

}  // namespace cygnet::controller
