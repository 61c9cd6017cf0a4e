// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The explorer's world: two or three devices running the production RekeyCore, a controller (one
/// total order, compacted to the newest DIM a device, durable before acknowledged, delivery marks)
/// and a data plane that loses, delays and duplicates. Keys are abstract: an SA is named by the two
/// generations it was made from, so "both ends hold equal keys" is equality of names. Of three
/// devices the one in the middle, B, is the peer of both others, which are none of each other's
/// unless the scenario closes the triangle.
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

inline constexpr std::size_t kDevicesMax = 3;
template <class T>
using PerDevice = std::array<T, kDevicesMax>;

/// What a scenario lets happen, and how often. Budgets make the state space finite.
struct Scenario {
  std::string name;
  std::uint8_t devices = 2;
  bool triangle = false;  ///< A and C are peers too
  rekey::RekeyParams params;
  /// A planted fault: from the settled beginning on (or from the start, without one) these count.
  PerDevice<std::optional<rekey::RekeyParams>> planted;
  /// … another kind: events that the machines are not told of.
  std::function<bool(const rekey::Event&)> unheard_of;
  PerDevice<std::uint8_t> rekeys{};     ///< ordered on this device
  PerDevice<std::uint8_t> restarts{};   ///< losses of all SA state
  PerDevice<std::uint8_t> detaches{};   ///< losses of the controller link
  PerDevice<std::uint8_t> removals{};   ///< device i removes a peer (and gets it back)
  PerDevice<std::uint8_t> flushes{};    ///< an SA pair flushed by hand
  PerDevice<std::uint8_t> rollbacks{};  ///< the controller holds a newer own DIM
  std::uint8_t install_failures = 0;    ///< in all
  PerDevice<bool> user_traffic{true, true, true};
  /// Device i finds its peers only by their packets: they are behind a NAT.
  PerDevice<bool> learns_endpoint{};
  bool slow_installs = true;       ///< every install is answered by an action of its own …
  PerDevice<bool> at_once{};       ///< … but not on these devices
  bool slow_draws = false;         ///< … and every DH pair
  bool slow_results = false;       ///< a publish is durable before its device knows
  bool time_any_time = false;      ///< time passes also while answers and relayed messages are due
  std::uint8_t losses_in_row = 1;  ///< a direction loses at most so many packets one after another
  bool duplication = false;
  /// Packets in flight a direction; 2 reorders; 0: what is sent arrives at once.
  std::uint8_t wire_capacity = 1;
  bool dormancy = false;   ///< user packets are told as such; otherwise nobody falls asleep
  bool lazy = false;       ///< the backend derives a pair when its first packet needs it
  bool lifetimes = false;  ///< cap, third, hard or soft are within reach
  Duration jump_max{};     ///< deadlines further away are not waited for; 0: all are
  Duration horizon{};      ///< times older than this make no difference (canonical form)
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

/// What a device has towards one peer, and what it was told of it.
struct Towards {
  // Backend
  std::vector<SaPairId> installing;
  std::vector<SaPairId> inbound;   ///< Rx there
  std::vector<SaPairId> outbound;  ///< Tx there
  std::optional<SaPairId> choice;
  std::vector<SaPairId> underived;       ///< lazy: claimed, no packet needed its keys yet
  std::vector<SaPairId> dead;            ///< … and now they cannot be derived any more
  std::vector<SaPairId> ever_installed;  ///< of generations whose private value is still there
  bool endpoint_learned = false;         ///< an authenticated packet of the peer came in
  // Controller
  std::optional<RekeyCounter> seen;  ///< the peer's DIM delivered since the last attach
  /// Newest own generation a mark told acknowledged, until the peer says that it lost its state.
  std::optional<RekeyCounter> told_delivered;
  std::optional<RekeyCounter> disk_last_accepted;
  bool removed = false;  ///< policy has taken the peer away
  // For the checkers
  std::optional<Timestamp> could_start_at;  ///< since when something could be chosen
  RekeyCounter choice_floor;                ///< newest own generation ever chosen
  RekeyCounter proven_floor;                ///< … of those that the peer is known to have
  /// The peer may send on SAs we lost as long as it has not taken over this generation of ours …
  RekeyCounter told_from;
  /// … and as it has not heard us on this one it does not know that we removed it: a DIM cannot say
  /// so, the controller may have compacted removal and return into nothing.
  RekeyCounter returned_from;
};

/// What a delivery mark says of one generation.
struct Mark {
  RekeyCounter counter;
  PerDevice<bool> acknowledged{};
  bool attached_missing = false;
  friend bool operator==(const Mark&, const Mark&) = default;
};

struct Device {
  rekey::RekeyCore core;
  PerDevice<Towards> towards;
  // Key store
  std::vector<RekeyCounter> privates;
  std::vector<RekeyCounter> drawing;
  RekeyCounter highest_drawn;
  RekeyCounter highest_published;
  RekeyCounter
      delivered;  ///< newest generation of which a mark said that nobody attached misses it
  // Link
  bool attached = false;
  std::optional<Published> publishing;  ///< PublishDim on its way
  std::optional<Published> result;      ///< PublishResult on its way
  std::optional<Mark> marked;           ///< the last mark since the last attach
  std::uint32_t boot_count = 1;
  std::uint8_t incarnation = 0;  ///< restored disks so far
};

struct Controller {
  PerDevice<std::optional<Published>> stored;
  /// [i][k]: device i's newest DIM that k acknowledged
  PerDevice<PerDevice<std::optional<RekeyCounter>>> acknowledged;
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
  std::uint8_t peer = 0;   ///< towards, or from, which other device
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

