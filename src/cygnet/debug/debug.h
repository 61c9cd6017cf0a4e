// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The `cygnet debug` verbs: derivations, ESP packets and DIMs in the open, so that anyone can hold
/// Cygnet against another implementation (docs/protocol.md sections 3, 5 and 8). One JSON object
/// in, one JSON object on one line out, octets as lower-case hex. Pure but for the two streams;
/// time comes in as an argument. Signing (`dim encode`) draws its randomness inside crypto.
///
/// The verbs print secrets they are given or compute: that is their purpose.

#include <iosfwd>
#include <string>
#include <string_view>
#include <vector>

#include "cygnet/base/time.h"

namespace cygnet::debug {

inline constexpr int kExitOk = 0;
/// Refused: {"error":{"code":…,"message":…}} has been written.
inline constexpr int kExitRefused = 2;

/// Standard input is read up to this many octets.
inline constexpr std::size_t kInputLengthMax = std::size_t{1} << 20;

/// @param args  what follows `cygnet debug`: {"derive"}, {"esp", "open"}, {"esp", "seal"},
///              {"dim", "decode"}, {"dim", "encode"}, {"dim", "check"}
/// @param now   for certificates, unless the input of `dim check` gives `now_ms`
/// @return kExitOk or kExitRefused
[[nodiscard]] int run_debug(const std::vector<std::string>& args, std::istream& in,
                            std::ostream& out, ServerTime now);

/// One line a verb, for --help.
[[nodiscard]] std::string_view debug_usage();

}  // namespace cygnet::debug
