// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <functional>
#include <map>

#include "cygnet/base/assert.h"
#include "cygnet/controller/store/open.h"
#include "cygnet/controller/store/refusals.h"

namespace cygnet::controller::store {
namespace {

struct Mesh {
  MeshRecord mesh;
  std::uint64_t position = 0;
  std::map<std::string, std::string> settings;
  std::map<std::string, DeviceRecord> devices;
  std::map<std::string, proto::RekeyCounter> counters;
  std::map<std::string, DimRecord> dims;
  std::map<std::string, TombstoneRecord> tombstones;
  std::map<Sha256, TokenRecord> tokens;
  std::vector<RevocationRecord> revocations;
  std::vector<PolicyRecord> policies;
  std::map<std::string, CsrRecord> csrs;
  std::vector<Bytes> trust;
  std::map<std::string, CursorRecord> cursors;
  std::vector<AuditRecord> audit;
};

template <class Map>
auto values_of(const Map& map) {
  std::vector<typename Map::mapped_type> out;
  out.reserve(map.size());
  for (const auto& [key, value] : map) out.push_back(value);
  return out;
}

}  // namespace

struct MemoryDisk {
  std::map<MeshId, Mesh> meshes;
  std::uint64_t audit_id = 0;
};

namespace {

/// What undoes the steps of a transaction, newest last.
class UndoLog {
 public:
  [[nodiscard]] std::size_t mark() const { return steps_.size(); }
  void push(std::function<void()> step) { steps_.push_back(std::move(step)); }
  void undo_to(std::size_t mark) {
    while (steps_.size() > mark) {
      steps_.back()();
      steps_.pop_back();
    }
  }
  void forget() { steps_.clear(); }

 private:
  std::vector<std::function<void()>> steps_;
};

/// One operation on one mesh; every change is undoable.
class MemoryApplier {
 public:
  MemoryApplier(MemoryDisk& disk, const MeshId& id, UndoLog& undo)
      : disk_(disk), id_(id), undo_(undo) {}

