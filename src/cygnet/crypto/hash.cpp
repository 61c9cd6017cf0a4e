// SPDX-License-Identifier: Apache-2.0
#include "cygnet/crypto/hash.h"

#include <openssl/evp.h>

#include "cygnet/base/assert.h"
#include "cygnet/crypto/openssl_ptr.h"

namespace cygnet::crypto {

Sha256 sha256(std::initializer_list<ByteView> parts) {
  // Fetched once: a fetch by name costs more than the hash of a short input.
  static const EVP_MD* const digest = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  CYGNET_ASSERT(digest != nullptr);
  thread_local const MdCtxPtr context(EVP_MD_CTX_new());
  CYGNET_ASSERT(context != nullptr);
  Sha256 out{};
  unsigned length = 0;
  CYGNET_ASSERT(EVP_DigestInit_ex2(context.get(), digest, nullptr) == 1);
  for (const ByteView part : parts) {
    CYGNET_ASSERT(EVP_DigestUpdate(context.get(), part.data(), part.size()) == 1);
  }
  CYGNET_ASSERT(EVP_DigestFinal_ex(context.get(), out.data(), &length) == 1);
  CYGNET_ASSERT(length == out.size());
  return out;
}

}  // namespace cygnet::crypto
