// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The agent's state directory (docs/agent.md, "State on disk"): identity key, certificate, trust
/// bundle, mesh, boot count and sequence with the own DIMs, pins, revocations, peer table with its
/// cursor, last server time, evidence. Never a DH private value.
///
/// Blocking; every write is atomic and fsynced before it returns. Any thread; two threads may not
/// write the same file at once. Errors name the file and the cure.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cygnet/agent/core/agent_core.h"
#include "cygnet/crypto/identity.h"
#include "cygnet/rt/fs.h"

namespace cygnet::agent {

inline constexpr ErrorCode kErrNotJoined{"not-joined"};
inline constexpr ErrorCode kErrAlreadyJoined{"already-joined"};

struct MeshRecord {
  crypto::MeshId mesh{};
  std::string mesh_name;
  proto::DeviceName device;
  std::vector<std::string> controllers;  ///< host:port, as the join line named it
  crypto::Sha256 ca_fingerprint{};
};

struct DeviceRecord {
  std::uint32_t boot_count = 0;
  std::uint32_t last_sequence = 0;
  std::vector<Bytes> own_dims;  ///< newest last
};

class StateDir {
 public:
  explicit StateDir(rt::Path path) : path_(std::move(path)) {}
  [[nodiscard]] const rt::Path& path() const { return path_; }

  // Enrolment.
  [[nodiscard]] Result<std::optional<crypto::IdentityKey>> load_identity_key() const;
  [[nodiscard]] Status store_identity_key(const crypto::IdentityKey& key) const;
  [[nodiscard]] Result<crypto::Certificate> load_certificate() const;
  [[nodiscard]] Status store_certificate(const crypto::Certificate& certificate) const;
  [[nodiscard]] Result<std::vector<crypto::Certificate>> load_trust() const;
  [[nodiscard]] Status store_trust(const std::vector<crypto::Certificate>& trust) const;
  /// @retval kErrNotJoined
  [[nodiscard]] Result<MeshRecord> load_mesh() const;
  [[nodiscard]] Status store_mesh(const MeshRecord& mesh) const;
  [[nodiscard]] bool joined() const;

  // Running. A missing file is an empty record.
  [[nodiscard]] Result<DeviceRecord> load_device() const;
  [[nodiscard]] Status store_device(const DeviceRecord& device) const;
  [[nodiscard]] Result<ServerTime> load_server_time() const;
  [[nodiscard]] Status store_server_time(ServerTime time) const;
  [[nodiscard]] Result<Pins> load_pins() const;
  [[nodiscard]] Status store_pins(const Pins& pins) const;
  [[nodiscard]] Result<Revocations> load_revocations() const;
  [[nodiscard]] Status store_revocations(const Revocations& revocations) const;
  [[nodiscard]] Result<StoredTable> load_table() const;
  [[nodiscard]] Status store_table(const StoredTable& table) const;
  /// Moves a damaged peer table aside, so that the controller's snapshot can replace it.
  [[nodiscard]] Status set_table_aside() const;
  /// Two DIMs of one counter; a bounded number of them.
  [[nodiscard]] Status keep_evidence(const proto::DeviceName& device, proto::RekeyCounter counter,
                                     ByteView held, ByteView seen) const;

 private:
  [[nodiscard]] Result<std::optional<Bytes>> load(const char* file, const char* kind,
                                                  const char* cure) const;
  [[nodiscard]] Status store(const char* file, const char* kind, const std::string& message) const;
  rt::Path path_;
};

}  // namespace cygnet::agent
