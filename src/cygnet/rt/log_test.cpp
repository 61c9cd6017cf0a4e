// SPDX-License-Identifier: Apache-2.0
#include "cygnet/rt/log.h"

#include <gtest/gtest.h>

#include <type_traits>
#include <vector>

#include "cygnet/rt/json.h"

namespace cygnet::rt {
namespace {

class Log : public testing::Test {
 protected:
  Log() {
    capture_log([this](LogLevel, const std::string& line) { lines_.push_back(line); });
  }
  ~Log() override {
    capture_log({});
    configure_log(LogLevel::kInfo, LogFormat::kText);
  }
  std::vector<std::string> lines_;
};

static_assert(!std::is_constructible_v<LogField, std::string_view, SecretBytes&>,
              "a secret must not become a log field");

TEST_F(Log, TextLinesCarryMessageAndFields) {
  log_info("peer is up", {{"peer", "hub-1"}, {"rtt_ms", 12}, {"confirmed", true}});
  ASSERT_EQ(lines_.size(), 1U);
  EXPECT_NE(lines_[0].find("info    peer is up peer=hub-1 rtt_ms=12 confirmed=true"),
            std::string::npos)
      << lines_[0];
}

TEST_F(Log, JsonLinesParse) {
  configure_log(LogLevel::kInfo, LogFormat::kJson);
  log_warning("odd \"name\"\n", Error{ErrorCode("x-y"), "what happened", "where", "cure"},
              {{"peer", std::string("a\tb")}, {"count", std::uint64_t{1} << 63}});
  ASSERT_EQ(lines_.size(), 1U);
  const auto json = parse_json(lines_[0]);
  ASSERT_TRUE(json) << lines_[0];
  EXPECT_EQ((*json)["message"], "odd \"name\"\n");
  EXPECT_EQ((*json)["level"], "warning");
  EXPECT_EQ((*json)["peer"], "a\tb");
  EXPECT_EQ((*json)["count"], std::uint64_t{1} << 63);
  EXPECT_EQ((*json)["errc"], "x-y");
  EXPECT_EQ((*json)["cure"], "cure");
}

TEST_F(Log, AValueCannotForgeAFieldOrALine) {
  log_info("refused\nfake line", {{"name", "x peer=hub-1\nnext"}});
  ASSERT_EQ(lines_.size(), 1U);
  EXPECT_EQ(lines_[0].find('\n'), std::string::npos);
  EXPECT_NE(lines_[0].find("name=\"x peer=hub-1\\u000anext\""), std::string::npos) << lines_[0];
}

TEST_F(Log, LinesBelowTheLevelAreNotMade) {
  configure_log(LogLevel::kWarning, LogFormat::kText);
  log_info("quiet");
  log_error("loud");
  EXPECT_EQ(lines_.size(), 1U);
  EXPECT_FALSE(log_enabled(LogLevel::kDebug));
}

TEST_F(Log, SettingsAreReadByName) {
  EXPECT_EQ(parse_log_level("debug").value(), LogLevel::kDebug);
  EXPECT_FALSE(parse_log_level("loud"));
  EXPECT_EQ(parse_log_format("json").value(), LogFormat::kJson);
  EXPECT_FALSE(parse_log_format("xml"));
}

TEST(Json, KeepsTheOrderOfKeys) {
  EXPECT_EQ(dump_json(parse_json(R"({"z":1,"a":2})").value()), R"({"z":1,"a":2})");
}

TEST(Json, ErrorsNameLineAndColumn) {
  const auto refused = parse_json("{\n \"a\": ,\n}");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, kErrJson);
  EXPECT_EQ(refused.error().where, "line 2 column 7");
}

TEST(Json, NestingIsLimited) {
  EXPECT_FALSE(parse_json(std::string(100000, '[') + std::string(100000, ']')));
  EXPECT_TRUE(parse_json(std::string(60, '[') + std::string(60, ']')));
}

TEST(Json, TypedMembersSayWhatIsWrong) {
  const auto object = parse_json(R"({"s":"x","n":5,"b":true,"neg":-1,"null":null})").value();
  EXPECT_EQ(json_string(object, "s").value(), "x");
  EXPECT_EQ(json_uint(object, "n").value(), 5U);
  EXPECT_EQ(json_bool(object, "b").value(), true);
  EXPECT_EQ(json_string(object, "null").value(), std::nullopt);
  EXPECT_EQ(json_string(object, "missing").value(), std::nullopt);
  EXPECT_FALSE(json_uint(object, "neg"));
  EXPECT_FALSE(json_string(object, "n"));
  EXPECT_FALSE(json_bool(object, "s"));
  EXPECT_FALSE(json_string(Json::array(), "s"));
}

TEST(Json, OctetsThatAreNoUtf8AreReplaced) {
  Json json;
  json["x"] = "a\xff";
  EXPECT_TRUE(parse_json(dump_json(json)));
}

}  // namespace
}  // namespace cygnet::rt
