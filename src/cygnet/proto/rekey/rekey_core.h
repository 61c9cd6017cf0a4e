// SPDX-License-Identifier: Apache-2.0
#pragma once

/// RekeyCore: the rekey machine of one device (draft sections 3 and 4, docs/protocol.md section 6).
///
/// It decides; it does nothing itself. No clock, no randomness, no secret, no octet, no socket, no
/// thread, no log is in it, so that the agent, the simulator, the explorer and the fuzzer run the
/// same code. A value: it can be copied, compared, hashed and kept. Not thread-safe; the agent's
/// control thread owns it.
///
/// Two levels: DeviceMachine (own generations: "install for every peer, then publish", Bounds,
/// Forgetting, delivery marks, soft lifetime) and one PeerMachine a peer (SA pairs, liveness, the
/// outbound choice, probes, Dormant, Drain, hard lifetimes).
///
/// What a driver owes (in the manner of etcd/raft's Ready):
///  1. Start first, once. Then every event as it happens, one at a time, with a `now` that never
///     goes back.
///  2. Carry out the returned effects in list order before handling the next event. An effect
///     takes hold when it is asked, its answer may come much later (GenerateDhPair, InstallSaPair,
///     PublishGeneration); nothing that needs the answer is asked before the answer came. Where a
///     comment in effects.h says "complete before", the next effect waits.
///  3. Answer every InstallSaPair exactly once, unless that pair was removed meanwhile: then never.
///     Answers may come in any order. RemoveInbound/RemoveOutbound are not answered and cannot
///     fail. A pair's directions are removed one by one: Tx the moment it is no longer chosen or
///     the pair is retired, Rx after its drain.
///  4. Call handle(TimePassed{}, now) when now ≥ next_deadline(). Early calls are refused, late
///  ones
///     are safe. The deadline may move with every event, in both directions.
///  5. Judge every DIM by docs/protocol.md section 3 before PeerDim; the counter rules are checked
///     again here. Keep the last accepted counter and digest of each peer on disk.
///  6. After each LinkUp tell OwnDimReported once the Welcome is there; PublishGeneration effects
///  are
///     lost while the link is down, and asked again from OwnDimReported.
///  7. Store before use: boot count at StoreBootCount, sequence and octets before a publish is
///  sent.
///  8. A refused event (`Effects::rejected`) changed nothing. It is for counting, not an error:
///  late
///     answers and repeated messages are normal.
///
/// Cost: an event of one peer is O(log n) in the number of peers n; own rekeys, the erasing of a
/// generation and SettingsChanged are O(n).

#include <cstddef>
#include <optional>
#include <utility>
#include <vector>

#include "cygnet/base/time.h"
#include "cygnet/proto/rekey/deadlines.h"
#include "cygnet/proto/rekey/device_machine.h"
#include "cygnet/proto/rekey/effects.h"
#include "cygnet/proto/rekey/events.h"
#include "cygnet/proto/rekey/params.h"
#include "cygnet/proto/rekey/peer_machine.h"
#include "cygnet/proto/rekey/state_sink.h"
#include "cygnet/proto/rekey/status.h"

namespace cygnet::proto::rekey {

class RekeyCore {
 public:
  explicit RekeyCore(RekeyParams params = {});

  /// The whole protocol. A refused event returns `rejected` and leaves the state byte-identical.
  [[nodiscard]] Effects handle(const Event& event, Timestamp now);

  /// When TimePassed is due; nullopt: nothing to wait for.
  [[nodiscard]] std::optional<Timestamp> next_deadline() const;

  [[nodiscard]] const RekeyParams& params() const { return params_; }
  [[nodiscard]] DeviceStatus device_status() const;
  /// Own generations, oldest first.
  [[nodiscard]] const std::vector<OwnGeneration>& generations() const { return device_.own_; }
  [[nodiscard]] bool rekey_wanted() const { return device_.wanted_.has_value(); }
  /// The peer's newest DIM that counts as received.
  [[nodiscard]] std::optional<RekeyCounter> newest_complete(PeerId peer) const;
  /// nullopt: never heard of this peer.
  [[nodiscard]] std::optional<PeerStatus> peer_status(PeerId peer) const;
  /// One remote generation alone, for what is asked at every event; nullopt: not held.
  [[nodiscard]] std::optional<RemoteStatus> remote_status(PeerId peer, RekeyCounter remote) const;
  /// Whether policy allows it.
  [[nodiscard]] bool present(PeerId peer) const;
  /// Whether nothing is live towards this peer (Start is in force), or it is no peer at all.
  [[nodiscard]] bool nothing_live(PeerId peer) const;
  /// Present peers, ascending.
  [[nodiscard]] std::vector<PeerId> peers() const;
  [[nodiscard]] Counts counts() const;

