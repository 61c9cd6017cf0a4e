// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Traffic keys for an analyser, in builds made for tests only (CMake option
/// CYGNET_INSECURE_KEY_EXPORT): tshark opens a capture with them. In every other build the code
/// that writes keys does not exist.

#include <string>

#include "cygnet/agent/backend/api/backend.h"
#include "cygnet/base/result.h"

namespace cygnet::agent::userspace {

#ifdef CYGNET_INSECURE_KEY_EXPORT
inline constexpr bool kInsecureKeyExport = true;
#else
inline constexpr bool kInsecureKeyExport = false;
#endif

inline constexpr ErrorCode kErrKeyExport{"key-export"};

/// Appends one line an SA to `path`, in the form of Wireshark's table "esp_sa". Empty path:
/// nothing.
/// @retval kErrKeyExport  this build cannot, or the file cannot be written
[[nodiscard]] Status export_keys(const std::string& path, const SaPairSpec& spec);

}  // namespace cygnet::agent::userspace
