// SPDX-License-Identifier: Apache-2.0
#include "cygnet/base/secret.h"

#include <gtest/gtest.h>

#include <type_traits>

namespace cygnet {
namespace {

static_assert(!std::is_copy_constructible_v<SecretBytes>);
static_assert(!std::is_copy_assignable_v<SecretBytes>);

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-7
//= type=test
//# when a connection is closed each endpoint MUST forget not only the keys used by the connection
//# but also any information that could be used to recompute those keys.
TEST(Secret, WipeZeroesTheMemoryItHeld) {
  SecretBytes secret(ByteView(Bytes{1, 2, 3, 4}));
  const std::uint8_t* where = secret.reveal().data();
  secure_zero(secret.reveal_mutable().data(), secret.size());
  for (int i = 0; i < 4; ++i) EXPECT_EQ(where[i], 0);
  secret.wipe();
  EXPECT_TRUE(secret.empty());
}

TEST(Secret, MovingLeavesTheSourceEmpty) {
  SecretBytes a(ByteView(Bytes{9, 8}));
  const SecretBytes b(std::move(a));
  EXPECT_TRUE(a.empty());  // NOLINT(bugprone-use-after-move): what the test is about
  EXPECT_EQ(b.size(), 2U);
}

TEST(Secret, SliceCopiesTheAskedPart) {
  const SecretBytes secret(ByteView(Bytes{1, 2, 3, 4, 5}));
  EXPECT_EQ(to_hex(secret.slice(1, 3).reveal()), "020304");
}

}  // namespace
}  // namespace cygnet
