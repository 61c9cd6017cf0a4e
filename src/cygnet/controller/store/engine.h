// SPDX-License-Identifier: Apache-2.0
#pragma once

/// A transactional engine under GroupCommitStore: the storage thread's view of a disk. One thread
/// uses an engine at a time. Wrapping an engine is the seam where tests delay or fail commits
/// (fault_engine.h).

#include "cygnet/controller/store/store.h"

namespace cygnet::controller::store {

class Engine {
 public:
  Engine() = default;
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  virtual ~Engine() = default;

  /// Opens a transaction. After an error no transaction is open.
  [[nodiscard]] virtual Status begin() = 0;
  /// Applies one batch inside the transaction. A refusal (preconditions) leaves what earlier
  /// batches did and undoes all of this one; a disk error asks for rollback().
  [[nodiscard]] virtual Status apply(const WriteBatch& batch) = 0;
  /// Durable on success; on error nothing of the transaction is stored and none is open.
  [[nodiscard]] virtual Status commit() = 0;
  virtual void rollback() = 0;

  [[nodiscard]] virtual Result<Snapshot> load() = 0;
  [[nodiscard]] virtual Result<std::vector<AuditRecord>> read_audit(const AuditQuery& query) = 0;
  [[nodiscard]] virtual Result<PolicyRecord> read_policy(const MeshId& mesh,
                                                         std::uint64_t version) = 0;
  [[nodiscard]] virtual Status backup(const std::string& path) = 0;
};

/// True for errors of the disk, false for refusals of one batch.
[[nodiscard]] bool is_disk_error(const Error& error);

}  // namespace cygnet::controller::store
