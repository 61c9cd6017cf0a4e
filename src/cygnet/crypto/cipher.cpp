// SPDX-License-Identifier: Apache-2.0
#include "cygnet/crypto/cipher.h"

#include <string>

#include "cygnet/crypto/cipher_ipsec_mb.h"
#include "cygnet/crypto/cipher_openssl.h"

namespace cygnet::crypto {

bool PacketCipher::has(CipherProvider provider, const EspSuite& suite) {
  return provider != CipherProvider::kIpsecMb || (suite.is_aead() && ipsec_mb_is_usable());
}

// The one place that chooses an implementation: the faster one is asked first, and OpenSSL serves
// whatever it leaves.
Result<std::unique_ptr<PacketCipher>> PacketCipher::create(CipherProvider provider,
                                                           const EspSuite& suite, ByteView encr_key,
                                                           ByteView integ_key) {
  // A suite out of range (AES-192, an AEAD with an integrity algorithm) has no key length at all.
  const std::string_view name = encr_name(suite);
  if (name == "unknown" || suite.is_aead() != (suite.integ == IntegId::kNone)) {
    return fail(kErrKeyLength, "no ESP suite has a " + std::to_string(suite.key_bits) +
                                   "-bit key with cipher " +
                                   std::to_string(static_cast<unsigned>(suite.encr)) +
                                   " and integrity " + std::string(to_string(suite.integ)));
  }
  if (encr_key.size() != suite.encr_key_length()) {
    return fail(kErrKeyLength, "the encryption key (salt included) of " + std::string(name) +
                                   " has " + std::to_string(suite.encr_key_length()) +
                                   " octets, not " + std::to_string(encr_key.size()));
  }
  if (integ_key.size() != suite.integ_key_length()) {
    return fail(kErrKeyLength, "the integrity key of " + std::string(name) + " with " +
                                   std::string(to_string(suite.integ)) + " has " +
                                   std::to_string(suite.integ_key_length()) + " octets, not " +
                                   std::to_string(integ_key.size()));
  }
  if (provider != CipherProvider::kOpenssl && has(CipherProvider::kIpsecMb, suite)) {
    return make_ipsec_mb_aead(suite, encr_key);
  }
  return suite.is_aead() ? make_openssl_aead(suite, encr_key)
                         : make_openssl_cbc_hmac(suite, encr_key, integ_key);
}

}  // namespace cygnet::crypto
