// SPDX-License-Identifier: Apache-2.0
#include "cygnet/rt/text.h"

#include <gtest/gtest.h>

namespace cygnet::rt {
namespace {

using namespace std::chrono_literals;

TEST(Text, EditDistanceCountsSwappedNeighboursOnce) {
  EXPECT_EQ(edit_distance("policy", "policy"), 0U);
  EXPECT_EQ(edit_distance("polciy", "policy"), 1U);
  EXPECT_EQ(edit_distance("", "abc"), 3U);
}

TEST(Text, NearestGivesUpWhenNothingIsNear) {
  const std::vector<std::string> words{"proposals", "prefixes", "rules"};
  EXPECT_EQ(nearest("propsals", words), "proposals");
  EXPECT_EQ(nearest("rule", words), "rules");
  EXPECT_EQ(nearest("xyzzy", words), std::nullopt);
}

TEST(Text, DurationsNeedUnits) {
  EXPECT_EQ(parse_duration("1h").value(), Duration(1h));
  EXPECT_EQ(parse_duration("90s").value(), Duration(90s));
  EXPECT_EQ(parse_duration("500ms").value(), Duration(500ms));
  EXPECT_EQ(parse_duration("1h30m").value(), Duration(90min));
  EXPECT_EQ(parse_duration("1.5s").value(), Duration(1500ms));
  EXPECT_EQ(parse_duration("0").value(), Duration(0));
  for (const char* bad : {"", "5", "h", "1x", "1m1h", "-1s", "1h 30m", "1e3s", ".5s", "999999d"}) {
    const auto refused = parse_duration(bad);
    ASSERT_FALSE(refused) << bad;
    EXPECT_EQ(refused.error().code, kErrQuantity) << bad;
    EXPECT_FALSE(refused.error().cure.empty()) << bad;
  }
}

TEST(Text, FormattedDurationsReadBackExactly) {
  for (const Duration d :
       {Duration(0), Duration(90s), Duration(3723s), Duration(1ns), Duration(26h)}) {
    EXPECT_EQ(parse_duration(format_duration(d)).value(), d) << format_duration(d);
  }
  EXPECT_EQ(format_duration(90s), "1m30s");
  EXPECT_EQ(format_duration_short(4200ms), "4.2s");
  EXPECT_EQ(format_duration_short(80ms), "80ms");
  EXPECT_EQ(format_duration_short(26h), "1d 2h");
}

TEST(Text, SizesAndRatesNeedUnits) {
  EXPECT_EQ(parse_size("64KiB").value(), 65536U);
  EXPECT_EQ(parse_size("1 MB").value(), 1000000U);
  EXPECT_FALSE(parse_size("64"));
  EXPECT_FALSE(parse_size("64K"));
  EXPECT_DOUBLE_EQ(parse_rate("200/s").value(), 200);
  EXPECT_DOUBLE_EQ(parse_rate("60/min").value(), 1);
  EXPECT_FALSE(parse_rate("200"));
  EXPECT_EQ(parse_bit_rate("1Mbit/s").value(), 1000000U);
  EXPECT_FALSE(parse_bit_rate("1Mb"));
  EXPECT_EQ(format_size(1536), "1.5 KiB");
  EXPECT_EQ(format_size(12), "12 B");
}

TEST(Text, HostsWithPortsOfBothFamiliesAreRead) {
  EXPECT_EQ(parse_host_port("192.0.2.1:4500").value().port, 4500);
  EXPECT_EQ(parse_host_port("[2001:db8::1]:4500").value().host, "2001:db8::1");
  EXPECT_EQ(parse_host_port("[2001:db8::1]:4500").value().to_string(), "[2001:db8::1]:4500");
  EXPECT_EQ(parse_host_port("ctl.example", 7443).value().port, 7443);
  EXPECT_EQ(parse_host_port("2001:db8::1", 7443).value().host, "2001:db8::1");
  for (const char* bad :
       {"", ":1", "host", "host:0", "host:65536", "host:x", "[::1", "[::1]x", "2001:db8::1"}) {
    EXPECT_FALSE(parse_host_port(bad)) << bad;
  }
}

TEST(Text, DnsLabelsAreLowerCaseAndShort) {
  EXPECT_TRUE(is_dns_label("store-0417"));
  for (const std::string& bad : {std::string(), std::string("-a"), std::string("a-"),
                                 std::string("A"), std::string("a.b"), std::string(64, 'a')}) {
    EXPECT_FALSE(is_dns_label(bad)) << bad;
  }
}

}  // namespace
}  // namespace cygnet::rt
