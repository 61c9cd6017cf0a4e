// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The database's schema, version by version. Internal to the SQLite engine.

#include <span>

#include "cygnet/controller/store/sqlite_db.h"

namespace cygnet::controller::store {

/// Marks the file as Cygnet's: "CYGN".
inline constexpr std::int64_t kApplicationId = 0x4359474e;

/// migrations()[n] leads from version n to n + 1. Released ones are never edited.
[[nodiscard]] std::span<const char* const> migrations();

/// Brings a database to the newest version, each step in a transaction of its own.
/// @retval kErrStoreNewer, kErrStoreCorrupt (another program's database)
[[nodiscard]] Status migrate(SqliteDb& db, std::span<const char* const> steps);

}  // namespace cygnet::controller::store
