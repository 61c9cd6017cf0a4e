// SPDX-License-Identifier: Apache-2.0
// A power cut loses what was written but not synced; kill -9 does not, so it cannot show a missing
// fsync. Here SQLite runs on a file layer that remembers each file as it was at its last sync.
#include <sqlite3.h>

#include <cstring>
#include <fstream>
#include <map>
#include <mutex>

#include "cygnet/controller/store/sqlite_db.h"
#include "cygnet/controller/store/store_test_support.h"

namespace cygnet::controller::store {
namespace {

/// Files by path as the platter has them.
struct Platter {
  std::mutex mutex;
  std::map<std::string, std::string> synced;

  /// What a machine finds after losing power now.
  void restore_into(const std::string& from, const std::string& to) {
    const std::lock_guard lock(mutex);
    for (const auto& [path, content] : synced) {
      if (!path.starts_with(from)) continue;
      std::ofstream file(to + path.substr(from.size()), std::ios::binary);
      file.write(content.data(), static_cast<std::streamsize>(content.size()));
    }
  }
};

Platter& platter() {
  static Platter instance;
  return instance;
}

/// Our sqlite3_file; the real one's memory follows it.
struct File {
  sqlite3_file base;
  const char* path;
  [[nodiscard]] sqlite3_file* real() { return reinterpret_cast<sqlite3_file*>(this + 1); }
};
File* ours(sqlite3_file* file) { return reinterpret_cast<File*>(file); }
sqlite3_file* real(sqlite3_file* file) { return ours(file)->real(); }

int sync_file(sqlite3_file* file, int flags) {
  const int code = real(file)->pMethods->xSync(real(file), flags);
  if (code == SQLITE_OK && ours(file)->path != nullptr) {
    std::ifstream stream(ours(file)->path, std::ios::binary);
    std::string content{std::istreambuf_iterator<char>(stream), {}};
    const std::lock_guard lock(platter().mutex);
    platter().synced[ours(file)->path] = std::move(content);
  }
  return code;
}

const sqlite3_io_methods& methods() {
  static const sqlite3_io_methods table = [] {
    sqlite3_io_methods m{};
    m.iVersion = 1;  // no shared memory: an exclusive connection must not need any
    m.xClose = [](sqlite3_file* f) { return real(f)->pMethods->xClose(real(f)); };
    m.xRead = [](sqlite3_file* f, void* to, int n, sqlite3_int64 at) {
      return real(f)->pMethods->xRead(real(f), to, n, at);
    };
    m.xWrite = [](sqlite3_file* f, const void* from, int n, sqlite3_int64 at) {
      return real(f)->pMethods->xWrite(real(f), from, n, at);
    };
    m.xTruncate = [](sqlite3_file* f, sqlite3_int64 n) {
      return real(f)->pMethods->xTruncate(real(f), n);
    };
    m.xSync = sync_file;
    m.xFileSize = [](sqlite3_file* f, sqlite3_int64* n) {
      return real(f)->pMethods->xFileSize(real(f), n);
    };
    m.xLock = [](sqlite3_file* f, int level) { return real(f)->pMethods->xLock(real(f), level); };
    m.xUnlock = [](sqlite3_file* f, int level) {
      return real(f)->pMethods->xUnlock(real(f), level);
    };
    m.xCheckReservedLock = [](sqlite3_file* f, int* out) {
      return real(f)->pMethods->xCheckReservedLock(real(f), out);
    };
    m.xFileControl = [](sqlite3_file* f, int op, void* arg) {
      return real(f)->pMethods->xFileControl(real(f), op, arg);
    };
    m.xSectorSize = [](sqlite3_file* f) { return real(f)->pMethods->xSectorSize(real(f)); };
    // Promises nothing about what survives a power cut.
    m.xDeviceCharacteristics = [](sqlite3_file*) { return 0; };
    return m;
  }();
  return table;
}

/// Makes the layer SQLite's default while it lives.
class PowerCutLayer {
 public:
  PowerCutLayer() : below_(sqlite3_vfs_find(nullptr)), layer_(*below_) {
    layer_.szOsFile = static_cast<int>(sizeof(File)) + below_->szOsFile;
    layer_.zName = "cygnet-power-cut";
    layer_.pNext = nullptr;
    layer_.xOpen = [](sqlite3_vfs*, const char* path, sqlite3_file* file, int flags, int* out) {
      ours(file)->base.pMethods = nullptr;
      ours(file)->path = path;
      sqlite3_vfs* below = sqlite3_vfs_find("unix");
      const int code = below->xOpen(below, path, real(file), flags, out);
      if (code == SQLITE_OK) file->pMethods = &methods();
      return code;
    };
    layer_.xDelete = [](sqlite3_vfs*, const char* path, int sync_directory) {
      sqlite3_vfs* below = sqlite3_vfs_find("unix");
      const std::lock_guard lock(platter().mutex);
      platter().synced.erase(path);
      return below->xDelete(below, path, sync_directory);
    };
    sqlite3_vfs_register(&layer_, 1);
  }
  PowerCutLayer(const PowerCutLayer&) = delete;
  PowerCutLayer& operator=(const PowerCutLayer&) = delete;
  ~PowerCutLayer() {
    sqlite3_vfs_unregister(&layer_);
    sqlite3_vfs_register(below_, 1);
  }

