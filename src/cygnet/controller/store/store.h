// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The controller's durable memory (docs/storage.md).
///
/// "Accept, persist, fan out, acknowledge, in that order": a completion is called only after the
/// batch is durable, so whatever it triggers may be told to the world. Batches are applied in the
/// order of submit(), many in one transaction (group commit); a batch is all or nothing, and one
/// that is refused does not disturb its neighbours.
///
/// Threading: every call may come from any thread; only load() and close() wait for the disk.
/// Completions run on the storage thread, in the order of submission (at once on the caller's when
/// the store is overloaded or closed): hand over to your own thread and return; do not call load()
/// or close() from one.

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "cygnet/base/result.h"
#include "cygnet/controller/store/records.h"
#include "cygnet/controller/store/write_batch.h"

namespace cygnet::controller::store {

// The batch was refused; nothing of it is stored, the store goes on.
inline constexpr ErrorCode kErrStoreConflict{"store-conflict"};  ///< a precondition of an operation
inline constexpr ErrorCode kErrStoreNotFound{"store-not-found"};
inline constexpr ErrorCode kErrTokenUnknown{"token-unknown"};
inline constexpr ErrorCode kErrTokenUsed{"token-used"};
inline constexpr ErrorCode kErrTokenExpired{"token-expired"};
inline constexpr ErrorCode kErrStoreOverloaded{"store-overloaded"};  ///< too much is waiting
inline constexpr ErrorCode kErrStoreClosed{"store-closed"};
// The disk: nothing of the batch is promised; a later batch may succeed again.
inline constexpr ErrorCode kErrDiskFull{"disk-full"};
inline constexpr ErrorCode kErrStoreIo{"store-io"};
// At open.
inline constexpr ErrorCode kErrStoreCorrupt{"store-corrupt"};
inline constexpr ErrorCode kErrStoreBusy{"store-busy"};    ///< another process has it open
inline constexpr ErrorCode kErrStoreNewer{"store-newer"};  ///< written by a newer version

using Completion = std::function<void(Status)>;

struct AuditQuery {
  MeshId mesh{};
  std::uint64_t after_id = 0;
  std::size_t limit = 100;
  bool newest_first = false;  ///< then after_id, when not 0, means "before"
};

/// What is waiting and how long commits take; for metrics.
struct StoreStats {
  std::uint64_t batches_committed = 0;
  std::uint64_t batches_refused = 0;  ///< preconditions
  std::uint64_t batches_failed = 0;   ///< disk
  std::uint64_t transactions = 0;
  std::uint64_t commit_ns_total = 0;
  std::uint64_t commit_ns_max = 0;
  std::size_t waiting_batches = 0;
  std::size_t waiting_octets = 0;
};

class Store {
 public:
  Store() = default;
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;
  virtual ~Store() = default;

  /// Everything the core keeps in memory, as of every batch submitted before. Blocks; for start-up.
  [[nodiscard]] virtual Result<Snapshot> load() = 0;
  /// Takes a batch; `done` is called exactly once, also when refused or at close().
  virtual void submit(WriteBatch batch, Completion done) = 0;
  virtual void read_audit(AuditQuery query,
                          std::function<void(Result<std::vector<AuditRecord>>)> done) = 0;
  virtual void read_policy(MeshId mesh, std::uint64_t version,
                           std::function<void(Result<PolicyRecord>)> done) = 0;
  /// Writes a consistent copy to a new file while the store goes on. @retval kErrStoreIo,
  /// kErrDiskFull; kErrStoreConflict when the file exists.
  virtual void backup(std::string path, std::function<void(Status)> done) = 0;
  /// Commits what is waiting, then stops; later submits get kErrStoreClosed. Idempotent.
  virtual void close() = 0;
  [[nodiscard]] virtual StoreStats stats() const = 0;
};

}  // namespace cygnet::controller::store
