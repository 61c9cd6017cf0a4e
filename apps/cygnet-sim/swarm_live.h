// SPDX-License-Identifier: Apache-2.0
#pragma once

/// `cygnet-sim swarm-live`: many simulated devices against a real controller (docs/simulator.md).

#include <CLI/CLI.hpp>
#include <string>

#include "cygnet/load/swarm.h"

namespace cygnet::apps {

class SwarmLiveCommand {
 public:
  explicit SwarmLiveCommand(CLI::App& app);
  [[nodiscard]] bool parsed() const { return command_->parsed(); }
  /// @return the exit code: 0 good, 1 lost or out of order or not settled, 2 could not run
  [[nodiscard]] int run();

 private:
  CLI::App* command_;
  load::SwarmOptions options_;
  std::string controller_;
  std::string identities_;
  std::string join_line_;
  std::string json_;
  bool enrol_only_ = false;
};

}  // namespace cygnet::apps
