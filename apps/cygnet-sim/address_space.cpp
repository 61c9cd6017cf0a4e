// SPDX-License-Identifier: Apache-2.0
#include "address_space.h"

#include <malloc.h>
#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>

namespace cygnet::apps {

void reserve_in_huge_pages(std::size_t octets) {
  constexpr std::uintptr_t kHugePage = std::uintptr_t{1} << 21;
  // For a moment no mappings of their own: the range becomes the end of the heap, and what is given
  // back at once is the heap's to hand out, as it is never trimmed.
  constexpr int kMappingsMax = 65536;
  if (mallopt(M_MMAP_MAX, 0) == 0 || mallopt(M_TRIM_THRESHOLD, -1) == 0) return;
  void* const range = std::malloc(octets);
  if (range != nullptr) {
    const auto begin = (reinterpret_cast<std::uintptr_t>(range) + kHugePage - 1) & ~(kHugePage - 1);
    const auto end = (reinterpret_cast<std::uintptr_t>(range) + octets) & ~(kHugePage - 1);
    if (begin < end) (void)madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
    std::free(range);
  }
  (void)mallopt(M_MMAP_MAX, kMappingsMax);
}

}  // namespace cygnet::apps
