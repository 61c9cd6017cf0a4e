// SPDX-License-Identifier: Apache-2.0
// What waits, and what is told seldom.

#include <gtest/gtest.h>
#include <poll.h>

#include <thread>

#include "cygnet/agent/backend/common/buffer_pool.h"
#include "cygnet/agent/backend/common/mailbox.h"
#include "cygnet/agent/backend/common/rate_gate.h"
#include "cygnet/agent/backend/common/unknown_spis.h"
#include "cygnet/agent/backend/userspace/hold_queue.h"
#include "cygnet/agent/backend/userspace/key_export.h"
#include "cygnet/agent/backend/userspace/key_wait.h"

namespace cygnet::agent::userspace {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

Timestamp at(milliseconds t) { return Timestamp(t); }

TEST(HoldQueue, GivesPacketsBackInOrder) {
  HoldQueue queue;
  EXPECT_EQ(queue.push(at(milliseconds(1)), Bytes{1}), 0U);
  EXPECT_EQ(queue.push(at(milliseconds(2)), Bytes{2}), 0U);
  EXPECT_EQ(queue.pop(), Bytes{1});
  EXPECT_EQ(queue.pop(), Bytes{2});
  EXPECT_EQ(queue.pop(), std::nullopt);
}

TEST(HoldQueue, DropsTheOldestForLackOfRoom) {
  HoldQueue queue;
  for (std::size_t i = 0; i < HoldQueue::kMaxPackets; ++i) {
    EXPECT_EQ(queue.push(at(milliseconds(1)), Bytes{static_cast<std::uint8_t>(i)}), 0U);
  }
  EXPECT_EQ(queue.push(at(milliseconds(2)), Bytes{200}), 1U);
  EXPECT_EQ(queue.size(), HoldQueue::kMaxPackets);
  EXPECT_EQ(queue.pop(), Bytes{1});
}

TEST(HoldQueue, DropsWhatIsOlderThanASecond) {
  HoldQueue queue;
  EXPECT_EQ(queue.push(at(milliseconds(0)), Bytes{1}), 0U);
  EXPECT_EQ(queue.push(at(milliseconds(500)), Bytes{2}), 0U);
  EXPECT_EQ(queue.expire(at(milliseconds(1000))), 0U);
  EXPECT_EQ(queue.expire(at(milliseconds(1001))), 1U);
  EXPECT_EQ(queue.push(at(milliseconds(1600)), Bytes{3}), 1U);
  EXPECT_EQ(queue.pop(), Bytes{3});
  EXPECT_EQ(queue.push(at(milliseconds(1700)), Bytes{4}), 0U);
  EXPECT_EQ(queue.clear(), 1U);
  EXPECT_TRUE(queue.empty());
}

TEST(KeyWait, KeepsPacketsInOrderUpToItsNumberAndTakesNoMore) {
  std::size_t octets = 0;
  {
    KeyWait wait(octets);
    for (std::size_t i = 0; i < KeyWait::kMaxPackets; ++i) {
      EXPECT_TRUE(wait.push(at(milliseconds(1)), {}, 3, Bytes{static_cast<std::uint8_t>(i)}));
    }
    EXPECT_FALSE(wait.push(at(milliseconds(1)), {}, 0, Bytes{200}));
    EXPECT_EQ(wait.packets().front().octets, Bytes{0});
    EXPECT_EQ(wait.packets().front().tos, 3);
    EXPECT_EQ(wait.packets().back().octets, Bytes{KeyWait::kMaxPackets - 1});
    EXPECT_GT(octets, KeyWait::kMaxPackets);
  }
  EXPECT_EQ(octets, 0U) << "what a pair held is free when it goes";
}

TEST(KeyWait, IsBoundedInOctetsForAllPairsTogether) {
  std::size_t octets = 0;
  std::vector<std::unique_ptr<KeyWait>> waits;
  const Bytes packet(1400);
  std::size_t taken = 0;
  for (int pair = 0; pair < 1000; ++pair) {
    waits.push_back(std::make_unique<KeyWait>(octets));
    for (int i = 0; i < 10; ++i) {
      taken += waits.back()->push(at(milliseconds(0)), {}, 0, packet) ? 1U : 0U;
    }
  }
  EXPECT_LE(octets, KeyWait::kMaxOctets);
  EXPECT_GT(taken, 2000U);
  EXPECT_LT(taken * packet.size(), KeyWait::kMaxOctets);
  std::size_t expired = 0;
  for (const auto& wait : waits) expired += wait->expire(at(seconds(2)));
  EXPECT_EQ(expired, taken);
  EXPECT_EQ(octets, 0U);
}

TEST(KeyWait, DropsWhatIsOlderThanASecond) {
  std::size_t octets = 0;
  KeyWait wait(octets);
  EXPECT_TRUE(wait.push(at(milliseconds(0)), {}, 0, Bytes{1}));
  EXPECT_TRUE(wait.push(at(milliseconds(500)), {}, 0, Bytes{2}));
  EXPECT_EQ(wait.expire(at(milliseconds(1000))), 0U);
  EXPECT_EQ(wait.expire(at(milliseconds(1001))), 1U);
  ASSERT_EQ(wait.packets().size(), 1U);
  EXPECT_EQ(wait.packets()[0].octets, Bytes{2});
}

TEST(KeyWait, TakesFewProbes) {
  std::size_t octets = 0;
  KeyWait wait(octets);
  for (std::size_t i = 0; i < KeyWait::kMaxProbes; ++i) EXPECT_TRUE(wait.push_probe(Bytes{1}));
  EXPECT_FALSE(wait.push_probe(Bytes{1}));
}

TEST(RateGate, PassesAtOnceAndThenOncePerInterval) {
  RateGate gate;
  EXPECT_TRUE(gate.pass(at(milliseconds(0)), seconds(1)));
  EXPECT_FALSE(gate.pass(at(milliseconds(999)), seconds(1)));
  EXPECT_TRUE(gate.pass(at(milliseconds(1000)), seconds(1)));
  EXPECT_FALSE(gate.pass(at(milliseconds(1001)), seconds(1)));
}

TEST(RateBudget, PassesSoManyPerInterval) {
  RateBudget budget(2, seconds(1));
  EXPECT_TRUE(budget.pass(at(milliseconds(0))));
  EXPECT_TRUE(budget.pass(at(milliseconds(10))));
  EXPECT_FALSE(budget.pass(at(milliseconds(20))));
  EXPECT_TRUE(budget.pass(at(milliseconds(1000))));
}

TEST(UnknownSpis, TellsTheFirstAtOnceThenSumsUp) {
  UnknownSpis spis;
  UdpEndpoint source;
  spis.add(0x1000, source);
  auto told = spis.take(at(milliseconds(5000)));
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told[0].spi, 0x1000U);
  EXPECT_EQ(told[0].count, 1U);
  for (int i = 0; i < 100; ++i) spis.add(0x1000, source);
  source.port = 9;
  spis.add(0x2000, source);
  EXPECT_TRUE(spis.take(at(milliseconds(5999))).empty());
  EXPECT_TRUE(spis.pending());
  told = spis.take(at(milliseconds(6000)));
  ASSERT_EQ(told.size(), 2U);
  EXPECT_EQ(told[0].count, 100U);
  EXPECT_EQ(told[1].source.port, 9);
  EXPECT_FALSE(spis.pending());
}

