// SPDX-License-Identifier: Apache-2.0
#include "cygnet/crypto/cipher_ipsec_mb.h"

#include <intel-ipsec-mb.h>

#include <algorithm>
#include <array>

#include "cygnet/base/assert.h"
#include "cygnet/base/bytes.h"
#include "cygnet/base/secret.h"
#include "cygnet/crypto/aead_nonce.h"

namespace cygnet::crypto {
namespace {

constexpr std::size_t kTagLength = 16;

/// The direct calls keep no state in the manager: it is a table of functions chosen for this
/// processor, made once and read by every thread. nullptr: the library cannot work here.
IMB_MGR* manager() {
  static IMB_MGR* const made = [] {
    IMB_MGR* const m = alloc_mb_mgr(0);
    if (m == nullptr) return m;
    constexpr std::uint64_t kNeeded = IMB_FEATURE_AESNI | IMB_FEATURE_PCLMULQDQ | IMB_FEATURE_AVX;
    if ((m->features & kNeeded) != kNeeded) {
      free_mb_mgr(m);
      return static_cast<IMB_MGR*>(nullptr);
    }
    init_mb_mgr_auto(m, nullptr);
    return m;
  }();
  return made;
}

/// What both ciphers share: nonce, lengths, and that nobody sees text whose tag is wrong.
class IpsecMbAead : public PacketCipher {
 public:
  bool seal(ByteView aad, ByteView iv, MutableByteView text, ByteView tail,
            MutableByteView icv) final {
    if (!tail.empty() || icv.size() != kTagLength || !nonce_.set_iv(iv)) return false;
    run(true, aad, text, icv.data());
    return true;
  }

  bool open(ByteView aad, ByteView iv, MutableByteView text, ByteView tail, ByteView icv) final {
    std::array<std::uint8_t, kTagLength> tag{};
    const bool sane = tail.empty() && icv.size() == kTagLength && nonce_.set_iv(iv);
    if (sane) run(false, aad, text, tag.data());
    if (sane && equal_constant_time(tag, icv)) return true;
    secure_zero(text.data(), text.size());
    return false;
  }

 protected:
  explicit IpsecMbAead(ByteView encr_key) : nonce_(encr_key) {}
  /// Works in place and writes kTagLength octets of tag.
  virtual void run(bool encrypt, ByteView aad, MutableByteView text, std::uint8_t* tag) = 0;
  [[nodiscard]] const std::uint8_t* nonce() const { return nonce_.data(); }

 private:
  AeadNonce nonce_;
};

class IpsecMbGcm final : public IpsecMbAead {
 public:
  explicit IpsecMbGcm(ByteView encr_key)
      : IpsecMbAead(encr_key), long_key_(AeadNonce::key_of(encr_key).size() == 32) {
    const ByteView key = AeadNonce::key_of(encr_key);
    IMB_MGR* const m = manager();
    long_key_ ? IMB_AES256_GCM_PRE(m, key.data(), &key_) : IMB_AES128_GCM_PRE(m, key.data(), &key_);
  }
  ~IpsecMbGcm() override { secure_zero(reinterpret_cast<std::uint8_t*>(&key_), sizeof key_); }
  IpsecMbGcm(const IpsecMbGcm&) = delete;
  IpsecMbGcm& operator=(const IpsecMbGcm&) = delete;

 private:
  void run(bool encrypt, ByteView aad, MutableByteView text, std::uint8_t* tag) override {
    IMB_MGR* const m = manager();
    const auto call = long_key_ ? (encrypt ? m->gcm256_enc : m->gcm256_dec)
                                : (encrypt ? m->gcm128_enc : m->gcm128_dec);
    call(&key_, &context_, text.data(), text.data(), text.size(), nonce(), aad.data(), aad.size(),
         tag, kTagLength);
  }

  alignas(64) gcm_key_data key_{};
  gcm_context_data context_{};
  bool long_key_;
};

class IpsecMbChaCha final : public IpsecMbAead {
 public:
  explicit IpsecMbChaCha(ByteView encr_key) : IpsecMbAead(encr_key) {
    const ByteView key = AeadNonce::key_of(encr_key);
    std::copy(key.begin(), key.end(), key_.begin());
  }
  ~IpsecMbChaCha() override {
    secure_zero(key_.data(), key_.size());
    secure_zero(reinterpret_cast<std::uint8_t*>(&context_), sizeof context_);
  }
  IpsecMbChaCha(const IpsecMbChaCha&) = delete;
  IpsecMbChaCha& operator=(const IpsecMbChaCha&) = delete;

 private:
  void run(bool encrypt, ByteView aad, MutableByteView text, std::uint8_t* tag) override {
    IMB_MGR* const m = manager();
    IMB_CHACHA20_POLY1305_INIT(m, key_.data(), &context_, nonce(), aad.data(), aad.size());
    if (encrypt) {
      IMB_CHACHA20_POLY1305_ENC_UPDATE(m, key_.data(), &context_, text.data(), text.data(),
                                       text.size());
      IMB_CHACHA20_POLY1305_ENC_FINALIZE(m, &context_, tag, kTagLength);
    } else {
      IMB_CHACHA20_POLY1305_DEC_UPDATE(m, key_.data(), &context_, text.data(), text.data(),
                                       text.size());
      IMB_CHACHA20_POLY1305_DEC_FINALIZE(m, &context_, tag, kTagLength);
    }
  }

  std::array<std::uint8_t, 32> key_{};
  chacha20_poly1305_context_data context_{};
};

}  // namespace

bool ipsec_mb_is_usable() { return manager() != nullptr; }

std::unique_ptr<PacketCipher> make_ipsec_mb_aead(const EspSuite& suite, ByteView encr_key) {
  CYGNET_ASSERT(ipsec_mb_is_usable());
  if (suite.encr == EncrId::kAesGcm16) return std::make_unique<IpsecMbGcm>(encr_key);
  return std::make_unique<IpsecMbChaCha>(encr_key);
}

}  // namespace cygnet::crypto
