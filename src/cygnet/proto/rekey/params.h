// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What the rekey machines may be told: lifetimes, schedules and bounds (docs/protocol.md sections
/// 6 and 8). Durations are exact; no other unit is used. Pure; value types.

#include <cstdint>

#include "cygnet/base/time.h"

namespace cygnet::proto::rekey {

/// The rules of docs/protocol.md section 6, one switch each, all on. Production code never touches
/// them: the explorer takes one out at a time and must then find a trace that breaks a property,
/// which shows both that the rule is needed and that the explorer would see it missing.
struct Rules {
  bool start = true;                 ///< send at all while nothing is live (AMB-01)
  bool start_oldest = true;          ///< Start takes the oldest accepted local generation …
  bool start_acknowledged = true;    ///< … unless the peer acknowledged a newer one
  bool start_waits_for_mark = true;  ///< Start waits (bounded) for the delivery mark
  bool never_back = true;            ///< the choice never returns to an older local generation
  bool held = true;                  ///< a peer's DIM is combined with every generation held
  bool install_once = true;          ///< a pair that was installed is never made again
  bool take_over = true;             ///< a DIM counts only when all its pairs are installed
  bool keep_left = true;             ///< the one sent on before keeps its SAs until heard
  bool dead_end = true;     ///< what is live but cannot go on gives way to the acknowledged
  bool heard_newer = true;  ///< nothing is sent on one that the peer has left behind
  bool no_hole = true;      ///< a generation with a failed install is drawn again
  bool roll_over_on_failure = true;    ///< a failed take-over makes the device roll over
  bool retry_pending = true;           ///< pending remote generations are tried again
  bool install_before_publish = true;  ///< S6
  bool decision_needs_live = true;     ///< decision step 2
  bool probe = true;                   ///< the chosen pair is probed until confirmed (AMB-02)
  bool probe_repeats = true;           ///< … and not only once
  bool probe_answers = true;           ///< every REQUEST gets a REPLY
  bool probe_roll_over = true;         ///< probes too while the newest generation is not seen live
  bool dormant = true;                 ///< silent pairs advance by DIM and delivery mark
  bool bound_local = true;             ///< at most two local generations with a private value
  bool third_waits_for_drain = true;   ///< … and a third not before the second can be in use
  bool bound_pairs = true;             ///< only the named generations keep SAs towards a peer
  bool drain = true;                   ///< an inbound SA outlives its last use
  bool rule3 = true;                   ///< evidence on a newer local generation retires older ones
  bool rule4 = true;                   ///< evidence on a newer remote generation retires older ones
  bool forget = true;                  ///< a private value nobody needs is erased
  bool forget_cap = true;              ///< … and after the cap in any case
  bool forget_after_accepted = true;   ///< never before the newer generation is accepted
  bool derive_before_erase = true;     ///< lazy pairs in use are derived before the erasing
  bool hard_lifetime = true;           ///< SAs end at their hard lifetime
  bool soft_lifetime = true;           ///< a rekey starts at the soft lifetime
  bool restart_replaces = true;        ///< a higher boot count replaces the peer's state
  bool republish = true;               ///< a DIM the controller does not hold is published again
  bool own_dim_check = true;           ///< a newer own DIM at the controller means lost state
  bool counter_check = true;           ///< a lower counter is ignored
  bool equal_counter = true;           ///< the same DIM again is taken, not refused
  bool bad_spi = true;                 ///< MissingNewest makes the device roll over
  bool removal_forgets = true;         ///< a removed peer's SAs go at once
  // One DH pair serves all peers; these keep what one of them does from the others.
  bool forget_after_all = true;   ///< a private value goes when no SA of any peer needs it
  bool publish_after_all = true;  ///< … is published when it is installed towards every peer
  bool third_after_all = true;    ///< … and is replaced when no attached peer misses it
  bool peers_apart = true;        ///< a take-over waits for its own peer's installs only
  friend bool operator==(const Rules&, const Rules&) = default;
};

struct RekeyParams {
  // Lifetimes. Soft starts a rekey, hard ends an SA.
  Duration soft = std::chrono::hours(1);
  std::uint32_t soft_jitter_permille = 100;  ///< ± of soft, drawn once a generation
  Duration hard = std::chrono::hours(24);
  Duration inbound_grace = std::chrono::seconds(60);  ///< inbound ends this + drain after outbound

  Duration drain = std::chrono::seconds(10);
  /// A private value is erased at the latest this long after the newer generation was accepted.
  Duration forget_cap = std::chrono::minutes(3);
  /// A third generation may be made this long after the second was accepted, mark or no mark.
  Duration third_after = std::chrono::minutes(3);

  /// How long Start waits for the peer's delivery mark.
  Duration start_hold = std::chrono::seconds(1);
  Duration probe_first = std::chrono::milliseconds(100);  ///< then doubling …
  Duration probe_every = std::chrono::seconds(10);        ///< … up to this
  std::uint32_t probe_answers_per_second = 10;            ///< a peer; 0: no limit

  Duration bad_spi_pause = std::chrono::minutes(1);
  std::uint32_t redraws_max = 3;                     ///< of one generation, then it is reported …
  Duration redraw_pause = std::chrono::minutes(1);   ///< … and tried again after this
  Duration publish_retry = std::chrono::seconds(5);  ///< after "retry later", or a failed DH pair

  /// Named bound of SA pairs a peer, draining included (S3).
  std::uint32_t pairs_max = 12;

  Rules rules;
  friend bool operator==(const RekeyParams&, const RekeyParams&) = default;
};

}  // namespace cygnet::proto::rekey
