// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Notify payloads of a DIM: numbers, names and their one order (docs/protocol.md section 3). Pure.

#include <cstdint>
#include <string>

namespace cygnet::proto {

namespace notify {
inline constexpr std::uint16_t kFirstStatus = 16384;
inline constexpr std::uint16_t kInitialContact = 16384;  ///< RFC 7296 section 3.10.1
inline constexpr std::uint16_t kPpkIdentity = 16436;     ///< RFC 8784
inline constexpr std::uint16_t kRekeyCounter = 41001;    ///< private use
inline constexpr std::uint16_t kLanes = 41002;           ///< private use
}  // namespace notify

inline constexpr std::uint8_t kPpkIdFixed = 2;            ///< RFC 8784 PPK_ID_FIXED
inline constexpr std::uint8_t kAuthMethodSignature = 14;  ///< RFC 7427 Digital Signature

/// "REKEY_COUNTER", "INITIAL_CONTACT", "LANES", "PPK_IDENTITY", else "notify <n>".
[[nodiscard]] std::string notify_name(std::uint16_t type);

/// Place in a DIM: counter 0, INITIAL_CONTACT 1, LANES 2, PPK_IDENTITY 3, everything else 4.
[[nodiscard]] int notify_rank(std::uint16_t type);

}  // namespace cygnet::proto
