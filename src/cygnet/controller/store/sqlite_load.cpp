// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "cygnet/controller/store/refusals.h"
#include "cygnet/controller/store/sqlite_ops.h"

namespace cygnet::controller::store {
namespace {

/// Reads every row of a table into the mesh it belongs to; column 0 is the mesh id.
class Loader {
 public:
  explicit Loader(SqliteDb& db) : db_(db) {}

  Result<Snapshot> run() {
    CYGNET_CHECK_OK(meshes());
    CYGNET_CHECK_OK(settings());
    CYGNET_CHECK_OK(devices());
    CYGNET_CHECK_OK(counters());
    CYGNET_CHECK_OK(dims());
    CYGNET_CHECK_OK(tombstones());
    CYGNET_CHECK_OK(tokens());
    CYGNET_CHECK_OK(revocations());
    CYGNET_CHECK_OK(policies());
    CYGNET_CHECK_OK(csrs());
    CYGNET_CHECK_OK(trust());
    CYGNET_CHECK_OK(cursors());
    return std::move(snapshot_);
  }

 private:
  Status meshes() {
    CYGNET_TRY(auto row, db_.prepare("SELECT mesh, name, epoch, created_at, position FROM meshes "
                                     "ORDER BY mesh"));
    while (true) {
      CYGNET_TRY(const bool there, row.step());
      if (!there) return {};
      MeshState state;
      CYGNET_CHECK_OK(row.fixed(0, state.mesh.id));
      state.mesh.name = row.text(1);
      CYGNET_CHECK_OK(row.fixed(2, state.mesh.epoch));
      state.mesh.created_at = row.time(3);
      state.position = row.counter(4);
      snapshot_.meshes.push_back(std::move(state));
    }
  }

  template <class Take>
  Status each(const char* sql, Take&& take) {
    CYGNET_TRY(auto row, db_.prepare(sql));
    while (true) {
      CYGNET_TRY(const bool there, row.step());
      if (!there) return {};
      MeshId id{};
      CYGNET_CHECK_OK(row.fixed(0, id));
      const auto mesh = std::find_if(snapshot_.meshes.begin(), snapshot_.meshes.end(),
                                     [&](const MeshState& m) { return m.mesh.id == id; });
      if (mesh == snapshot_.meshes.end()) return corrupt("a row belongs to no mesh");
      CYGNET_CHECK_OK(take(row, *mesh));
    }
  }

  Status corrupt(std::string_view what) {
    Error error = db_.error(SQLITE_CORRUPT);
    error.message += ": " + std::string(what);
    return fail(std::move(error));
  }

