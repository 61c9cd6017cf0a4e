// SPDX-License-Identifier: Apache-2.0
// This program's operator new: small blocks from small_blocks.h, the rest from malloc. A sanitizer
// has its own, and keeps it.
#include <cstdio>
#include <cstdlib>
#include <new>

#include "small_blocks.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CYGNET_OTHER_OPERATOR_NEW
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define CYGNET_OTHER_OPERATOR_NEW
#endif
#endif

#ifndef CYGNET_OTHER_OPERATOR_NEW

void* operator new(std::size_t octets) {
  if (void* const block = cygnet::apps::take_small_block(octets)) return block;
  if (void* const block = std::malloc(octets)) return block;
  std::fputs("cygnet-sim: out of memory\n", stderr);
  std::abort();
}

void operator delete(void* block) noexcept {
  if (!cygnet::apps::give_back_small_block(block)) std::free(block);
}
void operator delete(void* block, std::size_t) noexcept { operator delete(block); }

#endif
