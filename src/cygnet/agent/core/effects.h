// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What the agent's core asks of its driver. Carried out in list order before the next event is
/// handed in; answers come back as calls of AgentCore. No secret is in here: a generation is named
/// by its counter, and the key store of the driver resolves it. Pure; value types.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "cygnet/agent/core/messages.h"
#include "cygnet/agent/core/path_mtu.h"
#include "cygnet/proto/dim/dim.h"
#include "cygnet/proto/dim/dim_check.h"
#include "cygnet/proto/negotiate/negotiate.h"
#include "cygnet/proto/rekey/effects.h"

namespace cygnet::agent {

using DimPtr = std::shared_ptr<const proto::Dim>;

/// Store and fsync before the next effect.
struct StoreBootCount {
  std::uint32_t boot_count = 0;
};
/// Draw one DH pair for each group and one nonce, keep the privates under `counter`; answer
/// on_generation_made or on_generation_failed.
struct MakeGeneration {
  proto::RekeyCounter counter;
  std::vector<crypto::DhGroup> groups;
};
/// Sign, store the octets with their sequence, fsync; answer on_dim_signed or on_dim_not_signed.
struct SignDim {
  proto::RekeyCounter counter;
  proto::Dim dim;
};
struct SendPublish {
  Bytes octets;
};
/// Zero the privates of this generation; exactly once a generation.
struct EraseKeys {
  proto::RekeyCounter counter;
};
/// Derive the pair's keys on a worker and install it; with `lazy` claim it, and derive when its
/// first packet or DeriveNow asks for it. Answer on_pair_installed or on_pair_failed either way;
/// for keys of a claimed pair that cannot be had later, on_keys_failed.
struct InstallPair {
  proto::PeerId peer;
  proto::SaPairId pair;
  DimPtr local;
  DimPtr remote;
  proto::Agreement agreement;
  std::uint32_t replay_window = 1024;
  bool lazy = false;
};
/// A claimed pair is to be derived now, if that has not happened. A later EraseKeys does not take
/// its private value away from it.
struct DeriveNow {
  proto::PeerId peer;
  proto::SaPairId pair;
};
struct ChooseOutbound {
  proto::PeerId peer;
  std::optional<proto::SaPairId> pair;
};
struct RemoveOutbound {
  proto::PeerId peer;
  proto::SaPairId pair;
};
struct RemoveInbound {
  proto::PeerId peer;
  proto::SaPairId pair;
};
/// Send a REQUEST with a fresh cookie on this pair.
struct SendProbeRequest {
  proto::PeerId peer;
  proto::SaPairId pair;
};
/// Send these octets as a probe datagram.
struct SendProbePayload {
  proto::PeerId peer;
  proto::SaPairId pair;
  Bytes payload;
};
/// Send these octets as a probe datagram to the endpoint in use only, in one piece: neither this
/// host nor a router may fragment it (RFC 8899 section 3).
struct SendPathProbe {
  proto::PeerId peer;
  proto::SaPairId pair;
  Bytes payload;
};
/// How large packets to this peer may be from now.
struct SetPathMtu {
  proto::PeerId peer;
  PathMtuLimit limit;
};
struct SetPeer {
  PeerConfig config;
};
struct RemovePeer {
  proto::PeerId peer;
};
/// What this device itself may protect (destinations inbound packets may have).
struct SetOwnPrefixes {
  std::vector<IpPrefix> prefixes;
};
struct SetSoftPacketLimit {
  std::uint64_t packets = 0;
};
/// Run check_dim (a worker may do it: the context holds only values); answer on_dim_judged.
struct JudgeDim {
  std::uint64_t ticket = 0;
  StoredDim stored;
  std::shared_ptr<const proto::DimCheckContext> context;
};
struct PendingDim {
  proto::DeviceName device;
  proto::RekeyCounter counter;
};
struct SendAck {
  Cursor cursor;
  std::vector<PendingDim> pending;
};
struct SendReport {
  Report report;
};
struct SendWant {
  proto::DeviceName device;
};
/// Peer table with its cursor, settings: soon, not now.
struct StoreTable {};
struct StorePins {};
struct StoreRevocations {};
struct StoreServerTime {
  ServerTime time{};
};
/// Two DIMs of one counter, kept for whoever looks into it.
struct KeepEvidence {
  proto::DeviceName device;
  proto::RekeyCounter counter;
  Bytes held;
  Bytes seen;
};
/// A probe REPLY came in.
struct ProbeReplied {
  proto::PeerId peer;
  proto::SaPairId pair;
  std::array<std::uint8_t, 8> cookie{};
};
/// For people: a DIM refused, a peer added, an alarm.
enum class NoteLevel : std::uint8_t { kInfo, kWarning, kAlarm };
struct Note {
  NoteLevel level = NoteLevel::kInfo;
  std::string message;
  std::optional<proto::DeviceName> peer;
  std::optional<Error> error;
};
/// A typed protocol event of the rekey machine: for logs and metrics.
struct Observed {
  proto::rekey::Observe what;
};

using Effect =
    std::variant<StoreBootCount, MakeGeneration, SignDim, SendPublish, EraseKeys, InstallPair,
                 DeriveNow, ChooseOutbound, RemoveOutbound, RemoveInbound, SendProbeRequest,
                 SendProbePayload, SendPathProbe, SetPathMtu, SetPeer, RemovePeer, SetOwnPrefixes,
                 SetSoftPacketLimit, JudgeDim, SendAck, SendReport, SendWant, StoreTable, StorePins,
                 StoreRevocations, StoreServerTime, KeepEvidence, ProbeReplied, Note, Observed>;
using Effects = std::vector<Effect>;

}  // namespace cygnet::agent
