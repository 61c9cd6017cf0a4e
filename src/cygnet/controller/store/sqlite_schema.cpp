// SPDX-License-Identifier: Apache-2.0
#include "cygnet/controller/store/sqlite_schema.h"

#include <array>

#include "cygnet/controller/store/store.h"

namespace cygnet::controller::store {
namespace {

// Unsigned 64-bit values are stored as the signed ones with the same bits and never compared in
// SQL; times are milliseconds since 1970; labels are "key=value" lines, percent-escaped.
constexpr const char* kVersion1 = R"sql(
CREATE TABLE meshes (
  mesh BLOB PRIMARY KEY, name TEXT NOT NULL, epoch BLOB NOT NULL, created_at INTEGER NOT NULL,
  position INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE settings (
  mesh BLOB NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (mesh, key)
) WITHOUT ROWID;
CREATE TABLE devices (
  mesh BLOB NOT NULL, name TEXT NOT NULL, labels TEXT NOT NULL, spki BLOB NOT NULL,
  certificate BLOB NOT NULL, state INTEGER NOT NULL, enrolled_at INTEGER NOT NULL,
  PRIMARY KEY (mesh, name)
);
CREATE TABLE counters (
  mesh BLOB NOT NULL, device TEXT NOT NULL, counter INTEGER NOT NULL, PRIMARY KEY (mesh, device)
) WITHOUT ROWID;
CREATE TABLE dims (
  mesh BLOB NOT NULL, device TEXT NOT NULL, counter INTEGER NOT NULL, dim BLOB NOT NULL,
  certificate BLOB NOT NULL, accepted_at INTEGER NOT NULL, position INTEGER NOT NULL,
  PRIMARY KEY (mesh, device)
);
CREATE TABLE tombstones (
  mesh BLOB NOT NULL, device TEXT NOT NULL, position INTEGER NOT NULL, at INTEGER NOT NULL,
  PRIMARY KEY (mesh, device)
) WITHOUT ROWID;
CREATE TABLE tokens (
  mesh BLOB NOT NULL, hash BLOB NOT NULL, device TEXT, labels TEXT NOT NULL,
  created_at INTEGER NOT NULL, expires_at INTEGER NOT NULL, uses_left INTEGER NOT NULL,
  created_by TEXT NOT NULL, PRIMARY KEY (mesh, hash)
) WITHOUT ROWID;
CREATE TABLE revocations (
  mesh BLOB NOT NULL, number INTEGER NOT NULL, device TEXT NOT NULL, spki_sha256 BLOB NOT NULL,
  serial BLOB NOT NULL, at INTEGER NOT NULL, reason TEXT NOT NULL, PRIMARY KEY (mesh, number)
) WITHOUT ROWID;
CREATE TABLE policies (
  mesh BLOB NOT NULL, version INTEGER NOT NULL, applied_at INTEGER NOT NULL,
  applied_by TEXT NOT NULL, comment TEXT NOT NULL, position INTEGER NOT NULL, yaml TEXT NOT NULL,
  PRIMARY KEY (mesh, version)
);
CREATE TABLE csrs (
  mesh BLOB NOT NULL, device TEXT NOT NULL, csr BLOB NOT NULL, token_hash BLOB NOT NULL,
  queued_at INTEGER NOT NULL, PRIMARY KEY (mesh, device)
) WITHOUT ROWID;
CREATE TABLE trust (
  mesh BLOB NOT NULL, place INTEGER NOT NULL, certificate BLOB NOT NULL, PRIMARY KEY (mesh, place)
) WITHOUT ROWID;
CREATE TABLE cursors (
  mesh BLOB NOT NULL, device TEXT NOT NULL, position INTEGER NOT NULL, PRIMARY KEY (mesh, device)
) WITHOUT ROWID;
CREATE TABLE audit (
  id INTEGER PRIMARY KEY AUTOINCREMENT, mesh BLOB NOT NULL, at INTEGER NOT NULL, who TEXT NOT NULL,
  action TEXT NOT NULL, object TEXT NOT NULL, before TEXT NOT NULL, after TEXT NOT NULL
);
CREATE INDEX audit_by_mesh ON audit (mesh, id);
CREATE TRIGGER audit_is_append_only_update BEFORE UPDATE ON audit
  BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_is_append_only_delete BEFORE DELETE ON audit
  BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
)sql";

constexpr std::array<const char*, 1> kMigrations{kVersion1};

}  // namespace

std::span<const char* const> migrations() { return kMigrations; }

Status migrate(SqliteDb& db, std::span<const char* const> steps) {
  CYGNET_TRY(const std::int64_t application, db.number("PRAGMA application_id"));
  CYGNET_TRY(std::int64_t version, db.number("PRAGMA user_version"));
  CYGNET_TRY(const std::int64_t tables, db.number("SELECT count(*) FROM sqlite_schema"));
  const bool fresh = application == 0 && version == 0 && tables == 0;
  if (!fresh && application != kApplicationId) {
    return fail(kErrStoreCorrupt, "this database was not made by cygnetd", db.path(),
                "give cygnetd a state directory of its own");
  }
  const auto newest = static_cast<std::int64_t>(steps.size());
  if (version > newest) {
    return fail(kErrStoreNewer,
                "this database has schema version " + std::to_string(version) +
                    ", this cygnetd knows up to " + std::to_string(newest),
                db.path(), "install the newer cygnetd again, or restore a backup of the older one");
  }
  for (; version < newest; ++version) {
    CYGNET_CHECK_OK(db.exec("BEGIN IMMEDIATE"));
    const std::string script = std::string(steps[static_cast<std::size_t>(version)]) +
                               "PRAGMA application_id = " + std::to_string(kApplicationId) +
                               "; PRAGMA user_version = " + std::to_string(version + 1) +
                               "; COMMIT;";
    if (auto done = db.exec(script.c_str()); !done) {
      if (db.in_transaction()) static_cast<void>(db.exec("ROLLBACK"));
      return done;
    }
  }
  return {};
}

}  // namespace cygnet::controller::store
