// SPDX-License-Identifier: Apache-2.0
#pragma once

/// IANA IKEv2 transform identifiers that Cygnet speaks (standards: RFC 7296 section 3.3.2), with
/// the sizes that follow from them. Pure; no OpenSSL here.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace cygnet::crypto {

/// Key exchange method (transform type 4).
enum class DhGroup : std::uint16_t {
  kModp2048 = 14,
  kModp3072 = 15,
  kModp4096 = 16,
  kEcp256 = 19,
  kEcp384 = 20,
  kEcp521 = 21,
  kX25519 = 31,
  kX448 = 32,
};
/// Pseudo-random function (transform type 2).
enum class PrfId : std::uint16_t { kHmacSha2_256 = 5, kHmacSha2_384 = 6, kHmacSha2_512 = 7 };
/// Encryption (transform type 1).
enum class EncrId : std::uint16_t { kAesCbc = 12, kAesGcm16 = 20, kChaCha20Poly1305 = 28 };
/// Integrity (transform type 3); AEADs carry none.
enum class IntegId : std::uint16_t {
  kNone = 0,
  kHmacSha2_256_128 = 12,
  kHmacSha2_384_192 = 13,
  kHmacSha2_512_256 = 14,
};

/// nullopt for a number we do not implement.
[[nodiscard]] std::optional<DhGroup> dh_group_from(std::uint16_t id);
[[nodiscard]] std::optional<PrfId> prf_from(std::uint16_t id);
[[nodiscard]] std::optional<EncrId> encr_from(std::uint16_t id);
[[nodiscard]] std::optional<IntegId> integ_from(std::uint16_t id);

/// Octets of a KE payload's value, and of g^ir, for a group (RFC 5903, RFC 8031, RFC 7296 2.14).
[[nodiscard]] std::size_t public_value_length(DhGroup group);
[[nodiscard]] std::size_t shared_secret_length(DhGroup group);
[[nodiscard]] std::size_t private_value_length(DhGroup group);
/// Octets of a PRF's output, its preferred key length.
[[nodiscard]] std::size_t prf_length(PrfId prf);

/// An ESP suite: cipher, key length in bits, integrity algorithm.
struct EspSuite {
  EncrId encr = EncrId::kAesGcm16;
  std::uint16_t key_bits = 256;  ///< 128 or 256 for AES; 256 for ChaCha20
  IntegId integ = IntegId::kNone;
  friend constexpr bool operator==(const EspSuite&, const EspSuite&) = default;

  [[nodiscard]] bool is_aead() const { return encr != EncrId::kAesCbc; }
  /// Octets KEYMAT gives to encryption in one direction, salt included.
  [[nodiscard]] std::size_t encr_key_length() const;
  /// Octets KEYMAT gives to integrity in one direction; 0 for an AEAD.
  [[nodiscard]] std::size_t integ_key_length() const;
  [[nodiscard]] std::size_t iv_length() const;   ///< octets on the wire
  [[nodiscard]] std::size_t icv_length() const;  ///< octets on the wire
  /// Octets the ciphertext must be a multiple of: 16 for CBC, 4 (RFC 4303 alignment) otherwise.
  [[nodiscard]] std::size_t block_length() const;
};

// Names as the CLI, policies and debug verbs write them: "x25519", "ecp256", "modp2048",
// "hmac-sha2-256", "aes-gcm-16-256", "chacha20-poly1305", "aes-cbc-128", "hmac-sha2-256-128".
[[nodiscard]] std::string_view to_string(DhGroup group);
[[nodiscard]] std::string_view to_string(PrfId prf);
[[nodiscard]] std::string_view to_string(IntegId integ);
/// The cipher with its key length.
[[nodiscard]] std::string_view encr_name(const EspSuite& suite);
[[nodiscard]] std::optional<DhGroup> dh_group_from_name(std::string_view name);
[[nodiscard]] std::optional<PrfId> prf_from_name(std::string_view name);
[[nodiscard]] std::optional<IntegId> integ_from_name(std::string_view name);
/// From the cipher's name ("aes-gcm-16-256") and an integrity name ("" or "none" for an AEAD);
/// nullopt for unknown names and for combinations that are no suite.
[[nodiscard]] std::optional<EspSuite> esp_suite_from_names(std::string_view encr,
                                                           std::string_view integ);

}  // namespace cygnet::crypto