  /// Nothing more is inflicted and everybody does what he can, in turns, until all is settled.
  std::optional<Violation> settle(const Scenario& scenario, std::size_t steps_max,
                                  std::vector<Action>* done = nullptr);

  /// Equal strings: the worlds behave alike for ever.
  [[nodiscard]] std::string canonical(const Scenario& scenario) const;

  /// Whether policy makes the two peers.
  [[nodiscard]] bool linked(std::size_t i, std::size_t k) const {
    return i != k && (triangle || i == 1 || k == 1);
  }
  [[nodiscard]] bool wires_empty() const;
  [[nodiscard]] Towards& towards(std::size_t i, std::size_t k) { return device[i].towards[k]; }
  [[nodiscard]] const Towards& towards(std::size_t i, std::size_t k) const {
    return device[i].towards[k];
  }

  std::size_t devices;
  bool triangle;
  PerDevice<Device> device;
  Controller controller;
  PerDevice<PerDevice<std::vector<Packet>>> wire;  ///< [i][k]: on their way to i, from k
  PerDevice<std::uint8_t> rekeys{}, restarts{}, detaches{}, removals{}, flushes{}, rollbacks{};
  std::uint8_t install_failures = 0;
  PerDevice<PerDevice<std::uint8_t>> lost_in_row{};  ///< [i][k]: towards i, from k
  Timestamp now{};

 private:
  using Broken = std::optional<Violation>;
  void begin_settled(const Scenario& scenario);
  void plant(const Scenario& scenario);
  void excuse_dormant(std::size_t i, std::size_t k, const std::vector<SaPairId>& kept);
  Broken step(const Scenario& scenario, const Action& action, std::string* story);
  Broken store(const Scenario& scenario, std::size_t i, std::string* story);
  Broken tell_result(const Scenario& scenario, std::size_t i, std::string* story);
  Broken give_dim(const Scenario& scenario, std::size_t i, std::size_t k, std::string* story);
  Broken give_mark(const Scenario& scenario, std::size_t i, std::string* story);
  Broken attach(const Scenario& scenario, std::size_t i, std::string* story);
  Broken restart(const Scenario& scenario, std::size_t i, bool restored, std::string* story);
  Broken pass_time(const Scenario& scenario, std::string* story);
  Broken feed(const Scenario& scenario, std::size_t i, const rekey::Event& event,
              std::string* story);
  Broken carry_out(const Scenario& scenario, std::size_t i, const rekey::Effect& effect,
                   std::string* story);
  Broken deliver(const Scenario& scenario, std::size_t i, std::size_t k, std::size_t index,
                 std::string* story);
  Broken send(const Scenario& scenario, std::size_t i, std::size_t k, SaPairId pair,
              PacketKind kind, std::string* story);
  void note_floors(std::size_t i, std::size_t k);
  /// Lazy: derives the pair's keys, if that is still possible.
  bool derive(std::size_t i, std::size_t k, SaPairId pair);
  void forget_acknowledged(std::size_t i, std::size_t k);
  [[nodiscard]] bool dim_waits(std::size_t i, std::size_t k) const;
  [[nodiscard]] std::optional<Mark> mark_waits(std::size_t i) const;
  [[nodiscard]] std::optional<Timestamp> next_time(const Scenario& scenario) const;

  PerDevice<std::vector<rekey::Event>> answers_;  ///< immediate ones, within one action
};

/// How every device names device k.
[[nodiscard]] constexpr PeerId peer_id(std::size_t k) {
  return PeerId{static_cast<std::uint32_t>(k + 1)};
}
[[nodiscard]] constexpr std::size_t device_of(PeerId id) { return id.value() - 1; }

/// The letters of the figures for device i.
[[nodiscard]] rekey::GenerationNames names_of(std::size_t i);
[[nodiscard]] std::string describe(const Action& action, const World& before);

}  // namespace cygnet::explore
