// SPDX-License-Identifier: Apache-2.0
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>

#include "cygnet/base/assert.h"
#include "cygnet/crypto/identity_impl.h"
#include "cygnet/crypto/subject_names.h"

namespace cygnet::crypto {
namespace {

constexpr std::size_t kMaxCsrLength = 16 * 1024;

using Extensions = STACK_OF(X509_EXTENSION);
struct ExtensionsDelete {
  void operator()(Extensions* p) const { sk_X509_EXTENSION_pop_free(p, X509_EXTENSION_free); }
};
using ExtensionsPtr = std::unique_ptr<Extensions, ExtensionsDelete>;

tl::unexpected<Error> bad_request(const std::string& why) {
  return fail(kErrCsr, "the certificate request " + why, {},
              "make it anew with the device's own key");
}

Bytes der_of(X509_REQ* request) {
  unsigned char* der = nullptr;
  const int length = i2d_X509_REQ(request, &der);
  if (length <= 0) return {};
  Bytes out(der, der + length);
  OPENSSL_free(der);
  return out;
}

Bytes spki_of(X509_REQ* request) {
  unsigned char* der = nullptr;
  const int length = i2d_X509_PUBKEY(X509_REQ_get_X509_PUBKEY(request), &der);
  if (length <= 0) return {};
  Bytes out(der, der + length);
  OPENSSL_free(der);
  return out;
}

/// The request's signature must be the one its own key makes: same table as everywhere else.
bool has_algorithm_of(const X509_REQ* request, const KeyProfile& profile) {
  const X509_ALGOR* algorithm = nullptr;
  X509_REQ_get0_signature(request, nullptr, &algorithm);
  unsigned char* der = nullptr;
  const int length = i2d_X509_ALGOR(algorithm, &der);
  if (length <= 0) return false;
  const bool same = equal(profile.signature_algorithm, {der, static_cast<std::size_t>(length)});
  OPENSSL_free(der);
  return same;
}

}  // namespace

Result<Bytes> IdentityKey::make_csr(const std::string& dns_name, const std::string& uri) const {
  const ErrorQueueScope errors;
  CYGNET_TRY(const GeneralNamesPtr names,
             make_general_names({.dns = {dns_name}, .ip = {}, .uri = {uri}}, kErrCsr));
  const X509ReqPtr request(X509_REQ_new());
  CYGNET_ASSERT(request != nullptr);
  Extensions* raw = nullptr;
  const bool encoded =
      X509V3_add1_i2d(&raw, NID_subject_alt_name, names.get(), 0, X509V3_ADD_DEFAULT) == 1;
  const ExtensionsPtr extensions(raw);
  const char* const digest = impl_->profile->digest;
  const EVP_MD* const md = digest == nullptr ? nullptr : EVP_get_digestbyname(digest);
  if (!encoded || X509_REQ_set_version(request.get(), X509_REQ_VERSION_1) != 1 ||
      !set_common_name(X509_REQ_get_subject_name(request.get()), dns_name) ||
      X509_REQ_set_pubkey(request.get(), impl_->key.get()) != 1 ||
      X509_REQ_add_extensions(request.get(), extensions.get()) != 1 ||
      X509_REQ_sign(request.get(), impl_->key.get(), md) <= 0) {
    return bad_request("could not be made: " + errors.reason());
  }
  return der_of(request.get());
}

Result<CsrInfo> parse_csr(ByteView der) {
  const ErrorQueueScope errors;
  if (der.empty() || der.size() > kMaxCsrLength) {
    return bad_request("has " + std::to_string(der.size()) + " octets");
  }
  const unsigned char* at = der.data();
  const X509ReqPtr request(d2i_X509_REQ(nullptr, &at, static_cast<long>(der.size())));
  if (request == nullptr) return bad_request("cannot be decoded: " + errors.reason());
  if (at != der.data() + der.size()) return bad_request("is followed by other octets");
  if (!equal(der_of(request.get()), der)) return bad_request("is not in DER");
  CsrInfo info{spki_of(request.get()), std::nullopt, std::nullopt};
  const KeyProfile* const profile = profile_of_spki(info.spki);
  EVP_PKEY* const key = X509_REQ_get0_pubkey(request.get());
  if (profile == nullptr || key == nullptr) {
    return bad_request("has a key that is not ECDSA P-256, ECDSA P-384 or Ed25519");
  }
  if (!has_algorithm_of(request.get(), *profile)) {
    return bad_request("is signed with another algorithm than its key's");
  }
  // Proof of possession: only who holds the private key could have made the request.
  if (X509_REQ_verify(request.get(), key) != 1) return bad_request("has a signature that fails");
  const ExtensionsPtr extensions(X509_REQ_get_extensions(request.get()));
  if (extensions != nullptr) {
    const GeneralNamesPtr names(static_cast<GENERAL_NAMES*>(
        X509V3_get_d2i(extensions.get(), NID_subject_alt_name, nullptr, nullptr)));
    info.dns_san = single_name(names.get(), NameKind::kDns);
    info.uri_san = single_name(names.get(), NameKind::kUri);
  }
  return info;
}

}  // namespace cygnet::crypto
