// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What the rekey machines ask of their driver. Effects are carried out in list order; one that
/// must be complete before another has a completion event, and the machine withholds the other
/// until it came. Nothing here carries a secret. Pure; value types.

#include <cstdint>
#include <optional>
#include <variant>
#include <vector>

#include "cygnet/proto/ids/ids.h"
#include "cygnet/proto/rekey/events.h"

namespace cygnet::proto::rekey {

/// The boot count rises (own DIM at the controller was newer). Stored and fsynced before the next
/// effect is carried out.
struct StoreBootCount {
  std::uint32_t boot_count = 0;
};
/// Draw a DH pair for every offered group and one nonce, keep them under this counter (never a DH
/// pair without its nonce), and answer GenerationReady or GenerationFailed. The sequence is fsynced
/// before PublishGeneration, not here: an unpublished counter may be lost.
struct GenerateDhPair {
  RekeyCounter counter;
};
/// Derive (or, in a lazy backend, claim) the pair and install both directions, the outbound not yet
/// used. Answer SaPairInstalled or SaPairFailed. Never asked twice for one pair unless it failed.
struct InstallSaPair {
  PeerId peer;
  SaPairId pair;
};
/// User packets and probes to this peer go out on this pair from now on; nullopt: hold a few.
struct ChooseOutbound {
  PeerId peer;
  std::optional<SaPairId> pair;
};
/// Zero and drop one direction of a pair. When the pair is still being installed: drop what is
/// there of it as it comes, and send no answer for it any more.
struct RemoveOutbound {
  PeerId peer;
  SaPairId pair;
};
struct RemoveInbound {
  PeerId peer;
  SaPairId pair;
};
/// Sign and send the DIM of this generation. Before that, fsync its sequence and octets. Asked
/// again for the same counter after a reconnect: the same octets go out again. While the link is
/// down the driver ignores it; the machine asks again after OwnDimReported.
struct PublishGeneration {
  RekeyCounter counter;
  bool initial_contact = false;
};
/// Zero the DH private values and the nonce of this generation. Exactly once a generation that got
/// GenerationReady. SAs derived from it stay.
struct EraseDhPair {
  RekeyCounter counter;
};
/// Send a probe REQUEST on this pair (always the chosen one).
struct SendProbe {
  PeerId peer;
  SaPairId pair;
};
/// Send the REPLY to the REQUEST of the event just handled, on this pair.
struct AnswerProbe {
  PeerId peer;
  SaPairId pair;
};
enum class DimOutcome : std::uint8_t {
  kInstalled,  ///< all pairs are there (claimed, in a lazy backend)
  kRefused,    ///< no proposal in common: nothing will come of it
  kPending,    ///< an install failed; tried again later
};
/// This peer's DIM is dealt with: the driver may acknowledge the cursor that brought it once every
/// DIM up to there is, and names the pending ones. May come again when a pending one completes.
struct AcknowledgeDim {
  PeerId peer;
  RekeyCounter counter;
  DimOutcome outcome = DimOutcome::kInstalled;
};
/// A lazy backend derives this pair now; complete before a later EraseDhPair is carried out.
struct DeriveNow {
  PeerId peer;
  SaPairId pair;
};
enum class ReportCode : std::uint8_t {
  kNoProposal,        ///< no proposal in common with `peer` (`pair`)
  kInstallFailed,     ///< a take-over is pending because of `pair`
  kGenerationFailed,  ///< `counter` could not be installed for every peer, redraws used up
  kOwnDimNewer,       ///< alarm: the controller holds a newer own DIM than we do (`counter`)
};
struct ReportToController {
  ReportCode code = ReportCode::kInstallFailed;
  std::optional<PeerId> peer;
  std::optional<SaPairId> pair;
  std::optional<RekeyCounter> counter;
};

enum class Observed : std::uint8_t {
  kGenerationStarted,    ///< counter, cause
  kGenerationInstalled,  ///< counter: every pair it promises is there
  kGenerationAccepted,   ///< counter
  kGenerationRedrawn,    ///< counter of the one given up
  kRekeyDeferred,        ///< cause: waits for Bounds or for the controller
  kDhErased,             ///< counter
  kDimTaken,             ///< peer, counter: newest remote generation, installs asked for
  kDimComplete,          ///< peer, counter
  kDimPending,           ///< peer, counter, pair that failed
  kPeerRestarted,        ///< peer, counter with the higher boot count
  kLive,                 ///< peer, counter: local generation seen live
  kConfirmed,            ///< peer, pair: the choice is confirmed
  kOutboundChanged,      ///< peer, from, pair (to), row of the decision table
  kPairDraining,         ///< peer, pair
  kPairGone,             ///< peer, pair
  kDormant,              ///< peer
  kAwake,                ///< peer
};
/// One typed protocol event: a log line, a metric, a row of a transcript. Never needed to act.
struct Observe {
  Observed what = Observed::kGenerationStarted;
  std::optional<PeerId> peer;
  std::optional<SaPairId> pair;
  std::optional<SaPairId> from;
  std::optional<RekeyCounter> counter;
  std::optional<RekeyCause> cause;
  char row = 0;  ///< label in the outbound decision table, 'A'…
};

using Effect =
    std::variant<StoreBootCount, GenerateDhPair, InstallSaPair, ChooseOutbound, RemoveOutbound,
                 RemoveInbound, PublishGeneration, EraseDhPair, SendProbe, AnswerProbe,
                 AcknowledgeDim, DeriveNow, ReportToController, Observe>;

/// Why an event was refused. A refused event leaves the state byte-identical.
enum class Rejected : std::uint8_t {
  kNotStarted,
  kAlreadyStarted,
  kUnknownPeer,
  kUnknownPair,
  kUnknownGeneration,
  kWrongPhase,      ///< an answer nobody waits for
  kStaleCounter,    ///< lower than the last accepted
  kInitialContact,  ///< INITIAL_CONTACT with an equal boot count and a higher sequence
  kPaused,          ///< MissingNewest within a minute, or nothing is missing
  kNothingDue,      ///< TimePassed before next_deadline()
  kAlreadyThere,    ///< peer added twice, link up twice, …
};

struct Effects {
  std::vector<Effect> list;
  std::optional<Rejected> rejected;  ///< then `list` is empty
};

}  // namespace cygnet::proto::rekey
