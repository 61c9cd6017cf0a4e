// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What a device and its controller tell each other (docs/protocol.md section 7), as values: the
/// link has checked every length, name and range before one of these exists. Pure; value types.

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "cygnet/agent/backend/api/backend.h"
#include "cygnet/base/bytes.h"
#include "cygnet/base/time.h"
#include "cygnet/crypto/hash.h"
#include "cygnet/proto/ids/ids.h"

namespace cygnet::agent {

/// Place in the mesh's log. A cursor is kept only together with the peer table it describes.
struct Cursor {
  Bytes epoch;
  std::uint64_t position = 0;
  friend bool operator==(const Cursor&, const Cursor&) = default;
};

/// A DIM as the controller stores and relays it.
struct StoredDim {
  Bytes dim;
  Bytes certificate;  ///< DER of the leaf that verified it
  ServerTime accepted_at{};
  friend bool operator==(const StoredDim&, const StoredDim&) = default;
};

struct PairPolicy {
  bool on_demand = false;
  std::string via;
  friend bool operator==(const PairPolicy&, const PairPolicy&) = default;
};

/// What the mesh's policy asks of this device.
struct MeshSettings {
  std::vector<std::string> proposals;  ///< as the policy names them, in order
  Duration rekey_every = std::chrono::hours(1);
  std::uint32_t rekey_jitter_permille = 100;
  std::uint64_t rekey_packets = 0;  ///< 0: not by packets
  Duration lifetime_hard = std::chrono::hours(24);
  std::uint16_t lanes = 1;
  std::uint32_t replay_window = 1024;
  Duration drain = std::chrono::seconds(10);
  Duration forget_cap = std::chrono::minutes(3);
  bool ppk_mandatory = false;
  bool derive_eager = false;
  std::uint64_t policy_version = 0;
  std::set<std::string> rekeyed;  ///< names whose pinned key may be replaced
  std::vector<IpPrefix> own_prefixes;
  friend bool operator==(const MeshSettings&, const MeshSettings&) = default;
};

/// Keys and serials refused for ever. The number only rises.
struct Revocations {
  std::uint64_t number = 0;
  std::set<crypto::Sha256> keys;
  std::set<Bytes> serials;
  friend bool operator==(const Revocations&, const Revocations&) = default;
};

struct Welcome {
  ServerTime server_time{};
  std::optional<StoredDim> own_dim;
  Revocations revocations;
  MeshSettings settings;
  bool resumed = false;  ///< the cursor was honoured: only what was missed follows
};

/// Absent members: no news.
struct PeerChange {
  proto::DeviceName device;
  bool removed = false;
  std::optional<StoredDim> dim;
  std::optional<std::vector<UdpEndpoint>> endpoints;
  std::optional<std::vector<IpPrefix>> prefixes;
  std::optional<PairPolicy> policy;
};

struct Update {
  std::vector<PeerChange> changes;
  std::optional<Cursor> cursor;
  bool snapshot_begin = false;
  bool snapshot_end = false;
  std::optional<MeshSettings> settings;
  std::optional<Revocations> revocations;
};

struct PublishResult {
  proto::RekeyCounter counter;
  bool accepted = false;
  ServerTime accepted_at{};
  std::string refusal_code;
  std::string refusal_message;
  std::optional<StoredDim> newer;
};

/// Delivery mark.
struct PublishStatus {
  proto::RekeyCounter counter;
  std::vector<std::string> acknowledged;
  std::uint32_t attached_missing = 0;
  std::uint32_t unattached_missing = 0;
};

// Reports to the controller.
struct BadSpiReport {
  std::uint32_t spi = 0;
  UdpEndpoint source;
  std::uint64_t count = 0;
};
struct RefusedReport {
  proto::DeviceName device;
  proto::RekeyCounter counter;
  std::string code;
  std::string message;
  Bytes evidence;
};
struct NoProposalReport {
  proto::DeviceName peer;
  proto::SaPairId pair;
};
struct SaEventReport {
  proto::DeviceName peer;
  proto::SaPairId pair;
  std::string event;
  std::string detail;
};
struct AlarmReport {
  std::string code;
  std::string message;
};
using Report =
    std::variant<BadSpiReport, RefusedReport, NoProposalReport, SaEventReport, AlarmReport>;

}  // namespace cygnet::agent
