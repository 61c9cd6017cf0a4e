// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What stands behind IdentityKey and Certificate, and the one table of key types both use.
/// Internal to this directory.

#include <string_view>

#include "cygnet/crypto/identity.h"
#include "cygnet/crypto/openssl_ptr.h"

namespace cygnet::crypto {

/// Everything that follows from the type of an identity key. Octets are compared whole, so that
/// explicit curve parameters, compressed points, NULL parameters and any other second spelling of
/// the same thing are refused.
struct KeyProfile {
  KeyType type;
  std::string_view name;
  /// The fixed first octets of the DER SubjectPublicKeyInfo, and its whole length.
  ByteView spki_prefix;
  std::size_t spki_length;
  /// DER AlgorithmIdentifier of its signatures (RFC 7427 appendix A, RFC 8420).
  ByteView signature_algorithm;
  /// Hash as OpenSSL names it; nullptr for Ed25519, which takes the message itself.
  const char* digest;
  /// Octets of each number of an ECDSA signature; 0 for Ed25519.
  std::size_t scalar_length;
};
[[nodiscard]] const KeyProfile& profile_of(KeyType type);
/// nullptr for a key that is none of ours.
[[nodiscard]] const KeyProfile* profile_of_spki(ByteView spki);

struct IdentityKey::Impl {
  const KeyProfile* profile;
  PkeyPtr key;
  Bytes spki;
};

struct Certificate::Impl {
  const KeyProfile* profile;
  X509Ptr x509;  ///< null in a compact one; use decoded()
  Bytes der;
  Bytes spki;
  Sha256 spki_hash;
  Bytes serial;
  ServerTime not_before;
  ServerTime not_after;
  bool is_ca;
  bool may_sign;  ///< key usage is absent or has digitalSignature
  bool server_auth;
  bool client_auth;
  std::optional<std::string> dns_san;
  std::optional<std::string> uri_san;

  [[nodiscard]] X509Ptr decoded() const;
};

}  // namespace cygnet::crypto
