// SPDX-License-Identifier: Apache-2.0
// What only a database on a disk can do wrong.
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <fstream>

#include "cygnet/controller/store/sqlite_ops.h"
#include "cygnet/controller/store/sqlite_schema.h"
#include "cygnet/controller/store/store_test_support.h"

namespace cygnet::controller::store {
namespace {

std::unique_ptr<Store> open_store(const std::string& path, const SqliteOptions& options = {}) {
  auto engine = open_sqlite_engine(path, options);
  EXPECT_TRUE(engine.has_value()) << (engine ? "" : engine.error().to_string());
  return engine ? make_group_commit_store(std::move(*engine)) : nullptr;
}

Error refused(const std::string& path) {
  auto engine = open_sqlite_engine(path);
  EXPECT_FALSE(engine.has_value());
  return engine ? Error{ErrorCode("none"), ""} : engine.error();
}

TEST(SqliteStore, KeepsItsFileFromOtherUsers) {
  TempDirectory directory;
  const auto store = open_store(directory.file("db"));
  struct stat status {};
  ASSERT_EQ(::stat(directory.file("db").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0600U);
}

TEST(SqliteStore, AFullDatabaseIsToldAsDiskFullAndNothingIsHalfWritten) {
  TempDirectory directory;
  const std::string path = directory.file("db");
  {
    const auto store = open_store(path, {60});  // 60 pages: the schema and a little
    ASSERT_EQ(code_of(write(*store, create_mesh())), "ok");
    ASSERT_EQ(code_of(write(*store, batch(PutDevice{device("store-1")}))), "ok");
    std::uint64_t stored = 0;
    Status last;
    for (std::uint32_t i = 1; i <= 400 && last; ++i) {
      WriteBatch both{mesh_id(), {}};
      both.add(PutDim{dim("store-1", 1, i, i)})
          .add(AppendAudit{{0, at_ms(1), "x", "y", std::string(1000, 'z'), "", ""}});
      last = write(*store, both);
      if (last) stored = i;
    }
    ASSERT_EQ(code_of(last), "disk-full");
    EXPECT_NE(last.error().cure, "");
    EXPECT_EQ(last.error().where, path);
    ASSERT_GT(stored, 0U);
    // What it has is still served, and small changes may still fit.
    auto snapshot = store->load();
    ASSERT_TRUE(snapshot);
    EXPECT_EQ(snapshot->meshes[0].position, stored);
    EXPECT_EQ(snapshot->meshes[0].dims[0].counter, proto::RekeyCounter(1, std::uint32_t(stored)));
  }
  const auto store = open_store(path);
  auto snapshot = store->load();
  ASSERT_TRUE(snapshot);
  const std::uint64_t stored = snapshot->meshes[0].position;
  EXPECT_EQ(code_of(write(*store,
                          batch(PutDim{dim("store-1", 1, std::uint32_t(stored) + 1, stored + 1)}))),
            "ok");
}

TEST(SqliteStore, AnotherProcessWithTheSameDatabaseIsRefusedWithWords) {
  TempDirectory directory;
  const std::string path = directory.file("db");
  std::array<int, 2> ready{};
  std::array<int, 2> done{};
  ASSERT_EQ(::pipe(ready.data()), 0);
  ASSERT_EQ(::pipe(done.data()), 0);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    ::close(ready[0]);
    ::close(done[1]);
    auto engine = open_sqlite_engine(path);
    char octet = engine ? 'y' : 'n';
    if (::write(ready[1], &octet, 1) != 1) ::_exit(2);
    while (::read(done[0], &octet, 1) > 0) {  // until the parent is done
    }
    ::_exit(engine ? 0 : 1);
  }
  ::close(ready[1]);
  ::close(done[0]);
  char octet = 0;
  ASSERT_EQ(::read(ready[0], &octet, 1), 1);
  ASSERT_EQ(octet, 'y');
  const Error error = refused(path);
  EXPECT_EQ(error.code, kErrStoreBusy);
  EXPECT_EQ(error.where, path);
  EXPECT_NE(error.cure.find("state directory"), std::string::npos) << error.to_string();
  ::close(done[1]);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_TRUE(open_store(path));  // and afterwards it opens
}

TEST(SqliteStore, ASecondOpenInTheSameProcessIsRefusedToo) {
  TempDirectory directory;
  const auto store = open_store(directory.file("db"));
  EXPECT_EQ(refused(directory.file("db")).code, kErrStoreBusy);
}

/// A database with one mesh and many devices, closed.
void fill(const std::string& path) {
  const auto store = open_store(path);
  ASSERT_EQ(code_of(write(*store, create_mesh())), "ok");
  WriteBatch many{mesh_id(), {}};
  for (int i = 0; i < 500; ++i) many.add(PutDevice{device("store-" + std::to_string(i))});
  ASSERT_EQ(code_of(write(*store, many)), "ok");
  store->close();
}

void damage(const std::string& path, std::streamoff from, std::size_t size) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(from);
  const std::string garbage(size, '\x5a');
  file.write(garbage.data(), static_cast<std::streamsize>(garbage.size()));
}

TEST(SqliteStore, ADamagedDatabaseIsRefusedAndACopyPutInItsPlaceWorks) {
  for (const std::streamoff where : {0, 20 * 4096 + 100}) {  // the header; a page in the middle
    TempDirectory directory;
    const std::string path = directory.file("db");
    fill(path);
    const std::string copy = directory.file("copy");
    std::filesystem::copy_file(path, copy);
    damage(path, where, 4096 * 3);
    const Error error = refused(path);
    EXPECT_EQ(error.code, kErrStoreCorrupt) << error.to_string();
    EXPECT_EQ(error.where, path);
    EXPECT_NE(error.cure.find("backup"), std::string::npos);
    // The cure, step by step.
    std::filesystem::rename(path, directory.file("damaged"));
    std::filesystem::remove(path + "-wal");
    std::filesystem::copy_file(copy, path);
    const auto store = open_store(path);
    EXPECT_EQ(store->load()->meshes[0].devices.size(), 500U);
  }
}

TEST(SqliteStore, AFileThatIsNoDatabaseIsRefused) {
  TempDirectory directory;
  std::ofstream(directory.file("db")) << std::string(5000, 'x');
  EXPECT_EQ(refused(directory.file("db")).code, kErrStoreCorrupt);
}

TEST(SqliteStore, ATruncatedDatabaseIsRefused) {
  TempDirectory directory;
  const std::string path = directory.file("db");
  fill(path);
  std::filesystem::resize_file(path, 6 * 4096);
  EXPECT_EQ(refused(path).code, kErrStoreCorrupt);
}

TEST(SqliteStore, AnotherProgramsDatabaseIsRefusedAndLeftAlone) {
  TempDirectory directory;
  const std::string path = directory.file("db");
  {
    auto db = SqliteDb::open(path);
    ASSERT_TRUE(db);
    ASSERT_TRUE((*db)->exec("CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1);"));
  }
  EXPECT_EQ(refused(path).code, kErrStoreCorrupt);
  auto db = SqliteDb::open(path);
  EXPECT_EQ(*(*db)->number("SELECT count(*) FROM theirs"), 1);
}

TEST(SqliteStore, ADirectoryThatIsNotThereIsNamed) {
  TempDirectory directory;
  const Error error = refused(directory.file("nowhere/db"));
  EXPECT_EQ(error.code, kErrStoreIo);
  EXPECT_NE(error.where.find("nowhere/db"), std::string::npos);
}

TEST(SqliteStore, ADatabaseOfANewerVersionIsRefused) {
  TempDirectory directory;
  const std::string path = directory.file("db");
  fill(path);
  {
    auto db = SqliteDb::open(path);
    ASSERT_TRUE((*db)->exec("PRAGMA user_version = 999"));
  }
  const Error error = refused(path);
  EXPECT_EQ(error.code, kErrStoreNewer);
  EXPECT_NE(error.message.find("999"), std::string::npos);
}

TEST(SqliteStore, AMigrationRunsOnceAndAFailingOneChangesNothing) {
  TempDirectory directory;
  auto db = SqliteDb::open(directory.file("db"));
  ASSERT_TRUE(db);
  const std::array<const char*, 1> first{"CREATE TABLE a (x);"};
  ASSERT_TRUE(migrate(**db, first));
  ASSERT_TRUE((*db)->exec("INSERT INTO a VALUES (1)"));
  const std::array<const char*, 2> failing{"CREATE TABLE a (x);",
                                           "ALTER TABLE a ADD COLUMN y; CREATE TABLE a (z);"};
  EXPECT_FALSE(migrate(**db, failing));
  EXPECT_EQ(*(*db)->number("PRAGMA user_version"), 1);
  EXPECT_FALSE((*db)->number("SELECT y FROM a"));
  const std::array<const char*, 2> second{"CREATE TABLE a (x);",
                                          "ALTER TABLE a ADD COLUMN y DEFAULT 5;"};
  ASSERT_TRUE(migrate(**db, second));
  ASSERT_TRUE(migrate(**db, second));
  EXPECT_EQ(*(*db)->number("SELECT x + y FROM a"), 6);
  EXPECT_EQ(migrate(**db, first).error().code, kErrStoreNewer);
}

TEST(SqliteStore, TheAuditLogCannotBeChangedEvenBySql) {
  TempDirectory directory;
  const std::string path = directory.file("db");
  fill(path);
  auto db = SqliteDb::open(path);
  ASSERT_TRUE(
      (*db)->exec("INSERT INTO audit (mesh, at, who, action, object, before, after) "
                  "VALUES (x'00', 1, 'a', 'b', 'c', '', '')"));
  EXPECT_FALSE((*db)->exec("UPDATE audit SET who = 'nobody'"));
  EXPECT_FALSE((*db)->exec("DELETE FROM audit"));
  EXPECT_EQ(*(*db)->number("SELECT count(*) FROM audit WHERE who = 'a'"), 1);
}

TEST(SqliteStore, RowsThatMakeNoSenseAreToldAsDamage) {
  for (const char* sql :
       {"UPDATE meshes SET epoch = x'00'", "UPDATE devices SET labels = 'nonsense'",
        "UPDATE devices SET state = 9", "UPDATE devices SET mesh = x'01'"}) {
    TempDirectory directory;
    const std::string path = directory.file("db");
    {
      const auto store = open_store(path);
      ASSERT_EQ(code_of(write(*store, create_mesh())), "ok");
      ASSERT_EQ(code_of(write(*store, batch(PutDevice{device("store-1")}))), "ok");
    }
    {
      auto db = SqliteDb::open(path);
      ASSERT_TRUE((*db)->exec(sql));
    }
    const auto store = open_store(path);
    auto loaded = store->load();
    ASSERT_FALSE(loaded) << sql;
    EXPECT_EQ(loaded.error().code, kErrStoreCorrupt) << sql;
  }
}

TEST(SqliteStore, ABackupMadeWhileItRunsOpensAsAStoreAndNeverOverwrites) {
  TempDirectory directory;
  const auto store = open_store(directory.file("db"));
  ASSERT_EQ(code_of(write(*store, create_mesh())), "ok");
  ASSERT_EQ(code_of(write(*store, batch(PutDevice{device("store-1")}))), "ok");
  const auto back_up = [&](const std::string& path) {
    std::promise<Status> promise;
    store->backup(path, [&](Status status) { promise.set_value(status); });
    return promise.get_future().get();
  };
  const std::string copy = directory.file("copy");
  ASSERT_EQ(code_of(back_up(copy)), "ok");
  EXPECT_EQ(code_of(back_up(copy)), "store-conflict");
  EXPECT_EQ(code_of(back_up(directory.file("nowhere/copy"))), "store-io");
  ASSERT_EQ(code_of(write(*store, batch(PutDevice{device("store-2")}))), "ok");
  const auto copied = open_store(copy);
  EXPECT_EQ(copied->load()->meshes[0].devices.size(), 1U);
  EXPECT_EQ(store->load()->meshes[0].devices.size(), 2U);
}

TEST(SqliteStore, LabelsOfAnyOctetsSurviveTheirTextForm) {
  const Labels odd{{"", ""}, {"a=b", "c\nd"}, {"%", "%3d"}, {"ü", "\xff"}};
  EXPECT_EQ(decode_labels(encode_labels(odd)), odd);
  EXPECT_EQ(decode_labels(""), Labels{});
  for (const char* bad : {"a", "a=b", "a\n", "a=%4\n", "a=%zz\n"}) {
    EXPECT_FALSE(decode_labels(bad)) << bad;
  }
}

/// Writes DIMs and tells over a pipe each counter whose completion came. Never returns.
[[noreturn]] void write_until_killed(const std::string& path, int acknowledged) {
  auto engine = open_sqlite_engine(path);
  if (!engine) ::_exit(1);
  const auto store = make_group_commit_store(std::move(*engine));
  if (!write(*store, create_mesh()) || !write(*store, batch(PutDevice{device("store-1")}))) {
    ::_exit(1);
  }
  for (std::uint32_t i = 1;; ++i) {
    // Two tables in one batch: all or nothing is part of what is checked.
    WriteBatch both{mesh_id(), {}};
    both.add(PutDim{dim("store-1", 1, i, i)}).add(PutSetting{"n" + std::to_string(i), "1"});
    store->submit(std::move(both), [i, acknowledged](const Status& status) {
      if (!status || ::write(acknowledged, &i, sizeof i) != sizeof i) ::_exit(1);
    });
    if (store->stats().waiting_batches > 32) static_cast<void>(store->load());
  }
}

TEST(SqliteStore, WhateverWasAcknowledgedIsThereAfterKillNine) {
  for (int round = 0; round < 3; ++round) {
    TempDirectory directory;
    const std::string path = directory.file("db");
    std::array<int, 2> pipe{};
    ASSERT_EQ(::pipe(pipe.data()), 0);
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      ::close(pipe[0]);
      write_until_killed(path, pipe[1]);
    }
    ::close(pipe[1]);
    std::uint32_t last = 0;
    std::uint32_t got = 0;
    const std::uint32_t enough = 50U + 333U * static_cast<std::uint32_t>(round);
    while (last < enough && ::read(pipe[0], &got, sizeof got) == sizeof got) last = got;
    ASSERT_EQ(::kill(child, SIGKILL), 0);
    // What it managed to say before it died counts too.
    while (::read(pipe[0], &got, sizeof got) == sizeof got) last = got;
    ::close(pipe[0]);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << status;
    ASSERT_GE(last, enough);

    const auto store = open_store(path);
    ASSERT_TRUE(store);
    auto snapshot = store->load();
    ASSERT_TRUE(snapshot) << snapshot.error().to_string();
    const MeshState& mesh = snapshot->meshes.at(0);
    EXPECT_GE(mesh.position, last);
    ASSERT_EQ(mesh.dims.size(), 1U);
    EXPECT_EQ(mesh.dims[0].counter, proto::RekeyCounter(1, std::uint32_t(mesh.position)));
    EXPECT_EQ(mesh.counters.at("store-1"), mesh.dims[0].counter);
    EXPECT_EQ(mesh.settings.size(), mesh.position);  // no batch by half
  }
}

}  // namespace
}  // namespace cygnet::controller::store
