// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Operations of a batch and the reading back, as SQL. Internal to the SQLite engine.

#include "cygnet/controller/store/sqlite_db.h"
#include "cygnet/controller/store/store.h"

namespace cygnet::controller::store {

[[nodiscard]] Status apply_op(SqliteDb& db, const MeshId& mesh, const WriteOp& op);
[[nodiscard]] Result<Snapshot> load_all(SqliteDb& db);
[[nodiscard]] Result<std::vector<AuditRecord>> load_audit(SqliteDb& db, const AuditQuery& query);
[[nodiscard]] Result<PolicyRecord> load_policy(SqliteDb& db, const MeshId& mesh,
                                               std::uint64_t version);

using Labels = std::map<std::string, std::string>;
[[nodiscard]] std::string encode_labels(const Labels& labels);
/// nullopt for a text that encode_labels() never makes.
[[nodiscard]] std::optional<Labels> decode_labels(std::string_view text);

}  // namespace cygnet::controller::store
