// SPDX-License-Identifier: Apache-2.0
#pragma once

/// PacketCipher over Intel's library of ciphers for IPsec (libipsec-mb): AES-GCM and
/// ChaCha20-Poly1305 by its direct calls, one packet at a time, without a context to set up. Twice
/// as fast as EVP for long packets and many times for short ones. Internal to this directory.

#include <memory>

#include "cygnet/crypto/cipher.h"

namespace cygnet::crypto {

/// False when the library was not there at build time, or this processor lacks what it needs.
[[nodiscard]] bool ipsec_mb_is_usable();

/// PacketCipher::create has checked the suite and the lengths; ipsec_mb_is_usable() holds.
[[nodiscard]] std::unique_ptr<PacketCipher> make_ipsec_mb_aead(const EspSuite& suite,
                                                               ByteView encr_key);

}  // namespace cygnet::crypto
