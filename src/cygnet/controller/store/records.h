// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What the controller keeps on disk, as values (docs/storage.md). Every record belongs to
/// one mesh, named by its mesh id. Pure; value types.
///
/// Times are the controller's clock. Positions are places in the mesh's total order of changes.

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cygnet/base/bytes.h"
#include "cygnet/base/time.h"
#include "cygnet/crypto/hash.h"
#include "cygnet/crypto/identity.h"
#include "cygnet/proto/ids/ids.h"

namespace cygnet::controller::store {

using crypto::MeshId;
using crypto::Sha256;

/// Names one change log: a cursor of another epoch gets a snapshot (protocol section 7).
using Epoch = std::array<std::uint8_t, 16>;

struct MeshRecord {
  MeshId id{};
  std::string name;
  Epoch epoch{};
  ServerTime created_at;
};

enum class DeviceState : std::uint8_t { kActive = 1, kRevoked = 2 };

struct DeviceRecord {
  std::string name;
  std::map<std::string, std::string> labels;
  Bytes spki;         ///< DER SubjectPublicKeyInfo of the identity key
  Bytes certificate;  ///< DER, the newest issued
  DeviceState state = DeviceState::kActive;
  ServerTime enrolled_at;
  friend bool operator==(const DeviceRecord&, const DeviceRecord&) = default;
};

/// The newest accepted DIM of a device with the certificate that verified it.
struct DimRecord {
  std::string device;
  proto::RekeyCounter counter;
  Bytes dim;
  Bytes certificate;
  ServerTime accepted_at;
  std::uint64_t position = 0;
  friend bool operator==(const DimRecord&, const DimRecord&) = default;
};

/// An explicit removal, kept at least hard lifetime + certificate lifetime (protocol section 7).
struct TombstoneRecord {
  std::string device;
  std::uint64_t position = 0;
  ServerTime at;
  friend bool operator==(const TombstoneRecord&, const TombstoneRecord&) = default;
};

/// A join token; only its hash is stored.
struct TokenRecord {
  Sha256 hash{};
  std::optional<std::string> device;          ///< bound to this name,
  std::map<std::string, std::string> labels;  ///< or whoever joins gets these labels
  ServerTime created_at;
  ServerTime expires_at;
  std::uint32_t uses_left = 1;
  std::string created_by;
  friend bool operator==(const TokenRecord&, const TokenRecord&) = default;
};

struct RevocationRecord {
  std::uint64_t number = 0;  ///< only rises, mesh-wide
  std::string device;
  Sha256 spki_sha256{};
  Bytes serial;  ///< may be empty: the key only
  ServerTime at;
  std::string reason;
  friend bool operator==(const RevocationRecord&, const RevocationRecord&) = default;
};

struct PolicyHeader {
  std::uint64_t version = 0;  ///< from 1, without holes; the highest is in force
  ServerTime applied_at;
  std::string applied_by;
  std::string comment;         ///< "rollback to 7"
  std::uint64_t position = 0;  ///< of the change log when it came into force
  friend bool operator==(const PolicyHeader&, const PolicyHeader&) = default;
};
struct PolicyRecord {
  PolicyHeader header;
  std::string yaml;
  friend bool operator==(const PolicyRecord&, const PolicyRecord&) = default;
};

/// A certificate request that waits for an external CA.
struct CsrRecord {
  std::string device;
  Bytes csr;  ///< DER
  Sha256 token_hash{};
  ServerTime queued_at;
  friend bool operator==(const CsrRecord&, const CsrRecord&) = default;
};

/// Up to where a device has acknowledged.
struct CursorRecord {
  std::string device;
  std::uint64_t position = 0;
  friend bool operator==(const CursorRecord&, const CursorRecord&) = default;
};

/// Who did what to what; append-only.
struct AuditRecord {
  std::uint64_t id = 0;  ///< given by the store, rising
  ServerTime at;
  std::string who;
  std::string action;  ///< "device.revoke"
  std::string object;  ///< "store-0417"
  std::string before;  ///< JSON, may be empty
  std::string after;   ///< JSON, may be empty
  friend bool operator==(const AuditRecord&, const AuditRecord&) = default;
};

/// Everything of one mesh but audit log and old policies: what the core keeps in memory.
/// Lists are sorted by name, hash, number or version.
struct MeshState {
  MeshRecord mesh;
  std::uint64_t position = 0;  ///< of the newest change
  std::map<std::string, std::string> settings;
  std::vector<DeviceRecord> devices;
  /// Highest counter ever accepted, by name; outlives the device.
  std::map<std::string, proto::RekeyCounter> counters;
  std::vector<DimRecord> dims;
  std::vector<TombstoneRecord> tombstones;
  std::vector<TokenRecord> tokens;
  std::vector<RevocationRecord> revocations;
  std::vector<PolicyHeader> policies;  ///< oldest first
  std::optional<PolicyRecord> policy;  ///< the one in force
  std::vector<CsrRecord> csrs;
  std::vector<Bytes> trust;  ///< DER certificates, in order
  std::vector<CursorRecord> cursors;
};

struct Snapshot {
  std::vector<MeshState> meshes;  ///< sorted by mesh id
};

}  // namespace cygnet::controller::store
