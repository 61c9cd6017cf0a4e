// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Faults planted on purpose in a device, its driver or its controller: for each there is a checker
/// that has to find it. A run without any is what is being tested; a run with one tests the tests.

#include <string>
#include <string_view>
#include <vector>

#include "cygnet/base/result.h"
#include "cygnet/proto/rekey/params.h"

namespace cygnet::sim {

struct Plants {
  proto::rekey::Rules rules;        ///< one of them taken out
  bool reuse_nonce = false;         ///< the DH pair and nonce of the generation before, again
  bool erase_early = false;         ///< private values go as soon as a newer one is drawn
  bool never_erase = false;         ///< … or not at all
  bool skip_auth = false;           ///< signatures are not verified
  bool skip_counter = false;        ///< last accepted counters are forgotten before each DIM
  bool refuse_equal = false;        ///< the same DIM again is taken for a lost one
  bool clear_and_reload = false;    ///< a reconnect drops all peers and takes them anew
  bool ignore_tombstones = false;   ///< removals by policy are not heard
  bool removal_by_silence = false;  ///< peers go when the controller does
  bool keep_boot_count = false;     ///< a start without SAs counts as none
  bool claim_installed = false;     ///< the backend says "installed" before it is
  bool swap_keys = false;           ///< both ends use the initiator's key in one direction
  bool reset_counters = false;      ///< an SA counts from zero again after eight packets
  bool stick_outbound = false;      ///< the first choice stays in the data plane
  bool accept_any_icv = false;      ///< the data plane does not check ICVs
  bool no_replay_window = false;
  bool deaf_to_probes = false;  ///< … they are dropped
  bool no_reconnect = false;    ///< a lost stream stays lost
  bool lazy_timer = false;      ///< deadlines are acted on a minute late
};

struct PlantedFault {
  std::string name;
  std::string about;
  /// The checker that has to find it.
  std::vector<std::string> checkers;
  /// The scenario whose seeds are tried.
  std::string scenario;
  Plants plants;
};

[[nodiscard]] std::vector<PlantedFault> planted_faults();
[[nodiscard]] Result<PlantedFault> planted_fault_named(std::string_view name);

}  // namespace cygnet::sim
