// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The controller's state directory: keys, certificates and the store (docs/controller.md, "State
/// directory").
///
///   lock                 held while a cygnetd runs on it
///   store.db             SQLite
///   identity-ca.key      the mesh's CA key (absent with ca.mode external)
///   identity-ca.pem      its certificate
///   server.key/.pem      what devices see
///   admin.token          the first operator credential, for the API away from this host
///
/// Blocking: for start-up.

#include <memory>
#include <optional>
#include <string>

#include "cygnet/base/result.h"
#include "cygnet/controller/driver/authority.h"
#include "cygnet/controller/store/store.h"
#include "cygnet/rt/fs.h"
#include "cygnet/rt/text.h"
#include "cygnet/rt/tls.h"

namespace cygnet::controller {

inline constexpr ErrorCode kErrState{"state"};
inline constexpr ErrorCode kErrStateMesh{"state-mesh"};
inline constexpr std::uint16_t kDefaultPort = 7443;

struct InitOptions {
  rt::Path directory;
  std::string mesh;
  rt::HostPort listen;
  std::optional<rt::HostPort> advertise;  ///< what join lines say; `listen` when not given
  std::optional<std::string> device;      ///< binds the first token to a name
};
struct InitReport {
  bool fresh = false;
  std::string mesh;
  crypto::MeshId mesh_id{};
  std::string listen;
  std::string advertise;
  crypto::Sha256 ca_fingerprint{};
  std::optional<std::string> join_line;  ///< of the first token, when it was made just now
};
/// Makes what is missing and keeps what is there; never overwrites a key.
/// @retval kErrStateMesh (another mesh lives there), the errors of fs.h and store.h
[[nodiscard]] Result<InitReport> init_state(const InitOptions& options, ServerTime now);

/// An opened state directory. The lock is held as long as this lives.
struct State {
  rt::StateLock lock;
  rt::Path directory;
  std::unique_ptr<store::Store> store;
  store::MeshState mesh;
  std::optional<Authority> authority;
  crypto::Certificate ca;
  rt::TlsIdentity server;
};
/// @retval kErrState with the cure `cygnetd init` when there is nothing; rt::kErrStateLocked
[[nodiscard]] Result<State> open_state(const rt::Path& directory, ServerTime now);

/// The server's identity made anew (same key) when its certificate nears its end; nullopt when it
/// is good for long. For a daemon that runs for years.
[[nodiscard]] Result<std::optional<rt::TlsIdentity>> renew_server_if_due(const rt::Path& directory,
                                                                         const std::string& mesh,
                                                                         ServerTime now);

/// A batch, waited for. Start-up and tests only.
[[nodiscard]] Status submit_and_wait(store::Store& store, store::WriteBatch batch);

/// A fresh join token: its secret in hex, and its record (hash only).
struct FreshToken {
  std::string secret;
  store::TokenRecord record;
};
[[nodiscard]] FreshToken make_token(ServerTime now, std::chrono::milliseconds ttl);

/// The stored settings' keys.
inline constexpr const char* kSettingListen = "listen";
inline constexpr const char* kSettingAdvertise = "advertise";

}  // namespace cygnet::controller
