// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What a run is made of: how many devices, who may talk to whom, how keys live, what the networks
/// do and what is inflicted. A run is a function of (scenario, seed, planted faults). Value types.

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cygnet/base/result.h"
#include "cygnet/base/time.h"

namespace cygnet::sim {

inline constexpr ErrorCode kErrScenario{"sim-scenario"};

/// Everything that can be inflicted. Each has a probe: a swarm that never did one fails.
enum class Fault : std::uint8_t {
  kLossBurst,          ///< a pair's path loses much for a while
  kOneWay,             ///< … loses everything in one direction
  kJitter,             ///< … delays and reorders
  kLegSlow,            ///< the controller leg of a device is slow
  kDisconnect,         ///< a device's stream breaks
  kReconnectStorm,     ///< all streams break at once
  kStaleRedelivery,    ///< an old DIM of a peer is delivered again
  kControllerRestart,  ///< the controller is killed and comes back
  kOutage,             ///< … and stays away for long
  kFailover,           ///< another controller takes over with what had been replicated
  kDiskFull,           ///< the controller cannot store for a while
  kCrash,              ///< a device loses its memory and starts again
  kLostDisk,           ///< … and its disk, but for its identity
  kRestoredDisk,       ///< … and starts with an old copy of it
  kRemovePair,         ///< policy takes a pair away and gives it back
  kRemoveDevice,       ///< … all pairs of a device
  kIdle,               ///< a pair carries nothing for a while
  kSlowInstalls,
  kRefusedInstalls,
  kFlush,         ///< SAs flushed by hand
  kClockJump,     ///< a device's wall clock jumps
  kRekeyStorm,    ///< everybody is told to rekey at once
  kForgedDim,     ///< a liar signs a peer's DIM with its own key
  kReplayedDim,   ///< an earlier DIM of the peer, unchanged
  kReflectedDim,  ///< the receiver's own DIM comes back to it
  kTwistedDim,    ///< a peer's newest DIM with other octets under the same counter
  kSpoofedEsp,    ///< ESP under a right SPI, without the key
  kReplayedEsp,   ///< ESP recorded and sent again
  kCount
};
inline constexpr std::size_t kFaultCount = static_cast<std::size_t>(Fault::kCount);
[[nodiscard]] std::string_view to_string(Fault fault);

struct Scenario {
  std::string name;
  std::string about;  ///< one line
  std::uint32_t devices = 6;
  /// Devices with numbers of one block of this size are peers; 0: everybody is everybody's.
  std::uint32_t block = 0;

  Duration calm{};     ///< until here nothing is inflicted: everybody attaches
  Duration trouble{};  ///< … then faults come for this long …
  Duration heal{};     ///< … then everything is repaired, and everything has to settle

  Duration rekey_every = std::chrono::minutes(10);
  std::uint32_t rekey_jitter_permille = 100;
  Duration lifetime = std::chrono::hours(24);
  Duration forget_cap = std::chrono::minutes(3);
  Duration drain = std::chrono::seconds(10);

  Duration packet_every = std::chrono::seconds(1);  ///< of one flow, on average
  std::uint32_t both_ways_permille = 700;           ///< of pairs
  std::uint32_t one_way_permille = 200;             ///< the rest carries nothing
  /// Besides, a packet follows at once wherever the outbound choice moves: the first on the new SA.
  bool talk_at_switch = false;
  /// … and in one pair of so many another just before, the last on the old SA. 0: in none.
  std::uint32_t last_words_one_in = 0;

  Duration latency_min = std::chrono::milliseconds(5);
  Duration latency_max = std::chrono::milliseconds(40);
  std::uint32_t loss_ppm = 0;
  std::uint32_t duplicate_ppm = 0;
  std::uint32_t reorder_ppm = 0;  ///< delayed by up to a second more

  Duration leg_min = std::chrono::milliseconds(5);
  Duration leg_max = std::chrono::milliseconds(40);
  Duration store_delay = std::chrono::milliseconds(2);
  Duration work_min{};  ///< a DH pair, a derivation, a signature, a judgement
  Duration work_max{};
  Duration derive_cost{};  ///< an install on the device's one worker, one after the other
  Duration timer_grain{};  ///< deadlines are noticed at multiples of this; zero: exactly

  Duration fault_every{};  ///< mean time between two faults in the whole world; 0: none
  std::array<std::uint8_t, kFaultCount> weight{};  ///< how often each is drawn

  bool real_crypto = false;  ///< DH and derivations too, not only signatures
  bool sample_state = true;  ///< S3, S4 and L1 also look at all state now and then
  Duration sample_every = std::chrono::seconds(10);

  [[nodiscard]] Duration whole() const { return calm + trouble + heal; }
};

/// "calm", "lossy", "churn", …, "mixed".
[[nodiscard]] std::vector<Scenario> all_scenarios();
/// @retval kErrScenario  names those there are
[[nodiscard]] Result<Scenario> scenario_named(std::string_view name);

}  // namespace cygnet::sim
