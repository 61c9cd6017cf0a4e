// SPDX-License-Identifier: Apache-2.0
#include "cygnet/rt/fs.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cygnet/rt/test_directory.h"
#include "cygnet/rt/test_support.h"

namespace cygnet::rt {
namespace {

using test::TempDirectory;

mode_t mode_of(const Path& path) {
  struct stat status {};
  EXPECT_EQ(stat(path.c_str(), &status), 0);
  return status.st_mode & 07777;
}

std::size_t entries(const Path& directory) {
  return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(directory),
                                                std::filesystem::directory_iterator()));
}

TEST(Files, AnAtomicWriteReplacesContentAndMode) {
  const TempDirectory dir;
  ASSERT_TRUE(write_file_atomic(dir / "f", std::string_view("one")));
  ASSERT_TRUE(write_file_atomic(dir / "f", std::string_view("two"), 0640));
  EXPECT_EQ(read_text_file(dir / "f").value(), "two");
  EXPECT_EQ(mode_of(dir / "f"), 0640U);
  EXPECT_EQ(entries(dir.path()), 1U);
}

TEST(Files, AFailedAtomicWriteLeavesNothingBehind) {
  const TempDirectory dir;
  ASSERT_TRUE(make_directory(dir / "target"));
  ASSERT_TRUE(write_file_atomic((dir / "target") / "inner", std::string_view("kept")));
  const Status refused = write_file_atomic(dir / "target", std::string_view("x"));
  ASSERT_FALSE(refused);
  EXPECT_EQ(entries(dir.path()), 1U);
  EXPECT_EQ(read_text_file((dir / "target") / "inner").value(), "kept");
}

TEST(Files, AMissingDirectoryIsNamed) {
  const TempDirectory dir;
  const Status refused = write_file_atomic((dir / "no") / "f", std::string_view("x"));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, kErrFileNotFound);
  EXPECT_NE(refused.error().message.find((dir / "no").string()), std::string::npos);
}

TEST(Files, AFullDiskIsSaidClearly) {
  const Status refused = append_file_synced("/dev/full", as_bytes("x"));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, kErrDiskFull);
  EXPECT_NE(refused.error().cure.find("free space"), std::string::npos);
}

TEST(Files, SecretsAreWrittenForTheOwnerAlone) {
  const TempDirectory dir;
  ASSERT_TRUE(write_secret_atomic(dir / "key", SecretBytes(as_bytes("s3cret"))));
  EXPECT_EQ(mode_of(dir / "key"), 0600U);
  const auto back = read_secret(dir / "key");
  ASSERT_TRUE(back);
  EXPECT_EQ(as_text(back->reveal()), "s3cret");
}

TEST(Files, ASecretThatOthersCanReadIsRefusedWithTheCommandToRun) {
  const TempDirectory dir;
  ASSERT_TRUE(write_file_atomic(dir / "key", std::string_view("s"), 0644));
  const auto refused = read_secret(dir / "key");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, kErrFileMode);
  EXPECT_NE(refused.error().message.find("0644"), std::string::npos);
  EXPECT_NE(refused.error().cure.find("chmod 0600 " + (dir / "key").string()), std::string::npos);
}

TEST(Files, ADirectoryIsNoSecret) {
  const TempDirectory dir;
  const auto refused = read_secret(dir.path());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, kErrFileMode);
}

TEST(Files, ReadingKnowsMissingAndTooLarge) {
  const TempDirectory dir;
  EXPECT_EQ(read_file(dir / "f").error().code, kErrFileNotFound);
  EXPECT_FALSE(read_file_if_exists(dir / "f").value().has_value());
  ASSERT_TRUE(write_file_atomic(dir / "f", std::string_view("12345")));
  EXPECT_EQ(read_file(dir / "f", 4).error().code, kErrFileTooLarge);
  EXPECT_TRUE(read_file(dir / "f", 5));
}

TEST(Files, AppendsAccumulate) {
  const TempDirectory dir;
  ASSERT_TRUE(append_file_synced(dir / "log", as_bytes("a\n"), 0600));
  ASSERT_TRUE(append_file_synced(dir / "log", as_bytes("b\n"), 0600));
  EXPECT_EQ(read_text_file(dir / "log").value(), "a\nb\n");
  EXPECT_EQ(mode_of(dir / "log"), 0600U);
}

TEST(Files, RemovingAMissingFileIsSuccess) {
  const TempDirectory dir;
  EXPECT_TRUE(remove_file(dir / "f"));
  ASSERT_TRUE(write_file_atomic(dir / "f", std::string_view("x")));
  EXPECT_TRUE(remove_file(dir / "f"));
  EXPECT_EQ(entries(dir.path()), 0U);
}

TEST(StateDirectory, ASecondHolderIsRefusedWithThePidOfTheFirst) {
  const TempDirectory dir;
  auto first = StateLock::acquire(dir / "state");
  ASSERT_TRUE(first);
  EXPECT_EQ(mode_of(dir / "state"), 0700U);
  const auto second = StateLock::acquire(dir / "state");
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, kErrStateLocked);
  EXPECT_NE(second.error().message.find("process " + std::to_string(getpid())), std::string::npos);
}

TEST(StateDirectory, TheLockGoesWithTheProcessThatHeldIt) {
  const TempDirectory dir;
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    auto held = StateLock::acquire(dir / "state");
    _exit(held ? 0 : 1);  // no destructor: as if killed
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_EQ(WEXITSTATUS(status), 0);
  EXPECT_TRUE(StateLock::acquire(dir / "state"));
}

TEST(StateDirectory, AFileInItsPlaceIsRefused) {
  const TempDirectory dir;
  ASSERT_TRUE(write_file_atomic(dir / "state", std::string_view("x")));
  EXPECT_FALSE(StateLock::acquire(dir / "state"));
}

}  // namespace
}  // namespace cygnet::rt
