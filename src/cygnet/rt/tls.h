// SPDX-License-Identifier: Apache-2.0
#pragma once

/// TLS contexts of the device stream (docs/protocol.md section 7): TLS 1.3 only, 0-RTT off,
/// resumption by stateless tickets.
///
///   ALPN "cygnet/1"       mutual authentication; identity is read from the verified leaf only
///   ALPN "cygnet-join/1"  server authentication only; the device pins the CA by the SHA-256 of its
///                         certificate, carried by the join line
///
/// Certificates are checked by crypto::verify_chain against a trust bundle (a list, replaceable at
/// run time) at a time that the caller's clock gives, on resumption too. No host names: the mesh's
/// own CA signs nothing but its members, and `expected_uri`/`expected_dns` narrow it further.
///
/// Contexts are shared by many streams; create and change them on the loop thread that uses them.

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cygnet/base/result.h"
#include "cygnet/base/time.h"
#include "cygnet/crypto/hash.h"
#include "cygnet/crypto/identity.h"

namespace cygnet::rt {

inline constexpr ErrorCode kErrTls{"tls"};
inline constexpr ErrorCode kErrTlsNoCertificate{"tls-no-certificate"};  ///< peer showed none
inline constexpr ErrorCode kErrTlsAlpn{"tls-alpn"};                     ///< no common protocol
inline constexpr ErrorCode kErrTlsPin{"tls-pin"};    ///< the CA is not the one the join line names
inline constexpr ErrorCode kErrTlsName{"tls-name"};  ///< a member, but not the one expected
/// The other side refused our certificate (its alert says why: expired, unknown CA, required).
inline constexpr ErrorCode kErrTlsRefused{"tls-refused"};

inline constexpr std::string_view kAlpnDevice = "cygnet/1";
inline constexpr std::string_view kAlpnJoin = "cygnet-join/1";

/// What one side presents.
struct TlsIdentity {
  crypto::IdentityKey key;
  std::vector<crypto::Certificate> chain;  ///< leaf first, then intermediates; may end in the CA
};

using WallClock = std::function<ServerTime()>;

class TlsServerContext {
 public:
  struct Options {
    TlsIdentity identity;
    std::vector<crypto::Certificate> trust;  ///< bundle that devices' certificates must chain to
    WallClock now;
    bool offer_join = true;  ///< also speak "cygnet-join/1"
    /// Verify a leaf that has ended as of its last moment instead of refusing it: the caller then
    /// judges the expiry itself, and can tell the device in words.
    bool admit_ended = false;
  };
  /// @retval kErrTls, crypto::kErrKey, crypto::kErrCertificate (key and leaf do not match)
  [[nodiscard]] static Result<std::shared_ptr<TlsServerContext>> create(Options options);
  ~TlsServerContext();

  /// For new handshakes. Open streams go on; tickets of old ones stay valid but are re-verified.
  [[nodiscard]] Status replace_identity(TlsIdentity identity);
  void replace_trust(std::vector<crypto::Certificate> trust);

  struct Impl;
  [[nodiscard]] Impl& impl() { return *impl_; }

 private:
  explicit TlsServerContext(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

class TlsClientContext {
 public:
  /// "cygnet/1".
  struct DeviceOptions {
    TlsIdentity identity;
    std::vector<crypto::Certificate> trust;
    WallClock now;
    std::optional<std::string> expected_dns;  ///< DNS SAN that the controller's leaf must have
  };
  [[nodiscard]] static Result<std::shared_ptr<TlsClientContext>> create_device(
      DeviceOptions options);

  /// "cygnet-join/1": presents nothing; the server's chain must contain (or be issued by a sent)
  /// CA certificate whose DER has this SHA-256.
  struct JoinOptions {
    crypto::Sha256 ca_fingerprint;
    WallClock now;
    std::optional<std::string> expected_dns;
  };
  [[nodiscard]] static Result<std::shared_ptr<TlsClientContext>> create_join(JoinOptions options);
  ~TlsClientContext();

  /// After renewal; also forgets the session ticket, which holds the old certificate.
  [[nodiscard]] Status replace_identity(TlsIdentity identity);
  void replace_trust(std::vector<crypto::Certificate> trust);

  struct Impl;
  [[nodiscard]] Impl& impl() { return *impl_; }

 private:
  explicit TlsClientContext(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// SHA-256 of a certificate's DER: what a join line carries.
[[nodiscard]] crypto::Sha256 certificate_fingerprint(const crypto::Certificate& certificate);

}  // namespace cygnet::rt
