// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Identity keys, certificates and their verification (protocol: section 2, "Identity"; section 3,
/// AUTH). Certificates and CSRs travel as DER, keys on disk as PEM.
///
/// Objects are immutable after creation and may be shared between threads.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cygnet/base/bytes.h"
#include "cygnet/base/result.h"
#include "cygnet/base/secret.h"
#include "cygnet/base/time.h"
#include "cygnet/crypto/hash.h"

namespace cygnet::crypto {

inline constexpr ErrorCode kErrKey{"identity-key"};
inline constexpr ErrorCode kErrCertificate{"certificate"};
inline constexpr ErrorCode kErrCertificateExpired{"certificate-expired"};
inline constexpr ErrorCode kErrCertificateChain{"certificate-chain"};
inline constexpr ErrorCode kErrSignature{"signature"};
inline constexpr ErrorCode kErrCsr{"csr"};

enum class KeyType : std::uint8_t { kEcdsaP256, kEcdsaP384, kEd25519 };

/// Mesh id: 16 random octets made by `cygnetd init`.
using MeshId = std::array<std::uint8_t, 16>;

/// DER AlgorithmIdentifier and signature octets, the two halves of AUTH data (RFC 7427).
struct Signature {
  Bytes algorithm;  ///< DER AlgorithmIdentifier
  Bytes value;      ///< ECDSA-Sig-Value in strict DER, or 64 octets of Ed25519
};

class IdentityKey {
 public:
  [[nodiscard]] static Result<IdentityKey> generate(KeyType type);
  [[nodiscard]] static Result<IdentityKey> from_pem(const SecretBytes& pem);
  [[nodiscard]] SecretBytes to_pem() const;  ///< PKCS #8, unencrypted
  [[nodiscard]] KeyType type() const;
  /// DER SubjectPublicKeyInfo.
  [[nodiscard]] const Bytes& spki() const;
  /// ECDSA with the hash of its curve (P-256: SHA-256, P-384: SHA-384), or pure Ed25519.
  [[nodiscard]] Result<Signature> sign(ByteView message) const;
  /// PKCS #10 for a device name; DNS and URI names as protocol section 2 asks.
  [[nodiscard]] Result<Bytes> make_csr(const std::string& dns_name, const std::string& uri) const;

  struct Impl;
  explicit IdentityKey(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
  [[nodiscard]] const Impl& impl() const { return *impl_; }

 private:
  std::shared_ptr<const Impl> impl_;
};

/// One X.509 certificate, parsed once.
class Certificate {
 public:
  [[nodiscard]] static Result<Certificate> from_der(ByteView der);
  [[nodiscard]] static Result<std::vector<Certificate>> list_from_pem(std::string_view pem);
  [[nodiscard]] const Bytes& der() const;
  [[nodiscard]] std::string to_pem() const;
  [[nodiscard]] const Bytes& spki() const;
  [[nodiscard]] Sha256 spki_hash() const;  ///< the pin of protocol section 2
  [[nodiscard]] Bytes serial() const;
  [[nodiscard]] ServerTime not_before() const;
  [[nodiscard]] ServerTime not_after() const;
  [[nodiscard]] bool is_ca() const;
  /// The single DNS SAN and URI SAN of a device leaf; nullopt unless there is exactly one.
  [[nodiscard]] std::optional<std::string> dns_san() const;
  [[nodiscard]] std::optional<std::string> uri_san() const;
  /// Verifies a signature made by the certificate's key: algorithm must be the one the key's type
  /// prescribes, strict DER. @retval kErrSignature
  [[nodiscard]] Status verify(ByteView message, const Signature& signature) const;
  /// The same certificate in a quarter of the memory, to be kept rather than used: everything works
  /// as before, but whatever verifies or prints decodes it again.
  [[nodiscard]] Certificate compact() const;

  struct Impl;
  explicit Certificate(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
  [[nodiscard]] const Impl& impl() const { return *impl_; }

 private:
  std::shared_ptr<const Impl> impl_;
};

/// What the leaf must be good for, beside not being a CA and having a key that may sign.
enum class LeafUse : std::uint8_t {
  kSignature,  ///< nothing more
  kClient,     ///< extended key usage has clientAuth: a device
  kServer,     ///< extended key usage has serverAuth: a controller
};

/// Verifies leaf against a trust bundle at a time, no intermediate lookups beyond `intermediates`.
/// The chain must end in a self-signed CA of the bundle; an intermediate in the bundle is not
/// trusted by itself. Neither the machine's clock nor its CA directory is looked at.
/// As OpenSSL has it for TLS too, a certificate is valid from not_before until just before
/// not_after.
/// @retval kErrCertificateChain, kErrCertificateExpired (expired or not yet valid)
[[nodiscard]] Status verify_chain(const Certificate& leaf,
                                  const std::vector<Certificate>& intermediates,
                                  const std::vector<Certificate>& trust, ServerTime now,
                                  LeafUse use = LeafUse::kSignature);

/// A parsed PKCS #10 request whose self-signature has been verified.
struct CsrInfo {
  Bytes spki;
  std::optional<std::string> dns_san;
  std::optional<std::string> uri_san;
};
/// @retval kErrCsr
[[nodiscard]] Result<CsrInfo> parse_csr(ByteView der);

struct CertificateSpec {
  Bytes spki;  ///< the subject's key
  std::string common_name;
  std::vector<std::string> dns_sans;
  std::vector<std::string> ip_sans;
  std::vector<std::string> uri_sans;
  ServerTime not_before;
  ServerTime not_after;
  bool is_ca = false;
  bool server_auth = false;
  bool client_auth = false;
};
/// Issues a certificate under a CA (or self-signed when issuer is nullopt and spki is the key's).
[[nodiscard]] Result<Certificate> issue(const CertificateSpec& spec, const IdentityKey& ca_key,
                                        const std::optional<Certificate>& issuer);

}  // namespace cygnet::crypto
