// SPDX-License-Identifier: Apache-2.0
#pragma once

/// A thin, typed skin over one SQLite connection: prepared statements, octets, errors as Error.
/// Internal to the SQLite engine. One thread at a time.

#include <sqlite3.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "cygnet/base/bytes.h"
#include "cygnet/base/result.h"
#include "cygnet/base/time.h"

namespace cygnet::controller::store {

class SqliteDb;

/// A prepared statement while it is being used; reset when it goes.
class SqliteRow {
 public:
  SqliteRow(SqliteDb& db, sqlite3_stmt* statement) : db_(&db), statement_(statement) {}
  SqliteRow(SqliteRow&& other) noexcept : db_(other.db_), statement_(other.statement_) {
    other.statement_ = nullptr;
  }
  SqliteRow& operator=(SqliteRow&&) = delete;
  ~SqliteRow();

  // Binding, in order; views must live until the statement has run.
  SqliteRow& bind(std::int64_t value);
  SqliteRow& bind(std::uint64_t value) { return bind(static_cast<std::int64_t>(value)); }
  SqliteRow& bind(std::string_view text);
  SqliteRow& bind(const std::string& text) { return bind(std::string_view(text)); }
  SqliteRow& bind(ByteView octets);
  SqliteRow& bind(const Bytes& octets) { return bind(ByteView(octets)); }
  template <std::size_t n>
  SqliteRow& bind(const std::array<std::uint8_t, n>& octets) {
    return bind(ByteView(octets));
  }
  SqliteRow& bind(ServerTime time) {
    return bind(static_cast<std::int64_t>(time.time_since_epoch().count()));
  }
  SqliteRow& bind_null();

  /// True: a row is there to be read; false: no more.
  [[nodiscard]] Result<bool> step();
  /// Runs a statement that gives no rows.
  [[nodiscard]] Status run();

  // Columns of the current row, from 0.
  [[nodiscard]] bool is_null(int column) const;
  [[nodiscard]] std::int64_t integer(int column) const;
  [[nodiscard]] std::uint64_t counter(int column) const {
    return static_cast<std::uint64_t>(integer(column));
  }
  [[nodiscard]] std::string text(int column) const;
  [[nodiscard]] Bytes octets(int column) const;
  [[nodiscard]] ServerTime time(int column) const {
    return ServerTime(std::chrono::milliseconds(integer(column)));
  }
  /// Fixed-size octets. @retval kErrStoreCorrupt another size is stored
  template <std::size_t n>
  [[nodiscard]] Status fixed(int column, std::array<std::uint8_t, n>& out) const {
    const Bytes stored = octets(column);
    if (stored.size() != n) return wrong_size(column, n, stored.size());
    std::copy(stored.begin(), stored.end(), out.begin());
    return {};
  }

 private:
  [[nodiscard]] Status wrong_size(int column, std::size_t expected, std::size_t found) const;

  SqliteDb* db_;
  sqlite3_stmt* statement_;
  int bound_ = 0;
};

class SqliteDb {
 public:
  /// Opens or creates the file, readable by its owner only.
  [[nodiscard]] static Result<std::unique_ptr<SqliteDb>> open(const std::string& path);
  SqliteDb(const SqliteDb&) = delete;
  SqliteDb& operator=(const SqliteDb&) = delete;
  ~SqliteDb();

  /// Runs statements without parameters.
  [[nodiscard]] Status exec(const char* sql);
  /// The statement for a text, prepared once and kept. The text must be a literal: its address is
  /// the key.
  [[nodiscard]] Result<SqliteRow> prepare(const char* sql);
  [[nodiscard]] Result<std::int64_t> number(const char* sql);
  [[nodiscard]] bool in_transaction() const { return sqlite3_get_autocommit(db_) == 0; }
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] sqlite3* handle() { return db_; }

  /// The Error for a result code of this connection.
  [[nodiscard]] Error error(int code) const;

 private:
  SqliteDb(std::string path, sqlite3* db) : path_(std::move(path)), db_(db) {}

  std::string path_;
  sqlite3* db_;
  std::unordered_map<const char*, sqlite3_stmt*> statements_;
};

}  // namespace cygnet::controller::store
