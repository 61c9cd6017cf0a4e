// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The device's own DIM: proposals from the mesh's settings minus what this device cannot do, in
/// the mesh's order (docs/protocol.md section 4: "a device leaves out what it cannot do and keeps
/// the order", AMB-08), one KE a group, lanes, PPKs. Pure.

#include <string>
#include <vector>

#include "cygnet/agent/core/messages.h"
#include "cygnet/proto/dim/dim.h"

namespace cygnet::agent {

inline constexpr ErrorCode kErrNoUsableProposal{"no-usable-proposal"};

/// What this device can do, from its backend and configuration.
struct Abilities {
  std::uint16_t lanes_max = 1;
  std::vector<Bytes> ppk_ids;  ///< type octet, then the id; those whose PPK is held
};

/// Everything of a DIM that is settled before DH pair and nonce are drawn.
struct Offer {
  std::vector<proto::IpsecPolicy> policies;  ///< in order, never empty
  std::vector<crypto::DhGroup> groups;       ///< distinct, in order of first use
  std::uint16_t lanes = 1;
  std::vector<Bytes> ppk_ids;
  std::vector<std::string> left_out;  ///< proposals this device cannot do, as the policy names them
  /// Whether a device that offered `other` has to roll over to offer this.
  [[nodiscard]] bool same_as(const Offer& other) const {
    return policies == other.policies && lanes == other.lanes && ppk_ids == other.ppk_ids;
  }
};

/// @retval kErrNoUsableProposal  nothing of the list is left
[[nodiscard]] Result<Offer> make_offer(const MeshSettings& settings, const Abilities& abilities);

/// The unsigned DIM. `kes` in the order of offer.groups.
[[nodiscard]] proto::Dim compose_dim(const proto::DeviceName& device, const Offer& offer,
                                     proto::RekeyCounter counter, std::vector<proto::DhPublic> kes,
                                     Bytes nonce);

}  // namespace cygnet::agent
