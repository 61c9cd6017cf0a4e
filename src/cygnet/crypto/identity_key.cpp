// SPDX-License-Identifier: Apache-2.0
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <string>
#include <utility>

#include "cygnet/base/assert.h"
#include "cygnet/crypto/identity_impl.h"

namespace cygnet::crypto {
namespace {

constexpr std::size_t kMaxPemLength = 64 * 1024;

// OpenSSL's default would ask on the terminal; a daemon has none.
int no_password(char* /*buffer*/, int /*size*/, int /*writing*/, void* /*user*/) { return -1; }

Bytes spki_of(EVP_PKEY* key) {
  unsigned char* der = nullptr;
  const int length = i2d_PUBKEY(key, &der);
  if (length <= 0) return {};
  Bytes out(der, der + length);
  OPENSSL_free(der);
  return out;
}

Result<IdentityKey> from_pkey(PkeyPtr key) {
  auto impl = std::make_shared<IdentityKey::Impl>();
  impl->spki = spki_of(key.get());
  impl->profile = profile_of_spki(impl->spki);
  if (impl->profile == nullptr) {
    return fail(kErrKey, "the key is not ECDSA P-256, ECDSA P-384 or Ed25519", {},
                "use a key of one of these types, with a named curve");
  }
  impl->key = std::move(key);
  return IdentityKey(std::move(impl));
}

}  // namespace

Result<IdentityKey> IdentityKey::generate(KeyType type) {
  const ErrorQueueScope errors;
  EVP_PKEY* key = nullptr;
  switch (type) {
    case KeyType::kEcdsaP256:
      key = EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256");
      break;
    case KeyType::kEcdsaP384:
      key = EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-384");
      break;
    case KeyType::kEd25519:
      key = EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519");
      break;
  }
  if (key == nullptr) return fail(kErrKey, "OpenSSL made no key: " + errors.reason());
  return from_pkey(PkeyPtr(key));
}

Result<IdentityKey> IdentityKey::from_pem(const SecretBytes& pem) {
  const ErrorQueueScope errors;
  if (pem.empty() || pem.size() > kMaxPemLength) {
    return fail(kErrKey, "the private key has " + std::to_string(pem.size()) + " octets of PEM");
  }
  const BioPtr bio(BIO_new_mem_buf(pem.reveal().data(), static_cast<int>(pem.size())));
  CYGNET_ASSERT(bio != nullptr);
  PkeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_password, nullptr));
  if (key == nullptr) {
    return fail(kErrKey, "no private key can be read: " + errors.reason(), {},
                "give an unencrypted PKCS #8 PEM file");
  }
  CYGNET_TRY(IdentityKey identity, from_pkey(std::move(key)));
  // A file may carry a public key that is not the private one's.
  const PkeyCtxPtr context(EVP_PKEY_CTX_new_from_pkey(nullptr, identity.impl().key.get(), nullptr));
  if (context == nullptr || EVP_PKEY_pairwise_check(context.get()) != 1) {
    return fail(kErrKey, "the private key and the public key beside it do not belong together");
  }
  return identity;
}

SecretBytes IdentityKey::to_pem() const {
  const ErrorQueueScope errors;
  const BioPtr bio(BIO_new(BIO_s_secmem()));  // cleared when freed
  CYGNET_ASSERT(bio != nullptr);
  CYGNET_ASSERT(PEM_write_bio_PrivateKey(bio.get(), impl_->key.get(), nullptr, nullptr, 0, nullptr,
                                         nullptr) == 1);
  char* data = nullptr;
  const long length = BIO_get_mem_data(bio.get(), &data);
  CYGNET_ASSERT(length > 0);
  return SecretBytes(as_bytes(std::string_view(data, static_cast<std::size_t>(length))));
}

KeyType IdentityKey::type() const { return impl_->profile->type; }
const Bytes& IdentityKey::spki() const { return impl_->spki; }

Result<Signature> IdentityKey::sign(ByteView message) const {
  const ErrorQueueScope errors;
  const KeyProfile& profile = *impl_->profile;
  const MdCtxPtr context(EVP_MD_CTX_new());
  CYGNET_ASSERT(context != nullptr);
  std::size_t length = 0;
  if (EVP_DigestSignInit_ex(context.get(), nullptr, profile.digest, nullptr, nullptr,
                            impl_->key.get(), nullptr) != 1 ||
      EVP_DigestSign(context.get(), nullptr, &length, message.data(), message.size()) != 1) {
    return fail(kErrSignature, "OpenSSL cannot sign: " + errors.reason());
  }
  Signature signature{Bytes(profile.signature_algorithm.begin(), profile.signature_algorithm.end()),
                      Bytes(length)};
  if (EVP_DigestSign(context.get(), signature.value.data(), &length, message.data(),
                     message.size()) != 1) {
    return fail(kErrSignature, "OpenSSL cannot sign: " + errors.reason());
  }
  signature.value.resize(length);  // an ECDSA signature is often shorter than its bound
  return signature;
}

}  // namespace cygnet::crypto
