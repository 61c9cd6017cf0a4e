// SPDX-License-Identifier: Apache-2.0
#include "cygnet/controller/policy/values.h"

#include <gtest/gtest.h>

#include "cygnet/controller/policy/nearest.h"
#include "cygnet/controller/policy/prefix.h"
#include "cygnet/controller/policy/selector.h"

namespace cygnet::controller::policy {
namespace {

using std::chrono::milliseconds;

TEST(PolicyValues, DurationsCarryUnitsThatFall) {
  EXPECT_EQ(parse_duration("90s"), milliseconds(90'000));
  EXPECT_EQ(parse_duration("1h30m"), milliseconds(5'400'000));
  EXPECT_EQ(parse_duration("2d"), milliseconds(172'800'000));
  EXPECT_EQ(parse_duration("500ms"), milliseconds(500));
  EXPECT_EQ(parse_duration("1m500ms"), milliseconds(60'500));
  for (const char* bad : {"", "1", "h", "1 h", "1x", "30m1h", "1h1h", "-1h", "1.5h", "1H",
                          "99999999999999999999h", "36501d"}) {
    EXPECT_FALSE(parse_duration(bad)) << bad;
  }
  for (const char* text : {"1h30m", "24h", "90s", "1d2h3m4s5ms"}) {
    const auto parsed = parse_duration(text);
    ASSERT_TRUE(parsed);
    EXPECT_EQ(parse_duration(format_duration(*parsed)), parsed) << text;
  }
  EXPECT_EQ(format_duration(milliseconds(86'400'000)), "1d");
  EXPECT_EQ(format_duration(milliseconds(0)), "0s");
}

TEST(PolicyValues, SharesAreWholePercentsOrTenths) {
  EXPECT_EQ(parse_percent("10%"), 100U);
  EXPECT_EQ(parse_percent("2.5%"), 25U);
  EXPECT_EQ(parse_percent("0%"), 0U);
  EXPECT_EQ(format_permille(25), "2.5%");
  EXPECT_EQ(format_permille(100), "10%");
  for (const char* bad : {"", "%", "10", "101%", "1.55%", "-1%", "1.%"}) {
    EXPECT_FALSE(parse_percent(bad)) << bad;
  }
}

TEST(PolicyValues, CountsMayBeShortened) {
  EXPECT_EQ(parse_count("1000"), 1000U);
  EXPECT_EQ(parse_count("10k"), 10'000U);
  EXPECT_EQ(parse_count("4G"), 4'000'000'000U);
  for (const char* bad :
       {"", "k", "1.5k", "-1", "1K", "99999999999999999999", "18446744073709551G"}) {
    EXPECT_FALSE(parse_count(bad)) << bad;
  }
}

TEST(PolicyPrefixes, AreReadAndWrittenBack) {
  for (const char* text : {"10.4.17.0/24", "0.0.0.0/0", "192.0.2.1/32", "2001:db8::/32", "::/0",
                           "fd00:4:17::/48", "2001:db8:0:1::/64", "2001:0:0:1::/64"}) {
    const auto prefix = parse_prefix(text);
    ASSERT_TRUE(prefix) << text << ": " << prefix.error().to_string();
    EXPECT_EQ(to_string(*prefix), text);
  }
  EXPECT_EQ(to_string(*parse_prefix("192.0.2.1")), "192.0.2.1/32");
  EXPECT_EQ(to_string(*parse_prefix("2001:DB8:0:0:0:0:0:1")), "2001:db8::1/128");
  EXPECT_EQ(to_string(*parse_prefix("64:ff9b::192.0.2.1/128")), "64:ff9b::c000:201/128");
}

TEST(PolicyPrefixes, WithHostBitsAreRefusedAndTheNetworkIsNamed) {
  const auto prefix = parse_prefix("10.4.17.9/24");
  ASSERT_FALSE(prefix);
  EXPECT_EQ(prefix.error().code, kErrPrefix);
  EXPECT_NE(prefix.error().cure.find("10.4.17.0/24"), std::string::npos);
  EXPECT_FALSE(parse_prefix("2001:db8::1/64"));
  EXPECT_FALSE(parse_prefix("128.0.0.0/0"));
}

TEST(PolicyPrefixes, ThatAreNoneOrNobodysAreRefused) {
  for (const char* bad : {"",
                          "10",
                          "10.0.0/8",
                          "10.0.0.0/",
                          "10.0.0.0/33",
                          "10.0.0.0/08",
                          "10.0.0.256/32",
                          "010.0.0.0/8",
                          "10.0.0.0.0/8",
                          "10.0.0.0/8x",
                          "1:2:3:4:5:6:7/64",
                          "1::2::3/128",
                          ":1/128",
                          "1:/128",
                          "12345::/16",
                          "::/129",
                          "g::/16",
                          "1:2:3:4:5:6:7:8:9/128",
                          "::1.2.3/128",
                          "1:2:3:4:5:6:7::8/128",
                          "host.example/32",
                          "224.0.0.0/4",
                          "239.1.2.3",
                          "127.0.0.0/8",
                          "127.0.0.1",
                          "169.254.0.0/16",
                          "0.0.0.0/32",
                          "ff02::1",
                          "::1",
                          "::",
                          "fe80::/10",
                          "::ffff:10.0.0.0/104"}) {
    const auto prefix = parse_prefix(bad);
    ASSERT_FALSE(prefix) << bad;
    EXPECT_EQ(prefix.error().code, kErrPrefix);
  }
}

TEST(PolicyPrefixes, ContainAndOverlap) {
  const auto p = [](const char* text) { return *parse_prefix(text); };
  EXPECT_TRUE(p("10.0.0.0/8").contains(p("10.4.17.0/24")));
  EXPECT_TRUE(p("10.0.0.0/8").contains(p("10.0.0.0/8")));
  EXPECT_FALSE(p("10.4.17.0/24").contains(p("10.0.0.0/8")));
  EXPECT_TRUE(p("10.4.17.0/24").overlaps(p("10.0.0.0/8")));
  EXPECT_FALSE(p("0.0.0.0/0").overlaps(p("::/0")));
  EXPECT_FALSE(p("10.4.16.0/23").overlaps(p("10.4.18.0/23")));
}

TEST(PolicyEndpoints, AreAnAddressAndAPort) {
  for (const char* text : {"198.51.100.17:4500", "[2001:db8::17]:4500", "127.0.0.1:1"}) {
    const auto endpoint = parse_endpoint(text);
    ASSERT_TRUE(endpoint) << text;
    EXPECT_EQ(to_string(*endpoint), text);
  }
  for (const char* bad :
       {"", "198.51.100.17", "198.51.100.17:", "198.51.100.17:0", "198.51.100.17:65536",
        "gw.example:4500", "2001:db8::17:4500", "[2001:db8::17]", "[198.51.100.17]:4500",
        "[2001:db8::17]:x", "0.0.0.0:4500", "224.0.0.1:4500", "[::]:4500", "1.2.3.4:45x"}) {
    const auto endpoint = parse_endpoint(bad);
    ASSERT_FALSE(endpoint) << bad;
    EXPECT_EQ(endpoint.error().code, kErrEndpoint);
    EXPECT_FALSE(endpoint.error().cure.empty());
  }
}

TEST(PolicySelectors, MatchByLabelNameGlobAndAll) {
  const std::vector<Label> labels{{"region", "eu"}, {"role", "branch"}};
  const auto matches = [&](const char* text) {
    const auto selector = parse_selector(text);
    EXPECT_TRUE(selector) << text;
    return selector && selector->matches("store-0417", labels);
  };
  EXPECT_TRUE(matches("any"));
  EXPECT_TRUE(matches("role=branch"));
  EXPECT_TRUE(matches("role=branch,region=eu"));
  EXPECT_TRUE(matches("role=branch, region=eu"));
  EXPECT_TRUE(matches("name=store-0417"));
  EXPECT_TRUE(matches("name=store-*"));
  EXPECT_TRUE(matches("name=*-04?7,role=b*h"));
  EXPECT_TRUE(matches("region=*"));
  EXPECT_FALSE(matches("role=hub"));
  EXPECT_FALSE(matches("role=branch,region=us"));
  EXPECT_FALSE(matches("name=store"));
  EXPECT_FALSE(matches("site=*"));  // a label that is not there has no value
}

TEST(PolicySelectors, WrittenInAnotherOrderAreTheSame) {
  EXPECT_EQ(*parse_selector("a=1,b=2"), *parse_selector(" b=2 , a=1,a=1"));
  EXPECT_EQ(to_string(*parse_selector("b=2,a=1")), "a=1,b=2");
  EXPECT_EQ(to_string(*parse_selector("any")), "any");
}

TEST(PolicySelectors, ThatAreNoneAreRefusedWithACure) {
  for (const char* bad : {"", "store-0417", "role=", "=branch", "role=a b", "a=1,", ",a=1",
                          "any,role=x", "role==x", "ro*e=x", "-a=b"}) {
    const auto selector = parse_selector(bad);
    ASSERT_FALSE(selector) << bad;
    EXPECT_EQ(selector.error().code, kErrSelector);
    EXPECT_FALSE(selector.error().cure.empty()) << bad;
  }
  EXPECT_NE(parse_selector("store-0417").error().cure.find("name=store-0417"), std::string::npos);
}

TEST(PolicySelectors, GlobsWithManyStarsStayCheap) {
  const std::string text(60, 'a');
  std::string pattern;
  for (int i = 0; i < 30; ++i) pattern += "*a";
  EXPECT_TRUE(glob_matches(pattern, text));
  EXPECT_FALSE(glob_matches(pattern + "b", text));
  EXPECT_TRUE(glob_matches("*", ""));
  EXPECT_FALSE(glob_matches("?", ""));
}

TEST(PolicyNearest, GivesTheWordThatWasMeantOrNone) {
  EXPECT_EQ(nearest("prefixs", {"name", "labels", "prefixes"}), "prefixes");
  EXPECT_EQ(nearest("lable", {"name", "labels", "prefixes"}), "labels");
  EXPECT_EQ(nearest("xyzzy", {"name", "labels", "prefixes"}), "");
  EXPECT_EQ(nearest("a", {"b"}), "");
}

}  // namespace
}  // namespace cygnet::controller::policy
