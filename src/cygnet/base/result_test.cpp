// SPDX-License-Identifier: Apache-2.0
#include "cygnet/base/result.h"

#include <gtest/gtest.h>

namespace cygnet {
namespace {

constexpr ErrorCode kBroken{"broken"};

Result<int> half(int n) {
  if (n % 2 != 0) return fail(kBroken, "odd", "here", "give an even number");
  return n / 2;
}
Result<int> quarter(int n) {
  CYGNET_TRY(const int h, half(n));
  CYGNET_TRY(const int q, half(h));
  return q;
}

TEST(Result, TryPassesValuesAndErrors) {
  EXPECT_EQ(quarter(8).value(), 2);
  EXPECT_EQ(quarter(6).error().code, kBroken);
}

TEST(Result, ErrorReadsWhereWhatCodeCure) {
  EXPECT_EQ(half(3).error().to_string(), "here: odd (broken); give an even number");
  EXPECT_EQ(std::move(half(3).error()).within("outer").where, "outer: here");
}

}  // namespace
}  // namespace cygnet