  Status settings() {
    return each("SELECT mesh, key, value FROM settings",
                [](SqliteRow& row, MeshState& mesh) -> Status {
                  mesh.settings.emplace(row.text(1), row.text(2));
                  return {};
                });
  }
  Status devices() {
    return each(
        "SELECT mesh, name, labels, spki, certificate, state, enrolled_at FROM devices "
        "ORDER BY name",
        [this](SqliteRow& row, MeshState& mesh) -> Status {
          auto labels = decode_labels(row.text(2));
          const std::int64_t state = row.integer(5);
          if (!labels || state < 1 || state > 2) return corrupt("a device cannot be read");
          mesh.devices.push_back({row.text(1), std::move(*labels), row.octets(3), row.octets(4),
                                  static_cast<DeviceState>(state), row.time(6)});
          return {};
        });
  }
  Status counters() {
    return each("SELECT mesh, device, counter FROM counters",
                [](SqliteRow& row, MeshState& mesh) -> Status {
                  mesh.counters.emplace(row.text(1),
                                        proto::RekeyCounter::from_wire(row.counter(2)));
                  return {};
                });
  }
  Status dims() {
    return each(
        "SELECT mesh, device, counter, dim, certificate, accepted_at, position FROM dims "
        "ORDER BY device",
        [](SqliteRow& row, MeshState& mesh) -> Status {
          mesh.dims.push_back({row.text(1), proto::RekeyCounter::from_wire(row.counter(2)),
                               row.octets(3), row.octets(4), row.time(5), row.counter(6)});
          return {};
        });
  }
  Status tombstones() {
    return each("SELECT mesh, device, position, at FROM tombstones ORDER BY device",
                [](SqliteRow& row, MeshState& mesh) -> Status {
                  mesh.tombstones.push_back({row.text(1), row.counter(2), row.time(3)});
                  return {};
                });
  }
  Status tokens() {
    return each(
        "SELECT mesh, hash, device, labels, created_at, expires_at, uses_left, created_by "
        "FROM tokens ORDER BY hash",
        [this](SqliteRow& row, MeshState& mesh) -> Status {
          TokenRecord token;
          CYGNET_CHECK_OK(row.fixed(1, token.hash));
          if (!row.is_null(2)) token.device = row.text(2);
          auto labels = decode_labels(row.text(3));
          if (!labels) return corrupt("a token cannot be read");
          token.labels = std::move(*labels);
          token.created_at = row.time(4);
          token.expires_at = row.time(5);
          token.uses_left = static_cast<std::uint32_t>(row.integer(6));
          token.created_by = row.text(7);
          mesh.tokens.push_back(std::move(token));
          return {};
        });
  }
  Status revocations() {
    return each(
        "SELECT mesh, number, device, spki_sha256, serial, at, reason FROM revocations "
        "ORDER BY number",
        [](SqliteRow& row, MeshState& mesh) -> Status {
          RevocationRecord record;
          record.number = row.counter(1);
          record.device = row.text(2);
          CYGNET_CHECK_OK(row.fixed(3, record.spki_sha256));
          record.serial = row.octets(4);
          record.at = row.time(5);
          record.reason = row.text(6);
          mesh.revocations.push_back(std::move(record));
          return {};
        });
  }
  Status policies() {
    CYGNET_CHECK_OK(
        each("SELECT mesh, version, applied_at, applied_by, comment, position FROM policies "
             "ORDER BY version",
             [](SqliteRow& row, MeshState& mesh) -> Status {
               mesh.policies.push_back(
                   {row.counter(1), row.time(2), row.text(3), row.text(4), row.counter(5)});
               return {};
             }));
    for (MeshState& mesh : snapshot_.meshes) {
      if (mesh.policies.empty()) continue;
      CYGNET_TRY(mesh.policy, load_policy(db_, mesh.mesh.id, mesh.policies.back().version));
    }
    return {};
  }
  Status csrs() {
    return each("SELECT mesh, device, csr, token_hash, queued_at FROM csrs ORDER BY device",
                [](SqliteRow& row, MeshState& mesh) -> Status {
                  CsrRecord csr{row.text(1), row.octets(2), {}, row.time(4)};
                  CYGNET_CHECK_OK(row.fixed(3, csr.token_hash));
                  mesh.csrs.push_back(std::move(csr));
                  return {};
                });
  }
  Status trust() {
    return each("SELECT mesh, certificate FROM trust ORDER BY mesh, place",
                [](SqliteRow& row, MeshState& mesh) -> Status {
                  mesh.trust.push_back(row.octets(1));
                  return {};
                });
  }
  Status cursors() {
    return each("SELECT mesh, device, position FROM cursors ORDER BY device",
                [](SqliteRow& row, MeshState& mesh) -> Status {
                  mesh.cursors.push_back({row.text(1), row.counter(2)});
                  return {};
                });
  }

  SqliteDb& db_;
  Snapshot snapshot_;
};

Status require_mesh(SqliteDb& db, const MeshId& mesh) {
  CYGNET_TRY(auto row, db.prepare("SELECT 1 FROM meshes WHERE mesh = ?"));
  CYGNET_TRY(const bool there, row.bind(mesh).step());
  if (!there) return fail(mesh_unknown(mesh));
  return {};
}

}  // namespace

Result<Snapshot> load_all(SqliteDb& db) { return Loader(db).run(); }

Result<std::vector<AuditRecord>> load_audit(SqliteDb& db, const AuditQuery& query) {
  CYGNET_CHECK_OK(require_mesh(db, query.mesh));
  constexpr const char* kOldest =
      "SELECT id, at, who, action, object, before, after FROM audit "
      "WHERE mesh = ? AND id > ? ORDER BY id LIMIT ?";
  constexpr const char* kNewest =
      "SELECT id, at, who, action, object, before, after FROM audit "
      "WHERE mesh = ? AND id < ? ORDER BY id DESC LIMIT ?";
  constexpr std::uint64_t kNoBound = 0x7fffffffffffffff;
  const std::uint64_t bound =
      query.newest_first && query.after_id == 0 ? kNoBound : std::min(query.after_id, kNoBound);
  CYGNET_TRY(auto row, db.prepare(query.newest_first ? kNewest : kOldest));
  row.bind(query.mesh).bind(bound).bind(std::uint64_t{query.limit});
  std::vector<AuditRecord> out;
  while (true) {
    CYGNET_TRY(const bool there, row.step());
    if (!there) return out;
    out.push_back({row.counter(0), row.time(1), row.text(2), row.text(3), row.text(4), row.text(5),
                   row.text(6)});
  }
}

Result<PolicyRecord> load_policy(SqliteDb& db, const MeshId& mesh, std::uint64_t version) {
  CYGNET_CHECK_OK(require_mesh(db, mesh));
  CYGNET_TRY(auto row, db.prepare("SELECT version, applied_at, applied_by, comment, position, yaml "
                                  "FROM policies WHERE mesh = ? AND version = ?"));
  CYGNET_TRY(const bool there, row.bind(mesh).bind(version).step());
  if (!there) return fail(policy_unknown(version));
  return PolicyRecord{{row.counter(0), row.time(1), row.text(2), row.text(3), row.counter(4)},
                      row.text(5)};
}

}  // namespace cygnet::controller::store
