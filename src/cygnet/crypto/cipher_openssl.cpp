// SPDX-License-Identifier: Apache-2.0
#include "cygnet/crypto/cipher_openssl.h"

#include <openssl/err.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <limits>

#include "cygnet/base/assert.h"
#include "cygnet/crypto/aead_nonce.h"
#include "cygnet/crypto/hmac.h"
#include "cygnet/crypto/openssl_ptr.h"

namespace cygnet::crypto {
namespace {

// EVP counts in int. No packet comes near; a caller that errs gets a refusal, not a cut packet.
bool fits_int(std::size_t size) {
  return size <= static_cast<std::size_t>(std::numeric_limits<int>::max());
}

// Fetched once for the process: a fetch by name takes locks and costs more than a short packet.
const EVP_CIPHER* cipher_of(const EspSuite& suite) {
  static const EVP_CIPHER* const gcm128 = EVP_CIPHER_fetch(nullptr, "AES-128-GCM", nullptr);
  static const EVP_CIPHER* const gcm256 = EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr);
  static const EVP_CIPHER* const chacha = EVP_CIPHER_fetch(nullptr, "ChaCha20-Poly1305", nullptr);
  static const EVP_CIPHER* const cbc128 = EVP_CIPHER_fetch(nullptr, "AES-128-CBC", nullptr);
  static const EVP_CIPHER* const cbc256 = EVP_CIPHER_fetch(nullptr, "AES-256-CBC", nullptr);
  const EVP_CIPHER* chosen = nullptr;
  switch (suite.encr) {
    case EncrId::kAesGcm16:
      chosen = suite.key_bits == 128 ? gcm128 : gcm256;
      break;
    case EncrId::kChaCha20Poly1305:
      chosen = chacha;
      break;
    case EncrId::kAesCbc:
      chosen = suite.key_bits == 128 ? cbc128 : cbc256;
      break;
  }
  CYGNET_ASSERT(chosen != nullptr);
  return chosen;
}

CipherCtxPtr keyed_context(const EVP_CIPHER* cipher, ByteView key, bool encrypt) {
  CipherCtxPtr context(EVP_CIPHER_CTX_new());
  CYGNET_ASSERT(context != nullptr);
  CYGNET_ASSERT(EVP_CipherInit_ex2(context.get(), cipher, key.data(), nullptr, encrypt ? 1 : 0,
                                   nullptr) == 1);
  return context;
}

/// One context serves both directions, because neither
/// cipher's key schedule depends on it; the direction is told with each packet's nonce.
class OpensslAead final : public PacketCipher {
 public:
  OpensslAead(const EspSuite& suite, ByteView encr_key)
      : icv_length_(suite.icv_length()),
        context_(keyed_context(cipher_of(suite), AeadNonce::key_of(encr_key), true)),
        nonce_(encr_key) {}

  bool seal(ByteView aad, ByteView iv, MutableByteView text, ByteView tail,
            MutableByteView icv) override {
    if (!tail.empty() || icv.size() != icv_length_) return false;
    if (!start(aad, iv, text.size(), true)) return false;
    int written = 0;
    if (!update(text)) return false;
    if (EVP_CipherFinal_ex(context_.get(), scratch_.data(), &written) != 1) return false;
    return EVP_CIPHER_CTX_ctrl(context_.get(), EVP_CTRL_AEAD_GET_TAG, static_cast<int>(icv_length_),
                               icv.data()) == 1;
  }

  bool open(ByteView aad, ByteView iv, MutableByteView text, ByteView tail, ByteView icv) override {
    if (tail.empty() && icv.size() == icv_length_ && verify_and_decrypt(aad, iv, text, icv)) {
      return true;
    }
    // The cipher decrypts before it knows the tag; nobody may see that text.
    secure_zero(text.data(), text.size());
    ERR_clear_error();
    return false;
  }

 private:
  bool start(ByteView aad, ByteView iv, std::size_t text_length, bool encrypt) {
    if (!fits_int(aad.size()) || !fits_int(text_length) || !nonce_.set_iv(iv)) return false;
    if (EVP_CipherInit_ex2(context_.get(), nullptr, nullptr, nonce_.data(), encrypt ? 1 : 0,
                           nullptr) != 1) {
      return false;
    }
    int written = 0;
    return aad.empty() || EVP_CipherUpdate(context_.get(), nullptr, &written, aad.data(),
                                           static_cast<int>(aad.size())) == 1;
  }

  bool update(MutableByteView text) {
    int written = 0;
    return text.empty() || EVP_CipherUpdate(context_.get(), text.data(), &written, text.data(),
                                            static_cast<int>(text.size())) == 1;
  }

