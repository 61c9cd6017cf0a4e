// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Cuts an IPv4 packet without DF into fragments (RFC 791 section 3.2), as a router in front of a
/// smaller link does; a packet that is a fragment itself, too. Pure; no allocation.

#include <cstddef>
#include <optional>

#include "cygnet/agent/backend/userspace/inner_packet.h"
#include "cygnet/base/bytes.h"

namespace cygnet::agent::userspace {

class Ipv4Fragments {
 public:
  /// @param packet  outlives the value; the headers of `inner` are its own
  /// @param mtu     what a fragment may have at most
  /// @return nullopt when it is IPv6, must not be fragmented, or its header leaves no room.
  [[nodiscard]] static std::optional<Ipv4Fragments> create(const InnerPacket& inner,
                                                           ByteView packet, std::size_t mtu);

  [[nodiscard]] std::size_t count() const { return count_; }
  [[nodiscard]] std::size_t length(std::size_t i) const { return header(i) + payload(i); }
  /// Writes fragment i: length(i) octets.
  void write(std::size_t i, std::uint8_t* out) const;

 private:
  Ipv4Fragments(ByteView packet, std::size_t first_header, std::size_t later_header,
                std::size_t first_payload, std::size_t later_payload);
  [[nodiscard]] std::size_t header(std::size_t i) const {
    return i == 0 ? first_header_ : later_header_;
  }
  [[nodiscard]] std::size_t offset(std::size_t i) const {
    return i == 0 ? 0 : first_payload_ + (i - 1) * later_payload_;
  }
  [[nodiscard]] std::size_t payload(std::size_t i) const;

  ByteView packet_;
  std::size_t first_header_;
  std::size_t later_header_;
  std::size_t first_payload_;  ///< a multiple of 8, unless there is one fragment only
  std::size_t later_payload_;  ///< a multiple of 8
  std::size_t count_;
};

}  // namespace cygnet::agent::userspace
