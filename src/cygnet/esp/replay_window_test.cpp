// SPDX-License-Identifier: Apache-2.0
#include "cygnet/esp/replay_window.h"

#include <gtest/gtest.h>

#include <random>
#include <set>
#include <string>

namespace cygnet::esp {
namespace {

/// The specification spelled out: remembers every number, knows nothing of rings.
class ReferenceWindow {
 public:
  explicit ReferenceWindow(std::uint64_t size) : size_(size) {}
  [[nodiscard]] bool check(std::uint64_t sequence) const {
    if (sequence == 0 || seen_.contains(sequence)) return false;
    if (sequence > highest_) return true;
    // The window holds `size` numbers and highest is one of them.
    return highest_ - sequence <= size_ - 1;
  }
  void update(std::uint64_t sequence) {
    if (!check(sequence)) return;
    seen_.insert(sequence);
    if (sequence > highest_) highest_ = sequence;
    while (!seen_.empty() && highest_ - *seen_.begin() > size_ * 2) seen_.erase(seen_.begin());
  }
  [[nodiscard]] std::uint64_t highest() const { return highest_; }

 private:
  std::uint64_t size_;
  std::uint64_t highest_ = 0;
  std::set<std::uint64_t> seen_;
};

constexpr std::uint32_t kSizes[] = {32, 33, 63, 64, 65, 100, 128, 1000, 1024, 4096, 65535, 65536};

TEST(ReplayWindow, AgreesWithTheReferenceOnRandomTraffic) {
  std::mt19937_64 random(20240517);
  for (const std::uint32_t size : kSizes) {
    ReplayWindow window(size, true);
    ReferenceWindow reference(size);
    for (int i = 0; i < 20000; ++i) {
      const std::uint64_t h = reference.highest();
      std::uint64_t sequence = 0;
      switch (random() % 8) {
        case 0:  // the next
          sequence = h + 1;
          break;
        case 1:  // a small gap
          sequence = h + 1 + random() % 70;
          break;
        case 2:  // a gap around the window's size
          sequence = h + size - 2 + random() % 5;
          break;
        case 3:  // exactly around the left edge
          sequence = h - size - 2 + random() % 5;
          break;
        case 4:  // rarely far ahead
          sequence = random() % 50 == 0 ? h + random() % (1ULL << 34) : h;
          break;
        default:  // late
          sequence = h - random() % (std::uint64_t{size} * 5 / 4);
          break;
      }
      if (sequence > (std::uint64_t{1} << 63)) sequence = random() % 100;  // went below zero
      ASSERT_EQ(window.check(sequence), reference.check(sequence))
          << "size " << size << " highest " << h << " sequence " << sequence;
      if (random() % 4 != 0) {
        window.update(sequence);
        reference.update(sequence);
      }
      ASSERT_EQ(window.highest(), reference.highest());
    }
  }
}

TEST(ReplayWindow, AcceptsExactlyItsSizeOfOldNumbers) {
  for (const std::uint32_t size : kSizes) {
    ReplayWindow window(size, false);
    ASSERT_TRUE(window.update(100000));
    EXPECT_TRUE(window.check(100000 - size + 1)) << size;
    EXPECT_FALSE(window.check(100000 - size)) << size;
    EXPECT_FALSE(window.check(100000)) << size;
    EXPECT_FALSE(window.check(0));
  }
}

TEST(ReplayWindow, TakesEveryNumberInTheWindowOnceInAnyOrder) {
  for (const std::uint32_t size : kSizes) {
    ReplayWindow window(size, false);
    window.update(size);
    for (std::uint64_t s = size - 1; s >= 1; --s) {
      ASSERT_TRUE(window.check(s));
      ASSERT_FALSE(window.update(s));  // marked, but not the highest
      ASSERT_FALSE(window.check(s));
    }
  }
}

TEST(ReplayWindow, CheckAloneChangesNothing) {
  ReplayWindow window(64, false);
  window.update(10);
  EXPECT_TRUE(window.check(1000));
  EXPECT_TRUE(window.check(1000));
  EXPECT_EQ(window.highest(), 10U);
  EXPECT_TRUE(window.check(9));
}

TEST(ReplayWindow, WorksToTheLastNumberOf64Bits) {
  constexpr std::uint64_t kLast = ~std::uint64_t{0};
  ReplayWindow window(1024, true);
  ASSERT_TRUE(window.update(kLast - 5));
  EXPECT_TRUE(window.check(kLast - 1028));
  EXPECT_FALSE(window.check(kLast - 1029));
  ASSERT_TRUE(window.update(kLast));
  EXPECT_FALSE(window.check(kLast));
  EXPECT_TRUE(window.check(kLast - 1));
  EXPECT_FALSE(window.check(0));
  // No number follows: what the wire shows next is taken for something old.
  EXPECT_FALSE(window.check(window.infer(0)));
  EXPECT_FALSE(window.check(window.infer(7)));
}

TEST(ReplayWindow, WithoutEsnTheWireNumberIsTheNumber) {
  ReplayWindow window(64, false);
  window.update(0xfffffff0);
  EXPECT_EQ(window.infer(5), 5U);
  EXPECT_FALSE(window.check(window.infer(5)));
  EXPECT_EQ(window.infer(0xffffffff), 0xffffffffU);
}

// The cases of RFC 4303 section A2.1 by name.
TEST(ReplayWindow, InfersTheHighHalfInCaseA) {
  ReplayWindow window(64, true);
  window.update(0x200001000);
  EXPECT_EQ(window.infer(0x1000), 0x200001000U);
  EXPECT_EQ(window.infer(0x1000 - 63), 0x200001000U - 63);  // left edge
  EXPECT_EQ(window.infer(0x1000 - 64), 0x300001000U - 64);  // left of it: the next half
  EXPECT_EQ(window.infer(0xffffffff), 0x2ffffffffU);
  EXPECT_EQ(window.infer(0), 0x300000000U);
}

TEST(ReplayWindow, InfersTheHighHalfInCaseB) {
  ReplayWindow window(64, true);
  window.update(0x200000010);  // the window reaches back into half 1
  EXPECT_EQ(window.infer(0x10), 0x200000010U);
  EXPECT_EQ(window.infer(0), 0x200000000U);
  EXPECT_EQ(window.infer(0xffffffff), 0x1ffffffffU);
  EXPECT_EQ(window.infer(0xffffffd1), 0x1ffffffd1U);  // left edge
  EXPECT_EQ(window.infer(0xffffffd0), 0x2ffffffd0U);  // left of it: far ahead
}

TEST(ReplayWindow, InfersNoHalfBeforeTheFirst) {
  ReplayWindow window(64, true);
  EXPECT_EQ(window.infer(0xffffffff), 0xffffffffU);
  EXPECT_EQ(window.infer(1), 1U);
  window.update(3);
  EXPECT_EQ(window.infer(0xffffffff), 0xffffffffU);
}

TEST(ReplayWindow, FollowsTrafficAcrossTheBorderOfTwoHalves) {
  std::mt19937_64 random(7);
  for (const std::uint32_t size : {32U, 64U, 1024U, 65536U}) {
    ReplayWindow window(size, true);
    std::uint64_t sent = 0x4ffff0000;
    window.update(sent);
    for (int i = 0; i < 60000; ++i) {
      sent += 1 + random() % 5;
      // What is still in the window may come late, and must still be understood.
      const std::uint64_t arriving = random() % 3 == 0 ? sent - random() % (size / 2) : sent;
      ASSERT_EQ(window.infer(static_cast<std::uint32_t>(arriving)), arriving) << size;
      window.update(arriving);
    }
    EXPECT_GT(window.highest(), 0x500000000U);
  }
}

TEST(ReplayWindow, ALateNumberIsNotTakenForOneBillionsAhead) {
  ReplayWindow window(64, true);
  window.update(0x200001000);
  const std::uint64_t late = window.infer(0x1000 - 64);
  EXPECT_GT(late, window.highest());
  EXPECT_FALSE(window.plausible(late));
  EXPECT_TRUE(window.plausible(0x200001000 + ReplayWindow::kMaxJump));
  EXPECT_FALSE(window.plausible(0x200001001 + ReplayWindow::kMaxJump));
  EXPECT_TRUE(window.plausible(0x200001000 - 10));
}

TEST(EsnResync, TriesOnlyAfterManyFailuresInARowAndSeldom) {
  EsnResync resync;
  std::set<std::uint32_t> tried;
  int tries = 0;
  for (std::uint32_t i = 0; i < EsnResync::kFailuresBeforeTry; ++i) {
    ASSERT_EQ(resync.halves_to_try(), 0U);
    resync.on_failed();
  }
  for (int i = 0; i < 1600; ++i) {
    const std::uint32_t by = resync.halves_to_try();
    if (by != 0) {
      ++tries;
      tried.insert(by);
      EXPECT_LE(by, EsnResync::kMaxSkippedHalves);
    }
    resync.on_failed();
  }
  EXPECT_EQ(tries, 1600 / static_cast<int>(EsnResync::kFailuresBetweenTries));
  EXPECT_EQ(tried.size(), EsnResync::kMaxSkippedHalves);
  resync.on_verified();
  EXPECT_EQ(resync.halves_to_try(), 0U);
}

}  // namespace
}  // namespace cygnet::esp