  bool verify_and_decrypt(ByteView aad, ByteView iv, MutableByteView text, ByteView icv) {
    if (!start(aad, iv, text.size(), false)) return false;
    std::copy(icv.begin(), icv.end(), scratch_.begin());
    if (EVP_CIPHER_CTX_ctrl(context_.get(), EVP_CTRL_AEAD_SET_TAG, static_cast<int>(icv_length_),
                            scratch_.data()) != 1) {
      return false;
    }
    int written = 0;
    // EVP compares the tag with CRYPTO_memcmp, in constant time.
    return update(text) && EVP_CipherFinal_ex(context_.get(), scratch_.data(), &written) == 1;
  }

  std::size_t icv_length_;
  CipherCtxPtr context_;
  AeadNonce nonce_;
  std::array<std::uint8_t, 16> scratch_{};
};

PrfId hash_of(IntegId integ) {
  switch (integ) {
    case IntegId::kHmacSha2_256_128:
      return PrfId::kHmacSha2_256;
    case IntegId::kHmacSha2_384_192:
      return PrfId::kHmacSha2_384;
    case IntegId::kHmacSha2_512_256:
      return PrfId::kHmacSha2_512;
    case IntegId::kNone:
      break;
  }
  CYGNET_ASSERT(false && "AES-CBC without an integrity algorithm");
  return PrfId::kHmacSha2_256;
}

/// RFC 3602 with RFC 4868: encrypt, then MAC over ESP header, IV, ciphertext and high ESN half.
class OpensslCbcHmac final : public PacketCipher {
 public:
  OpensslCbcHmac(const EspSuite& suite, ByteView encr_key, ByteView integ_key)
      : iv_length_(suite.iv_length()),
        icv_length_(suite.icv_length()),
        block_length_(suite.block_length()),
        encrypt_(keyed_context(cipher_of(suite), encr_key, true)),
        decrypt_(keyed_context(cipher_of(suite), encr_key, false)),
        hmac_(hash_of(suite.integ)) {
    // RFC 4303 brings its own padding.
    EVP_CIPHER_CTX_set_padding(encrypt_.get(), 0);
    EVP_CIPHER_CTX_set_padding(decrypt_.get(), 0);
    hmac_.set_key(integ_key);
  }

  bool seal(ByteView aad, ByteView iv, MutableByteView text, ByteView tail,
            MutableByteView icv) override {
    if (!well_formed(iv, text) || icv.size() != icv_length_) return false;
    if (!crypt(encrypt_.get(), iv, text)) return false;
    hmac_.compute({aad, iv, text, tail}, icv);
    return true;
  }

  bool open(ByteView aad, ByteView iv, MutableByteView text, ByteView tail, ByteView icv) override {
    if (well_formed(iv, text) && icv.size() == icv_length_) {
      std::array<std::uint8_t, Hmac::kMaxLength> expected;
      const MutableByteView truncated = MutableByteView(expected).first(icv_length_);
      hmac_.compute({aad, iv, text, tail}, truncated);
      const bool verified = equal_constant_time(truncated, icv);
      // The right ICV of a forged packet is what a forger is after.
      secure_zero(expected.data(), expected.size());
      if (verified && crypt(decrypt_.get(), iv, text)) return true;
    }
    secure_zero(text.data(), text.size());
    ERR_clear_error();
    return false;
  }

 private:
  bool well_formed(ByteView iv, MutableByteView text) const {
    return iv.size() == iv_length_ && !text.empty() && text.size() % block_length_ == 0 &&
           fits_int(text.size());
  }

  static bool crypt(EVP_CIPHER_CTX* context, ByteView iv, MutableByteView text) {
    int written = 0;
    // -1 keeps the direction the key was expanded for.
    if (EVP_CipherInit_ex2(context, nullptr, nullptr, iv.data(), -1, nullptr) != 1) return false;
    return EVP_CipherUpdate(context, text.data(), &written, text.data(),
                            static_cast<int>(text.size())) == 1 &&
           static_cast<std::size_t>(written) == text.size();
  }

  std::size_t iv_length_;
  std::size_t icv_length_;
  std::size_t block_length_;
  CipherCtxPtr encrypt_;
  CipherCtxPtr decrypt_;
  Hmac hmac_;
};

}  // namespace

std::unique_ptr<PacketCipher> make_openssl_aead(const EspSuite& suite, ByteView encr_key) {
  return std::make_unique<OpensslAead>(suite, encr_key);
}

std::unique_ptr<PacketCipher> make_openssl_cbc_hmac(const EspSuite& suite, ByteView encr_key,
                                                    ByteView integ_key) {
  return std::make_unique<OpensslCbcHmac>(suite, encr_key, integ_key);
}

}  // namespace cygnet::crypto
