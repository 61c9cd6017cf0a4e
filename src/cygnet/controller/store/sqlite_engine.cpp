// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "cygnet/controller/store/open.h"
#include "cygnet/controller/store/sqlite_ops.h"
#include "cygnet/controller/store/sqlite_schema.h"

namespace cygnet::controller::store {
namespace {

class SqliteEngine : public Engine {
 public:
  explicit SqliteEngine(std::unique_ptr<SqliteDb> db) : db_(std::move(db)) {}

  Status begin() override { return db_->exec("BEGIN IMMEDIATE"); }

  Status apply(const WriteBatch& batch) override {
    CYGNET_CHECK_OK(step("SAVEPOINT batch"));
    for (const WriteOp& op : batch.ops) {
      auto status = apply_op(*db_, batch.mesh, op);
      if (status) continue;
      // After an error of the disk SQLite may have ended the transaction already; the caller rolls
      // back whatever is left.
      if (is_disk_error(status.error())) return status;
      CYGNET_CHECK_OK(step("ROLLBACK TO batch"));
      CYGNET_CHECK_OK(step("RELEASE batch"));
      return status;
    }
    return step("RELEASE batch");
  }

  Status commit() override {
    auto status = db_->exec("COMMIT");
    if (!status) rollback();
    return status;
  }
  void rollback() override {
    if (db_->in_transaction()) static_cast<void>(db_->exec("ROLLBACK"));
  }

  Result<Snapshot> load() override { return load_all(*db_); }
  Result<std::vector<AuditRecord>> read_audit(const AuditQuery& query) override {
    return load_audit(*db_, query);
  }
  Result<PolicyRecord> read_policy(const MeshId& mesh, std::uint64_t version) override {
    return load_policy(*db_, mesh, version);
  }

  Status backup(const std::string& path) override {
    const int made = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (made < 0) {
      const bool there = errno == EEXIST;
      return fail(there ? kErrStoreConflict : kErrStoreIo,
                  std::string("cannot write a backup: ") + std::strerror(errno), path,
                  there ? "name a file that does not exist yet" : "check the directory");
    }
    auto status = vacuum_into(path);
    // VACUUM INTO leaves its octets to the kernel; a backup that is told of is on the disk.
    if (status && (::fsync(made) != 0 || !sync_directory_of(path))) {
      status =
          fail(kErrStoreIo, std::string("cannot flush the backup: ") + std::strerror(errno), path);
    }
    ::close(made);
    if (!status) ::unlink(path.c_str());
    return status;
  }

 private:
  Status step(const char* sql) {
    CYGNET_TRY(auto row, db_->prepare(sql));
    return row.run();
  }
  Status vacuum_into(const std::string& path) {
    CYGNET_TRY(auto row, db_->prepare("VACUUM INTO ?"));
    return row.bind(path).run();
  }
  static bool sync_directory_of(const std::string& path) {
    std::filesystem::path directory = std::filesystem::path(path).parent_path();
    if (directory.empty()) directory = ".";
    const int handle = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (handle < 0) return false;
    const bool synced = ::fsync(handle) == 0;
    ::close(handle);
    return synced;
  }

  std::unique_ptr<SqliteDb> db_;
};

Status check_integrity(SqliteDb& db) {
  CYGNET_TRY(auto row, db.prepare("PRAGMA quick_check(1)"));
  CYGNET_TRY(const bool there, row.step());
  if (there && row.text(0) == "ok") return {};
  Error error = db.error(SQLITE_CORRUPT);
  if (there) error.message += ": " + row.text(0);
  return fail(std::move(error));
}

}  // namespace

Result<std::unique_ptr<Engine>> open_sqlite_engine(const std::string& path,
                                                   const SqliteOptions& options) {
  CYGNET_TRY(auto db, SqliteDb::open(path));
  // Exclusive before the journal mode: the lock is then taken at once and for good, a second
  // process is refused, and no shared memory is needed. FULL: every commit is fsynced.
  CYGNET_CHECK_OK(
      db->exec("PRAGMA locking_mode = EXCLUSIVE; PRAGMA trusted_schema = OFF;"
               "PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY;"));
  CYGNET_CHECK_OK(db->exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"));
  CYGNET_CHECK_OK(db->exec("BEGIN EXCLUSIVE; COMMIT;"));
  CYGNET_CHECK_OK(check_integrity(*db));
  CYGNET_CHECK_OK(migrate(*db, migrations()));
  if (options.pages_max != 0) {
    const std::string pragma = "PRAGMA max_page_count = " + std::to_string(options.pages_max);
    CYGNET_CHECK_OK(db->exec(pragma.c_str()));
  }
  return std::make_unique<SqliteEngine>(std::move(db));
}

}  // namespace cygnet::controller::store
