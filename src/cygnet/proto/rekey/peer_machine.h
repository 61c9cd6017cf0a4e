// SPDX-License-Identifier: Apache-2.0
#pragma once

/// PeerMachine: the rekey state towards one peer (docs/protocol.md section 6): SA pairs, what is
/// live, the outbound choice, probes, Dormant, Drain, hard lifetimes. Draft section 4: "the
/// decision process and rules described in this rekey are performed independently for each peer".
///
/// Pure value type. Only RekeyCore drives it; what it needs of the device comes in a PeerContext.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "cygnet/base/time.h"
#include "cygnet/proto/ids/ids.h"
#include "cygnet/proto/rekey/effects.h"
#include "cygnet/proto/rekey/events.h"
#include "cygnet/proto/rekey/params.h"
#include "cygnet/proto/rekey/state_sink.h"
#include "cygnet/proto/rekey/status.h"

namespace cygnet::proto::rekey {

/// What one step of a PeerMachine sees of its device, and what it hands back.
struct PeerContext {
  const RekeyParams& params;
  Timestamp now;
  std::vector<OwnGeneration>& own;  ///< oldest first; the peer keeps sa_pairs and awaited
  std::vector<Effect>& out;
  std::vector<RekeyCounter>& few;         ///< room for a short list, free between steps
  std::uint32_t pending_peers = 0;        ///< only without Rules::peers_apart
  std::optional<RekeyCause> roll_over{};  ///< the peer needs a new own generation
  /// The unpublished generation has a hole towards this peer: it is drawn again.
  std::optional<RekeyCause> redraw{};

  /// nullptr: that generation is gone.
  [[nodiscard]] OwnGeneration* own_generation(RekeyCounter counter) const;
};

class PeerMachine {
 public:
  explicit PeerMachine(PeerId id) : id_(id) {}

  // Each returns a refusal (and then did nothing) or nullopt.
  std::optional<Rejected> add(PeerContext& ctx, std::optional<RekeyCounter> last_accepted);
  std::optional<Rejected> remove(PeerContext& ctx);
  std::optional<Rejected> take_dim(PeerContext& ctx, const PeerDim& dim);
  std::optional<Rejected> pair_installed(PeerContext& ctx, SaPairId id);
  std::optional<Rejected> pair_failed(PeerContext& ctx, SaPairId id, InstallFailure why);
  std::optional<Rejected> pair_lost(PeerContext& ctx, SaPairId id);
  std::optional<Rejected> evidence(PeerContext& ctx, SaPairId id, Evidence kind);
  std::optional<Rejected> probe_requested(PeerContext& ctx, SaPairId id);
  std::optional<Rejected> user_traffic(PeerContext& ctx);
  std::optional<Rejected> missing_newest(PeerContext& ctx);

  // The device's news; never refused.
  void acknowledged(PeerContext& ctx, RekeyCounter own);
  void own_ready(PeerContext& ctx, RekeyCounter own);     ///< install it with everything we know
  void own_given_up(PeerContext& ctx, RekeyCounter own);  ///< never published: no trace remains
  void own_accepted(PeerContext& ctx);
  void before_erasing(PeerContext& ctx, RekeyCounter own, bool at_cap);
  void own_changed(PeerContext& ctx);      ///< a local generation went
  void lose_pairs(PeerContext& ctx);       ///< no counter of any pair is certain
  void lose_everything(PeerContext& ctx);  ///< our SA state is void
  void time_passed(PeerContext& ctx);

  [[nodiscard]] std::optional<Timestamp> next_deadline(const PeerContext& ctx) const;
  [[nodiscard]] PeerId id() const { return id_; }
  [[nodiscard]] bool present() const { return present_; }
  [[nodiscard]] bool nothing_live() const { return live_.empty(); }
  [[nodiscard]] std::optional<RekeyCounter> newest_complete_counter() const;
  [[nodiscard]] PeerStatus status(const PeerContext& ctx) const;
  [[nodiscard]] std::optional<RemoteStatus> remote_status(RekeyCounter counter) const;
  /// SA pairs of which something exists, draining included.
  [[nodiscard]] std::uint32_t sa_pairs() const;
  /// … of this own generation: all that exist, or those that are being installed.
  [[nodiscard]] std::uint32_t sa_pairs_of(RekeyCounter own, bool installing) const;
  [[nodiscard]] bool has_pending() const;  ///< an install with a remote generation failed
  void describe(StateSink& sink) const;
  friend bool operator==(const PeerMachine&, const PeerMachine&) = default;

