// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The one line an operator pastes on a new device (docs/controller.md, "Enrolment"):
///
///   cygnet-agent join cyg1:<host>:<port>/<mesh>/<name or ->/<token>/<CA fingerprint>
///
/// One word without characters that a shell would touch; an IPv6 address stands without brackets,
/// the last colon of the first part is the port's. The fingerprint is the SHA-256 of the identity
/// CA's certificate in hex, so the very first contact is authenticated. Pure; value type.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "cygnet/base/result.h"
#include "cygnet/crypto/hash.h"

namespace cygnet::wire {

inline constexpr ErrorCode kErrJoinLine{"join-line"};

struct JoinLine {
  std::string host;
  std::uint16_t port = 0;
  std::string mesh;                 ///< one DNS label
  std::optional<std::string> name;  ///< the device the token is bound to, if it is to one
  std::string token;                ///< the secret: lower-case hex
  crypto::Sha256 ca_fingerprint{};
  friend bool operator==(const JoinLine&, const JoinLine&) = default;
};

[[nodiscard]] std::string to_string(const JoinLine& line);
/// Accepts the bare word, or the whole line with the command in front.
/// @retval kErrJoinLine  names the part that is wrong; never repeats the token.
[[nodiscard]] Result<JoinLine> parse_join_line(std::string_view text);

/// The DNS name of a mesh's controller in its certificate. Three labels, which no device has, so a
/// device's certificate can never stand for a controller's.
[[nodiscard]] inline std::string controller_name(const std::string& mesh) {
  return "controller.cygnet." + mesh;
}

}  // namespace cygnet::wire
