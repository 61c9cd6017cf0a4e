// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Roles from nonces (draft 5.2.1.2) and the choice of proposal (draft 6.1, A.3.1;
/// docs/protocol.md section 4). Pure.

#include "cygnet/proto/dim/dim.h"

namespace cygnet::proto {

inline constexpr ErrorCode kErrEqualNonces{"equal-nonces"};
inline constexpr ErrorCode kErrNoProposal{"no-proposal-chosen"};
inline constexpr ErrorCode kErrPpk{"ppk"};

enum class Role : std::uint8_t { kInitiator, kResponder };

/// Larger nonce is the initiator, octet by octet, a prefix being the lower (AMB-05).
/// @retval kErrEqualNonces  (AMB-04)
[[nodiscard]] Result<Role> role_of_local(ByteView local_nonce, ByteView remote_nonce);

/// What two DIMs agree on for their SA pair.
struct Agreement {
  Role local_role = Role::kInitiator;
  IpsecPolicy policy;
  std::uint8_t spn_i = 0;   ///< proposal number in the initiator's SA payload
  std::uint8_t spn_r = 0;   ///< and in the responder's
  std::uint16_t lanes = 1;  ///< min of both, 64 and what 255 prf+ blocks can key
  std::optional<Bytes> ppk_id;
};

/// @param ppk_mandatory  policy: no SA without a common PPK.
/// @retval kErrEqualNonces, kErrNoProposal, kErrPpk
[[nodiscard]] Result<Agreement> negotiate(const Dim& local, const Dim& remote,
                                          bool ppk_mandatory = false);

/// min(LANES of both, 64, floor(255 * prf output / octets per lane, both directions)).
[[nodiscard]] std::uint16_t lanes_for(std::uint16_t local, std::uint16_t remote,
                                      const IpsecPolicy& policy);

}  // namespace cygnet::proto