 private:
  sqlite3_vfs* below_;
  sqlite3_vfs layer_;
};

TEST(PowerCut, WhateverWasAcknowledgedSurvivesItAtEveryMoment) {
  const PowerCutLayer layer;
  TempDirectory running;
  auto engine = open_sqlite_engine(running.file("db"));
  ASSERT_TRUE(engine) << engine.error().to_string();
  const auto store = make_group_commit_store(std::move(*engine));
  ASSERT_EQ(code_of(write(*store, create_mesh())), "ok");
  ASSERT_EQ(code_of(write(*store, batch(PutDevice{device("store-1")}))), "ok");
  // Enough octets to make SQLite move its log into the database a few times on the way.
  for (std::uint32_t i = 1; i <= 60; ++i) {
    DimRecord big = dim("store-1", 1, i, i);
    big.dim.assign(8000, std::uint8_t(i));
    WriteBatch both{mesh_id(), {}};
    both.add(PutDim{big})
        .add(AppendAudit{{0, at_ms(i), "w", "a", std::string(70000, 'x'), "", ""}});
    ASSERT_EQ(code_of(write(*store, both)), "ok");
    if (i % 16 != 0 && i < 55) continue;
    TempDirectory after;
    platter().restore_into(running.file(""), after.file(""));
    auto restored = open_sqlite_engine(after.file("db"));
    ASSERT_TRUE(restored) << "after " << i << ": " << restored.error().to_string();
    auto snapshot = (*restored)->load();
    ASSERT_TRUE(snapshot) << "after " << i;
    ASSERT_EQ(snapshot->meshes.size(), 1U) << "after " << i;
    ASSERT_EQ(snapshot->meshes.at(0).position, i);
    ASSERT_EQ(snapshot->meshes.at(0).dims.at(0).dim, big.dim);
  }
}

TEST(PowerCut, TheLayerShowsACommitThatWasNotSynced) {
  const PowerCutLayer layer;
  TempDirectory running;
  auto db = SqliteDb::open(running.file("db"));
  ASSERT_TRUE(db);
  ASSERT_TRUE(
      (*db)->exec("PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL;"
                  "PRAGMA synchronous = FULL; CREATE TABLE t (x);"
                  "PRAGMA synchronous = OFF; INSERT INTO t VALUES (1);"));
  TempDirectory after;
  platter().restore_into(running.file(""), after.file(""));
  auto lost = SqliteDb::open(after.file("db"));
  ASSERT_TRUE(lost && (*lost)->exec("PRAGMA locking_mode = EXCLUSIVE"));
  EXPECT_EQ((*db)->number("SELECT count(*) FROM t").value_or(-1), 1);
  EXPECT_EQ((*lost)->number("SELECT count(*) FROM t").value_or(-1), 0);
}

}  // namespace
}  // namespace cygnet::controller::store
