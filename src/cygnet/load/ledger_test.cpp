// SPDX-License-Identifier: Apache-2.0
#include "cygnet/load/ledger.h"

#include <gtest/gtest.h>

#include "cygnet/load/histogram.h"

namespace cygnet::load {
namespace {

using std::chrono::milliseconds;

Timestamp at(int ms) { return Timestamp(milliseconds(ms)); }
Bytes octets(std::uint8_t value) { return Bytes(300, value); }

/// Three devices that all hear each other; device 0 has published counter 10.
struct Three {
  Three() { ledger.published(0, 10, octets(1), at(1)); }
  Ledger ledger{3, 0};
};

TEST(Ledger, IsCompleteOnlyWhenEveryReceiverHoldsTheNewest) {
  Three t;
  EXPECT_FALSE(t.ledger.complete());
  t.ledger.delivered(1, 0, 10, octets(1), at(2));
  EXPECT_FALSE(t.ledger.complete(0));
  t.ledger.delivered(2, 0, 10, octets(1), at(3));
  EXPECT_TRUE(t.ledger.complete());
  EXPECT_EQ(t.ledger.faults().sum(), 0U);
  EXPECT_EQ(t.ledger.totals().deliveries, 2U);
}

TEST(Ledger, NamesWhoLacksWhat) {
  Three t;
  t.ledger.delivered(1, 0, 10, octets(1), at(2));
  const auto missing = t.ledger.missing(10);
  ASSERT_EQ(missing.size(), 1U);
  EXPECT_EQ(missing[0].receiver, 2U);
  EXPECT_EQ(missing[0].sender, 0U);
  EXPECT_EQ(missing[0].newest, 10U);
  EXPECT_EQ(missing[0].held, 0U);
}

TEST(Ledger, AnOlderCounterAfterANewerOneIsOutOfOrder) {
  Three t;
  t.ledger.published(0, 11, octets(2), at(2));
  t.ledger.delivered(1, 0, 11, octets(2), at(3));
  t.ledger.delivered(1, 0, 10, octets(1), at(4));
  EXPECT_EQ(t.ledger.faults().out_of_order, 1U);
}

TEST(Ledger, TheSameCounterMayComeAgainOnceAfterAReconnectAndOnlyThen) {
  Three t;
  t.ledger.delivered(1, 0, 10, octets(1), at(2));
  t.ledger.reconnected(1);
  t.ledger.delivered(1, 0, 10, octets(1), at(3));
  EXPECT_EQ(t.ledger.faults().repeated, 0U);
  EXPECT_EQ(t.ledger.totals().again, 1U);
  t.ledger.delivered(1, 0, 10, octets(1), at(4));
  EXPECT_EQ(t.ledger.faults().repeated, 1U);
}

TEST(Ledger, OctetsThatWereNotPublishedAreAltered) {
  Three t;
  t.ledger.delivered(1, 0, 10, octets(9), at(2));
  EXPECT_EQ(t.ledger.faults().altered, 1U);
  EXPECT_FALSE(t.ledger.complete());
}

TEST(Ledger, ACounterThatNobodyPublishedIsInvented) {
  Three t;
  t.ledger.delivered(1, 0, 12, octets(1), at(2));
  EXPECT_EQ(t.ledger.faults().invented, 1U);
}

TEST(Ledger, WhatCameFromAnEarlierRunMustStandBelowTheFirstPublished) {
  Ledger ledger(2, 0);
  ledger.delivered(1, 0, 5, octets(1), at(1));
  EXPECT_EQ(ledger.totals().from_before, 1U);
  EXPECT_TRUE(ledger.complete());
  ledger.published(0, 6, octets(2), at(2));
  EXPECT_EQ(ledger.faults().sum(), 0U);
  ledger.delivered(0, 1, 9, octets(1), at(3));
  ledger.published(1, 9, octets(2), at(4));
  EXPECT_EQ(ledger.faults().invented, 1U);
}

TEST(Ledger, ADimOfAnotherGroupIsAStrangers) {
  Ledger ledger(4, 2);
  ledger.published(0, 1, octets(1), at(1));
  EXPECT_EQ(ledger.peers_of(0), 1U);
  ledger.delivered(2, 0, 1, octets(1), at(2));
  EXPECT_EQ(ledger.faults().stranger, 1U);
  ledger.delivered(1, 0, 1, octets(1), at(2));
  EXPECT_TRUE(ledger.complete());
}

TEST(Ledger, AnOvertakenAcceptedDimIsCoalescedAndNotLost) {
  Three t;
  t.ledger.accepted(0, 10, at(2));
  t.ledger.published(0, 11, octets(2), at(3));
  t.ledger.delivered(1, 0, 11, octets(2), at(4));
  t.ledger.delivered(2, 0, 11, octets(2), at(4));
  EXPECT_TRUE(t.ledger.complete());
  EXPECT_EQ(t.ledger.totals().coalesced, 2U);
}

TEST(Ledger, ARefusedPublishLeavesTheOneBeforeAsTheNewest) {
  Three t;
  for (DeviceNumber r : {1U, 2U}) t.ledger.delivered(r, 0, 10, octets(1), at(2));
  t.ledger.published(0, 11, octets(2), at(3));
  EXPECT_FALSE(t.ledger.complete());
  t.ledger.refused(0, 11);
  EXPECT_TRUE(t.ledger.complete());
  EXPECT_EQ(t.ledger.faults().refused, 1U);
}

TEST(Ledger, WhatAnExcusedReceiverLacksIsCountedApartUntilItIsExcusedNoMore) {
  Three t;
  t.ledger.excuse(2, true);
  t.ledger.delivered(1, 0, 10, octets(1), at(2));
  EXPECT_FALSE(t.ledger.complete());
  EXPECT_TRUE(t.ledger.complete_but_excused());
  t.ledger.excuse(2, false);
  EXPECT_FALSE(t.ledger.complete_but_excused());
  t.ledger.delivered(2, 0, 10, octets(1), at(900));
  EXPECT_TRUE(t.ledger.complete());
  EXPECT_EQ(t.ledger.times().delivered.max(), milliseconds(1)) << "its delay is nobody's fault";
}

TEST(Ledger, TimesAreThoseOfWhatWasPublishedSinceMeasuringBegan) {
  Three t;
  t.ledger.start_measuring(at(5));
  t.ledger.delivered(1, 0, 10, octets(1), at(6));
  t.ledger.published(0, 11, octets(2), at(10));
  t.ledger.accepted(0, 11, at(14));
  t.ledger.delivered(1, 0, 11, octets(2), at(12));
  t.ledger.delivered(2, 0, 11, octets(2), at(18));
  EXPECT_EQ(t.ledger.times().delivered.count(), 2U);
  EXPECT_EQ(t.ledger.times().everybody.max(), milliseconds(8));
  EXPECT_EQ(t.ledger.times().accepted.max(), milliseconds(4));
  EXPECT_EQ(t.ledger.times().first_published, at(10));
  EXPECT_EQ(t.ledger.times().last_delivered, at(18));
}

TEST(Histogram, QuantilesAreWithinAThirtySecondOfTheValue) {
  Histogram h;
  for (int i = 1; i <= 10000; ++i) h.add(std::chrono::microseconds(i));
  for (const double share : {0.01, 0.5, 0.9, 0.99}) {
    const double exact = share * 10000 * 1000;
    const auto found = static_cast<double>(h.quantile(share).count());
    EXPECT_GE(found, exact) << share;
    EXPECT_LE(found, exact * (1 + 1.0 / 32)) << share;
  }
  EXPECT_EQ(h.quantile(1), h.max());
  EXPECT_EQ(h.max(), std::chrono::milliseconds(10));
}

TEST(Histogram, HasABucketForZeroAndForCenturies) {
  Histogram h;
  EXPECT_EQ(h.quantile(0.5), Duration{0});
  h.add(Duration{0});
  EXPECT_EQ(h.quantile(0.5), Duration{0});
  h.add(Duration::max());
  EXPECT_EQ(h.quantile(1), Duration::max());
}

}  // namespace
}  // namespace cygnet::load