 private:
  struct Pair {
    SaPairId id;
    PairState state = PairState::kInstalling;
    bool outbound = false;
    bool heard = false;
    std::optional<Timestamp> drain_until;
    friend bool operator==(const Pair&, const Pair&) = default;
  };
  struct Remote {
    RekeyCounter counter;
    Timestamp accepted_at;
    bool complete = false;
    std::optional<DimOutcome> told;  ///< what AcknowledgeDim said last
    friend bool operator==(const Remote&, const Remote&) = default;
  };

  [[nodiscard]] Pair* find(SaPairId id);
  [[nodiscard]] const Pair* find(SaPairId id) const;
  [[nodiscard]] Remote* find_remote(RekeyCounter counter);
  [[nodiscard]] static RemoteStatus status_of(const Remote& remote);
  [[nodiscard]] const Remote* newest_complete() const;
  [[nodiscard]] std::optional<RekeyCounter> newest_live() const;
  [[nodiscard]] bool is_held(const PeerContext& ctx, const OwnGeneration& own) const;
  [[nodiscard]] bool seen_on_newest(const PeerContext& ctx) const;
  [[nodiscard]] std::optional<Timestamp> outbound_ends(const PeerContext& ctx,
                                                       const Pair& pair) const;
  [[nodiscard]] std::uint32_t waits_for_others(const PeerContext& ctx) const;
  [[nodiscard]] bool wants_probe(const PeerContext& ctx) const;
  [[nodiscard]] std::optional<Timestamp> remote_cap(const PeerContext& ctx) const;
  [[nodiscard]] WhyNot why_not(const PeerContext& ctx) const;

  void request(PeerContext& ctx, SaPairId id);
  void request_missing(PeerContext& ctx, RekeyCounter remote, bool retry_failed);
  void retry_pending(PeerContext& ctx);
  void observe(PeerContext& ctx, Observed what, std::optional<SaPairId> pair = {},
               std::optional<RekeyCounter> counter = {}) const;
  void drop(PeerContext& ctx, Pair& pair);
  void drain(PeerContext& ctx, Pair& pair);
  void remove_outbound(PeerContext& ctx, Pair& pair);
  void prune(PeerContext& ctx);
  void replace_state(PeerContext& ctx);
  void choose(PeerContext& ctx, std::optional<SaPairId> pair, char row);

  // settle() runs these until nothing changes any more.
  void settle(PeerContext& ctx);
  bool complete_remotes(PeerContext& ctx);
  [[nodiscard]] bool is_dead_end(const PeerContext& ctx,
                                 std::span<const RekeyCounter> usable) const;
  bool decide(PeerContext& ctx);
  bool retire(PeerContext& ctx);
  void keep_bounds(PeerContext& ctx);
  void expire_dormant(PeerContext& ctx);
  void schedule_probe(PeerContext& ctx, Duration first);
  void wake(PeerContext& ctx);

  PeerId id_;
  bool present_ = false;
  bool dormant_ = false;
  std::vector<Pair> pairs_;         ///< ascending by id
  std::vector<Remote> remotes_;     ///< ascending
  std::vector<RekeyCounter> live_;  ///< ascending own generations
  std::optional<SaPairId> choice_;
  /// Newest remote generation heard on; before anything is heard, the first one known.
  std::optional<RekeyCounter> heard_;
  std::optional<RekeyCounter> left_;  ///< remote generation of the choice before the present one
  std::optional<RekeyCounter> acknowledged_;   ///< newest own generation it acknowledged
  std::optional<RekeyCounter> last_accepted_;  ///< survives removal
  RekeyCounter retired_below_;                 ///< older own generations are not held any more
  RekeyCounter choice_floor_;                  ///< Start never returns below
  RekeyCounter proven_floor_;  ///< … nor any choice: the peer has, or had, this one
  Timestamp last_user_;
  std::optional<Timestamp> hold_until_;  ///< Start waits for the mark
  std::optional<Timestamp> probe_at_;
  Duration probe_interval_{};
  std::optional<Timestamp> answers_since_;
  std::uint32_t answers_ = 0;
  std::optional<Timestamp> bad_spi_until_;
};

}  // namespace cygnet::proto::rekey