  Status operator()(const CreateMesh& op) {
    if (disk_.meshes.contains(id_)) return fail(mesh_exists(id_));
    Mesh fresh;
    fresh.mesh = op.mesh;
    fresh.mesh.id = id_;
    put(disk_.meshes, id_, std::move(fresh));
    return {};
  }
  Status operator()(const SetEpoch& op) {
    return with([&](Mesh& mesh) -> Status {
      assign(mesh.mesh.epoch, op.epoch);
      return {};
    });
  }
  Status operator()(const PutSetting& op) {
    return with([&](Mesh& mesh) -> Status {
      if (op.value) {
        put(mesh.settings, op.key, *op.value);
      } else {
        erase(mesh.settings, op.key);
      }
      return {};
    });
  }
  Status operator()(const PutDevice& op) {
    return with([&](Mesh& mesh) -> Status {
      put(mesh.devices, op.device.name, op.device);
      return {};
    });
  }
  Status operator()(const RemoveDevice& op) {
    return with([&](Mesh& mesh) -> Status {
      if (!mesh.devices.contains(op.name)) return fail(device_unknown(op.name));
      erase(mesh.devices, op.name);
      erase(mesh.dims, op.name);
      erase(mesh.cursors, op.name);
      erase(mesh.csrs, op.name);
      return {};
    });
  }
  Status operator()(const PutDim& op) {
    return with([&](Mesh& mesh) -> Status {
      const DimRecord& dim = op.dim;
      if (!mesh.devices.contains(dim.device)) return fail(device_unknown(dim.device));
      const auto highest = mesh.counters.find(dim.device);
      if (highest != mesh.counters.end() && dim.counter <= highest->second) {
        return fail(counter_stale(dim.device, dim.counter, highest->second));
      }
      CYGNET_CHECK_OK(advance(mesh, dim.position));
      put(mesh.counters, dim.device, dim.counter);
      put(mesh.dims, dim.device, dim);
      erase(mesh.tombstones, dim.device);
      return {};
    });
  }
  Status operator()(const PutTombstone& op) {
    return with([&](Mesh& mesh) -> Status {
      CYGNET_CHECK_OK(advance(mesh, op.tombstone.position));
      erase(mesh.dims, op.tombstone.device);
      put(mesh.tombstones, op.tombstone.device, op.tombstone);
      return {};
    });
  }
  Status operator()(const DropTombstones& op) {
    return with([&](Mesh& mesh) -> Status {
      std::vector<std::string> old;
      for (const auto& [name, tombstone] : mesh.tombstones) {
        if (tombstone.at < op.before) old.push_back(name);
      }
      for (const std::string& name : old) erase(mesh.tombstones, name);
      return {};
    });
  }
  Status operator()(const AdvancePosition& op) {
    return with([&](Mesh& mesh) { return advance(mesh, op.position); });
  }
  Status operator()(const PutToken& op) {
    return with([&](Mesh& mesh) -> Status {
      if (mesh.tokens.contains(op.token.hash)) return fail(token_exists());
      put(mesh.tokens, op.token.hash, op.token);
      return {};
    });
  }
  Status operator()(const UseToken& op) {
    return with([&](Mesh& mesh) -> Status {
      const auto found = mesh.tokens.find(op.hash);
      if (found == mesh.tokens.end()) return fail(token_unknown());
      TokenRecord token = found->second;
      if (token.uses_left == 0) return fail(token_used());
      if (op.now >= token.expires_at) return fail(token_expired());
      --token.uses_left;
      put(mesh.tokens, op.hash, std::move(token));
      return {};
    });
  }
  Status operator()(const RemoveToken& op) {
    return with([&](Mesh& mesh) -> Status {
      if (!mesh.tokens.contains(op.hash)) return fail(token_unknown());
      erase(mesh.tokens, op.hash);
      return {};
    });
  }
  Status operator()(const AddRevocation& op) {
    return with([&](Mesh& mesh) -> Status {
      const std::uint64_t last = mesh.revocations.empty() ? 0 : mesh.revocations.back().number;
      if (op.revocation.number <= last) return fail(revocation_stale(op.revocation.number, last));
      append(mesh.revocations, op.revocation);
      return {};
    });
  }
  Status operator()(const PutPolicy& op) {
    return with([&](Mesh& mesh) -> Status {
      const std::uint64_t last = mesh.policies.size();
      if (op.policy.header.version != last + 1) {
        return fail(policy_version_wrong(op.policy.header.version, last));
      }
      append(mesh.policies, op.policy);
      return {};
    });
  }
  Status operator()(const PutCsr& op) {
    return with([&](Mesh& mesh) -> Status {
      put(mesh.csrs, op.csr.device, op.csr);
      return {};
    });
  }
  Status operator()(const RemoveCsr& op) {
    return with([&](Mesh& mesh) -> Status {
      if (!mesh.csrs.contains(op.device)) return fail(csr_unknown(op.device));
      erase(mesh.csrs, op.device);
      return {};
    });
  }
  Status operator()(const SetTrust& op) {
    return with([&](Mesh& mesh) -> Status {
      assign(mesh.trust, op.trust);
      return {};
    });
  }
  Status operator()(const PutCursor& op) {
    return with([&](Mesh& mesh) -> Status {
      put(mesh.cursors, op.cursor.device, op.cursor);
      return {};
    });
  }
  Status operator()(const AppendAudit& op) {
    return with([&](Mesh& mesh) -> Status {
      AuditRecord audit = op.audit;
      audit.id = ++disk_.audit_id;  // a hole after an undo is fine: ids only rise
      append(mesh.audit, std::move(audit));
      return {};
    });
  }

 private:
  template <class Change>
  Status with(Change&& change) {
    const auto found = disk_.meshes.find(id_);
    if (found == disk_.meshes.end()) return fail(mesh_unknown(id_));
    return change(found->second);
  }
  Status advance(Mesh& mesh, std::uint64_t position) {
    if (position <= mesh.position) return fail(position_stale(position, mesh.position));
    assign(mesh.position, position);
    return {};
  }
  template <class T>
  void assign(T& target, T value) {
    undo_.push([&target, old = target] { target = old; });
    target = std::move(value);
  }
  template <class T>
  void append(std::vector<T>& target, T value) {
    undo_.push([&target] { target.pop_back(); });
    target.push_back(std::move(value));
  }
  template <class Map>
  void put(Map& map, const typename Map::key_type& key, typename Map::mapped_type value) {
    remember(map, key);
    map.insert_or_assign(key, std::move(value));
  }
  template <class Map>
  void erase(Map& map, const typename Map::key_type& key) {
    if (!map.contains(key)) return;
    remember(map, key);
    map.erase(key);
  }
  template <class Map>
  void remember(Map& map, const typename Map::key_type& key) {
    const auto found = map.find(key);
    if (found == map.end()) {
      undo_.push([&map, key] { map.erase(key); });
    } else {
      undo_.push([&map, key, old = found->second] { map.insert_or_assign(key, old); });
    }
  }

