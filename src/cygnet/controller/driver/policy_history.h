// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Reads the policies a core needs to replay at its start: those that came into force within the
/// time tombstones are kept. Blocking: for start-up.

#include "cygnet/controller/core/core.h"
#include "cygnet/controller/store/store.h"

namespace cygnet::controller {

/// Versions replayed at most: older removals are then only seen as absence from a snapshot.
inline constexpr std::size_t kPolicyHistoryMax = 64;

/// Fills defaults and policy_history. @retval the store's and the parser's errors
[[nodiscard]] Result<CoreSetup> core_setup_for(store::Store& store, const store::MeshState& mesh);

}  // namespace cygnet::controller
