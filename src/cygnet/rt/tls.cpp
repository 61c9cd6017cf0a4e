// SPDX-License-Identifier: Apache-2.0
#include "cygnet/rt/tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <system_error>

#include "cygnet/rt/framed_stream.h"
#include "cygnet/rt/tls_context.h"

namespace cygnet::rt {
namespace {

struct OpensslFree {
  void operator()(X509* x) const { X509_free(x); }
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(BIO* bio) const { BIO_free(bio); }
};
using X509Ptr = std::unique_ptr<X509, OpensslFree>;
using PkeyPtr = std::unique_ptr<EVP_PKEY, OpensslFree>;
using BioPtr = std::unique_ptr<BIO, OpensslFree>;

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-6
//# It is important that the controller protocol be protected with algorithms that are at least as
//# strong as the algorithms used to protect the IPsec packets.
//
// The strongest ESP suite has 256-bit keys, so the suite with 128 is not offered.
constexpr const char* kCipherSuites = "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";

constexpr long kPeerChainOctetsMax = 32 * 1024;

/// The oldest entry of the thread's error queue in words; empties the queue.
std::string openssl_reason() {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  if (code == 0) return "no reason given";
  const char* reason = ERR_reason_error_string(code);
  return reason == nullptr ? "error " + std::to_string(code) : std::string(reason);
}

X509Ptr x509_of(const crypto::Certificate& certificate) {
  const auto& der = certificate.der();
  const unsigned char* at = der.data();
  return X509Ptr(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
}

Result<crypto::Certificate> certificate_of(X509* x) {
  const int length = i2d_X509(x, nullptr);
  if (length <= 0) return fail(kErrTls, "the peer's certificate cannot be encoded");
  Bytes der(static_cast<std::size_t>(length));
  unsigned char* at = der.data();
  i2d_X509(x, &at);
  return crypto::Certificate::from_der(der);
}

std::vector<crypto::Certificate> chain_of(STACK_OF(X509) * stack) {
  std::vector<crypto::Certificate> out;
  for (int i = 0; stack != nullptr && i < sk_X509_num(stack); ++i) {
    if (auto certificate = certificate_of(sk_X509_value(stack, i))) {
      out.push_back(std::move(*certificate));
    }
  }
  return out;
}

/// A device must not be able to play the controller, nor the other way round: the purpose has to be
/// written into the certificate.
Status check_purpose(X509* leaf, std::uint32_t wanted, const char* name) {
  const bool stated = (X509_get_extension_flags(leaf) & EXFLAG_XKUSAGE) != 0;
  if (stated && (X509_get_extended_key_usage(leaf) & wanted) != 0) return {};
  return fail(
      kErrTlsName,
      std::string("the certificate shown is not made for a ") + name + " (extended key usage)", {},
      "use a certificate that this mesh's CA issued for that role");
}

std::string name_of(const crypto::Certificate& leaf) {
  return leaf.dns_san().value_or("(no DNS name)");
}

Status check_expected(const crypto::Certificate& leaf, const std::optional<std::string>& expected) {
  if (!expected || leaf.dns_san() == *expected) return {};
  return fail(kErrTlsName,
              "the controller shows the name " + name_of(leaf) + ", expected " + *expected, {},
              "check the controller's address, or the name configured for it");
}

Status use_identity(SSL_CTX* context, const TlsIdentity& identity) {
  if (identity.chain.empty()) {
    return fail(crypto::kErrCertificate, "no certificate given for the identity key");
  }
  const SecretBytes pem = identity.key.to_pem();
  const BioPtr bio(BIO_new_mem_buf(pem.reveal().data(), static_cast<int>(pem.size())));
  const PkeyPtr key(bio ? PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr) : nullptr);
  const X509Ptr leaf = x509_of(identity.chain.front());
  if (!key || !leaf) {
    return fail(crypto::kErrKey, "the TLS library does not take the identity: " + openssl_reason());
  }
  if (X509_check_private_key(leaf.get(), key.get()) != 1) {
    ERR_clear_error();
    return fail(crypto::kErrCertificate,
                "certificate of " + name_of(identity.chain.front()) +
                    " does not belong to the identity key",
                {}, "use the key that the certificate was issued for");
  }
  bool ok = SSL_CTX_use_cert_and_key(context, leaf.get(), key.get(), nullptr, 1) == 1 &&
            SSL_CTX_clear_chain_certs(context) == 1;
  for (std::size_t i = 1; ok && i < identity.chain.size(); ++i) {
    const X509Ptr next = x509_of(identity.chain[i]);
    ok = next && SSL_CTX_add1_chain_cert(context, next.get()) == 1;
  }
  if (!ok) return fail(kErrTls, "the TLS library does not take the identity: " + openssl_reason());
  return {};
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-6
//# However, the controller protocol MUST provide a strong authentication between the device and the
//# controller, and integrity of the messages MUST be provided. Confidentiality of the messages
//# SHOULD also be provided.
//= docs/protocol.md#section-7.1
//# TLS 1.3 only, both sides with certificates, ALPN `cygnet/1`; session resumption allowed, 0-RTT
//# not.
Result<SslContextPtr> new_context(const SSL_METHOD* method) {
  SslContextPtr context(SSL_CTX_new(method));
  if (!context) return fail(kErrTls, "no TLS context: " + openssl_reason());
  SSL_CTX* c = context.get();
  const bool ok = SSL_CTX_set_min_proto_version(c, TLS1_3_VERSION) == 1 &&
                  SSL_CTX_set_max_proto_version(c, TLS1_3_VERSION) == 1 &&
                  SSL_CTX_set_ciphersuites(c, kCipherSuites) == 1 &&
                  SSL_CTX_set1_groups_list(c, "X25519:P-256:P-384:X448") == 1 &&
                  SSL_CTX_set_max_early_data(c, 0) == 1;
  if (!ok) return fail(kErrTls, "no TLS 1.3 with X25519: " + openssl_reason());
  // RELEASE_BUFFERS: an idle session keeps no record buffers. The other two let a stream offer the
  // gathered queue again from another buffer, and longer, after a write that would block.
  SSL_CTX_set_mode(c, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                          SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  // A record's header and its body by one system call instead of two.
  SSL_CTX_set_read_ahead(c, 1);
  SSL_CTX_set_max_cert_list(c, kPeerChainOctetsMax);
  return context;
}

int refuse(X509_STORE_CTX* store, TlsPeer& peer, Error error) {
  int reason = X509_V_ERR_CERT_UNTRUSTED;
  if (error.code == crypto::kErrCertificateExpired) reason = X509_V_ERR_CERT_HAS_EXPIRED;
  if (error.code == crypto::kErrCertificateChain || error.code == kErrTlsPin) {
    reason = X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY;
  }
  X509_STORE_CTX_set_error(store, reason);  // decides which alert the other side gets
  peer.refusal = std::move(error);
  return 0;
}

TlsPeer& peer_of(X509_STORE_CTX* store) {
  const auto* ssl = static_cast<const SSL*>(
      X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
  return *static_cast<TlsPeer*>(SSL_get_app_data(ssl));
}

Status verify_device(TlsServerContext::Impl& impl, X509* x, const crypto::Certificate& leaf,
                     const std::vector<crypto::Certificate>& intermediates) {
  ServerTime at = impl.options.now();
  if (impl.options.admit_ended) {
    // A second before the end: OpenSSL takes the end itself for past.
    at = std::min(at, leaf.not_after() - std::chrono::seconds(1));
  }
  CYGNET_CHECK_OK(crypto::verify_chain(leaf, intermediates, impl.options.trust, at));
  return check_purpose(x, XKU_SSL_CLIENT, "device");
}

Status verify_controller(TlsClientContext::Impl& impl, X509* x, const crypto::Certificate& leaf,
                         const std::vector<crypto::Certificate>& sent, TlsPeer& peer) {
  if (impl.ca_fingerprint) {
    const auto ca = std::find_if(sent.begin(), sent.end(), [&](const auto& certificate) {
      return certificate.is_ca() && certificate_fingerprint(certificate) == *impl.ca_fingerprint;
    });
    if (ca == sent.end()) {
      return fail(kErrTlsPin,
                  "the controller does not show the CA that the join line names (SHA-256 " +
                      to_hex(*impl.ca_fingerprint).substr(0, 16) + "...)",
                  {},
                  "check that the address leads to your controller and that the join line is from "
                  "its present CA");
    }
    CYGNET_CHECK_OK(crypto::verify_chain(leaf, sent, {*ca}, impl.now()));
    peer.pinned_ca = *ca;
  } else {
    CYGNET_CHECK_OK(crypto::verify_chain(leaf, sent, impl.trust, impl.now()));
  }
  CYGNET_CHECK_OK(check_purpose(x, XKU_SSL_SERVER, "controller"));
  return check_expected(leaf, impl.expected_dns);
}

/// Leaf and the rest of what the other side sent, out of OpenSSL's hands.
struct Shown {
  X509* leaf_x509;
  crypto::Certificate leaf;
  std::vector<crypto::Certificate> rest;
};
Result<Shown> shown_in(X509_STORE_CTX* store) {
  X509* x = X509_STORE_CTX_get0_cert(store);
  CYGNET_TRY(auto leaf, certificate_of(x));
  return Shown{x, std::move(leaf), chain_of(X509_STORE_CTX_get0_untrusted(store))};
}

int verify_at_server(X509_STORE_CTX* store, void* argument) {
  auto& impl = *static_cast<TlsServerContext::Impl*>(argument);
  TlsPeer& peer = peer_of(store);
  auto shown = shown_in(store);
  if (!shown) return refuse(store, peer, std::move(shown).error());
  auto status = verify_device(impl, shown->leaf_x509, shown->leaf, shown->rest);
  if (!status) {
    return refuse(store, peer,
                  std::move(status).error().within("certificate of " + name_of(shown->leaf)));
  }
  return 1;
}

int verify_at_client(X509_STORE_CTX* store, void* argument) {
  auto& impl = *static_cast<TlsClientContext::Impl*>(argument);
  TlsPeer& peer = peer_of(store);
  auto shown = shown_in(store);
  if (!shown) return refuse(store, peer, std::move(shown).error());
  auto status = verify_controller(impl, shown->leaf_x509, shown->leaf, shown->rest, peer);
  if (!status) {
    return refuse(store, peer, std::move(status).error().within("certificate of the controller"));
  }
  return 1;
}

int select_alpn(SSL* ssl, const unsigned char** out, unsigned char* out_length,
                const unsigned char* offered, unsigned offered_length, void* argument) {
  auto& impl = *static_cast<TlsServerContext::Impl*>(argument);
  auto& peer = *static_cast<TlsPeer*>(SSL_get_app_data(ssl));
  bool device = false;
  const unsigned char* join = nullptr;
  for (unsigned at = 0; at < offered_length; at += 1U + offered[at]) {
    const std::string_view name = as_text(ByteView(offered + at + 1, offered[at]));
    if (name == kAlpnDevice) {
      device = true;
      *out = offered + at + 1;
    }
    if (name == kAlpnJoin && impl.options.offer_join) join = offered + at + 1;
  }
  if (device) {
    *out_length = static_cast<unsigned char>(kAlpnDevice.size());
    return SSL_TLSEXT_ERR_OK;
  }
  if (join == nullptr) {
    peer.refusal = Error{kErrTlsAlpn,
                         "the client offers no protocol that is spoken here",
                         {},
                         "speak cygnet/1 or cygnet-join/1; other clients are on the wrong port"};
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  }
  *out = join;
  *out_length = static_cast<unsigned char>(kAlpnJoin.size());
  // A device that joins has no certificate yet. It gets no ticket either: a session without a
  // verified leaf must never come back as one of "cygnet/1".
  SSL_set_verify(ssl, SSL_VERIFY_NONE, nullptr);
  SSL_set_num_tickets(ssl, 0);
  // It needs the CA certificate itself, to hold its fingerprint against the join line.
  for (const auto& anchor : impl.options.trust) {
    const X509Ptr x = x509_of(anchor);
    if (x) SSL_add1_chain_cert(ssl, x.get());
  }
  return SSL_TLSEXT_ERR_OK;
}

int keep_session(SSL* ssl, SSL_SESSION* session) {
  auto* impl = static_cast<TlsClientContext::Impl*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)));
  const auto* peer = static_cast<TlsPeer*>(SSL_get_app_data(ssl));
  if (impl == nullptr || peer == nullptr) return 0;
  impl->sessions[peer->session_key] = SslSessionPtr(session);
  return 1;  // the reference is ours now
}

Result<SslPtr> new_ssl(SSL_CTX* context, int fd, TlsPeer& peer) {
  SslPtr ssl(SSL_new(context));
  if (!ssl || SSL_set_fd(ssl.get(), fd) != 1) {
    return fail(kErrTls, "no TLS session: " + openssl_reason());
  }
  SSL_set_app_data(ssl.get(), &peer);
  return ssl;
}

std::optional<Error> refused_by_peer(int alert) {
  const auto refused = [](std::string why, std::string cure) {
    return Error{kErrTlsRefused,
                 "the other side refuses our certificate: " + std::move(why),
                 {},
                 std::move(cure)};
  };
  switch (alert) {
    case SSL_AD_CERTIFICATE_EXPIRED:
      return refused("it has expired", "renew it, or check the clocks of both ends");
    case SSL_AD_UNKNOWN_CA:
      return refused("its CA is not trusted there",
                     "join this mesh again, or check that this is the right controller");
    case SSL_AD_CERTIFICATE_REVOKED:
      return refused("it is revoked", "join again with a new token");
    case SSL_AD_CERTIFICATE_REQUIRED:
      return refused("none was shown", "join the mesh first");
    case SSL_AD_BAD_CERTIFICATE:
    case SSL_AD_CERTIFICATE_UNKNOWN:
    case SSL_AD_UNSUPPORTED_CERTIFICATE:
    case SSL_AD_ACCESS_DENIED:
      return refused("not acceptable there", "see the other side's log");
    case SSL_AD_NO_APPLICATION_PROTOCOL:
      return Error{kErrTlsAlpn,
                   "the other side does not speak our protocol",
                   {},
                   "check address and port, and that both ends run matching versions"};
    default:
      return std::nullopt;
  }
}

}  // namespace

TlsServerContext::TlsServerContext(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
TlsServerContext::~TlsServerContext() = default;
TlsClientContext::TlsClientContext(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
TlsClientContext::~TlsClientContext() = default;

Result<std::shared_ptr<TlsServerContext>> TlsServerContext::create(Options options) {
  CYGNET_TRY(auto context, new_context(TLS_server_method()));
  CYGNET_CHECK_OK(use_identity(context.get(), options.identity));
  auto impl = std::make_unique<Impl>(Impl{std::move(context), std::move(options)});
  SSL_CTX* c = impl->context.get();
  SSL_CTX_set_verify(c, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  SSL_CTX_set_cert_verify_callback(c, verify_at_server, impl.get());
  SSL_CTX_set_alpn_select_cb(c, select_alpn, impl.get());
  constexpr std::string_view kSessionContext = "cygnet";
  SSL_CTX_set_session_id_context(c, as_bytes(kSessionContext).data(), kSessionContext.size());
  SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);  // tickets only: no state per client
  SSL_CTX_set_num_tickets(c, 1);
  return std::shared_ptr<TlsServerContext>(new TlsServerContext(std::move(impl)));
}

Status TlsServerContext::replace_identity(TlsIdentity identity) {
  CYGNET_CHECK_OK(use_identity(impl_->context.get(), identity));
  impl_->options.identity = std::move(identity);
  return {};
}

void TlsServerContext::replace_trust(std::vector<crypto::Certificate> trust) {
  impl_->options.trust = std::move(trust);
}

namespace {

Result<std::unique_ptr<TlsClientContext::Impl>> new_client(std::string_view alpn) {
  CYGNET_TRY(auto context, new_context(TLS_client_method()));
  auto impl = std::make_unique<TlsClientContext::Impl>();
  impl->context = std::move(context);
  impl->alpn = alpn;
  SSL_CTX* c = impl->context.get();
  Bytes wire{static_cast<std::uint8_t>(alpn.size())};
  wire.insert(wire.end(), alpn.begin(), alpn.end());
  if (SSL_CTX_set_alpn_protos(c, wire.data(), static_cast<unsigned>(wire.size())) != 0) {
    return fail(kErrTls, "cannot set the protocol name: " + openssl_reason());
  }
  SSL_CTX_set_app_data(c, impl.get());
  SSL_CTX_set_verify(c, SSL_VERIFY_PEER, nullptr);
  SSL_CTX_set_cert_verify_callback(c, verify_at_client, impl.get());
  SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(c, keep_session);
  return impl;
}

}  // namespace

Result<std::shared_ptr<TlsClientContext>> TlsClientContext::create_device(DeviceOptions options) {
  CYGNET_TRY(auto impl, new_client(kAlpnDevice));
  CYGNET_CHECK_OK(use_identity(impl->context.get(), options.identity));
  impl->identity = std::move(options.identity);
  impl->trust = std::move(options.trust);
  impl->now = std::move(options.now);
  impl->expected_dns = std::move(options.expected_dns);
  return std::shared_ptr<TlsClientContext>(new TlsClientContext(std::move(impl)));
}

Result<std::shared_ptr<TlsClientContext>> TlsClientContext::create_join(JoinOptions options) {
  CYGNET_TRY(auto impl, new_client(kAlpnJoin));
  impl->ca_fingerprint = options.ca_fingerprint;
  impl->now = std::move(options.now);
  impl->expected_dns = std::move(options.expected_dns);
  return std::shared_ptr<TlsClientContext>(new TlsClientContext(std::move(impl)));
}

Status TlsClientContext::replace_identity(TlsIdentity identity) {
  CYGNET_CHECK_OK(use_identity(impl_->context.get(), identity));
  impl_->identity = std::move(identity);
  impl_->sessions.clear();
  return {};
}

void TlsClientContext::replace_trust(std::vector<crypto::Certificate> trust) {
  impl_->trust = std::move(trust);
}

crypto::Sha256 certificate_fingerprint(const crypto::Certificate& certificate) {
  return crypto::sha256({ByteView(certificate.der())});
}

Result<SslPtr> new_server_ssl(TlsServerContext& context, int fd, TlsPeer& peer) {
  CYGNET_TRY(auto ssl, new_ssl(context.impl().context.get(), fd, peer));
  SSL_set_accept_state(ssl.get());
  return ssl;
}

Result<SslPtr> new_client_ssl(TlsClientContext& context, int fd, TlsPeer& peer) {
  CYGNET_TRY(auto ssl, new_ssl(context.impl().context.get(), fd, peer));
  SSL_set_connect_state(ssl.get());
  auto& sessions = context.impl().sessions;
  if (const auto found = sessions.find(peer.session_key); found != sessions.end()) {
    SSL_set_session(ssl.get(), found->second.get());
    sessions.erase(found);  // a ticket is for one use; the server sends another
  }
  return ssl;
}

Status finish_server_handshake(TlsServerContext& context, SSL* ssl, TlsPeer& peer) {
  auto& impl = context.impl();
  const std::string alpn = alpn_of(ssl);
  if (alpn == kAlpnJoin) return {};
  if (alpn != kAlpnDevice) {
    return fail(kErrTlsAlpn, "the client names no protocol", {},
                "speak cygnet/1 or cygnet-join/1; other clients are on the wrong port");
  }
  const X509Ptr x(SSL_get1_peer_certificate(ssl));
  if (!x) {
    return fail(kErrTlsNoCertificate, "the device shows no certificate", {}, "join the mesh first");
  }
  CYGNET_TRY(auto leaf, certificate_of(x.get()));
  if (SSL_session_reused(ssl) == 1) {
    // A ticket holds the leaf only; intermediates of the same CA are in our own chain.
    auto status = verify_device(impl, x.get(), leaf, impl.options.identity.chain);
    if (!status) {
      return fail(std::move(status).error().within("certificate of " + name_of(leaf)));
    }
  }
  peer.leaf = std::move(leaf);
  return {};
}

Status finish_client_handshake(TlsClientContext& context, SSL* ssl, TlsPeer& peer) {
  auto& impl = context.impl();
  if (alpn_of(ssl) != impl.alpn) {
    return fail(kErrTlsAlpn, "the other side does not speak " + std::string(impl.alpn), {},
                "check address and port: this is no Cygnet controller");
  }
  const X509Ptr x(SSL_get1_peer_certificate(ssl));
  if (!x) return fail(kErrTlsNoCertificate, "the controller shows no certificate");
  CYGNET_TRY(auto leaf, certificate_of(x.get()));
  if (SSL_session_reused(ssl) == 1) {
    auto sent = chain_of(SSL_get_peer_cert_chain(ssl));
    if (impl.identity) {
      sent.insert(sent.end(), impl.identity->chain.begin(), impl.identity->chain.end());
    }
    auto status = verify_controller(impl, x.get(), leaf, sent, peer);
    if (!status) return fail(std::move(status).error().within("certificate of the controller"));
  }
  peer.leaf = std::move(leaf);
  return {};
}

void forget_session(TlsClientContext& context, const TlsPeer& peer) {
  context.impl().sessions.erase(peer.session_key);
}

std::string alpn_of(SSL* ssl) {
  const unsigned char* name = nullptr;
  unsigned length = 0;
  SSL_get0_alpn_selected(ssl, &name, &length);
  return std::string(as_text(ByteView(name, length)));
}

Error tls_failure(SSL* ssl, int result, int errno_value, const TlsPeer& peer) {
  const int kind = SSL_get_error(ssl, result);
  if (peer.refusal) {
    ERR_clear_error();
    return *peer.refusal;
  }
  if (kind == SSL_ERROR_ZERO_RETURN) {
    ERR_clear_error();
    return Error{kErrStreamClosed, "the other side closed the connection"};
  }
  const unsigned long code = ERR_peek_error();
  const int reason = ERR_GET_REASON(code);
  if (kind == SSL_ERROR_SYSCALL || reason == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
    ERR_clear_error();
    if (errno_value == 0 || reason == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
      return Error{kErrStreamIo,
                   "the connection ended without a goodbye",
                   {},
                   "the other side died or something between cut the connection"};
    }
    return Error{kErrStreamIo,
                 "the connection broke: " + std::generic_category().message(errno_value)};
  }
  if (reason > SSL_AD_REASON_OFFSET) {
    if (auto error = refused_by_peer(reason - SSL_AD_REASON_OFFSET)) {
      ERR_clear_error();
      return *error;
    }
  }
  if (reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE) {
    ERR_clear_error();
    return Error{
        kErrTlsNoCertificate, "the device shows no certificate", {}, "join the mesh first"};
  }
  if (reason == SSL_R_WRONG_VERSION_NUMBER || reason == SSL_R_HTTP_REQUEST ||
      reason == SSL_R_UNSUPPORTED_PROTOCOL) {
    ERR_clear_error();
    return Error{kErrTls, "the other side does not speak TLS 1.3", {}, "check address and port"};
  }
  return Error{kErrTls, "TLS failed: " + openssl_reason()};
}

}  // namespace cygnet::rt
