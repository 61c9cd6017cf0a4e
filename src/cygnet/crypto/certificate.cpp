// SPDX-License-Identifier: Apache-2.0
#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <chrono>
#include <ctime>
#include <string>
#include <utility>

#include "cygnet/base/assert.h"
#include "cygnet/crypto/identity_impl.h"
#include "cygnet/crypto/subject_names.h"

namespace cygnet::crypto {
namespace {

constexpr std::size_t kMaxDerLength = 64 * 1024;
constexpr std::size_t kMaxPemLength = 1024 * 1024;

tl::unexpected<Error> bad_certificate(const std::string& why) {
  return fail(kErrCertificate, "the certificate " + why);
}

std::optional<ServerTime> to_server_time(const ASN1_TIME* time) {
  std::tm parts{};
  if (time == nullptr || ASN1_TIME_to_tm(time, &parts) != 1) return std::nullopt;
  namespace ch = std::chrono;
  const ch::year_month_day date(ch::year(parts.tm_year + 1900),
                                ch::month(static_cast<unsigned>(parts.tm_mon + 1)),
                                ch::day(static_cast<unsigned>(parts.tm_mday)));
  if (!date.ok()) return std::nullopt;
  const auto since_epoch = ch::sys_days(date).time_since_epoch() + ch::hours(parts.tm_hour) +
                           ch::minutes(parts.tm_min) + ch::seconds(parts.tm_sec);
  return ServerTime(ch::duration_cast<ch::milliseconds>(since_epoch));
}

Bytes spki_of(const X509* x509) {
  unsigned char* der = nullptr;
  const int length = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x509), &der);
  if (length <= 0) return {};
  Bytes out(der, der + length);
  OPENSSL_free(der);
  return out;
}

Bytes serial_of(const X509* x509) {
  const BnPtr number(ASN1_INTEGER_to_BN(X509_get0_serialNumber(x509), nullptr));
  if (number == nullptr) return {};
  Bytes out(static_cast<std::size_t>(BN_num_bytes(number.get())));
  BN_bn2bin(number.get(), out.data());
  return out;
}

bool has_only_our_signatures(const X509* x509) {
  const int nid = X509_get_signature_nid(x509);
  return nid == NID_ecdsa_with_SHA256 || nid == NID_ecdsa_with_SHA384 || nid == NID_ED25519;
}

/// Whether encoding again gives the same octets: a second encoding of one certificate would have a
/// second digest.
bool is_der_of(X509* x509, ByteView der) {
  unsigned char* again = nullptr;
  const int length = i2d_X509(x509, &again);
  if (length <= 0) return false;
  const bool same = equal(der, {again, static_cast<std::size_t>(length)});
  OPENSSL_free(again);
  return same;
}

void read_extensions(Certificate::Impl& impl) {
  X509* const x509 = impl.x509.get();
  const std::uint32_t flags = X509_get_extension_flags(x509);
  const std::uint32_t usage = X509_get_key_usage(x509);  // all bits when the extension is absent
  impl.is_ca =
      (flags & EXFLAG_BCONS) != 0 && (flags & EXFLAG_CA) != 0 && (usage & KU_KEY_CERT_SIGN) != 0;
  impl.may_sign = (usage & KU_DIGITAL_SIGNATURE) != 0;
  // Asked for by name, so that a certificate without the extension is good for neither.
  const std::uint32_t extended =
      (flags & EXFLAG_XKUSAGE) != 0 ? X509_get_extended_key_usage(x509) : 0;
  impl.server_auth = (extended & XKU_SSL_SERVER) != 0;
  impl.client_auth = (extended & XKU_SSL_CLIENT) != 0;
  const GeneralNamesPtr names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(x509, NID_subject_alt_name, nullptr, nullptr)));
  impl.dns_san = single_name(names.get(), NameKind::kDns);
  impl.uri_san = single_name(names.get(), NameKind::kUri);
}

}  // namespace

