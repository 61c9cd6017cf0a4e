// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Small blocks of memory, handed out and taken back in a few instructions. A simulated event takes
/// dozens of them and gives them back at once: malloc was a fifth of all that was executed.
///
/// Blocks of one size class come from stretches of their own, so a block carries nothing; what is
/// given back waits in a list of the thread that gave it back, for that thread. All functions may
/// be called by any thread at any time, before main() too. No errors: what cannot be had is
/// nullptr.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>

namespace cygnet::apps {

namespace small_blocks {

constexpr std::size_t kGrain = 16;
constexpr std::size_t kClasses = 256;                   // by size in grains; 0 is nobody's
constexpr std::size_t kRoom = std::size_t{1} << 34;     // of addresses; memory comes with use
constexpr std::size_t kStretch = std::size_t{1} << 18;  // of blocks of one class

struct Free {
  Free* next;
};
struct Local {
  std::array<Free*, kClasses> given_back{};
  std::array<std::uintptr_t, kClasses> next{};  // never handed out so far, up to
  std::array<std::uintptr_t, kClasses> end{};
};
extern constinit thread_local Local local;
extern constinit std::atomic<std::uintptr_t> room;  // where it begins; 0: there is none (yet)
extern constinit std::array<std::uint8_t, kRoom / kStretch> class_of_stretch;

[[nodiscard]] void* take_new(std::size_t size_class) noexcept;

}  // namespace small_blocks

inline constexpr std::size_t kSmallBlockMax =
    (small_blocks::kClasses - 1) * small_blocks::kGrain;  ///< octets

/// Aligned for every fundamental type. nullptr: larger than kSmallBlockMax, or no room is left.
[[nodiscard]] inline void* take_small_block(std::size_t octets) noexcept {
  using namespace small_blocks;
  if (octets > kSmallBlockMax) return nullptr;
  const std::size_t size_class = octets == 0 ? 1 : (octets + kGrain - 1) / kGrain;
  Free*& list = local.given_back[size_class];
  Free* const block = list;
  if (block == nullptr) return take_new(size_class);
  list = block->next;
  return block;
}

/// false: it is none of these blocks, and nothing happened.
inline bool give_back_small_block(void* block) noexcept {
  using namespace small_blocks;
  const std::uintptr_t begin = room.load(std::memory_order_relaxed);
  const std::uintptr_t at = reinterpret_cast<std::uintptr_t>(block) - begin;
  if (at >= kRoom || begin == 0) return false;
  Free*& list = local.given_back[class_of_stretch[at / kStretch]];
  list = new (block) Free{list};
  return true;
}

/// From now on the room comes in huge pages where the kernel has them: good for a world of
/// gigabytes, a waste for a small one.
void small_blocks_in_huge_pages() noexcept;

}  // namespace cygnet::apps
