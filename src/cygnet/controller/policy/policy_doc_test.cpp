// SPDX-License-Identifier: Apache-2.0
// docs/policy.md must not promise what the code does not do: every example is tried, every error
// code and key it names exists, and every one that exists is named.
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "cygnet/controller/policy/parse.h"
#include "cygnet/controller/policy/plan.h"

namespace cygnet::controller::policy {
namespace {

std::string document_text() {
  std::ifstream file("docs/policy.md");  // tests run in the source tree
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

struct Example {
  std::string expectation;  ///< "applies", or "refused CODE"
  std::string yaml;
  std::size_t line;
};

std::vector<Example> examples() {
  std::istringstream text(document_text());
  std::vector<Example> out;
  std::string line;
  std::string expectation;
  std::size_t number = 0;
  const std::string open = "<!-- test: ";
  while (std::getline(text, line)) {
    ++number;
    if (line.starts_with(open)) {
      expectation = line.substr(open.size(), line.find(" -->") - open.size());
    } else if (line == "```yaml") {
      Example example{expectation, {}, number};
      while (std::getline(text, line) && line != "```") {
        ++number;
        example.yaml += line + "\n";
      }
      ++number;
      out.push_back(std::move(example));
      expectation.clear();
    }
  }
  return out;
}

/// "applies", "refused CODE", with all words for the reader of a failure.
std::pair<std::string, std::string> outcome(const std::string& yaml) {
  auto document = parse(yaml, "mesh.yaml");
  if (!document) {
    return {"refused " + std::string(document.error().code.name()), document.error().to_string()};
  }
  auto policy = CompiledPolicy::compile(std::move(*document), {}, std::make_shared<DeviceNames>());
  if (!policy) {
    return {"refused " + std::string(policy.error().code.name()), policy.error().to_string()};
  }
  const Plan plan = make_plan(nullptr, *policy);
  if (!plan.applicable()) {
    return {"refused " + std::string(plan.refusals[0].code.name()), plan.refusals[0].to_string()};
  }
  return {"applies", ""};
}

TEST(PolicyDocument, EveryExampleDoesWhatTheTextSays) {
  const auto all = examples();
  EXPECT_GE(all.size(), 11U);
  for (const Example& example : all) {
    const auto [result, words] = outcome(example.yaml);
    EXPECT_EQ(result, example.expectation) << "docs/policy.md:" << example.line << ": " << words;
  }
}

TEST(PolicyDocument, ErrorsShownAreThoseTheCodeGives) {
  const std::string text = document_text();
  for (const Example& example : examples()) {
    if (example.expectation != "refused policy-test-failed") continue;
    const auto [result, words] = outcome(example.yaml);
    EXPECT_NE(text.find(words), std::string::npos) << words;
  }
  const auto refused = parse("mesh: corp\ndevices:\n  - prefixs: []\n    name: a\n", "mesh.yaml");
  ASSERT_FALSE(refused);
  EXPECT_NE(text.find(refused.error().to_string()), std::string::npos)
      << refused.error().to_string();
}

TEST(PolicyDocument, NamesEveryErrorCode) {
  const std::string text = document_text();
  for (const ErrorCode code :
       {kErrYaml, kErrUnknownKey, kErrMissingKey, kErrDuplicate, kErrValue, kErrPrefix,
        kErrEndpoint, kErrSelector, kErrOverlap, kErrUnknownDevice, kErrProposals, kErrLimits,
        kErrNotSupported, kErrTestFailed, kErrMeshRenamed, proto::kErrPolicyText}) {
    EXPECT_NE(text.find("`" + std::string(code.name()) + "`"), std::string::npos) << code.name();
  }
}

TEST(PolicyDocument, DefaultsInItsTableAreTheCodes) {
  const auto document = parse("mesh: corp\n", "m.yaml");
  ASSERT_TRUE(document);
  // The second example writes every default out; it must be the empty document but for packets.
  auto all = examples();
  ASSERT_GE(all.size(), 2U);
  const auto written = parse(all[1].yaml, "m.yaml");
  ASSERT_TRUE(written) << written.error().to_string();
  EXPECT_EQ(written->rekey.every, document->rekey.every);
  EXPECT_EQ(written->rekey.jitter_permille, document->rekey.jitter_permille);
  EXPECT_EQ(written->lifetime, document->lifetime);
  EXPECT_EQ(written->lanes, document->lanes);
  EXPECT_EQ(written->replay_window, document->replay_window);
  EXPECT_EQ(written->drain, document->drain);
  EXPECT_EQ(written->forget_cap, document->forget_cap);
  EXPECT_EQ(written->derive, document->derive);
  EXPECT_EQ(written->profile, document->profile);
  ASSERT_EQ(written->proposals.size(), document->proposals.size());
  for (std::size_t i = 0; i < written->proposals.size(); ++i) {
    EXPECT_EQ(written->proposals[i].policy, document->proposals[i].policy);
  }
}

}  // namespace
}  // namespace cygnet::controller::policy
