// SPDX-License-Identifier: Apache-2.0
// Verifying AUTH-style signatures (RFC 7427): the algorithm the key prescribes, in one encoding.
#include <openssl/evp.h>
#include <openssl/x509.h>

#include <string>

#include "cygnet/crypto/identity_impl.h"

namespace cygnet::crypto {
namespace {

constexpr std::size_t kEd25519SignatureLength = 64;

tl::unexpected<Error> bad_signature(const std::string& why) {
  return fail(kErrSignature, "the signature " + why, {},
              "the signer must sign the same octets with the key of its certificate");
}

/// Reads one DER INTEGER that is positive, minimal and no longer than a scalar; false otherwise.
bool take_integer(ByteView& rest, std::size_t scalar_length) {
  if (rest.size() < 2 || rest[0] != 0x02) return false;
  const std::size_t length = rest[1];
  // One octet more than a scalar when its first bit would read as a sign.
  if (length == 0 || length > scalar_length + 1 || rest.size() < 2 + length) return false;
  const ByteView value = rest.subspan(2, length);
  if ((value[0] & 0x80) != 0) return false;                                    // negative
  if (value[0] == 0 && (length == 1 || (value[1] & 0x80) == 0)) return false;  // zero or padded
  if (value[0] != 0 && length > scalar_length) return false;
  rest = rest.subspan(2 + length);
  return true;
}

/// X.690 DER of ECDSA-Sig-Value ::= SEQUENCE { r INTEGER, s INTEGER }. Its contents stay below 128
/// octets for both our curves, so the length has one octet.
bool is_strict_ecdsa(ByteView value, std::size_t scalar_length) {
  if (value.size() < 2 || value[0] != 0x30) return false;
  if (value[1] >= 0x80 || value.size() != std::size_t{2} + value[1]) return false;
  ByteView rest = value.subspan(2);
  return take_integer(rest, scalar_length) && take_integer(rest, scalar_length) && rest.empty();
}

}  // namespace

Status Certificate::verify(ByteView message, const Signature& signature) const {
  const KeyProfile& profile = *impl_->profile;
  if (!equal(signature.algorithm, profile.signature_algorithm)) {
    return bad_signature("names an algorithm that a key of type " + std::string(profile.name) +
                         " does not use, or names it in another encoding");
  }
  const bool well_formed = profile.digest == nullptr
                               ? signature.value.size() == kEd25519SignatureLength
                               : is_strict_ecdsa(signature.value, profile.scalar_length);
  if (!well_formed) return bad_signature("value is not in the one encoding allowed");
  const ErrorQueueScope errors;
  const MdCtxPtr context(EVP_MD_CTX_new());
  const X509Ptr x509 = impl_->decoded();
  EVP_PKEY* const key = X509_get0_pubkey(x509.get());
  if (context == nullptr || key == nullptr ||
      EVP_DigestVerifyInit_ex(context.get(), nullptr, profile.digest, nullptr, nullptr, key,
                              nullptr) != 1) {
    return bad_signature("could not be checked: " + errors.reason());
  }
  if (EVP_DigestVerify(context.get(), signature.value.data(), signature.value.size(),
                       message.data(), message.size()) != 1) {
    return bad_signature("does not verify");
  }
  return {};
}

}  // namespace cygnet::crypto
