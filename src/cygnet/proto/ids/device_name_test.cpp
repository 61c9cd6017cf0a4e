// SPDX-License-Identifier: Apache-2.0
#include "cygnet/proto/ids/device_name.h"

#include <gtest/gtest.h>

namespace cygnet::proto {
namespace {

TEST(DeviceNames, AreTwoLowerCaseDnsLabels) {
  const auto name = parse_device_name("store-0417.corp");
  ASSERT_TRUE(name.has_value());
  EXPECT_EQ(name->value(), "store-0417.corp");
  EXPECT_EQ(name_label(*name), "store-0417");
  EXPECT_EQ(mesh_label(*name), "corp");
  EXPECT_TRUE(make_device_name("a", "b").has_value());
  EXPECT_TRUE(make_device_name(std::string(63, 'x'), std::string(63, '9')).has_value());
}

TEST(DeviceNames, RefuseEverythingElse) {
  for (const char* text : {"", "a", "a.", ".b", "a.b.c", "A.b", "a.B", "-a.b", "a-.b", "a.-b",
                           "a.b-", "a_b.c", "a b.c", "a.b ", "*.b", "\xc3\xa9.b"}) {
    const auto name = parse_device_name(text);
    ASSERT_FALSE(name.has_value()) << text;
    EXPECT_EQ(name.error().code, kErrDeviceName);
  }
  EXPECT_FALSE(make_device_name(std::string(64, 'x'), "b").has_value());
  EXPECT_FALSE(make_device_name("a", std::string(64, 'x')).has_value());
}

TEST(DeviceNames, RefusalsCarryNoControlCharacters) {
  const auto name = parse_device_name("evil\x1b[2J\n.mesh");
  ASSERT_FALSE(name.has_value());
  for (const char c : name.error().message) EXPECT_GE(c, ' ');
}

}  // namespace
}  // namespace cygnet::proto
