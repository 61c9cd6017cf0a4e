// SPDX-License-Identifier: Apache-2.0
#include "cygnet/crypto/hmac.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include <algorithm>

#include "cygnet/base/assert.h"
#include "cygnet/base/secret.h"

namespace cygnet::crypto {
namespace {

// What is in place of a key when there is none: OpenSSL takes a null pointer for "the old key".
constexpr std::uint8_t kNoKey[1] = {0};

const char* digest_name(PrfId hash) {
  switch (hash) {
    case PrfId::kHmacSha2_256:
      return OSSL_DIGEST_NAME_SHA2_256;
    case PrfId::kHmacSha2_384:
      return OSSL_DIGEST_NAME_SHA2_384;
    case PrfId::kHmacSha2_512:
      return OSSL_DIGEST_NAME_SHA2_512;
  }
  CYGNET_ASSERT(false && "a PrfId without a hash");
  return "";
}

}  // namespace

Hmac::Hmac(PrfId hash) : length_(prf_length(hash)) {
  static EVP_MAC* const mac = EVP_MAC_fetch(nullptr, OSSL_MAC_NAME_HMAC, nullptr);
  CYGNET_ASSERT(mac != nullptr);
  context_.reset(EVP_MAC_CTX_new(mac));
  CYGNET_ASSERT(context_ != nullptr);
  // OSSL_PARAM wants a mutable string although it only reads it.
  std::string name = digest_name(hash);
  const OSSL_PARAM params[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name.data(), 0),
      OSSL_PARAM_construct_end()};
  CYGNET_ASSERT(EVP_MAC_CTX_set_params(context_.get(), params) == 1);
  forget_key();
}

void Hmac::set_key(ByteView key) {
  const std::uint8_t* data = key.empty() ? kNoKey : key.data();
  CYGNET_ASSERT(EVP_MAC_init(context_.get(), data, key.size(), nullptr) == 1);
}

void Hmac::compute(std::initializer_list<ByteView> parts, MutableByteView out) {
  CYGNET_ASSERT(out.size() <= length_);
  // A null key starts again under the key already expanded.
  CYGNET_ASSERT(EVP_MAC_init(context_.get(), nullptr, 0, nullptr) == 1);
  for (const ByteView part : parts) {
    if (part.empty()) continue;
    CYGNET_ASSERT(EVP_MAC_update(context_.get(), part.data(), part.size()) == 1);
  }
  std::array<std::uint8_t, kMaxLength> full;
  std::size_t written = 0;
  CYGNET_ASSERT(EVP_MAC_final(context_.get(), full.data(), &written, full.size()) == 1);
  CYGNET_ASSERT(written == length_);
  std::copy_n(full.begin(), out.size(), out.begin());
  secure_zero(full.data(), full.size());
}

void Hmac::forget_key() { set_key({}); }

}  // namespace cygnet::crypto
