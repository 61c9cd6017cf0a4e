// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The frame around each file of the state directory, so that a truncated or damaged file is known
/// as such and named, never half-believed:
///
///   "cygnet-state" | version 1 | kind length 1 | kind | payload length 4 | payload | SHA-256 of
///   all
///
/// Pure; value functions.

#include <string_view>

#include "cygnet/base/bytes.h"
#include "cygnet/base/result.h"

namespace cygnet::agent {

inline constexpr ErrorCode kErrStateTruncated{"state-truncated"};
inline constexpr ErrorCode kErrStateCorrupt{"state-corrupt"};
inline constexpr ErrorCode kErrStateVersion{"state-version"};

[[nodiscard]] Bytes frame_state(std::string_view kind, ByteView payload);
/// @retval kErrStateTruncated  ends too early
/// @retval kErrStateCorrupt    no state file, another kind, or its checksum does not fit
/// @retval kErrStateVersion    written by a later version
[[nodiscard]] Result<Bytes> unframe_state(std::string_view kind, ByteView file);

}  // namespace cygnet::agent
