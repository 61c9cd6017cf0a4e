// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What tls.cpp and the streams share about OpenSSL. Include in rt/tls*.cpp only.

#include <openssl/ssl.h>

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "cygnet/rt/tls.h"

namespace cygnet::rt {

struct SslFree {
  void operator()(SSL* ssl) const { SSL_free(ssl); }
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  void operator()(SSL_SESSION* session) const { SSL_SESSION_free(session); }
};
using SslPtr = std::unique_ptr<SSL, SslFree>;
using SslContextPtr = std::unique_ptr<SSL_CTX, SslFree>;
using SslSessionPtr = std::unique_ptr<SSL_SESSION, SslFree>;

/// What verification of one connection found; the SSL's app data points at it.
struct TlsPeer {
  std::optional<Error> refusal;  ///< why we refused the other side's certificate
  std::optional<crypto::Certificate> leaf;
  std::optional<crypto::Certificate> pinned_ca;
  std::string session_key;  ///< client: which ticket is whose
};

struct TlsServerContext::Impl {
  SslContextPtr context;
  Options options;
};

struct TlsClientContext::Impl {
  SslContextPtr context;
  std::string_view alpn;
  std::optional<TlsIdentity> identity;
  std::vector<crypto::Certificate> trust;
  std::optional<crypto::Sha256> ca_fingerprint;
  std::optional<std::string> expected_dns;
  WallClock now;
  std::map<std::string, SslSessionPtr> sessions;  ///< by TlsPeer::session_key
};

/// `peer` must outlive the SSL.
[[nodiscard]] Result<SslPtr> new_server_ssl(TlsServerContext& context, int fd, TlsPeer& peer);
[[nodiscard]] Result<SslPtr> new_client_ssl(TlsClientContext& context, int fd, TlsPeer& peer);
/// After the handshake: protocol agreed, certificate there, and verified again when the session
/// was resumed (a ticket outlives a revocation of trust). Fills peer.leaf.
[[nodiscard]] Status finish_server_handshake(TlsServerContext& context, SSL* ssl, TlsPeer& peer);
[[nodiscard]] Status finish_client_handshake(TlsClientContext& context, SSL* ssl, TlsPeer& peer);
/// A resumption that led nowhere must not be tried again.
void forget_session(TlsClientContext& context, const TlsPeer& peer);

[[nodiscard]] std::string alpn_of(SSL* ssl);

/// How a failed SSL_* call is told: peer.refusal if we refused, else by alert or reason. Takes the
/// thread's error queue. `errno_value` is for SSL_ERROR_SYSCALL.
[[nodiscard]] Error tls_failure(SSL* ssl, int result, int errno_value, const TlsPeer& peer);

}  // namespace cygnet::rt
