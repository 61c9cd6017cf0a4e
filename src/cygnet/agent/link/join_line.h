// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The one line that is pasted on a device (docs/protocol.md section 2, "Enrolment"):
///
///   cygnet1:<controller host:port>/<mesh>/<SHA-256 of the CA certificate, hex>/<token id>.<secret>
///
/// IPv6 hosts in brackets. Parsed strictly: a line that was cut or mistyped is refused by the part
/// that is wrong, before anything is sent. Pure; a value type.

#include <string>
#include <string_view>

#include "cygnet/base/result.h"
#include "cygnet/crypto/hash.h"
#include "cygnet/rt/text.h"

namespace cygnet::agent {

inline constexpr ErrorCode kErrJoinLine{"join-line"};

struct JoinLine {
  rt::HostPort controller;
  std::string mesh;  ///< one DNS label
  crypto::Sha256 ca_fingerprint{};
  std::string token_id;
  std::string secret;  ///< what the controller knows the hash of
};

/// @retval kErrJoinLine  names the part; never repeats the secret
[[nodiscard]] Result<JoinLine> parse_join_line(std::string_view text);

/// The DNS name of a mesh's controller in its certificate. Three labels, which no device has, so a
/// device's certificate can never stand for a controller's.
[[nodiscard]] inline std::string controller_name(const std::string& mesh) {
  return "controller.cygnet." + mesh;
}

}  // namespace cygnet::agent
