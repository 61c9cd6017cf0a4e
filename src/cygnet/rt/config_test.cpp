// SPDX-License-Identifier: Apache-2.0
#include "cygnet/rt/config.h"

#include <gtest/gtest.h>

namespace cygnet::rt {
namespace {

using namespace std::chrono_literals;

ConfigDocument parse(std::string_view text) {
  auto document = ConfigDocument::parse(text, "t.yaml");
  EXPECT_TRUE(document) << document.error().to_string();
  return *document;
}

TEST(Config, ReadsEveryKindOfValue) {
  const auto document = parse(R"(name: hub-1
count: 7
on: true
every: 1h30m
jitter: 10%
room: 64KiB
pace: 200/s
speed: 1Mbit/s
mode: on-demand
prefixes: [10.4.17.0/24, "fd00:4:17::/48"]
labels: {role: branch, region: eu}
nested: {inner: {deep: 3}}
list:
  - {a: 1}
  - a: 2
)");
  ConfigProblems problems;
  {
    auto root = document.root(problems);
    EXPECT_EQ(root.string("name"), "hub-1");
    EXPECT_EQ(root.integer("count", 0, 10), 7);
    EXPECT_TRUE(root.boolean("on", false));
    EXPECT_EQ(root.duration("every"), Duration(90min));
    EXPECT_DOUBLE_EQ(root.fraction("jitter", 0), 0.1);
    EXPECT_EQ(root.size("room"), 65536U);
    EXPECT_DOUBLE_EQ(root.rate("pace"), 200);
    EXPECT_EQ(root.bit_rate("speed"), 1000000U);
    EXPECT_EQ(root.word("mode", {"always", "on-demand"}, "always"), "on-demand");
    EXPECT_EQ(root.strings("prefixes"),
              (std::vector<std::string>{"10.4.17.0/24", "fd00:4:17::/48"}));
    EXPECT_EQ(root.string_map("labels").size(), 2U);
    EXPECT_EQ(root.map("nested").map("inner").integer("deep", 0, 9), 3);
    auto list = root.maps("list");
    ASSERT_EQ(list.size(), 2U);
    EXPECT_EQ(list[0].integer("a", 0, 9) + list[1].integer("a", 0, 9), 3);
  }
  const Status ok = problems.to_status("t.yaml");
  EXPECT_TRUE(ok) << ok.error().to_string();
}

TEST(Config, AnUnknownKeyNamesPlaceAndNearestKnownKey) {
  const auto document = parse("mesh: corp\nrekey:\n  evry: 1h\n");
  ConfigProblems problems;
  {
    auto root = document.root(problems);
    EXPECT_EQ(root.string("mesh"), "corp");
    EXPECT_EQ(root.map("rekey").duration("every", 1h), Duration(1h));
  }
  const Status refused = problems.to_status("t.yaml");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, kErrConfig);
  EXPECT_EQ(refused.error().where, "t.yaml:3:3");
  EXPECT_EQ(refused.error().message, "unknown key \"evry\" in rekey");
  EXPECT_EQ(refused.error().cure, "did you mean \"every\"?");
}

TEST(Config, EveryProblemIsCollectedInOrder) {
  const auto document = parse("b: x\na: 5\nc: [1]\n");
  ConfigProblems problems;
  {
    auto root = document.root(problems);
    std::ignore = root.string("missing");
    std::ignore = root.duration("a");
    std::ignore = root.integer("b", 0, 9);
    std::ignore = root.string("c");
  }
  const auto all = problems.sorted();
  ASSERT_EQ(all.size(), 4U);
  EXPECT_EQ(all[0].message, "missing is missing");
  EXPECT_EQ(all[1].position.line, 1U);
  EXPECT_NE(all[2].message.find("has no unit"), std::string::npos);
  EXPECT_EQ(all[3].message, "c must be a text, not a list");
  EXPECT_NE(problems.to_status("t").error().message.find("3 more problems"), std::string::npos);
}

TEST(Config, PathsNameListItems) {
  const auto document = parse("devices:\n  - name: a\n  - nam: b\n  - 5\n");
  ConfigProblems problems;
  {
    auto root = document.root(problems);
    for (auto& device : root.maps("devices")) std::ignore = device.string("name");
  }
  const auto all = problems.sorted();
  ASSERT_EQ(all.size(), 3U);
  EXPECT_EQ(all[0].path, "devices[1].name");
  EXPECT_EQ(all[1].path, "devices[1].nam");
  EXPECT_EQ(all[2].path, "devices[2]");
}

TEST(Config, QuotedWordsAreNoBooleans) {
  const auto document = parse("on: \"true\"\noff: yes\n");
  ConfigProblems problems;
  {
    auto root = document.root(problems);
    EXPECT_FALSE(root.boolean("on", false));
    EXPECT_FALSE(root.boolean("off", false));
  }
  EXPECT_EQ(problems.sorted().size(), 2U);
}

TEST(Config, SyntaxErrorsNameLineAndColumn) {
  struct Case {
    const char* text;
    const char* where;
    const char* message;
  };
  for (const auto& [text, where, message] :
       {Case{"a: 1\na: 2\n", "t.yaml:2:1", "given twice"},
        Case{"a: &x 1\nb: *x\n", "t.yaml:1:", "anchors"},
        Case{"a: [1, 2\n", "t.yaml:", "not valid YAML"},
        Case{"a: 1\n---\nb: 2\n", "t.yaml:3:", "second document"},
        Case{"? [x]\n: 1\n", "t.yaml:1:", "a key must be a word"},
        Case{"a:\n\t- 1\n", "t.yaml:2:", "not valid YAML"}}) {
    const auto refused = ConfigDocument::parse(text, "t.yaml");
    ASSERT_FALSE(refused) << text;
    EXPECT_EQ(refused.error().code, kErrConfigSyntax) << text;
    EXPECT_EQ(refused.error().where.rfind(where, 0), 0U) << refused.error().to_string();
    EXPECT_NE(refused.error().message.find(message), std::string::npos)
        << refused.error().to_string();
  }
}

TEST(Config, DeepAndHugeDocumentsAreRefused) {
  const auto deep = ConfigDocument::parse(std::string(100, '[') + std::string(100, ']'), "t");
  ASSERT_FALSE(deep);
  EXPECT_NE(deep.error().message.find("nested deeper"), std::string::npos);
  const auto huge = ConfigDocument::parse(std::string((16U << 20) + 1, ' '), "t");
  ASSERT_FALSE(huge);
}

TEST(Config, AnEmptyDocumentIsAnEmptyMapping) {
  const auto document = parse("# nothing\n");
  ConfigProblems problems;
  { EXPECT_EQ(document.root(problems).string("name", "x"), "x"); }
  EXPECT_TRUE(problems.empty());
}

TEST(Config, AListAtTheTopIsAProblem) {
  const auto document = parse("- 1\n");
  ConfigProblems problems;
  { auto root = document.root(problems); }
  EXPECT_FALSE(problems.to_status("t"));
}

}  // namespace
}  // namespace cygnet::rt
