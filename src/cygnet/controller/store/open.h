// SPDX-License-Identifier: Apache-2.0
#pragma once

/// How stores come into being. No database header is needed to include this.

#include <cstdint>
#include <memory>
#include <string>

#include "cygnet/base/result.h"
#include "cygnet/controller/store/engine.h"
#include "cygnet/controller/store/store.h"

namespace cygnet::controller::store {

struct StoreLimits {
  std::size_t waiting_batches_max = 65536;
  std::size_t waiting_octets_max = std::size_t{64} * 1024 * 1024;
  /// Batches in one transaction at most, so that the first of a long queue is not kept waiting.
  std::size_t group_batches_max = 1024;
};

/// Runs an engine on a storage thread of its own with group commit.
[[nodiscard]] std::unique_ptr<Store> make_group_commit_store(std::unique_ptr<Engine> engine,
                                                             const StoreLimits& limits = {});

/// What a memory engine keeps when it goes, as a disk does. One engine at a time may use it.
struct MemoryDisk;
[[nodiscard]] std::shared_ptr<MemoryDisk> make_memory_disk();
/// Keeps everything in memory: for tests and the simulator. A transaction that was not committed
/// when the engine goes is lost.
[[nodiscard]] std::unique_ptr<Engine> make_memory_engine(
    std::shared_ptr<MemoryDisk> disk = make_memory_disk());

struct SqliteOptions {
  /// 0: as large as the disk allows. In pages of 4096 octets (tests of a full disk).
  std::uint32_t pages_max = 0;
};

/// Opens or creates the database file (its directory must exist), checks it and brings its schema
/// up to date. WAL, synchronous=FULL, exclusive to this process.
/// @retval kErrStoreCorrupt, kErrStoreBusy, kErrStoreNewer, kErrDiskFull, kErrStoreIo
[[nodiscard]] Result<std::unique_ptr<Engine>> open_sqlite_engine(const std::string& path,
                                                                 const SqliteOptions& options = {});

}  // namespace cygnet::controller::store
