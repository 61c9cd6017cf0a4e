// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>

#include "cygnet/base/assert.h"
#include "cygnet/crypto/identity_impl.h"

namespace cygnet::crypto {
namespace {

// SEQUENCE { SEQUENCE { id-ecPublicKey, prime256v1 }, BIT STRING { 0 unused, 04 x y } }
constexpr std::array<std::uint8_t, 27> kSpkiP256{
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06,
    0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04};
// SEQUENCE { SEQUENCE { id-ecPublicKey, secp384r1 }, BIT STRING { 0 unused, 04 x y } }
constexpr std::array<std::uint8_t, 24> kSpkiP384{0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86,
                                                 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b,
                                                 0x81, 0x04, 0x00, 0x22, 0x03, 0x62, 0x00, 0x04};
// SEQUENCE { SEQUENCE { id-Ed25519 }, BIT STRING { 0 unused, key } }
constexpr std::array<std::uint8_t, 12> kSpkiEd25519{0x30, 0x2a, 0x30, 0x05, 0x06, 0x03,
                                                    0x2b, 0x65, 0x70, 0x03, 0x21, 0x00};

constexpr std::array<std::uint8_t, 12> kEcdsaWithSha256{0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86,
                                                        0x48, 0xce, 0x3d, 0x04, 0x03, 0x02};
constexpr std::array<std::uint8_t, 12> kEcdsaWithSha384{0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86,
                                                        0x48, 0xce, 0x3d, 0x04, 0x03, 0x03};
constexpr std::array<std::uint8_t, 7> kEd25519{0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70};

const std::array<KeyProfile, 3>& profiles() {
  static const std::array<KeyProfile, 3> table{{
      {KeyType::kEcdsaP256, "ECDSA P-256", kSpkiP256, 91, kEcdsaWithSha256, "SHA256", 32},
      {KeyType::kEcdsaP384, "ECDSA P-384", kSpkiP384, 120, kEcdsaWithSha384, "SHA384", 48},
      {KeyType::kEd25519, "Ed25519", kSpkiEd25519, 44, kEd25519, nullptr, 0},
  }};
  return table;
}

}  // namespace

const KeyProfile& profile_of(KeyType type) {
  for (const KeyProfile& profile : profiles()) {
    if (profile.type == type) return profile;
  }
  CYGNET_ASSERT(false && "a KeyType without a profile");
  return profiles()[0];
}

const KeyProfile* profile_of_spki(ByteView spki) {
  for (const KeyProfile& profile : profiles()) {
    if (spki.size() == profile.spki_length &&
        equal(spki.first(profile.spki_prefix.size()), profile.spki_prefix)) {
      return &profile;
    }
  }
  return nullptr;
}

}  // namespace cygnet::crypto
