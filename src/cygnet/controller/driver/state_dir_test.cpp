// SPDX-License-Identifier: Apache-2.0
#include "cygnet/controller/driver/state_dir.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "cygnet/controller/store/store_test_support.h"
#include "cygnet/wire/join_line.h"

namespace cygnet::controller {
namespace {

constexpr ServerTime kNow{std::chrono::hours(24 * 365 * 56)};

struct Directory {
  store::TempDirectory parent;
  rt::Path path = parent.file("state");
  [[nodiscard]] InitOptions options(const std::string& mesh = "corp") const {
    InitOptions out;
    out.directory = path;
    out.mesh = mesh;
    out.listen = {"127.0.0.1", 7443};
    return out;
  }
  [[nodiscard]] mode_t mode(const char* name) const {
    struct stat info {};
    EXPECT_EQ(stat((path / name).c_str(), &info), 0) << name;
    return info.st_mode & 0777;
  }
  [[nodiscard]] std::string text(const char* name) const {
    return rt::read_text_file(path / name).value_or("");
  }
};

TEST(StateDirectory, InitMakesEverythingAndAJoinLine) {
  const Directory directory;
  const auto report = init_state(directory.options(), kNow);
  ASSERT_TRUE(report) << report.error().to_string();
  EXPECT_TRUE(report->fresh);
  ASSERT_TRUE(report->join_line);
  const auto line = wire::parse_join_line(*report->join_line);
  ASSERT_TRUE(line) << line.error().to_string();
  EXPECT_EQ(line->mesh, "corp");
  EXPECT_EQ(line->ca_fingerprint, report->ca_fingerprint);
  EXPECT_FALSE(line->name);
  for (const char* secret : {"identity-ca.key", "server.key", "admin.token"}) {
    EXPECT_EQ(directory.mode(secret), 0600U) << secret;
  }

  auto state = open_state(directory.path, kNow);
  ASSERT_TRUE(state) << state.error().to_string();
  EXPECT_EQ(state->mesh.mesh.name, "corp");
  EXPECT_EQ(state->mesh.mesh.id, report->mesh_id);
  ASSERT_EQ(state->mesh.tokens.size(), 1U);
  EXPECT_EQ(state->mesh.tokens[0].hash, crypto::sha256({*from_hex(line->token)}))
      << "only the hash of a token is stored";
  ASSERT_TRUE(state->authority);
  const auto& leaf = state->server.chain.front();
  EXPECT_TRUE(crypto::verify_chain(leaf, {}, {state->ca}, kNow));
  EXPECT_EQ(leaf.spki(), state->server.key.spki());
}

TEST(StateDirectory, InitAgainKeepsEveryKeyAndMakesNoToken) {
  const Directory directory;
  const auto first = init_state(directory.options(), kNow);
  ASSERT_TRUE(first);
  std::map<std::string, std::string> before;
  for (const char* name :
       {"identity-ca.key", "identity-ca.pem", "server.key", "server.pem", "admin.token"}) {
    before[name] = directory.text(name);
    EXPECT_FALSE(before[name].empty());
  }
  const auto again = init_state(directory.options(), kNow);
  ASSERT_TRUE(again) << again.error().to_string();
  EXPECT_FALSE(again->fresh);
  EXPECT_FALSE(again->join_line);
  EXPECT_EQ(again->mesh_id, first->mesh_id);
  for (const auto& [name, text] : before) EXPECT_EQ(directory.text(name.c_str()), text) << name;
}

TEST(StateDirectory, AnotherMeshIsRefusedThere) {
  const Directory directory;
  ASSERT_TRUE(init_state(directory.options(), kNow));
  const auto other = init_state(directory.options("other"), kNow);
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, kErrStateMesh);
  EXPECT_NE(other.error().message.find("corp"), std::string::npos);
  EXPECT_FALSE(init_state(directory.options("Not.A.Label"), kNow));
}

TEST(StateDirectory, OneAtATime) {
  const Directory directory;
  ASSERT_TRUE(init_state(directory.options(), kNow));
  const auto first = open_state(directory.path, kNow);
  ASSERT_TRUE(first);
  const auto second = open_state(directory.path, kNow);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, rt::kErrStateLocked);
  EXPECT_EQ(init_state(directory.options(), kNow).error().code, rt::kErrStateLocked);
}

TEST(StateDirectory, AnEmptyOneNamesTheCure) {
  const Directory directory;
  const auto state = open_state(directory.path, kNow);
  ASSERT_FALSE(state);
  EXPECT_NE(state.error().cure.find("cygnetd init"), std::string::npos);
}

TEST(StateDirectory, AKeyThatOthersMayReadIsRefused) {
  const Directory directory;
  ASSERT_TRUE(init_state(directory.options(), kNow));
  ASSERT_EQ(chmod((directory.path / "identity-ca.key").c_str(), 0644), 0);
  const auto state = open_state(directory.path, kNow);
  ASSERT_FALSE(state);
  EXPECT_EQ(state.error().code, rt::kErrFileMode);
}

TEST(StateDirectory, TheServersCertificateIsRenewedWithTheSameKeyBeforeItEnds) {
  const Directory directory;
  ASSERT_TRUE(init_state(directory.options(), kNow));
  const std::string key = directory.text("server.key");
  const auto later = kNow + std::chrono::hours(24 * 300);
  const auto state = open_state(directory.path, later);
  ASSERT_TRUE(state) << state.error().to_string();
  EXPECT_GT(state->server.chain.front().not_after(), later + std::chrono::hours(24 * 300));
  EXPECT_EQ(directory.text("server.key"), key);
}

TEST(StateDirectory, WithoutTheCasKeyItOpensForAnExternalCa) {
  const Directory directory;
  ASSERT_TRUE(init_state(directory.options(), kNow));
  ASSERT_TRUE(rt::remove_file(directory.path / "identity-ca.key"));
  {
    const auto state = open_state(directory.path, kNow);
    ASSERT_TRUE(state) << state.error().to_string();
    EXPECT_FALSE(state->authority);
  }
  // And init makes no other one: the certificate is there.
  ASSERT_TRUE(init_state(directory.options(), kNow));
  std::error_code ignored;
  EXPECT_FALSE(std::filesystem::exists(directory.path / "identity-ca.key", ignored));
}

}  // namespace
}  // namespace cygnet::controller
