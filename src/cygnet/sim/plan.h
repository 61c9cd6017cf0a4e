// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What a fleet would cost: messages, octets, Diffie-Hellman, and how long a rekey takes to reach
/// everybody. What one device costs depends on its number of peers and on nothing else, so a part
/// of the fleet runs in earnest (production agents and controller, production message sizes) and
/// the rest is arithmetic, which the answer names as such.

#include <cstdint>
#include <string>
#include <vector>

#include "cygnet/base/result.h"
#include "cygnet/base/time.h"

namespace cygnet::sim {

struct PlanQuestion {
  std::uint32_t devices = 1000;
  std::uint32_t peers = 100;  ///< of each device
  Duration rekey_every = std::chrono::hours(1);
  Duration leg = std::chrono::milliseconds(20);      ///< device to controller, one way
  Duration path = std::chrono::milliseconds(20);     ///< device to device, one way
  Duration store = std::chrono::milliseconds(2);     ///< the controller makes a batch durable
  Duration derive = std::chrono::microseconds(100);  ///< one SA pair on a device's one worker
  Duration verify =
      std::chrono::microseconds(200);       ///< one publish on one of the controller's cores
  std::uint32_t cores = 2;                  ///< of the controller
  std::uint64_t link_octets = 125'000'000;  ///< of the controller, out, a second
};

/// Of one device.
struct PlanCosts {
  double publishes = 0;
  double dh_pairs = 0;     ///< generated
  double derivations = 0;  ///< SA pairs, one Diffie-Hellman each
  double messages_up = 0;
  double octets_up = 0;
  double messages_down = 0;
  double octets_down = 0;
};

struct PlanTimes {
  double half = 0;  ///< seconds, of half of all cases
  double most = 0;  ///< … of 99 in 100
  double all = 0;
};

/// The controller, and a rekey of everybody at once, for a fleet of this size.
struct PlanLoad {
  std::uint64_t devices = 0;
  double publishes_a_second = 0;
  double dims_a_second = 0;  ///< relayed
  double octets_out_a_second = 0;
  double octets_in_a_second = 0;
  double cores_busy = 0;  ///< by verifying alone
  double link_busy = 0;   ///< 0 … 1 …
  double storm = 0;       ///< seconds until everybody has everybody's new DIM
};

struct PlanAnswer {
  PlanQuestion question;
  std::vector<std::uint32_t> measured;  ///< with so many peers; more than one: extended linearly
  PlanCosts join;                       ///< everybody attaches once
  PlanCosts hour;                       ///< … and then rekeys as asked
  PlanTimes accepted;   ///< from the decision to rekey until the controller has the DIM durable
  PlanTimes peer_uses;  ///< from there until one peer sends on the new generation
  PlanTimes last_peer;  ///< … until the last one does
  PlanTimes own_uses;   ///< … until the device itself sends on it towards a peer
  std::vector<double> last_peer_curve;  ///< seconds by hundredth, for the plot
  std::vector<PlanLoad> loads;          ///< by fleet size, the asked one last
};

/// @retval kErrScenario  a question without an answer: names the figure
[[nodiscard]] Result<PlanAnswer> plan(const PlanQuestion& question);
[[nodiscard]] std::string table(const PlanAnswer& answer);
[[nodiscard]] std::string svg(const PlanAnswer& answer);

}  // namespace cygnet::sim
