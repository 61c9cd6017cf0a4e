// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Settings of cygnet-agent: a YAML file (docs/agent.md, "Configuration"), over it the command
/// line. Unknown keys are refused with the nearest known one.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cygnet/agent/backend/userspace/config.h"
#include "cygnet/agent/backend/xfrm/config.h"
#include "cygnet/base/result.h"
#include "cygnet/rt/fs.h"
#include "cygnet/rt/log.h"

namespace cygnet::agent {

inline constexpr const char* kDefaultState = "/var/lib/cygnet";
inline constexpr const char* kDefaultConfig = "/etc/cygnet/agent.yaml";
inline constexpr const char* kDefaultSocket = "/run/cygnet/agent.sock";

/// Who encrypts packets: `data_plane` in the configuration.
enum class DataPlaneKind : std::uint8_t { kUserspace, kKernel };

struct AgentConfig {
  std::string state = kDefaultState;
  std::string api_socket = kDefaultSocket;
  std::vector<std::string> controllers;  ///< empty: as joined
  std::vector<std::string> endpoints;    ///< where peers reach our ESP socket
  std::optional<std::string> ppk_file;
  std::size_t workers = 0;  ///< 0: one a core
  std::uint16_t lanes_max = 64;
  rt::LogLevel log_level = rt::LogLevel::kInfo;
  rt::LogFormat log_format = rt::LogFormat::kText;
  DataPlaneKind data_plane_kind = DataPlaneKind::kUserspace;
  userspace::UserspaceConfig data_plane;
};

/// The same settings as the kernel's data plane takes them.
[[nodiscard]] xfrm::XfrmConfig kernel_config(const AgentConfig& config);
/// "userspace", "kernel".
[[nodiscard]] Result<DataPlaneKind> parse_data_plane(std::string_view text);
[[nodiscard]] const char* to_string(DataPlaneKind kind);

/// @retval rt::kErrConfig, rt::kErrConfigSyntax, the errors of read_text_file
[[nodiscard]] Result<AgentConfig> load_config(const std::string& path);
[[nodiscard]] Result<AgentConfig> parse_config(std::string_view yaml, const std::string& source);
/// Checks what the command line may have changed too: controllers, endpoints, sizes.
[[nodiscard]] Status check_config(const AgentConfig& config);
/// The settings in force, as a configuration file would say them.
[[nodiscard]] std::string config_text(const AgentConfig& config);

}  // namespace cygnet::agent