Result<Certificate> Certificate::from_der(ByteView der) {
  const ErrorQueueScope errors;
  if (der.empty() || der.size() > kMaxDerLength) {
    return bad_certificate("has " + std::to_string(der.size()) + " octets");
  }
  const unsigned char* at = der.data();
  auto impl = std::make_shared<Impl>();
  impl->x509.reset(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
  if (impl->x509 == nullptr) return bad_certificate("cannot be decoded: " + errors.reason());
  X509* const x509 = impl->x509.get();
  if (at != der.data() + der.size()) return bad_certificate("is followed by other octets");
  if (!is_der_of(x509, der)) return bad_certificate("is not in DER");
  if (X509_get_version(x509) != X509_VERSION_3) return bad_certificate("is not of version 3");
  if (!has_only_our_signatures(x509)) {
    return bad_certificate("is signed with another algorithm than ECDSA with SHA-2 or Ed25519");
  }
  impl->spki = spki_of(x509);
  impl->spki_hash = sha256({impl->spki});
  impl->profile = profile_of_spki(impl->spki);
  if (impl->profile == nullptr || X509_get0_pubkey(x509) == nullptr) {
    return bad_certificate("has a key that is not ECDSA P-256, ECDSA P-384 or Ed25519");
  }
  if ((X509_get_extension_flags(x509) & EXFLAG_INVALID) != 0) {
    return bad_certificate("has extensions that contradict each other or cannot be decoded");
  }
  const auto not_before = to_server_time(X509_get0_notBefore(x509));
  const auto not_after = to_server_time(X509_get0_notAfter(x509));
  if (!not_before.has_value() || !not_after.has_value())
    return bad_certificate("has no valid dates");
  impl->not_before = *not_before;
  impl->not_after = *not_after;
  impl->serial = serial_of(x509);
  impl->der.assign(der.begin(), der.end());
  read_extensions(*impl);
  return Certificate(std::move(impl));
}

Result<std::vector<Certificate>> Certificate::list_from_pem(std::string_view pem) {
  const ErrorQueueScope errors;
  if (pem.size() > kMaxPemLength) {
    return fail(kErrCertificate, "the PEM text has " + std::to_string(pem.size()) + " octets");
  }
  const BioPtr bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  CYGNET_ASSERT(bio != nullptr);
  std::vector<Certificate> out;
  for (;;) {
    char* name = nullptr;
    char* header = nullptr;
    unsigned char* data = nullptr;
    long length = 0;
    const std::string where = "PEM block " + std::to_string(out.size() + 1);
    if (PEM_read_bio(bio.get(), &name, &header, &data, &length) != 1) {
      // "No start line" is how the end of the text is told; anything else is a broken block.
      if (ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE) break;
      return fail(kErrCertificate, "a PEM block cannot be read: " + errors.reason(), where);
    }
    const bool is_certificate = std::string_view(name) == PEM_STRING_X509;
    const Bytes der(data, data + length);
    OPENSSL_cleanse(data, static_cast<std::size_t>(length));  // it may be somebody's key
    OPENSSL_free(name);
    OPENSSL_free(header);
    OPENSSL_free(data);
    if (!is_certificate) {
      return fail(kErrCertificate, "a PEM block is not a certificate", where,
                  "keep only CERTIFICATE blocks in this file");
    }
    auto certificate = from_der(der);
    if (!certificate.has_value()) return fail(std::move(certificate).error().within(where));
    out.push_back(std::move(*certificate));
  }
  if (out.empty()) return fail(kErrCertificate, "the PEM text holds no certificate");
  return out;
}

X509Ptr Certificate::Impl::decoded() const {
  if (x509 != nullptr) {
    CYGNET_ASSERT(X509_up_ref(x509.get()) == 1);
    return X509Ptr(x509.get());
  }
  const unsigned char* at = der.data();
  X509Ptr again(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
  CYGNET_ASSERT(again != nullptr);  // it was decoded before
  return again;
}

Certificate Certificate::compact() const {
  const Impl& from = *impl_;
  if (from.x509 == nullptr) return *this;
  return Certificate(std::make_shared<const Impl>(
      Impl{from.profile, nullptr, from.der, from.spki, from.spki_hash, from.serial, from.not_before,
           from.not_after, from.is_ca, from.may_sign, from.server_auth, from.client_auth,
           from.dns_san, from.uri_san}));
}

const Bytes& Certificate::der() const { return impl_->der; }

std::string Certificate::to_pem() const {
  const ErrorQueueScope errors;
  const BioPtr bio(BIO_new(BIO_s_mem()));
  CYGNET_ASSERT(bio != nullptr);
  CYGNET_ASSERT(PEM_write_bio_X509(bio.get(), impl_->decoded().get()) == 1);
  char* data = nullptr;
  const long length = BIO_get_mem_data(bio.get(), &data);
  CYGNET_ASSERT(length > 0);
  return {data, static_cast<std::size_t>(length)};
}

const Bytes& Certificate::spki() const { return impl_->spki; }
Sha256 Certificate::spki_hash() const { return impl_->spki_hash; }
Bytes Certificate::serial() const { return impl_->serial; }
ServerTime Certificate::not_before() const { return impl_->not_before; }
ServerTime Certificate::not_after() const { return impl_->not_after; }
bool Certificate::is_ca() const { return impl_->is_ca; }
std::optional<std::string> Certificate::dns_san() const { return impl_->dns_san; }
std::optional<std::string> Certificate::uri_san() const { return impl_->uri_san; }

}  // namespace cygnet::crypto
