// SPDX-License-Identifier: Apache-2.0
#include "small_blocks.h"

#include <sys/mman.h>

namespace cygnet::apps {
namespace small_blocks {

constinit thread_local Local local;
constinit std::atomic<std::uintptr_t> room{0};
constinit std::array<std::uint8_t, kRoom / kStretch> class_of_stretch{};

namespace {

constexpr std::size_t kHugePage = std::size_t{1} << 21;  // a divisor of the room

std::atomic<std::size_t> used{0};

// Whoever is first makes it.
std::uintptr_t made_room() noexcept {
  static const std::uintptr_t begin = [] {
    void* const range = mmap(nullptr, kRoom + kHugePage, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (range == MAP_FAILED) return std::uintptr_t{0};
    return (reinterpret_cast<std::uintptr_t>(range) + kHugePage - 1) & ~(kHugePage - 1);
  }();
  room.store(begin, std::memory_order_relaxed);
  return begin;
}

}  // namespace

void* take_new(std::size_t size_class) noexcept {
  const std::size_t octets = size_class * kGrain;
  if (local.end[size_class] - local.next[size_class] < octets) {
    const std::uintptr_t begin = made_room();
    if (begin == 0) return nullptr;
    const std::size_t at = used.fetch_add(kStretch);
    if (at + kStretch > kRoom) return nullptr;
    class_of_stretch[at / kStretch] = static_cast<std::uint8_t>(size_class);
    local.next[size_class] = begin + at;
    local.end[size_class] = local.next[size_class] + kStretch;
  }
  const std::uintptr_t block = local.next[size_class];
  local.next[size_class] += octets;
  return reinterpret_cast<void*>(block);
}

}  // namespace small_blocks

void small_blocks_in_huge_pages() noexcept {
  const std::uintptr_t begin = small_blocks::made_room();
  if (begin == 0) return;
  (void)madvise(reinterpret_cast<void*>(begin), small_blocks::kRoom, MADV_HUGEPAGE);
}

}  // namespace cygnet::apps
