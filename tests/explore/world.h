// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The explorer's world: two devices running the production RekeyCore, a controller (one total
/// order, compacted to the newest DIM a device, durable before acknowledged, delivery marks) and a
/// data plane that loses, delays and duplicates. Keys are abstract: an SA is named by the two
/// generations it was made from, so "both ends hold equal keys" is equality of names.
///
/// A World is a value. Everything that can happen next is an Action; apply() carries it out and
/// tells what it broke. Time passes only by jumping to the next deadline.

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "cygnet/proto/rekey/effect_text.h"
#include "cygnet/proto/rekey/rekey_core.h"

namespace cygnet::explore {

using proto::PeerId;
using proto::RekeyCounter;
using proto::SaPairId;
namespace rekey = proto::rekey;

inline constexpr std::size_t kDevices = 2;

/// What a scenario lets happen, and how often. Budgets make the state space finite.
struct Scenario {
  std::string name;
  rekey::RekeyParams params;
  /// A planted fault: from the settled beginning on (or from the start, without one) these count.
  std::array<std::optional<rekey::RekeyParams>, kDevices> planted;
  /// … another kind: events that the machines are not told of.
  std::function<bool(const rekey::Event&)> unheard_of;
  std::array<std::uint8_t, kDevices> rekeys{};     ///< ordered on this device
  std::array<std::uint8_t, kDevices> restarts{};   ///< losses of all SA state
  std::array<std::uint8_t, kDevices> detaches{};   ///< losses of the controller link
  std::array<std::uint8_t, kDevices> removals{};   ///< device i removes its peer (and gets it back)
  std::array<std::uint8_t, kDevices> flushes{};    ///< an SA pair flushed by hand
  std::array<std::uint8_t, kDevices> rollbacks{};  ///< the controller holds a newer own DIM
  std::uint8_t install_failures = 0;               ///< in all
  std::array<bool, kDevices> user_traffic{true, true};
  /// Device i finds its peer only by the peer's packets: the peer is behind a NAT.
  std::array<bool, kDevices> learns_endpoint{};
  bool slow_installs = true;       ///< every install is answered by an action of its own
  bool slow_draws = false;         ///< … and every DH pair
  bool slow_results = false;       ///< a publish is durable before its device knows
  bool time_any_time = false;      ///< time passes also while answers and relayed messages are due
  std::uint8_t losses_in_row = 1;  ///< a direction loses at most so many packets one after another
  bool duplication = false;
  std::uint8_t wire_capacity = 1;  ///< packets in flight a direction; 2 reorders
  bool dormancy = false;           ///< user packets are told as such; otherwise nobody falls asleep
  bool lazy = false;               ///< the backend derives a pair when its first packet needs it
  bool lifetimes = false;          ///< cap, third, hard or soft are within reach
  Duration jump_max{};             ///< deadlines further away are not waited for; 0: all are
  Duration horizon{};              ///< times older than this make no difference (canonical form)
  std::uint32_t pairs_expected_max = 12;  ///< S3 for this scenario
  bool start_settled = false;             ///< begin with a1, b1 live on both sides
  std::size_t states_max = 3'000'000;
};

enum class PacketKind : std::uint8_t { kUser, kRequest, kReply };

struct Packet {
  SaPairId pair;  ///< as its sender names it: Tx(local-remote)
  PacketKind kind = PacketKind::kUser;
  bool nothing_live = false;  ///< … towards the receiver when it was sent
  bool excused = false;       ///< its sender has restarted since
  RekeyCounter known;         ///< newest DIM of the receiver that counted as received
  RekeyCounter heard;         ///< newest generation of the receiver the sender had heard on
  bool copy = false;          ///< a duplicate: the replay window drops it
  friend auto operator<=>(const Packet&, const Packet&) = default;
};

struct Published {
  RekeyCounter counter;
  bool initial_contact = false;
  std::uint8_t incarnation = 0;  ///< stands for its octets: equal counter, other octets
  Timestamp accepted_at;
  bool refused = false;  ///< in a result: stale, the controller holds `counter`
};

struct Device {
  rekey::RekeyCore core;
  // Backend
  std::vector<SaPairId> installing;
  std::vector<SaPairId> inbound;   ///< Rx there
  std::vector<SaPairId> outbound;  ///< Tx there
  std::optional<SaPairId> choice;
  std::vector<SaPairId> underived;  ///< lazy: claimed, no packet needed its keys yet
  std::vector<SaPairId> dead;       ///< … and now they cannot be derived any more
  bool endpoint_learned = false;    ///< an authenticated packet of the peer came in
  // Key store
  std::vector<RekeyCounter> privates;
  std::vector<RekeyCounter> drawing;
  RekeyCounter highest_drawn;
  std::vector<SaPairId> ever_installed;  ///< of generations whose private value is still there
  // Link
  bool attached = false;
  std::optional<Published> publishing;  ///< PublishDim on its way
  std::optional<Published> result;      ///< PublishResult on its way
  std::optional<RekeyCounter> seen;     ///< peer's DIM delivered since the last attach
  std::optional<RekeyCounter> marked;   ///< newest own generation a mark told acknowledged
  std::optional<RekeyCounter> marked_unattached;  ///< … told missing on unattached peers only
  /// Like `marked`, but over reconnects: until the peer says that it has lost its state.
  std::optional<RekeyCounter> told_delivered;
  bool removed_peer = false;  ///< policy has taken the peer away
  std::uint32_t boot_count = 1;
  std::uint8_t incarnation = 0;                    ///< restored disks so far
  std::optional<RekeyCounter> disk_last_accepted;  ///< of the peer
  std::optional<Timestamp> could_start_at;         ///< since when something could be chosen
  RekeyCounter choice_floor;                       ///< newest own generation ever chosen
  RekeyCounter proven_floor;                       ///< … of those that the peer is known to have
  /// A sender that has not taken over at least this generation of ours may send on SAs we lost.
  RekeyCounter told_from;
  /// … and one that has not heard us on at least this one does not know that we removed it: a DIM
  /// cannot say so, the controller may have compacted removal and return into nothing.
  RekeyCounter returned_from;
};

struct Controller {
  std::array<std::optional<Published>, kDevices> stored;
  std::array<std::optional<RekeyCounter>, kDevices> acknowledged;  ///< i's newest acknowledged
};

enum class Act : std::uint8_t {
  kRekey,
  kDrawn,
  kInstalled,
  kInstallFails,
  kDurable,
  kResult,
  kDim,
  kMark,
  kSend,
  kDeliver,
  kLose,
  kDuplicate,
  kDetach,
  kAttach,
  kRestart,
  kRemove,
  kReturn,
  kFlush,
  kRollback,
  kTime
};
struct Action {
  Act act = Act::kTime;
  std::uint8_t device = 0;
  std::uint8_t index = 0;  ///< which install, which packet
  friend bool operator==(const Action&, const Action&) = default;
};
/// What the world does by itself; the rest is inflicted and counts against a budget.
[[nodiscard]] bool is_inflicted(Act act);

/// A property that does not hold: "S1", "L1", …, and how.
struct Violation {
  std::string property;
  std::string text;
};

class World {
 public:
  explicit World(const Scenario& scenario);

