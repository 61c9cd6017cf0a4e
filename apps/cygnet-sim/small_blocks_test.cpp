// SPDX-License-Identifier: Apache-2.0
#include "small_blocks.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <random>
#include <thread>
#include <vector>

namespace cygnet::apps {
namespace {

TEST(SmallBlocks, BlocksOfAllSizesAreAlignedAndNeverOverlap) {
  std::map<std::uintptr_t, std::size_t> blocks;
  for (std::size_t octets = 0; octets <= kSmallBlockMax; ++octets) {
    for (int i = 0; i < 300; ++i) {  // more than one stretch of the larger ones
      void* const block = take_small_block(octets);
      ASSERT_NE(block, nullptr) << octets;
      const auto at = reinterpret_cast<std::uintptr_t>(block);
      EXPECT_EQ(at % alignof(std::max_align_t), 0U) << octets;
      blocks[at] = octets == 0 ? 1 : octets;
    }
  }
  EXPECT_EQ(blocks.size(), 300 * (kSmallBlockMax + 1));
  std::uintptr_t end = 0;
  for (const auto& [at, octets] : blocks) {
    ASSERT_GE(at, end);
    end = at + octets;
  }
  for (const auto& [at, octets] : blocks) {
    EXPECT_TRUE(give_back_small_block(reinterpret_cast<void*>(at)));
  }
}

TEST(SmallBlocks, WhatIsGivenBackIsHandedOutAgain) {
  void* const first = take_small_block(40);
  ASSERT_TRUE(give_back_small_block(first));
  EXPECT_EQ(take_small_block(48), first) << "of one class with 40";
  ASSERT_TRUE(give_back_small_block(first));
  EXPECT_NE(take_small_block(49), first) << "of the next class";
}

TEST(SmallBlocks, LargeOnesAndStrangersAreNotTheirs) {
  EXPECT_EQ(take_small_block(kSmallBlockMax + 1), nullptr);
  void* const strange = std::malloc(64);
  EXPECT_FALSE(give_back_small_block(strange));
  EXPECT_FALSE(give_back_small_block(nullptr));
  std::free(strange);
  int local = 0;
  EXPECT_FALSE(give_back_small_block(&local));
}

// Each block is filled with what its owner says and looked at before it is given back: two owners
// of one block would find out, and so would one whose block another thread's list hands out too.
TEST(SmallBlocks, ThreadsTakeAndGiveBackEachOthersBlocks) {
  struct Held {
    unsigned char* block;
    std::size_t octets;
    unsigned char mark;
  };
  const auto churn = [](unsigned seed, std::vector<Held> held) {
    std::mt19937 random(seed);
    for (int step = 0; step < 40'000; ++step) {
      if (held.size() < 500 || random() % 2 == 0) {
        const std::size_t octets = 1 + random() % kSmallBlockMax;
        auto* const block = static_cast<unsigned char*>(take_small_block(octets));
        if (block == nullptr) return std::vector<Held>();
        const auto mark = static_cast<unsigned char>(random());
        std::memset(block, mark, octets);
        held.push_back({block, octets, mark});
      } else {
        std::swap(held[random() % held.size()], held.back());
        const Held last = held.back();
        held.pop_back();
        for (std::size_t i = 0; i < last.octets; ++i) {
          if (last.block[i] != last.mark) return std::vector<Held>();
        }
        if (!give_back_small_block(last.block)) return std::vector<Held>();
      }
    }
    return held;
  };
  std::vector<Held> one = churn(1, {});
  std::vector<Held> two;
  std::vector<Held> three;
  ASSERT_FALSE(one.empty());
  std::thread other([&] { two = churn(2, std::move(one)); });
  three = churn(3, {});
  other.join();
  EXPECT_FALSE(two.empty()) << "a block held something else than its owner had written";
  EXPECT_FALSE(three.empty());
  EXPECT_FALSE(churn(4, std::move(two)).empty()) << "after the thread that gave some back is gone";
}

}  // namespace
}  // namespace cygnet::apps
