// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/backend/userspace/checksum.h"

#include <gtest/gtest.h>

#include <random>

namespace cygnet::agent::userspace {
namespace {

/// RFC 1071 as it reads: 16 bits at a time, in network order.
std::uint16_t by_the_book(ByteView octets) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < octets.size(); i += 2) {
    const std::uint32_t low = i + 1 < octets.size() ? octets[i + 1] : 0;
    sum += (std::uint32_t{octets[i]} << 8) | low;
    sum = (sum & 0xffff) + (sum >> 16);
  }
  return static_cast<std::uint16_t>(~sum & 0xffff);
}

/// Zero is written two ways in one's complement; both mean the same.
std::uint16_t one_zero(std::uint16_t sum) { return sum == 0xffff ? 0 : sum; }

TEST(Checksum, OfEveryLengthAndAlignmentIsThatOfTheBook) {
  std::mt19937 random(7);
  Bytes memory(4096);
  for (auto& octet : memory) octet = static_cast<std::uint8_t>(random());
  for (std::size_t length = 0; length < 300; ++length) {
    for (const std::size_t offset : {0U, 1U, 2U, 7U, 31U}) {
      const ByteView octets = ByteView(memory).subspan(offset, length);
      EXPECT_EQ(one_zero(checksum_finish(checksum_add(0, octets))), one_zero(by_the_book(octets)))
          << length << " octets at " << offset;
    }
  }
}

TEST(Checksum, OfOnlyOnesDoesNotLoseACarry) {
  for (const std::size_t length : {31U, 32U, 64U, 1400U, 65535U}) {
    const Bytes octets(length, 0xff);
    EXPECT_EQ(one_zero(checksum_finish(checksum_add(0, octets))), one_zero(by_the_book(octets)));
  }
}

TEST(Checksum, CopyingSumsTheSameAndTouchesNothingElse) {
  std::mt19937 random(8);
  Bytes from(2000);
  for (auto& octet : from) octet = static_cast<std::uint8_t>(random());
  for (std::size_t length = 0; length < 200; ++length) {
    const ByteView octets = ByteView(from).subspan(length % 5, length);
    Bytes to(length + 2, 0xa5);
    EXPECT_EQ(checksum_copy(123, octets, to.data() + 1), checksum_add(123, octets));
    EXPECT_TRUE(std::equal(octets.begin(), octets.end(), to.begin() + 1));
    EXPECT_EQ(to.front(), 0xa5);
    EXPECT_EQ(to.back(), 0xa5);
  }
}

}  // namespace
}  // namespace cygnet::agent::userspace
