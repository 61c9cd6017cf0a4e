// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What waits for the keys of one claimed SA pair: datagrams that came in for it and probes that
/// are to leave on it. Anybody who knows an SPI can send such datagrams, so they are bounded in
/// number for a pair, in time, and in octets for all pairs together; what is over is not taken.
/// Pure: time comes in. Not thread-safe.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "cygnet/agent/backend/common/outer_address.h"
#include "cygnet/base/bytes.h"
#include "cygnet/base/time.h"

namespace cygnet::agent::userspace {

class KeyWait {
 public:
  static constexpr std::size_t kMaxPackets = 256;
  static constexpr std::size_t kMaxProbes = 4;
  static constexpr std::size_t kMaxOctets = 4U << 20;  ///< of all pairs, bookkeeping included
  static constexpr Duration kMaxAge = std::chrono::seconds(1);

  struct Packet {
    Timestamp since;
    OuterAddress source;
    std::uint8_t tos = 0;
    Bytes octets;
  };

  /// @param octets  of all pairs together; outlives this.
  explicit KeyWait(std::size_t& octets) : octets_(octets) {}
  ~KeyWait();
  KeyWait(const KeyWait&) = delete;
  KeyWait& operator=(const KeyWait&) = delete;

  /// Takes a copy. @return false when there is no room.
  [[nodiscard]] bool push(Timestamp now, const OuterAddress& source, std::uint8_t tos,
                          ByteView packet);
  /// @return false when there is no room.
  [[nodiscard]] bool push_probe(ByteView payload);
  /// Drops what is too old. @return how many datagrams.
  std::size_t expire(Timestamp now);

  /// In the order in which they came.
  [[nodiscard]] std::vector<Packet>& packets() { return packets_; }
  [[nodiscard]] const std::vector<Bytes>& probes() const { return probes_; }

 private:
  [[nodiscard]] static std::size_t cost(std::size_t octets) { return octets + sizeof(Packet); }

  std::size_t& octets_;
  std::size_t own_octets_ = 0;
  std::vector<Packet> packets_;
  std::vector<Bytes> probes_;
};

}  // namespace cygnet::agent::userspace
