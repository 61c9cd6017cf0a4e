// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/backend/common/buffer_pool.h"

#include <sys/mman.h>

#include "cygnet/base/assert.h"

namespace cygnet::agent {

BufferPool::BufferPool(std::size_t slots) : octets_(slots * kStride) {
  void* const memory =
      mmap(nullptr, octets_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CYGNET_ASSERT(memory != MAP_FAILED);
  memory_ = static_cast<std::uint8_t*>(memory);
  free_.reserve(slots);
  for (std::size_t i = slots; i > 0; --i) free_.push_back(static_cast<std::uint32_t>(i - 1));
}

BufferPool::~BufferPool() { munmap(memory_, octets_); }

std::optional<std::uint32_t> BufferPool::acquire() {
  if (free_.empty()) return std::nullopt;
  const std::uint32_t slot = free_.back();
  free_.pop_back();
  return slot;
}

}  // namespace cygnet::agent
