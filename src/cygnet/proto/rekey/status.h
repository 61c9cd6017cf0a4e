// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What can be asked of the rekey machines: `cygnet status`, `sa`, `why` are made from these.
/// Snapshots; pure value types.

#include <cstdint>
#include <optional>
#include <vector>

#include "cygnet/base/time.h"
#include "cygnet/proto/ids/ids.h"
#include "cygnet/proto/rekey/events.h"

namespace cygnet::proto::rekey {

/// Life of an own generation. Only the newest can be in the first three.
enum class GenerationPhase : std::uint8_t {
  kDrawing,     ///< GenerateDhPair asked, not answered
  kInstalling,  ///< waits for every pair it promises
  kPublishing,  ///< PublishGeneration asked, not yet accepted
  kAccepted,    ///< the controller has acknowledged its DIM
};

/// One own generation (a1, a2, …), oldest first in lists.
struct OwnGeneration {
  RekeyCounter counter;
  GenerationPhase phase = GenerationPhase::kDrawing;
  bool initial_contact = false;
  bool sent = false;                      ///< the controller may have got it
  bool private_held = false;              ///< the key store has its DH private value
  std::optional<Timestamp> accepted_at;   ///< controller's acceptance, on our clock
  std::optional<Timestamp> delivered_at;  ///< first mark that says nobody attached misses it
  std::uint32_t random = 0;               ///< for the jitter of its soft lifetime
  std::uint32_t sa_pairs = 0;             ///< pairs of all peers made from it, draining included
  std::uint32_t awaited = 0;              ///< … of which installs are not confirmed yet

  /// Neither the controller nor a peer can know of it.
  [[nodiscard]] bool unseen() const { return phase != GenerationPhase::kAccepted && !sent; }
  friend bool operator==(const OwnGeneration&, const OwnGeneration&) = default;
};

/// Life of one SA pair towards a peer. kSpent remembers a pair that must never be made again
/// (Install once); nothing of it exists.
enum class PairState : std::uint8_t {
  kInstalling,
  kInstalled,
  kDraining,
  kFailed,
  kNoProposal,
  kSpent
};

struct PairStatus {
  SaPairId id;
  PairState state = PairState::kInstalling;
  bool outbound = false;   ///< the outbound SA exists
  bool confirmed = false;  ///< a verified packet came in on Rx(r-l)
};

struct RemoteStatus {
  RekeyCounter counter;
  bool complete = false;  ///< Take-over: counts as received
  bool refused = false;   ///< no proposal in common
  bool pending = false;   ///< an install failed
  Timestamp accepted_at;
};

/// Why user packets do not (yet) go out on newest × newest; kSettled when they do.
enum class WhyNot : std::uint8_t {
  kSettled,
  kNotAllowed,     ///< policy does not (any more) allow this peer
  kNoDim,          ///< no DIM of the peer known
  kNoProposal,     ///< no proposal in common
  kInstalling,     ///< installs are under way
  kInstallFailed,  ///< an install failed; tried again
  kNotAccepted,    ///< our own DIM is not accepted by the controller yet
  kWaitsForMark,   ///< Start waits for the peer's delivery mark
  kPairUsedUp,     ///< the pair newest × newest was used before; needs a roll-over
  kPeerNotSeen,    ///< the peer was not yet seen on our newest generation
  kUnconfirmed,    ///< chosen, nothing verified came back on it yet
};

struct PeerStatus {
  PeerId peer;
  bool present = false;  ///< allowed by policy
  std::vector<PairStatus> pairs;
  std::vector<RemoteStatus> remotes;  ///< oldest first
  std::optional<SaPairId> outbound;
  std::optional<RekeyCounter> newest;           ///< newest remote generation
  std::optional<RekeyCounter> newest_complete;  ///< … that counts as received
  std::optional<RekeyCounter> pending;          ///< newest one with a failed install
  std::optional<RekeyCounter> heard;            ///< newest one heard on
  std::vector<RekeyCounter> live;               ///< own generations live towards it
  std::optional<RekeyCounter> acknowledged;     ///< newest own generation it acknowledged
  std::optional<RekeyCounter> last_accepted;    ///< survives removal
  bool confirmed = false;                       ///< the outbound choice is confirmed
  bool dormant = false;
  WhyNot why_not = WhyNot::kNoDim;
};

struct DeviceStatus {
  bool started = false;
  bool link_up = false;
  std::uint32_t boot_count = 0;
  std::uint32_t last_sequence = 0;
  std::vector<OwnGeneration> generations;  ///< oldest first
  std::optional<RekeyCause> rekey_wanted;  ///< asked for, waits for Bounds or the controller
};

struct Counts {
  std::uint32_t dh_private_alive = 0;
  std::uint32_t dh_private_alive_max = 0;   ///< since start
  std::uint32_t sa_pairs = 0;               ///< of all peers, draining included
  std::uint32_t sa_pairs_per_peer_max = 0;  ///< since start
};

}  // namespace cygnet::proto::rekey
