// SPDX-License-Identifier: Apache-2.0
#pragma once

/// For tests: every ESP suite, and keys of the right lengths for it.

#include <string>
#include <vector>

#include "cygnet/crypto/ids.h"
#include "cygnet/esp/packet.h"

namespace cygnet::esp {

struct NamedSuite {
  std::string test_name;
  crypto::EspSuite suite;
};

inline std::vector<NamedSuite> all_suites() {
  using crypto::EncrId;
  using crypto::IntegId;
  return {
      {"AesGcm128", {EncrId::kAesGcm16, 128, IntegId::kNone}},
      {"AesGcm256", {EncrId::kAesGcm16, 256, IntegId::kNone}},
      {"ChaCha20Poly1305", {EncrId::kChaCha20Poly1305, 256, IntegId::kNone}},
      {"AesCbc128HmacSha256", {EncrId::kAesCbc, 128, IntegId::kHmacSha2_256_128}},
      {"AesCbc256HmacSha256", {EncrId::kAesCbc, 256, IntegId::kHmacSha2_256_128}},
      {"AesCbc128HmacSha384", {EncrId::kAesCbc, 128, IntegId::kHmacSha2_384_192}},
      {"AesCbc256HmacSha384", {EncrId::kAesCbc, 256, IntegId::kHmacSha2_384_192}},
      {"AesCbc128HmacSha512", {EncrId::kAesCbc, 128, IntegId::kHmacSha2_512_256}},
      {"AesCbc256HmacSha512", {EncrId::kAesCbc, 256, IntegId::kHmacSha2_512_256}},
  };
}

struct Keys {
  Bytes encr;
  Bytes integ;
  [[nodiscard]] DirectionKeyViews views() const { return {encr, integ}; }
};
/// Keys that differ octet by octet and with `seed`.
inline Keys keys_for(const crypto::EspSuite& suite, std::uint8_t seed = 1) {
  Keys keys{Bytes(suite.encr_key_length()), Bytes(suite.integ_key_length())};
  std::uint8_t next = seed;
  for (Bytes* part : {&keys.encr, &keys.integ}) {
    for (std::uint8_t& octet : *part) octet = next = static_cast<std::uint8_t>(next * 5 + 3);
  }
  return keys;
}

}  // namespace cygnet::esp
