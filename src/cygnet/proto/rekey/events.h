// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What happens to the rekey machines (docs/protocol.md section 6). Peers are handles, generations
/// are named by their RekeyCounter, SA pairs by SaPairId: secrets, nonces and octets never enter,
/// so a recorded event list can be attached to a report and replayed. Pure; value types.

#include <cstdint>
#include <optional>
#include <variant>
#include <vector>

#include "cygnet/base/time.h"
#include "cygnet/proto/ids/ids.h"
#include "cygnet/proto/rekey/params.h"

namespace cygnet::proto::rekey {

enum class RekeyCause : std::uint8_t {
  kInitial,          ///< first generation after a start
  kCommand,          ///< an operator or the controller asked
  kLifetime,         ///< soft lifetime by time
  kPackets,          ///< soft lifetime by packets, IV counter
  kPolicyChanged,    ///< proposals, lanes or PPK changed
  kInstallFailed,    ///< a take-over could not be completed
  kInstallOnce,      ///< the pair newest × newest was used before and is gone
  kCountersUnknown,  ///< send counters or replay windows are not known for certain
  kBadSpi,           ///< newest × newest is missing and ESP arrives for it
  kOwnDimNewer,      ///< the controller holds a newer own DIM: state was lost or cloned
};

/// First event, once. `boot_count` is already incremented and stored when SA state was lost.
struct Start {
  std::uint32_t boot_count = 1;
  std::uint32_t last_sequence = 0;  ///< highest ever used with this boot count
  bool initial_contact = true;      ///< SA state was lost (or this is the first start ever)
};
/// Settings changed. Proposals, lanes and PPKs are not in here: for those RekeyRequired follows.
struct SettingsChanged {
  RekeyParams params;
};
struct RekeyRequired {
  RekeyCause cause = RekeyCause::kCommand;
};

/// Answer to GenerateDhPair. `random`: 32 uniform bits, for the jitter of the soft lifetime.
struct GenerationReady {
  RekeyCounter counter;
  std::uint32_t random = 0;
};
struct GenerationFailed {
  RekeyCounter counter;
};

/// PublishResult: accepted. `accepted_at` is the controller's acceptance time on our clock (server
/// time + offset); it may lie before the publish.
struct PublishAccepted {
  RekeyCounter counter;
  Timestamp accepted_at;
};
enum class PublishRefusal : std::uint8_t {
  kStale,       ///< the controller holds a newer own DIM (`stored`)
  kRedraw,      ///< this DIM can never be accepted (nonce held by another device, …)
  kRetryLater,  ///< rate limit, storage, …
};
struct PublishRefused {
  RekeyCounter counter;
  PublishRefusal why = PublishRefusal::kRetryLater;
  std::optional<RekeyCounter> stored;  ///< with kStale
};
/// Own stored DIM in a Welcome, judged by the driver (which compares octets and checks its own
/// signature). Comes once after every LinkUp.
enum class OwnDimVerdict : std::uint8_t {
  kNone,         ///< the controller has none
  kSame,         ///< equal octets as our generation `stored`
  kDeviceNewer,  ///< lower counter than our newest published
  kStoredNewer,  ///< higher counter than any of ours, or equal with other octets
};
struct OwnDimReported {
  OwnDimVerdict verdict = OwnDimVerdict::kNone;
  RekeyCounter stored;                   ///< not with kNone
  std::optional<Timestamp> accepted_at;  ///< with kSame
};
struct LinkUp {};
struct LinkDown {};

/// PublishStatus: these peers acknowledged generation `counter` since the last mark.
struct DeliveryMark {
  RekeyCounter counter;
  std::vector<PeerId> acknowledged;
  std::uint32_t attached_missing = 0;
  std::uint32_t unattached_missing = 0;
};

/// Policy allows this peer. `last_accepted` as kept on disk, when this agent ever accepted a DIM.
struct PeerAdded {
  PeerId peer;
  std::optional<RekeyCounter> last_accepted;
};
/// Explicitly removed (tombstone, revocation, policy). Never for "not heard of".
struct PeerRemoved {
  PeerId peer;
};
/// A peer's DIM that passed every check of docs/protocol.md section 3. An equal counter means equal
/// octets: the same DIM again.
struct PeerDim {
  PeerId peer;
  RekeyCounter counter;
  bool initial_contact = false;
  Timestamp accepted_at;  ///< by the controller, on our clock
};

/// Answers to InstallSaPair; exactly one a request, none after the pair was removed.
struct SaPairInstalled {
  PeerId peer;
  SaPairId pair;
};
enum class InstallFailure : std::uint8_t {
  kTransient,   ///< no memory, kernel refusal, …
  kCollision,   ///< an SPI this backend cannot hold twice
  kNoProposal,  ///< no proposal, PPK or group in common
};
struct SaPairFailed {
  PeerId peer;
  SaPairId pair;
  InstallFailure why = InstallFailure::kTransient;
};
/// The backend no longer holds this pair, or its counters are not certain (flushed by hand). The
/// device rolls over, unless the pair was draining.
struct SaPairLost {
  PeerId peer;
  SaPairId pair;
};
/// No counter of any pair is certain.
struct CountersUnknown {};

enum class Evidence : std::uint8_t { kUser, kProbe, kDummy };
/// A packet whose ICV verified came in on Rx(r-l). First packet of a pair, then at most once a
/// second.
struct InboundEvidence {
  PeerId peer;
  SaPairId pair;
  Evidence kind = Evidence::kUser;
};
/// A probe REQUEST came in on this pair (each of them; it is evidence too).
struct ProbeRequested {
  PeerId peer;
  SaPairId pair;
};
/// User packets went in or out since the last call (at most once a second).
struct UserTraffic {
  PeerId peer;
};
/// A user packet waits because no outbound is chosen (at most once a second).
struct PacketWaiting {
  PeerId peer;
};
/// The packet limit of a pair was passed.
struct SoftLimit {
  PeerId peer;
  SaPairId pair;
};
/// The controller: ESP arrives at one end of this pair for the SPI of newest × newest.
struct MissingNewest {
  PeerId peer;
};
/// now ≥ next_deadline(). Deadlines are acted on in this event only.
struct TimePassed {};

using Event =
    std::variant<Start, SettingsChanged, RekeyRequired, GenerationReady, GenerationFailed,
                 PublishAccepted, PublishRefused, OwnDimReported, LinkUp, LinkDown, DeliveryMark,
                 PeerAdded, PeerRemoved, PeerDim, SaPairInstalled, SaPairFailed, SaPairLost,
                 CountersUnknown, InboundEvidence, ProbeRequested, UserTraffic, PacketWaiting,
                 SoftLimit, MissingNewest, TimePassed>;

}  // namespace cygnet::proto::rekey
