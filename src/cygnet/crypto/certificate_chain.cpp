// SPDX-License-Identifier: Apache-2.0
#include <openssl/x509_vfy.h>

#include <chrono>
#include <memory>
#include <string>

#include "cygnet/base/assert.h"
#include "cygnet/crypto/identity_impl.h"

namespace cygnet::crypto {
namespace {

constexpr std::size_t kMaxIntermediates = 8;
constexpr int kMaxDepth = 4;

struct StoreDelete {
  void operator()(X509_STORE* p) const { X509_STORE_free(p); }
  void operator()(X509_STORE_CTX* p) const { X509_STORE_CTX_free(p); }
  void operator()(STACK_OF(X509) * p) const { sk_X509_free(p); }  // the elements are not ours
};

tl::unexpected<Error> bad_chain(const std::string& why) {
  return fail(kErrCertificateChain, "the certificate " + why, {},
              "it must come from a CA of the mesh's trust bundle");
}

tl::unexpected<Error> expired(const std::string& why) {
  return fail(kErrCertificateExpired, "the certificate chain " + why, {},
              "renew the certificate, or set the clock right");
}

Status check_leaf(const Certificate::Impl& leaf, LeafUse use) {
  if (leaf.is_ca) return bad_chain("is a CA's, not a device's or a server's");
  if (!leaf.may_sign) return bad_chain("has a key that may not sign (key usage)");
  if (use == LeafUse::kServer && !leaf.server_auth)
    return bad_chain("is not made for a TLS server");
  if (use == LeafUse::kClient && !leaf.client_auth) return bad_chain("is not made for a device");
  return {};
}

}  // namespace

Status verify_chain(const Certificate& leaf, const std::vector<Certificate>& intermediates,
                    const std::vector<Certificate>& trust, ServerTime now, LeafUse use) {
  CYGNET_CHECK_OK(check_leaf(leaf.impl(), use));
  if (intermediates.size() > kMaxIntermediates) return bad_chain("comes with too many others");
  const ErrorQueueScope errors;
  // A store of our own, without OpenSSL's default directories.
  const std::unique_ptr<X509_STORE, StoreDelete> store(X509_STORE_new());
  const std::unique_ptr<STACK_OF(X509), StoreDelete> others(sk_X509_new_null());
  const std::unique_ptr<X509_STORE_CTX, StoreDelete> context(X509_STORE_CTX_new());
  CYGNET_ASSERT(store != nullptr && others != nullptr && context != nullptr);
  std::vector<X509Ptr> decoded;  // the store holds its own references, a stack and a context none
  for (const Certificate& anchor : trust) {
    // OpenSSL asks every intermediate for basic constraints, but is lenient about the anchor: a
    // leaf in the bundle would vouch for itself.
    if (!anchor.is_ca()) return bad_chain("bundle holds one that is no CA's");
    CYGNET_ASSERT(X509_STORE_add_cert(store.get(), anchor.impl().decoded().get()) == 1);
  }
  for (const Certificate& other : intermediates) {
    decoded.push_back(other.impl().decoded());
    CYGNET_ASSERT(sk_X509_push(others.get(), decoded.back().get()) > 0);
  }
  decoded.push_back(leaf.impl().decoded());
  CYGNET_ASSERT(
      X509_STORE_CTX_init(context.get(), store.get(), decoded.back().get(), others.get()) == 1);
  X509_VERIFY_PARAM* const param = X509_STORE_CTX_get0_param(context.get());
  X509_VERIFY_PARAM_set_depth(param, kMaxDepth);
  // The time is the caller's; OpenSSL must not look at the machine's clock.
  X509_VERIFY_PARAM_set_time(
      param, std::chrono::floor<std::chrono::seconds>(now).time_since_epoch().count());
  if (X509_verify_cert(context.get()) != 1) {
    const int code = X509_STORE_CTX_get_error(context.get());
    if (code == X509_V_ERR_CERT_HAS_EXPIRED) return expired("has expired");
    if (code == X509_V_ERR_CERT_NOT_YET_VALID) return expired("is not yet valid");
    return bad_chain(std::string("does not verify: ") + X509_verify_cert_error_string(code));
  }
  return {};
}

}  // namespace cygnet::crypto
