// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Where things are in a TCP header (RFC 9293 section 3.1).

#include <cstddef>
#include <cstdint>

#include "cygnet/base/bytes.h"

namespace cygnet::agent::userspace {

inline constexpr std::size_t kTcpHeaderLength = 20;  ///< without options
inline constexpr std::size_t kTcpSequence = 4;
inline constexpr std::size_t kTcpFlags = 13;
inline constexpr std::size_t kTcpChecksum = 16;

inline constexpr std::uint8_t kTcpFin = 0x01;
inline constexpr std::uint8_t kTcpSyn = 0x02;
inline constexpr std::uint8_t kTcpPush = 0x08;
inline constexpr std::uint8_t kTcpAck = 0x10;
inline constexpr std::uint8_t kTcpCwr = 0x80;

/// With options; not checked against anything.
[[nodiscard]] inline std::size_t tcp_header_length(ByteView tcp) {
  return static_cast<std::size_t>(tcp[12] >> 4) * 4;
}

}  // namespace cygnet::agent::userspace
