// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The answers of the local interface as JSON text (docs/api.md, "Agent"). Reads the agent, changes
/// nothing. Control thread only.

#include <string>

#include "cygnet/agent/driver/agent.h"

namespace cygnet::agent {

[[nodiscard]] std::string status_json(const Agent& agent, const DataPlaneView& view);
[[nodiscard]] std::string peers_json(const Agent& agent, const DataPlaneView& view);
/// @param peer  nullopt: of all peers
[[nodiscard]] std::string sa_json(const Agent& agent, const DataPlaneView& view,
                                  std::optional<proto::PeerId> peer);
[[nodiscard]] std::string drops_json(const Agent& agent, const DataPlaneView& view);
/// @param probes  what probes just sent through the tunnel brought; null: none were sent
[[nodiscard]] std::string why_json(const Agent& agent, const DataPlaneView& view,
                                   proto::PeerId peer, const PingResult* probes = nullptr);
/// A label or a full name. @retval rt::kErrNotFound with the nearest known name
[[nodiscard]] Result<proto::PeerId> find_peer(const Agent& agent, const std::string& name);

/// Of one peer, for `peers` and `why`.
struct PeerSummary {
  std::string state;
  std::optional<proto::SaPairId> outbound;
  bool confirmed = false;
  bool newest_on_newest = false;
  bool proven = false;
  std::size_t pairs = 0;
  std::optional<Duration> key_age;
};
[[nodiscard]] PeerSummary summarize(const Agent& agent, const PeerView& view);

/// "aes-gcm-16-256", "aes-cbc-128/hmac-sha2-256-128"
[[nodiscard]] std::string suite_text(const crypto::EspSuite& suite);

}  // namespace cygnet::agent
