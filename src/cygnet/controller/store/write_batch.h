// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Changes that become durable together or not at all. Pure; value types.

#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "cygnet/controller/store/records.h"

namespace cygnet::controller::store {

/// Refused when the mesh exists.
struct CreateMesh {
  MeshRecord mesh;
};
/// A new change log (after a restore): cursors of the old one no longer count.
struct SetEpoch {
  Epoch epoch{};
};
/// nullopt removes the setting.
struct PutSetting {
  std::string key;
  std::optional<std::string> value;
};
/// Adds or replaces by name.
struct PutDevice {
  DeviceRecord device;
};
/// Removes the device with its DIM, cursor and CSR; its counter high-water mark and tombstone stay.
/// Refused when there is none.
struct RemoveDevice {
  std::string name;
};
/// Stores a device's newest DIM and raises its counter high-water mark; an older tombstone goes.
/// Refused unless the counter is above the high-water mark and the position above the mesh's.
struct PutDim {
  DimRecord dim;
};
/// Records a removal; the device's DIM goes. Refused unless the position is above the mesh's.
struct PutTombstone {
  TombstoneRecord tombstone;
};
/// Forgets tombstones older than a time.
struct DropTombstones {
  ServerTime before;
};
/// Moves the log on without a DIM (policy, prefixes). Refused unless it rises.
struct AdvancePosition {
  std::uint64_t position = 0;
};
/// Refused when the hash is known.
struct PutToken {
  TokenRecord token;
};
/// Takes one use. Refused when unknown, expired at `now` or used up.
struct UseToken {
  Sha256 hash{};
  ServerTime now;
};
struct RemoveToken {
  Sha256 hash{};
};
/// Refused unless the number is above every earlier one.
struct AddRevocation {
  RevocationRecord revocation;
};
/// Refused unless the version is one above the last.
struct PutPolicy {
  PolicyRecord policy;
};
/// Adds or replaces by device.
struct PutCsr {
  CsrRecord csr;
};
struct RemoveCsr {
  std::string device;
};
struct SetTrust {
  std::vector<Bytes> trust;
};
/// Adds or replaces by device.
struct PutCursor {
  CursorRecord cursor;
};
/// The id is given by the store.
struct AppendAudit {
  AuditRecord audit;
};

using WriteOp =
    std::variant<CreateMesh, SetEpoch, PutSetting, PutDevice, RemoveDevice, PutDim, PutTombstone,
                 DropTombstones, AdvancePosition, PutToken, UseToken, RemoveToken, AddRevocation,
                 PutPolicy, PutCsr, RemoveCsr, SetTrust, PutCursor, AppendAudit>;

/// Operations on one mesh, in order; a refused one refuses them all.
struct WriteBatch {
  MeshId mesh{};
  std::vector<WriteOp> ops;

  WriteBatch& add(WriteOp op) {
    ops.push_back(std::move(op));
    return *this;
  }
};

/// Octets a batch keeps in memory while it waits, roughly.
[[nodiscard]] std::size_t batch_size(const WriteBatch& batch);

}  // namespace cygnet::controller::store