TEST(UnknownSpis, AFloodOfDifferentSpisIsBoundedAndLosesNoCount) {
  UnknownSpis spis;
  for (std::uint32_t i = 0; i < 100000; ++i) spis.add(0x1000 + i, {});
  std::uint64_t sum = 0;
  const auto told = spis.take(at(milliseconds(1)));
  EXPECT_EQ(told.size(), UnknownSpis::kMaxTracked);
  for (const auto& report : told) sum += report.count;
  EXPECT_EQ(sum, 100000U);
}

TEST(Mailbox, RingsForTheFirstCommandAfterItWasEmptied) {
  Mailbox mailbox;
  const auto readable = [&] {
    pollfd ready{mailbox.fd(), POLLIN, 0};
    return poll(&ready, 1, 0) == 1;
  };
  EXPECT_FALSE(readable());
  for (int round = 0; round < 3; ++round) {
    mailbox.post([] {});
    EXPECT_TRUE(readable());
    mailbox.post([] {});
    EXPECT_EQ(mailbox.take().size(), 2U);
    EXPECT_FALSE(readable());
    EXPECT_TRUE(mailbox.take().empty()) << "asked without having been rung for";
  }
}

TEST(Mailbox, KeepsTheOrderOfEachSender) {
  Mailbox mailbox;
  std::vector<int> seen;
  std::thread other([&] {
    for (int i = 0; i < 1000; ++i) mailbox.post([&seen, i] { seen.push_back(i); });
  });
  int done = 0;
  while (done < 1000) {
    for (auto& command : mailbox.take()) {
      command();
      ++done;
    }
  }
  other.join();
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(seen[static_cast<std::size_t>(i)], i);
}

TEST(BufferPool, GivesEachSlotOnce) {
  BufferPool pool(3);
  const auto a = pool.acquire();
  const auto b = pool.acquire();
  const auto c = pool.acquire();
  ASSERT_TRUE(a && b && c);
  EXPECT_EQ(pool.acquire(), std::nullopt);
  EXPECT_NE(pool[*a].data(), pool[*b].data());
  pool[*a][BufferPool::kSlotSize - 1] = 1;
  pool[*b][0] = 2;
  EXPECT_EQ(pool[*a][BufferPool::kSlotSize - 1], 1);
  pool.release(*b);
  EXPECT_EQ(pool.acquire(), b);
}

TEST(KeyExport, ExistsInTestBuildsOnly) {
  EXPECT_TRUE(export_keys("", {}).has_value());
  if (!kInsecureKeyExport) {
    const Status status = export_keys("keys", {});
    ASSERT_FALSE(status.has_value());
    EXPECT_EQ(status.error().code, kErrKeyExport);
  }
}

}  // namespace
}  // namespace cygnet::agent::userspace