  MemoryDisk& disk_;
  MeshId id_;
  UndoLog& undo_;
};

class MemoryEngine : public Engine {
 public:
  explicit MemoryEngine(std::shared_ptr<MemoryDisk> disk) : disk_(std::move(disk)) {}
  ~MemoryEngine() override { undo_.undo_to(0); }

  Status begin() override {
    CYGNET_ASSERT(undo_.mark() == 0);
    return {};
  }
  Status apply(const WriteBatch& batch) override {
    const std::size_t mark = undo_.mark();
    MemoryApplier applier(*disk_, batch.mesh, undo_);
    for (const WriteOp& op : batch.ops) {
      auto status = std::visit(applier, op);
      if (!status) {
        undo_.undo_to(mark);
        return status;
      }
    }
    return {};
  }
  Status commit() override {
    undo_.forget();
    return {};
  }
  void rollback() override { undo_.undo_to(0); }

  Result<Snapshot> load() override {
    Snapshot snapshot;
    for (const auto& [id, mesh] : disk_->meshes) {
      MeshState state;
      state.mesh = mesh.mesh;
      state.position = mesh.position;
      state.settings = mesh.settings;
      state.devices = values_of(mesh.devices);
      state.counters = mesh.counters;
      state.dims = values_of(mesh.dims);
      state.tombstones = values_of(mesh.tombstones);
      state.tokens = values_of(mesh.tokens);
      state.revocations = mesh.revocations;
      for (const PolicyRecord& policy : mesh.policies) state.policies.push_back(policy.header);
      if (!mesh.policies.empty()) state.policy = mesh.policies.back();
      state.csrs = values_of(mesh.csrs);
      state.trust = mesh.trust;
      state.cursors = values_of(mesh.cursors);
      snapshot.meshes.push_back(std::move(state));
    }
    return snapshot;
  }
  Result<std::vector<AuditRecord>> read_audit(const AuditQuery& query) override {
    const auto mesh = disk_->meshes.find(query.mesh);
    if (mesh == disk_->meshes.end()) return fail(mesh_unknown(query.mesh));
    std::vector<AuditRecord> out;
    const auto& all = mesh->second.audit;
    if (query.newest_first) {
      for (auto at = all.rbegin(); at != all.rend() && out.size() < query.limit; ++at) {
        if (query.after_id == 0 || at->id < query.after_id) out.push_back(*at);
      }
    } else {
      for (auto at = all.begin(); at != all.end() && out.size() < query.limit; ++at) {
        if (at->id > query.after_id) out.push_back(*at);
      }
    }
    return out;
  }
  Result<PolicyRecord> read_policy(const MeshId& mesh_id, std::uint64_t version) override {
    const auto mesh = disk_->meshes.find(mesh_id);
    if (mesh == disk_->meshes.end()) return fail(mesh_unknown(mesh_id));
    if (version == 0 || version > mesh->second.policies.size()) {
      return fail(policy_unknown(version));
    }
    return mesh->second.policies[version - 1];
  }
  Status backup(const std::string& path) override {
    return fail(kErrStoreIo, "a store in memory has nothing to back up", path);
  }

 private:
  std::shared_ptr<MemoryDisk> disk_;
  UndoLog undo_;
};

}  // namespace

std::shared_ptr<MemoryDisk> make_memory_disk() { return std::make_shared<MemoryDisk>(); }

std::unique_ptr<Engine> make_memory_engine(std::shared_ptr<MemoryDisk> disk) {
  return std::make_unique<MemoryEngine>(std::move(disk));
}

}  // namespace cygnet::controller::store
