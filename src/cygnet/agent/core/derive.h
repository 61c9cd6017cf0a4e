// SPDX-License-Identifier: Apache-2.0
#pragma once

/// One SA pair's keys as this device uses them (docs/protocol.md section 5). A pure job: the driver
/// runs it on a worker with what its key store holds. Nothing of it is kept.

#include "cygnet/agent/backend/api/backend.h"
#include "cygnet/crypto/dh.h"
#include "cygnet/proto/dim/dim.h"
#include "cygnet/proto/negotiate/negotiate.h"

namespace cygnet::agent {

inline constexpr ErrorCode kErrNoPrivate{"no-dh-private"};

struct DeriveInput {
  proto::PeerId peer;
  const proto::Dim& local;
  const proto::Dim& remote;
  const proto::Agreement& agreement;
  std::uint32_t replay_window = 1024;
};

/// @param dh_private  of `local`, in the agreed group
/// @param ppk         empty when none was agreed
[[nodiscard]] Result<SaPairSpec> derive_pair(const DeriveInput& input,
                                             const crypto::DhPrivate& dh_private, ByteView ppk);

/// What is known of the pair before any DH: its SPIs.
[[nodiscard]] Result<SaPairClaim> claim_pair(const DeriveInput& input);

/// Inbound SPIs of the pair at this device, by lane: from nonces only, no DH.
[[nodiscard]] Result<std::vector<proto::Spi>> inbound_spis(const proto::Dim& local,
                                                           const proto::Dim& remote,
                                                           const proto::Agreement& agreement);

}  // namespace cygnet::agent
