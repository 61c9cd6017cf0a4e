// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What `cygnetd run` runs with: a YAML file, overridden by options (docs/controller.md,
/// "Configuration").

#include <optional>
#include <string>

#include "cygnet/base/result.h"
#include "cygnet/controller/core/limits.h"
#include "cygnet/rt/text.h"

namespace cygnet::apps {

struct DaemonConfig {
  std::string state = "/var/lib/cygnet/controller";
  std::optional<std::string> listen;      ///< else what init stored
  std::optional<std::string> advertise;   ///< else what init stored
  std::optional<std::string> api_socket;  ///< else `<state>/cygnetd.sock`
  std::string ca_mode = "embedded";
  std::string log_level = "info";
  std::string log_format = "text";
  controller::Limits limits;
  bool test_verbs = false;
};

/// @retval rt::kErrConfig, rt::kErrConfigSyntax, file errors
[[nodiscard]] Result<DaemonConfig> load_config(const std::string& path);
/// As YAML that load_config reads back.
[[nodiscard]] std::string print_config(const DaemonConfig& config);
/// Addresses parse, words are known. @retval with the option's name in `where`
[[nodiscard]] Status check_config(const DaemonConfig& config);

}  // namespace cygnet::apps
