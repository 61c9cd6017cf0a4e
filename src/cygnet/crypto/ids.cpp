// SPDX-License-Identifier: Apache-2.0
#include "cygnet/crypto/ids.h"

#include <array>

#include "cygnet/base/assert.h"

namespace cygnet::crypto {
namespace {

// One row a transform, so that a number, a name and the sizes cannot drift apart.

struct DhRow {
  DhGroup group;
  std::string_view name;
  std::size_t public_length;  // RFC 5903 section 7, RFC 8031 section 3.1, RFC 3526
  std::size_t shared_length;  // RFC 7296 section 2.14: x only for ECP, modulus length for MODP
  std::size_t private_length;
};
constexpr std::array<DhRow, 8> kDhRows{{
    {DhGroup::kModp2048, "modp2048", 256, 256, 256},
    {DhGroup::kModp3072, "modp3072", 384, 384, 384},
    {DhGroup::kModp4096, "modp4096", 512, 512, 512},
    {DhGroup::kEcp256, "ecp256", 64, 32, 32},
    {DhGroup::kEcp384, "ecp384", 96, 48, 48},
    {DhGroup::kEcp521, "ecp521", 132, 66, 66},
    {DhGroup::kX25519, "x25519", 32, 32, 32},
    {DhGroup::kX448, "x448", 56, 56, 56},
}};

struct PrfRow {
  PrfId prf;
  std::string_view name;
  std::size_t length;
};
constexpr std::array<PrfRow, 3> kPrfRows{{
    {PrfId::kHmacSha2_256, "hmac-sha2-256", 32},
    {PrfId::kHmacSha2_384, "hmac-sha2-384", 48},
    {PrfId::kHmacSha2_512, "hmac-sha2-512", 64},
}};

struct IntegRow {
  IntegId integ;
  std::string_view name;
  std::size_t key_length;  // RFC 4868 section 2.1.1: the length of the hash
  std::size_t icv_length;
};
constexpr std::array<IntegRow, 4> kIntegRows{{
    {IntegId::kNone, "none", 0, 0},
    {IntegId::kHmacSha2_256_128, "hmac-sha2-256-128", 32, 16},
    {IntegId::kHmacSha2_384_192, "hmac-sha2-384-192", 48, 24},
    {IntegId::kHmacSha2_512_256, "hmac-sha2-512-256", 64, 32},
}};

struct EncrRow {
  EncrId encr;
  std::uint16_t key_bits;
  std::string_view name;
  std::size_t salt_length;  // RFC 4106 section 8.1, RFC 7634 section 2
  std::size_t iv_length;
  std::size_t icv_length;  // 0: the integrity algorithm's
  std::size_t block_length;
};
constexpr std::array<EncrRow, 5> kEncrRows{{
    {EncrId::kAesGcm16, 128, "aes-gcm-16-128", 4, 8, 16, 4},
    {EncrId::kAesGcm16, 256, "aes-gcm-16-256", 4, 8, 16, 4},
    {EncrId::kChaCha20Poly1305, 256, "chacha20-poly1305", 4, 8, 16, 4},
    {EncrId::kAesCbc, 128, "aes-cbc-128", 0, 16, 0, 16},
    {EncrId::kAesCbc, 256, "aes-cbc-256", 0, 16, 0, 16},
}};

const DhRow& row_of(DhGroup group) {
  for (const DhRow& row : kDhRows) {
    if (row.group == group) return row;
  }
  CYGNET_ASSERT(false && "a DhGroup without a row");
  return kDhRows[0];
}

const PrfRow& row_of(PrfId prf) {
  for (const PrfRow& row : kPrfRows) {
    if (row.prf == prf) return row;
  }
  CYGNET_ASSERT(false && "a PrfId without a row");
  return kPrfRows[0];
}

const IntegRow& row_of(IntegId integ) {
  for (const IntegRow& row : kIntegRows) {
    if (row.integ == integ) return row;
  }
  CYGNET_ASSERT(false && "an IntegId without a row");
  return kIntegRows[0];
}

// The sizes other than the key's are the cipher's alone, so that a suite with an odd key length
// (which PacketCipher::create refuses) can still be asked about.
const EncrRow& row_of(EncrId encr) {
  for (const EncrRow& row : kEncrRows) {
    if (row.encr == encr) return row;
  }
  CYGNET_ASSERT(false && "an EncrId without a row");
  return kEncrRows[0];
}

template <class Rows, class Id>
bool has_id(const Rows& rows, Id Rows::value_type::*field, std::uint16_t id) {
  for (const auto& row : rows) {
    if (static_cast<std::uint16_t>(row.*field) == id) return true;
  }
  return false;
}

template <class Rows, class Id>
std::optional<Id> find_name(const Rows& rows, Id Rows::value_type::*field, std::string_view name) {
  for (const auto& row : rows) {
    if (row.name == name) return row.*field;
  }
  return std::nullopt;
}

}  // namespace

std::optional<DhGroup> dh_group_from(std::uint16_t id) {
  if (!has_id(kDhRows, &DhRow::group, id)) return std::nullopt;
  return static_cast<DhGroup>(id);
}
std::optional<PrfId> prf_from(std::uint16_t id) {
  if (!has_id(kPrfRows, &PrfRow::prf, id)) return std::nullopt;
  return static_cast<PrfId>(id);
}
std::optional<EncrId> encr_from(std::uint16_t id) {
  if (!has_id(kEncrRows, &EncrRow::encr, id)) return std::nullopt;
  return static_cast<EncrId>(id);
}
std::optional<IntegId> integ_from(std::uint16_t id) {
  if (!has_id(kIntegRows, &IntegRow::integ, id)) return std::nullopt;
  return static_cast<IntegId>(id);
}

std::size_t public_value_length(DhGroup group) { return row_of(group).public_length; }
std::size_t shared_secret_length(DhGroup group) { return row_of(group).shared_length; }
std::size_t private_value_length(DhGroup group) { return row_of(group).private_length; }
std::size_t prf_length(PrfId prf) { return row_of(prf).length; }

std::size_t EspSuite::encr_key_length() const {
  return std::size_t{key_bits} / 8 + row_of(encr).salt_length;
}
std::size_t EspSuite::integ_key_length() const { return row_of(integ).key_length; }
std::size_t EspSuite::iv_length() const { return row_of(encr).iv_length; }
std::size_t EspSuite::icv_length() const {
  return is_aead() ? row_of(encr).icv_length : row_of(integ).icv_length;
}
std::size_t EspSuite::block_length() const { return row_of(encr).block_length; }

std::string_view to_string(DhGroup group) { return row_of(group).name; }
std::string_view to_string(PrfId prf) { return row_of(prf).name; }
std::string_view to_string(IntegId integ) { return row_of(integ).name; }

std::string_view encr_name(const EspSuite& suite) {
  for (const EncrRow& row : kEncrRows) {
    if (row.encr == suite.encr && row.key_bits == suite.key_bits) return row.name;
  }
  return "unknown";
}

std::optional<DhGroup> dh_group_from_name(std::string_view name) {
  return find_name(kDhRows, &DhRow::group, name);
}
std::optional<PrfId> prf_from_name(std::string_view name) {
  return find_name(kPrfRows, &PrfRow::prf, name);
}
std::optional<IntegId> integ_from_name(std::string_view name) {
  return find_name(kIntegRows, &IntegRow::integ, name);
}

std::optional<EspSuite> esp_suite_from_names(std::string_view encr, std::string_view integ) {
  const std::optional<IntegId> integ_id =
      integ.empty() ? std::optional(IntegId::kNone) : integ_from_name(integ);
  if (!integ_id.has_value()) return std::nullopt;
  for (const EncrRow& row : kEncrRows) {
    if (row.name != encr) continue;
    const EspSuite suite{row.encr, row.key_bits, *integ_id};
    // RFC 7296 section 3.3.3: an AEAD brings its own integrity, any other cipher needs one.
    if (suite.is_aead() != (*integ_id == IntegId::kNone)) return std::nullopt;
    return suite;
  }
  return std::nullopt;
}

}  // namespace cygnet::crypto