  /// Feeds the whole state, field by field, to `sink`: hashing, canonical forms, dumps.
  void describe(StateSink& sink) const;
  [[nodiscard]] std::size_t hash() const;
  /// Equal states behave equally for ever. High-water marks of counts() are not part of it.
  friend bool operator==(const RekeyCore& a, const RekeyCore& b) {
    return a.params_ == b.params_ && a.device_ == b.device_ && a.peers_ == b.peers_;
  }

 private:
  std::optional<Rejected> on(const Start& event, PeerContext& ctx);
  std::optional<Rejected> on(const SettingsChanged& event, PeerContext& ctx);
  std::optional<Rejected> on(const RekeyRequired& event, PeerContext& ctx);
  std::optional<Rejected> on(const GenerationReady& event, PeerContext& ctx);
  std::optional<Rejected> on(const GenerationFailed& event, PeerContext& ctx);
  std::optional<Rejected> on(const PublishAccepted& event, PeerContext& ctx);
  std::optional<Rejected> on(const PublishRefused& event, PeerContext& ctx);
  std::optional<Rejected> on(const OwnDimReported& event, PeerContext& ctx);
  std::optional<Rejected> on(const LinkUp& event, PeerContext& ctx);
  std::optional<Rejected> on(const LinkDown& event, PeerContext& ctx);
  std::optional<Rejected> on(const DeliveryMark& event, PeerContext& ctx);
  std::optional<Rejected> on(const PeerAdded& event, PeerContext& ctx);
  std::optional<Rejected> on(const PeerRemoved& event, PeerContext& ctx);
  std::optional<Rejected> on(const PeerDim& event, PeerContext& ctx);
  std::optional<Rejected> on(const SaPairInstalled& event, PeerContext& ctx);
  std::optional<Rejected> on(const SaPairFailed& event, PeerContext& ctx);
  std::optional<Rejected> on(const SaPairLost& event, PeerContext& ctx);
  std::optional<Rejected> on(const CountersUnknown& event, PeerContext& ctx);
  std::optional<Rejected> on(const InboundEvidence& event, PeerContext& ctx);
  std::optional<Rejected> on(const ProbeRequested& event, PeerContext& ctx);
  std::optional<Rejected> on(const UserTraffic& event, PeerContext& ctx);
  std::optional<Rejected> on(const PacketWaiting& event, PeerContext& ctx);
  std::optional<Rejected> on(const SoftLimit& event, PeerContext& ctx);
  std::optional<Rejected> on(const MissingNewest& event, PeerContext& ctx);
  std::optional<Rejected> on(const TimePassed& event, PeerContext& ctx);

  /// Where the peer stands, or would stand, in peers_.
  [[nodiscard]] std::size_t slot_of(PeerId peer) const;
  [[nodiscard]] const PeerMachine* find(PeerId peer) const;
  [[nodiscard]] PeerMachine* find_present(PeerId peer);
  void start_generation(PeerContext& ctx);
  void give_up_newest(PeerContext& ctx);
  void redraw(PeerContext& ctx, RekeyCause cause);
  void publish(PeerContext& ctx, OwnGeneration& own);
  void accept(PeerContext& ctx, OwnGeneration& own, Timestamp accepted_at);
  void lose_state(PeerContext& ctx, RekeyCounter stored);
  void erase_private(PeerContext& ctx, RekeyCounter counter, bool at_cap);
  [[nodiscard]] bool may_publish(const OwnGeneration& own) const;
  [[nodiscard]] bool is_needed(const OwnGeneration& own) const;  ///< its private value
  void settle_device(PeerContext& ctx);
  void pause(Duration pause);
  void reschedule(const PeerContext& ctx, std::size_t slot);
  void note_high_water(const PeerMachine& peer);

  RekeyParams params_;
  DeviceMachine device_;
  std::vector<PeerMachine> peers_;  ///< ascending by id
  Deadlines deadlines_;             ///< derived; by their places in peers_
  Counts high_water_;

  // Only within one handle() call.
  std::vector<RekeyCounter> few_;  ///< PeerContext::few, so that its room is there already
  bool all_deadlines_ = false;
  std::optional<std::size_t> touched_;  ///< a place in peers_
  std::optional<Duration> pause_;
};

}  // namespace cygnet::proto::rekey
