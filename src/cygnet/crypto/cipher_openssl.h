// SPDX-License-Identifier: Apache-2.0
#pragma once

/// PacketCipher over OpenSSL's EVP: every suite, on any processor. Internal to this directory.

#include <memory>

#include "cygnet/crypto/cipher.h"

namespace cygnet::crypto {

// PacketCipher::create has checked the suite and the lengths. The names say which ciphers.
[[nodiscard]] std::unique_ptr<PacketCipher> make_openssl_aead(const EspSuite& suite,
                                                              ByteView encr_key);
[[nodiscard]] std::unique_ptr<PacketCipher> make_openssl_cbc_hmac(const EspSuite& suite,
                                                                  ByteView encr_key,
                                                                  ByteView integ_key);

}  // namespace cygnet::crypto
