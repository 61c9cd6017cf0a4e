// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The fields `encr` and `integ`, which derive and esp share. Internal to debug.

#include "cygnet/crypto/ids.h"
#include "cygnet/debug/fields.h"

namespace cygnet::debug {

inline constexpr ErrorCode kErrSuite{"suite"};

/// @retval kErrUnknownName  a name nobody knows; kErrSuite  two names that make no suite
[[nodiscard]] Result<crypto::EspSuite> read_suite(Fields& fields);

}  // namespace cygnet::debug