  [[nodiscard]] std::vector<Action> actions(const Scenario& scenario) const;
  /// Carries out the action; returns what it broke. `story`, when given, gets lines to read.
  std::optional<Violation> apply(const Scenario& scenario, const Action& action,
                                 std::string* story = nullptr);

  /// Equal strings: the worlds behave alike for ever.
  [[nodiscard]] std::string canonical(const Scenario& scenario) const;

  std::array<Device, kDevices> device;
  Controller controller;
  std::array<std::vector<Packet>, kDevices> wire;  ///< on their way to device i
  std::array<std::uint8_t, kDevices> rekeys{}, restarts{}, detaches{}, removals{}, flushes{},
      rollbacks{};
  std::uint8_t install_failures = 0;
  std::array<std::uint8_t, kDevices> lost_in_row{};  ///< towards device i
  Timestamp now{};

 private:
  void plant(const Scenario& scenario);
  void excuse_dormant(std::size_t i, const std::vector<SaPairId>& kept);
  std::optional<Violation> feed(const Scenario& scenario, std::size_t i, const rekey::Event& event,
                                std::string* story);
  std::optional<Violation> carry_out(const Scenario& scenario, std::size_t i,
                                     const rekey::Effect& effect, std::string* story);
  std::optional<Violation> deliver(const Scenario& scenario, std::size_t i, std::size_t index,
                                   std::string* story);
  std::optional<Violation> send(const Scenario& scenario, std::size_t i, SaPairId pair,
                                PacketKind kind, std::string* story);
  /// Lazy: derives the pair's keys, if that is still possible.
  bool derive(std::size_t i, SaPairId pair);
  std::optional<Violation> attach(const Scenario& scenario, std::size_t i, std::string* story);
  [[nodiscard]] bool dim_waits(std::size_t i) const;
  [[nodiscard]] bool mark_waits(std::size_t i) const;
  [[nodiscard]] std::optional<Timestamp> next_time(const Scenario& scenario) const;

  std::array<std::vector<rekey::Event>, kDevices> answers_;  ///< immediate ones, within one action
};

/// The letters of the figures for device i.
[[nodiscard]] rekey::GenerationNames names_of(std::size_t i);
[[nodiscard]] std::string describe(const Action& action, const World& before);

inline constexpr PeerId kPeer{1};  ///< the other device, as each of the two names it

}  // namespace cygnet::explore
