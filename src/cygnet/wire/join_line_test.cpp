// SPDX-License-Identifier: Apache-2.0
#include "cygnet/wire/join_line.h"

#include <gtest/gtest.h>

namespace cygnet::wire {
namespace {

JoinLine example() {
  JoinLine line;
  line.host = "198.51.100.1";
  line.port = 7443;
  line.mesh = "corp";
  line.name = "store-1";
  line.token = "00112233445566778899aabbccddeeff00112233";
  line.ca_fingerprint.fill(0xab);
  return line;
}

TEST(JoinLine, ReadsBackWhatItWrote) {
  const JoinLine line = example();
  EXPECT_EQ(*parse_join_line(to_string(line)), line);
}

TEST(JoinLine, AcceptsTheWholeCommandAndSpaceAround) {
  EXPECT_EQ(*parse_join_line("  sudo cygnet-agent join " + to_string(example()) + " \n"),
            example());
}

TEST(JoinLine, AnIpv6AddressNeedsNoBrackets) {
  JoinLine line = example();
  line.host = "2001:db8::17";
  line.name.reset();
  EXPECT_NE(to_string(line).find("cyg1:2001:db8::17:7443/corp/-/"), std::string::npos);
  EXPECT_EQ(*parse_join_line(to_string(line)), line);
}

TEST(JoinLine, NamesThePartThatIsWrong) {
  const std::string good = to_string(example());
  const auto message = [](const std::string& text) {
    const auto result = parse_join_line(text);
    return result ? std::string("accepted") : result.error().message;
  };
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    text.replace(text.find(from), from.size(), to);
    return text;
  };
  EXPECT_NE(message("hello").find("cyg1:"), std::string::npos);
  EXPECT_NE(message(with(":7443", "")).find("port"), std::string::npos);
  EXPECT_NE(message(with("7443", "74430")).find("port"), std::string::npos);
  EXPECT_NE(message(with("7443", "0")).find("port"), std::string::npos);
  EXPECT_NE(message(with("/corp/", "/Corp/")).find("mesh"), std::string::npos);
  EXPECT_NE(message(with("store-1", "-store")).find("device"), std::string::npos);
  EXPECT_NE(message(with("/store-1", "")).find("4 parts"), std::string::npos);
  EXPECT_NE(message(with("0011", "zz11")).find("token"), std::string::npos);
  EXPECT_NE(message(good.substr(0, good.size() - 2)).find("fingerprint"), std::string::npos);
}

TEST(JoinLine, ARefusalNeverRepeatsTheToken) {
  std::string text = to_string(example());
  text.pop_back();
  const auto result = parse_join_line(text);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().to_string().find(example().token), std::string::npos);
}

}  // namespace
}  // namespace cygnet::wire
