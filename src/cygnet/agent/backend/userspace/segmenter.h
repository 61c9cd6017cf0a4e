// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Cuts a large packet from the kernel into the packets it stands for, as a network card with
/// segmentation offload would: TCP (RFC 9293) and UDP over IPv4 and IPv6. Nothing the kernel's
/// header says is trusted beyond the segment size; lengths come from the packet itself. Pure; no
/// allocation.

#include <cstddef>
#include <optional>

#include "cygnet/agent/backend/common/gso.h"
#include "cygnet/agent/backend/userspace/inner_packet.h"
#include "cygnet/base/bytes.h"

namespace cygnet::agent::userspace {

class Segmenter {
 public:
  /// @param packet  outlives the Segmenter.
  /// @return nullopt when it is not a packet of its kind, or has no payload to cut.
  [[nodiscard]] static std::optional<Segmenter> create(const GsoInfo& gso, const InnerPacket& inner,
                                                       ByteView packet);

  [[nodiscard]] std::size_t count() const { return count_; }
  /// Octets of segment i, headers included; all but the last are equally long.
  [[nodiscard]] std::size_t length(std::size_t i) const { return headers_ + payload(i); }
  /// Writes segment i: length(i) octets, checksums complete.
  void write(std::size_t i, std::uint8_t* out) const;

 private:
  Segmenter(const InnerPacket& inner, ByteView packet, std::size_t transport_header,
            std::size_t segment_size);
  [[nodiscard]] std::size_t payload(std::size_t i) const {
    return i + 1 < count_ ? segment_ : packet_.size() - headers_ - i * segment_;
  }
  void fix_ip(std::size_t i, std::size_t total, std::uint8_t* out) const;

  ByteView packet_;
  bool v6_;
  bool tcp_;
  std::size_t ip_header_;
  std::size_t headers_;
  std::size_t segment_;
  std::size_t count_;
};

/// Completes the checksum of a packet that the kernel left to us; false when its header points
/// outside the packet.
[[nodiscard]] bool complete_checksum(const GsoInfo& gso, MutableByteView packet);

}  // namespace cygnet::agent::userspace
