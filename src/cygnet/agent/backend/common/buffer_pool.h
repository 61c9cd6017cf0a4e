// SPDX-License-Identifier: Apache-2.0
#pragma once

/// A fixed number of packet buffers, allocated once. Slots are large enough for any datagram; the
/// kernel gives memory only to the parts that are touched. Not thread-safe.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "cygnet/base/bytes.h"

namespace cygnet::agent {

class BufferPool {
 public:
  static constexpr std::size_t kSlotSize = 65536 + 256;

  explicit BufferPool(std::size_t slots);
  ~BufferPool();
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;

  [[nodiscard]] std::optional<std::uint32_t> acquire();
  void release(std::uint32_t slot) { free_.push_back(slot); }
  [[nodiscard]] MutableByteView operator[](std::uint32_t slot) {
    return {memory_ + std::size_t{slot} * kStride, kSlotSize};
  }
  [[nodiscard]] std::size_t available() const { return free_.size(); }

 private:
  // Not a power of two, so that the headers of all slots do not fall into one cache set.
  static constexpr std::size_t kStride = kSlotSize + 320;

  std::size_t octets_;
  std::uint8_t* memory_;
  std::vector<std::uint32_t> free_;
};

}  // namespace cygnet::agent
