// SPDX-License-Identifier: Apache-2.0
// In place of cipher_ipsec_mb.cpp where the library is not.
#include "cygnet/base/assert.h"
#include "cygnet/crypto/cipher_ipsec_mb.h"

namespace cygnet::crypto {

bool ipsec_mb_is_usable() { return false; }

std::unique_ptr<PacketCipher> make_ipsec_mb_aead(const EspSuite&, ByteView) {
  CYGNET_ASSERT(false && "asked for without ipsec_mb_is_usable()");
  return nullptr;
}

}  // namespace cygnet::crypto
