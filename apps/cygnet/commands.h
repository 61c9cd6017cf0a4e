// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The commands, each from checked options to an exit code. cli.cpp maps words to them.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "session.h"

namespace cygnet::cli {

// controller_commands.cpp
struct GetOptions {
  std::string kind;  ///< devices, pairs, dims, tokens, policies, events
  std::string name;  ///< empty: all
  std::string label;
  std::optional<std::uint64_t> after;  ///< events
};
[[nodiscard]] int run_get(Session& session, const GetOptions& options);
[[nodiscard]] int run_describe_device(Session& session, const std::string& name);
struct TokenOptions {
  std::string name;
  std::vector<std::string> labels;  ///< key=value
  std::string ttl;
  std::optional<std::uint64_t> uses;
};
[[nodiscard]] int run_token_create(Session& session, const TokenOptions& options);
struct RekeyOptions {
  std::string name;
  bool all = false;
  bool agent = false;  ///< this device, asked of its agent
};
[[nodiscard]] int run_rekey(Session& session, const RekeyOptions& options);
[[nodiscard]] int run_revoke(Session& session, const std::string& name, bool yes);
/// With b: the controller's view; without: this device towards a.
[[nodiscard]] int run_why(Session& session, const std::string& a, const std::string& b);

// policy_commands.cpp
[[nodiscard]] int run_plan(Session& session, const std::string& file);
[[nodiscard]] int run_apply(Session& session, const std::string& file,
                            std::optional<std::uint64_t> expect_version);
/// Present policy against a file, or against an earlier version (the one before when neither).
[[nodiscard]] int run_diff(Session& session, const std::string& file,
                           std::optional<std::uint64_t> version);
[[nodiscard]] int run_rollback(Session& session, std::optional<std::uint64_t> version);

// device_commands.cpp
[[nodiscard]] int run_status(Session& session);
[[nodiscard]] int run_peers(Session& session);
[[nodiscard]] int run_sa(Session& session, const std::string& peer);
struct PingOptions {
  std::string peer;
  std::uint64_t count = 3;
  std::string interval = "200ms";
  std::uint64_t lane = 0;
};
[[nodiscard]] int run_ping(Session& session, const PingOptions& options);

}  // namespace cygnet::cli
