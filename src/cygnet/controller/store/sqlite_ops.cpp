// SPDX-License-Identifier: Apache-2.0
#include "cygnet/controller/store/sqlite_ops.h"

#include "cygnet/controller/store/refusals.h"

namespace cygnet::controller::store {
namespace {

class SqliteApplier {
 public:
  SqliteApplier(SqliteDb& db, const MeshId& mesh) : db_(db), mesh_(mesh) {}

  Status operator()(const CreateMesh& op) {
    CYGNET_TRY(const auto position, mesh_position());
    if (position) return fail(mesh_exists(mesh_));
    return run(
        "INSERT INTO meshes (mesh, name, epoch, created_at, position) VALUES (?, ?, ?, ?, 0)",
        mesh_, op.mesh.name, op.mesh.epoch, op.mesh.created_at);
  }
  Status operator()(const SetEpoch& op) {
    CYGNET_CHECK_OK(require_mesh());
    return run("UPDATE meshes SET epoch = ? WHERE mesh = ?", op.epoch, mesh_);
  }
  Status operator()(const PutSetting& op) {
    CYGNET_CHECK_OK(require_mesh());
    if (!op.value) return run("DELETE FROM settings WHERE mesh = ? AND key = ?", mesh_, op.key);
    return run("INSERT OR REPLACE INTO settings (mesh, key, value) VALUES (?, ?, ?)", mesh_, op.key,
               *op.value);
  }
  Status operator()(const PutDevice& op) {
    CYGNET_CHECK_OK(require_mesh());
    const DeviceRecord& d = op.device;
    const std::string labels = encode_labels(d.labels);
    return run(
        "INSERT OR REPLACE INTO devices (mesh, name, labels, spki, certificate, state, "
        "enrolled_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
        mesh_, d.name, labels, d.spki, d.certificate, static_cast<std::int64_t>(d.state),
        d.enrolled_at);
  }
  Status operator()(const RemoveDevice& op) {
    CYGNET_CHECK_OK(require_mesh());
    CYGNET_CHECK_OK(require_device(op.name));
    CYGNET_CHECK_OK(run("DELETE FROM devices WHERE mesh = ? AND name = ?", mesh_, op.name));
    CYGNET_CHECK_OK(run("DELETE FROM dims WHERE mesh = ? AND device = ?", mesh_, op.name));
    CYGNET_CHECK_OK(run("DELETE FROM cursors WHERE mesh = ? AND device = ?", mesh_, op.name));
    return run("DELETE FROM csrs WHERE mesh = ? AND device = ?", mesh_, op.name);
  }
  Status operator()(const PutDim& op) {
    const DimRecord& d = op.dim;
    CYGNET_CHECK_OK(require_mesh());
    CYGNET_CHECK_OK(require_device(d.device));
    {
      CYGNET_TRY(auto row,
                 db_.prepare("SELECT counter FROM counters WHERE mesh = ? AND device = ?"));
      CYGNET_TRY(const bool known, row.bind(mesh_).bind(d.device).step());
      if (known) {
        const auto highest = proto::RekeyCounter::from_wire(row.counter(0));
        if (d.counter <= highest) return fail(counter_stale(d.device, d.counter, highest));
      }
    }
    CYGNET_CHECK_OK(advance(d.position));
    CYGNET_CHECK_OK(run("INSERT OR REPLACE INTO counters (mesh, device, counter) VALUES (?, ?, ?)",
                        mesh_, d.device, d.counter.to_wire()));
    CYGNET_CHECK_OK(
        run("INSERT OR REPLACE INTO dims (mesh, device, counter, dim, certificate, accepted_at, "
            "position) VALUES (?, ?, ?, ?, ?, ?, ?)",
            mesh_, d.device, d.counter.to_wire(), d.dim, d.certificate, d.accepted_at, d.position));
    return run("DELETE FROM tombstones WHERE mesh = ? AND device = ?", mesh_, d.device);
  }
  Status operator()(const PutTombstone& op) {
    const TombstoneRecord& t = op.tombstone;
    CYGNET_CHECK_OK(require_mesh());
    CYGNET_CHECK_OK(advance(t.position));
    CYGNET_CHECK_OK(run("DELETE FROM dims WHERE mesh = ? AND device = ?", mesh_, t.device));
    return run("INSERT OR REPLACE INTO tombstones (mesh, device, position, at) VALUES (?, ?, ?, ?)",
               mesh_, t.device, t.position, t.at);
  }
  Status operator()(const DropTombstones& op) {
    CYGNET_CHECK_OK(require_mesh());
    return run("DELETE FROM tombstones WHERE mesh = ? AND at < ?", mesh_, op.before);
  }
  Status operator()(const AdvancePosition& op) {
    CYGNET_CHECK_OK(require_mesh());
    return advance(op.position);
  }
  Status operator()(const PutToken& op) {
    const TokenRecord& t = op.token;
    CYGNET_CHECK_OK(require_mesh());
    CYGNET_TRY(const bool known,
               exists("SELECT 1 FROM tokens WHERE mesh = ? AND hash = ?", mesh_, t.hash));
    if (known) return fail(token_exists());
    const std::string labels = encode_labels(t.labels);
    CYGNET_TRY(auto row, db_.prepare("INSERT INTO tokens (mesh, hash, device, labels, created_at, "
                                     "expires_at, uses_left, created_by) "
                                     "VALUES (?, ?, ?, ?, ?, ?, ?, ?)"));
    row.bind(mesh_).bind(t.hash);
    if (t.device) {
      row.bind(*t.device);
    } else {
      row.bind_null();
    }
    return row.bind(labels)
        .bind(t.created_at)
        .bind(t.expires_at)
        .bind(std::int64_t{t.uses_left})
        .bind(t.created_by)
        .run();
  }
  Status operator()(const UseToken& op) {
    CYGNET_CHECK_OK(require_mesh());
    {
      CYGNET_TRY(auto row, db_.prepare("SELECT uses_left, expires_at FROM tokens "
                                       "WHERE mesh = ? AND hash = ?"));
      CYGNET_TRY(const bool known, row.bind(mesh_).bind(op.hash).step());
      if (!known) return fail(token_unknown());
      if (row.integer(0) <= 0) return fail(token_used());
      if (op.now >= row.time(1)) return fail(token_expired());
    }
    return run("UPDATE tokens SET uses_left = uses_left - 1 WHERE mesh = ? AND hash = ?", mesh_,
               op.hash);
  }
  Status operator()(const RemoveToken& op) {
    CYGNET_CHECK_OK(require_mesh());
    CYGNET_TRY(const bool known,
               exists("SELECT 1 FROM tokens WHERE mesh = ? AND hash = ?", mesh_, op.hash));
    if (!known) return fail(token_unknown());
    return run("DELETE FROM tokens WHERE mesh = ? AND hash = ?", mesh_, op.hash);
  }
  Status operator()(const AddRevocation& op) {
    const RevocationRecord& r = op.revocation;
    CYGNET_CHECK_OK(require_mesh());
    CYGNET_TRY(const std::uint64_t last,
               last_number("SELECT number FROM revocations WHERE mesh = ? "
                           "ORDER BY number DESC LIMIT 1"));
    if (r.number <= last) return fail(revocation_stale(r.number, last));
    return run(
        "INSERT INTO revocations (mesh, number, device, spki_sha256, serial, at, reason) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        mesh_, r.number, r.device, r.spki_sha256, r.serial, r.at, r.reason);
  }
  Status operator()(const PutPolicy& op) {
    const PolicyHeader& h = op.policy.header;
    CYGNET_CHECK_OK(require_mesh());
    CYGNET_TRY(const std::uint64_t last, last_number("SELECT version FROM policies WHERE mesh = ? "
                                                     "ORDER BY version DESC LIMIT 1"));
    if (h.version != last + 1) return fail(policy_version_wrong(h.version, last));
    return run(
        "INSERT INTO policies (mesh, version, applied_at, applied_by, comment, position, yaml) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        mesh_, h.version, h.applied_at, h.applied_by, h.comment, h.position, op.policy.yaml);
  }
  Status operator()(const PutCsr& op) {
    CYGNET_CHECK_OK(require_mesh());
    return run(
        "INSERT OR REPLACE INTO csrs (mesh, device, csr, token_hash, queued_at) "
        "VALUES (?, ?, ?, ?, ?)",
        mesh_, op.csr.device, op.csr.csr, op.csr.token_hash, op.csr.queued_at);
  }
  Status operator()(const RemoveCsr& op) {
    CYGNET_CHECK_OK(require_mesh());
    CYGNET_TRY(const bool known,
               exists("SELECT 1 FROM csrs WHERE mesh = ? AND device = ?", mesh_, op.device));
    if (!known) return fail(csr_unknown(op.device));
    return run("DELETE FROM csrs WHERE mesh = ? AND device = ?", mesh_, op.device);
  }
  Status operator()(const SetTrust& op) {
    CYGNET_CHECK_OK(require_mesh());
    CYGNET_CHECK_OK(run("DELETE FROM trust WHERE mesh = ?", mesh_));
    std::int64_t place = 0;
    for (const Bytes& each : op.trust) {
      CYGNET_CHECK_OK(run("INSERT INTO trust (mesh, place, certificate) VALUES (?, ?, ?)", mesh_,
                          place++, each));
    }
    return {};
  }
  Status operator()(const PutCursor& op) {
    CYGNET_CHECK_OK(require_mesh());
    return run("INSERT OR REPLACE INTO cursors (mesh, device, position) VALUES (?, ?, ?)", mesh_,
               op.cursor.device, op.cursor.position);
  }
  Status operator()(const AppendAudit& op) {
    const AuditRecord& a = op.audit;
    CYGNET_CHECK_OK(require_mesh());
    return run(
        "INSERT INTO audit (mesh, at, who, action, object, before, after) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        mesh_, a.at, a.who, a.action, a.object, a.before, a.after);
  }

 private:
  template <class... Values>
  Status run(const char* sql, const Values&... values) {
    CYGNET_TRY(auto row, db_.prepare(sql));
    (row.bind(values), ...);
    return row.run();
  }
  template <class... Values>
  Result<bool> exists(const char* sql, const Values&... values) {
    CYGNET_TRY(auto row, db_.prepare(sql));
    (row.bind(values), ...);
    return row.step();
  }
  Result<std::uint64_t> last_number(const char* sql) {
    CYGNET_TRY(auto row, db_.prepare(sql));
    CYGNET_TRY(const bool there, row.bind(mesh_).step());
    return there ? row.counter(0) : 0;
  }
  Result<std::optional<std::uint64_t>> mesh_position() {
    CYGNET_TRY(auto row, db_.prepare("SELECT position FROM meshes WHERE mesh = ?"));
    CYGNET_TRY(const bool there, row.bind(mesh_).step());
    return there ? std::optional(row.counter(0)) : std::nullopt;
  }
  Status require_mesh() {
    CYGNET_TRY(const auto position, mesh_position());
    if (!position) return fail(mesh_unknown(mesh_));
    return {};
  }
  Status require_device(const std::string& name) {
    CYGNET_TRY(const bool known,
               exists("SELECT 1 FROM devices WHERE mesh = ? AND name = ?", mesh_, name));
    if (!known) return fail(device_unknown(name));
    return {};
  }
  Status advance(std::uint64_t position) {
    CYGNET_TRY(const auto stored, mesh_position());
    if (position <= stored.value_or(0)) return fail(position_stale(position, stored.value_or(0)));
    return run("UPDATE meshes SET position = ? WHERE mesh = ?", position, mesh_);
  }

  SqliteDb& db_;
  const MeshId& mesh_;
};

bool needs_escape(char c) { return c == '%' || c == '=' || c == '\n'; }

void escape(std::string& out, const std::string& text) {
  for (const char c : text) {
    if (!needs_escape(c)) {
      out += c;
      continue;
    }
    const auto octet = static_cast<std::uint8_t>(c);
    out += "%" + to_hex(ByteView(&octet, 1));
  }
}

std::optional<std::string> unescape(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    const auto octet = from_hex(text.substr(i + 1, 2));
    if (!octet || octet->size() != 1) return std::nullopt;
    out += static_cast<char>(octet->front());
    i += 2;
  }
  return out;
}

}  // namespace

Status apply_op(SqliteDb& db, const MeshId& mesh, const WriteOp& op) {
  return std::visit(SqliteApplier(db, mesh), op);
}

std::string encode_labels(const Labels& labels) {
  std::string out;
  for (const auto& [key, value] : labels) {
    escape(out, key);
    out += '=';
    escape(out, value);
    out += '\n';
  }
  return out;
}

std::optional<Labels> decode_labels(std::string_view text) {
  Labels labels;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    const std::size_t equals = line.find('=');
    if (end == std::string_view::npos || equals == std::string_view::npos) return std::nullopt;
    auto key = unescape(line.substr(0, equals));
    auto value = unescape(line.substr(equals + 1));
    if (!key || !value) return std::nullopt;
    labels.emplace(std::move(*key), std::move(*value));
    text.remove_prefix(end + 1);
  }
  return labels;
}

}  // namespace cygnet::controller::store
