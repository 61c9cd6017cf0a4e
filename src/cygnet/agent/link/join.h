// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Enrolment (docs/protocol.md section 2): a CSR for the device's own key and the token go to the
/// controller over TLS with ALPN "cygnet-join/1", the controller being known by the fingerprint of
/// its CA; a certificate, the trust bundle and the mesh come back. Blocking; for `cygnet-agent
/// join`.

#include <functional>
#include <string>

#include "cygnet/agent/link/convert.h"
#include "cygnet/crypto/identity.h"
#include "cygnet/rt/loop.h"
#include "cygnet/wire/join_line.h"

namespace cygnet::agent {

inline constexpr ErrorCode kErrJoin{"join"};

struct JoinResult {
  crypto::MeshId mesh{};
  std::string mesh_name;
  proto::DeviceName device;
  crypto::Certificate certificate;
  std::vector<crypto::Certificate> trust;
  ServerTime server_time{};
};

/// Runs the loop until it is done. An empty `device_label` asks for the name the token is bound to.
/// `on_queued` tells that an operator has to sign the request
/// first; enrolment then goes on asking until `limit`.
/// @retval kErrJoin, the errors of connect_stream, the controller's refusal by its own code
[[nodiscard]] Result<JoinResult> join(rt::Loop& loop, const wire::JoinLine& line,
                                      const std::string& device_label,
                                      const crypto::IdentityKey& key, Duration limit,
                                      const std::function<void(Duration)>& on_queued);

}  // namespace cygnet::agent
