// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What `dim decode` and `dim encode` share. Internal to debug.

#include <cstdint>
#include <string>

namespace cygnet::debug {

inline constexpr std::uint8_t kProtocolEsp = 3;

/// "ENCR", "INTEG", "KE", "SN", "PRF", "mode", "replay", else "type <n>".
[[nodiscard]] std::string transform_type_name(std::uint8_t type);

}  // namespace cygnet::debug
