// SPDX-License-Identifier: Apache-2.0
#pragma once

/// A play: two production rekey machines, the explorer's controller and wire, and a script that
/// says what happens in which order. What the machines do is written down in the draft's notation.
/// Every check of the explorer holds at every step.

#include <string>

#include "world.h"

namespace cygnet::scenarios {

using explore::Act;
using proto::RekeyCounter;
using proto::SaPairId;

inline constexpr std::size_t kA = 0, kB = 1;

/// Default times; every install and every result is an event of its own.
[[nodiscard]] explore::Scenario stage(bool settled);
/// The pair x<local>-y<remote> as the device of x names it: pair(2, 1) on A is a2-b1.
[[nodiscard]] SaPairId pair(std::uint32_t local, std::uint32_t remote);

class Play {
 public:
  explicit Play(explore::Scenario scenario);

  /// A line of the script's own, before what follows.
  void say(const std::string& words);
  /// Carries out the first action of this kind; a script that asks for an impossible one fails.
  void act(Act act, std::size_t device = kA);
  /// The backend answers everything it was asked for.
  void installed(std::size_t device);
  /// A user packet of this device reaches the other one.
  void packet(std::size_t from);
  /// What each end holds and transmits on.
  void show();
  /// Nothing more is inflicted, no user packet sent: the rest happens until both are settled.
  void rest();

  [[nodiscard]] const std::string& text() const { return text_; }
  /// What went wrong: a broken property, an impossible step. Empty: nothing.
  [[nodiscard]] const std::string& failure() const { return failure_; }
  [[nodiscard]] const explore::Device& device(std::size_t i) const { return world.device[i]; }
  /// What it has towards the other one.
  [[nodiscard]] const explore::Towards& towards(std::size_t i) const {
    return world.towards(i, 1 - i);
  }
  [[nodiscard]] bool has_inbound(std::size_t i, SaPairId id) const;
  [[nodiscard]] bool has_outbound(std::size_t i, SaPairId id) const;

  explore::Scenario scenario;
  explore::World world;

 private:
  void carry_out(const explore::Action& action);

  std::string text_, failure_;
};

}  // namespace cygnet::scenarios
