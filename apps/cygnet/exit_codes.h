// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What `cygnet` exits with (docs/cli.md). Scripts rely on these.

namespace cygnet::cli {

inline constexpr int kExitOk = 0;
inline constexpr int kExitError = 1;
inline constexpr int kExitUsage = 2;
/// `plan` and `diff` only: there are changes. (Usage errors of theirs are told apart by the text.)
inline constexpr int kExitChange = 2;
inline constexpr int kExitNotFound = 3;
inline constexpr int kExitUnreachable = 4;
inline constexpr int kExitDenied = 5;
inline constexpr int kExitDegraded = 6;
inline constexpr int kExitTimeout = 124;

}  // namespace cygnet::cli
