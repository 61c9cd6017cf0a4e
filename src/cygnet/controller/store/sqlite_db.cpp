// SPDX-License-Identifier: Apache-2.0
#include "cygnet/controller/store/sqlite_db.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "cygnet/controller/store/store.h"

namespace cygnet::controller::store {

SqliteRow::~SqliteRow() {
  if (statement_ == nullptr) return;
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

// A failing bind (out of range, no memory) shows at the step: an unbound parameter is NULL, and
// every column that matters is NOT NULL.
SqliteRow& SqliteRow::bind(std::int64_t value) {
  sqlite3_bind_int64(statement_, ++bound_, value);
  return *this;
}
SqliteRow& SqliteRow::bind(std::string_view text) {
  const char* begin = text.data() == nullptr ? "" : text.data();
  sqlite3_bind_text64(statement_, ++bound_, begin, text.size(), SQLITE_STATIC, SQLITE_UTF8);
  return *this;
}
SqliteRow& SqliteRow::bind(ByteView octets) {
  if (octets.empty()) {
    sqlite3_bind_zeroblob(statement_, ++bound_, 0);
  } else {
    sqlite3_bind_blob64(statement_, ++bound_, octets.data(), octets.size(), SQLITE_STATIC);
  }
  return *this;
}
SqliteRow& SqliteRow::bind_null() {
  sqlite3_bind_null(statement_, ++bound_);
  return *this;
}

Result<bool> SqliteRow::step() {
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return fail(db_->error(code));
}

Status SqliteRow::run() {
  auto stepped = step();
  if (!stepped) return fail(std::move(stepped).error());
  return {};
}

bool SqliteRow::is_null(int column) const {
  return sqlite3_column_type(statement_, column) == SQLITE_NULL;
}
std::int64_t SqliteRow::integer(int column) const {
  return sqlite3_column_int64(statement_, column);
}
std::string SqliteRow::text(int column) const {
  const auto* begin = sqlite3_column_text(statement_, column);
  if (begin == nullptr) return {};
  return {reinterpret_cast<const char*>(begin),
          static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
}
Bytes SqliteRow::octets(int column) const {
  const auto* begin = static_cast<const std::uint8_t*>(sqlite3_column_blob(statement_, column));
  if (begin == nullptr) return {};
  return {begin, begin + sqlite3_column_bytes(statement_, column)};
}

Status SqliteRow::wrong_size(int column, std::size_t expected, std::size_t found) const {
  Error error = db_->error(SQLITE_CORRUPT);
  error.message += ": " + std::string(sqlite3_column_name(statement_, column)) + " has " +
                   std::to_string(found) + " octets, not " + std::to_string(expected);
  return fail(std::move(error));
}

Result<std::unique_ptr<SqliteDb>> SqliteDb::open(const std::string& path) {
  // It holds token hashes and the audit log; SQLite gives its -wal the same mode.
  const int made = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (made < 0) {
    return fail(kErrStoreIo, std::string("cannot open the database: ") + std::strerror(errno), path,
                "check that the directory exists, belongs to cygnetd's user and is writable");
  }
  ::close(made);
  sqlite3* handle = nullptr;
  const int code =
      sqlite3_open_v2(path.c_str(), &handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr);
  // Private: make_unique cannot reach the constructor.
  std::unique_ptr<SqliteDb> db(new SqliteDb(path, handle));
  if (code != SQLITE_OK) return fail(db->error(code));
  sqlite3_extended_result_codes(handle, 1);
  return db;
}

SqliteDb::~SqliteDb() {
  for (const auto& [sql, statement] : statements_) sqlite3_finalize(statement);
  sqlite3_close(db_);
}

Status SqliteDb::exec(const char* sql) {
  const int code = sqlite3_exec(db_, sql, nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) return fail(error(code));
  return {};
}

Result<SqliteRow> SqliteDb::prepare(const char* sql) {
  sqlite3_stmt*& statement = statements_[sql];
  if (statement == nullptr) {
    const int code =
        sqlite3_prepare_v3(db_, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
    if (code != SQLITE_OK) return fail(error(code));
  }
  return SqliteRow(*this, statement);
}

Result<std::int64_t> SqliteDb::number(const char* sql) {
  CYGNET_TRY(SqliteRow row, prepare(sql));
  CYGNET_TRY(const bool there, row.step());
  return there ? row.integer(0) : 0;
}

Error SqliteDb::error(int code) const {
  const std::string words = db_ != nullptr && sqlite3_errcode(db_) == (code & 0xff)
                                ? sqlite3_errmsg(db_)
                                : sqlite3_errstr(code);
  switch (code & 0xff) {
    case SQLITE_FULL:
      return {kErrDiskFull, "the disk is full, the change is not stored", path_,
              "make room on that file system; what is stored is intact and the controller goes on "
              "by itself"};
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return {kErrStoreCorrupt, "the database is damaged: " + words, path_,
              "stop cygnetd, move " + path_ + " and " + path_ +
                  "-wal away, put the newest backup in place of the first, and start again; "
                  "devices publish again what the backup lacks"};
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return {kErrStoreBusy, "another process has the database open", path_,
              "stop the other cygnetd, or give this one a state directory of its own"};
    default:
      return {kErrStoreIo,
              "the database cannot be used: " + words + " (SQLite " + std::to_string(code) + ")",
              path_, "check the disk and the file's owner and mode"};
  }
}

}  // namespace cygnet::controller::store
