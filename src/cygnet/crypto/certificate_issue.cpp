// SPDX-License-Identifier: Apache-2.0
#include <openssl/asn1.h>
#include <openssl/bn.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <array>
#include <chrono>
#include <memory>
#include <string>

#include "cygnet/base/assert.h"
#include "cygnet/crypto/identity_impl.h"
#include "cygnet/crypto/random.h"
#include "cygnet/crypto/subject_names.h"

namespace cygnet::crypto {
namespace {

struct Asn1Delete {
  void operator()(BASIC_CONSTRAINTS* p) const { BASIC_CONSTRAINTS_free(p); }
  void operator()(EXTENDED_KEY_USAGE* p) const { EXTENDED_KEY_USAGE_free(p); }
  void operator()(AUTHORITY_KEYID* p) const { AUTHORITY_KEYID_free(p); }
};
template <class T>
using Asn1Ptr = std::unique_ptr<T, Asn1Delete>;

constexpr std::size_t kSerialLength = 16;
constexpr std::size_t kKeyIdLength = 20;
// RFC 5280 appendix A.1: bits of KeyUsage.
constexpr int kBitDigitalSignature = 0;
constexpr int kBitKeyCertSign = 5;
constexpr int kBitCrlSign = 6;

tl::unexpected<Error> not_issued(const std::string& why) {
  return fail(kErrCertificate, "no certificate is issued: " + why);
}

/// RFC 5280 section 4.1.2.5: the last date that can be written is 9999-12-31; 1950 is where a
/// two-digit year begins.
bool is_representable(ServerTime time) {
  namespace ch = std::chrono;
  const auto since = time.time_since_epoch();
  return since >= ch::sys_days(ch::year(1950) / 1 / 1).time_since_epoch() &&
         since < ch::sys_days(ch::year(10000) / 1 / 1).time_since_epoch();
}

OsslPtr<ASN1_TIME> to_asn1(ServerTime time) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count();
  return OsslPtr<ASN1_TIME>(ASN1_TIME_set(nullptr, seconds));
}

/// RFC 7093 section 2, method 1: the left 160 bits of SHA-256 over the BIT STRING's octets.
Bytes key_id(ByteView spki) {
  const KeyProfile* const profile = profile_of_spki(spki);
  CYGNET_ASSERT(profile != nullptr);
  // The prefix of an EC key ends with the first octet of the point (04), which belongs to it.
  const std::size_t header = profile->spki_prefix.size() - (profile->digest != nullptr ? 1 : 0);
  const Sha256 digest = sha256({spki.subspan(header)});
  return {digest.begin(), digest.begin() + kKeyIdLength};
}

bool set_octets(ASN1_OCTET_STRING* target, ByteView octets) {
  return ASN1_OCTET_STRING_set(target, octets.data(), static_cast<int>(octets.size())) == 1;
}

bool add_extension(X509* x509, int nid, void* value, bool critical) {
  return X509_add1_ext_i2d(x509, nid, value, critical ? 1 : 0, X509V3_ADD_DEFAULT) == 1;
}

bool set_serial(X509* x509) {
  std::array<std::uint8_t, kSerialLength> octets{};
  system_random().fill(octets);
  octets[0] = static_cast<std::uint8_t>((octets[0] & 0x7f) | 0x40);  // positive, of full length
  const BnPtr number(BN_bin2bn(octets.data(), static_cast<int>(octets.size()), nullptr));
  const OsslPtr<ASN1_INTEGER> serial(BN_to_ASN1_INTEGER(number.get(), nullptr));
  return serial != nullptr && X509_set_serialNumber(x509, serial.get()) == 1;
}

bool add_basic_constraints(X509* x509, bool is_ca) {
  const Asn1Ptr<BASIC_CONSTRAINTS> constraints(BASIC_CONSTRAINTS_new());
  CYGNET_ASSERT(constraints != nullptr);
  constraints->ca = is_ca ? 0xff : 0;
  return add_extension(x509, NID_basic_constraints, constraints.get(), true);
}

bool add_key_usage(X509* x509, bool is_ca) {
  const OsslPtr<ASN1_BIT_STRING> usage(ASN1_BIT_STRING_new());
  CYGNET_ASSERT(usage != nullptr);
  const bool set = is_ca ? ASN1_BIT_STRING_set_bit(usage.get(), kBitKeyCertSign, 1) == 1 &&
                               ASN1_BIT_STRING_set_bit(usage.get(), kBitCrlSign, 1) == 1
                         : ASN1_BIT_STRING_set_bit(usage.get(), kBitDigitalSignature, 1) == 1;
  return set && add_extension(x509, NID_key_usage, usage.get(), true);
}

bool add_extended_key_usage(X509* x509, const CertificateSpec& spec) {
  if (!spec.server_auth && !spec.client_auth) return true;
  const Asn1Ptr<EXTENDED_KEY_USAGE> usage(EXTENDED_KEY_USAGE_new());
  CYGNET_ASSERT(usage != nullptr);
  if (spec.server_auth) sk_ASN1_OBJECT_push(usage.get(), OBJ_nid2obj(NID_server_auth));
  if (spec.client_auth) sk_ASN1_OBJECT_push(usage.get(), OBJ_nid2obj(NID_client_auth));
  return add_extension(x509, NID_ext_key_usage, usage.get(), false);
}

bool add_key_ids(X509* x509, ByteView subject_id, ByteView authority_id) {
  const OsslPtr<ASN1_OCTET_STRING> subject(ASN1_OCTET_STRING_new());
  CYGNET_ASSERT(subject != nullptr);
  if (!set_octets(subject.get(), subject_id) ||
      !add_extension(x509, NID_subject_key_identifier, subject.get(), false)) {
    return false;
  }
  if (authority_id.empty()) return true;
  const Asn1Ptr<AUTHORITY_KEYID> authority(AUTHORITY_KEYID_new());
  CYGNET_ASSERT(authority != nullptr);
  authority->keyid = ASN1_OCTET_STRING_new();
  CYGNET_ASSERT(authority->keyid != nullptr);
  return set_octets(authority->keyid, authority_id) &&
         add_extension(x509, NID_authority_key_identifier, authority.get(), false);
}

Bytes issuer_key_id(const Certificate& issuer) {
  const X509Ptr x509 = issuer.impl().decoded();
  const ASN1_OCTET_STRING* const id = X509_get0_subject_key_id(x509.get());
  if (id == nullptr) return {};
  const unsigned char* const data = ASN1_STRING_get0_data(id);
  return {data, data + ASN1_STRING_length(id)};
}

Status check_issuer(const CertificateSpec& spec, const IdentityKey& ca_key,
                    const std::optional<Certificate>& issuer) {
  if (!issuer.has_value()) {
    if (spec.spki != ca_key.spki()) {
      return not_issued("a self-signed certificate must carry the key that signs it");
    }
    return {};
  }
  if (!issuer->is_ca()) return not_issued("the issuer's certificate is no CA's");
  if (issuer->spki() != ca_key.spki()) {
    return not_issued("the signing key is not the one of the issuer's certificate");
  }
  return {};
}

Status check_spec(const CertificateSpec& spec) {
  if (!is_representable(spec.not_before) || !is_representable(spec.not_after)) {
    return not_issued("a date lies outside the years 1950 to 9999");
  }
  if (spec.not_after < spec.not_before) return not_issued("it would end before it begins");
  // A CA is found by its name, so it needs one.
  if (spec.is_ca && (spec.common_name.empty() || spec.common_name.size() > kMaxCommonName)) {
    return not_issued("a CA needs a common name of 1 to 64 octets");
  }
  return {};
}

}  // namespace

Result<Certificate> issue(const CertificateSpec& spec, const IdentityKey& ca_key,
                          const std::optional<Certificate>& issuer) {
  const ErrorQueueScope errors;
  CYGNET_CHECK_OK(check_spec(spec));
  CYGNET_CHECK_OK(check_issuer(spec, ca_key, issuer));
  const unsigned char* at = spec.spki.data();
  const PkeyPtr subject_key(profile_of_spki(spec.spki) != nullptr
                                ? d2i_PUBKEY(nullptr, &at, static_cast<long>(spec.spki.size()))
                                : nullptr);
  if (subject_key == nullptr) {
    return not_issued("the subject's key is not ECDSA P-256, ECDSA P-384 or Ed25519");
  }
  const SubjectNames names{spec.dns_sans, spec.ip_sans, spec.uri_sans};
  CYGNET_TRY(const GeneralNamesPtr general_names, make_general_names(names, kErrCertificate));
  const X509Ptr x509(X509_new());
  CYGNET_ASSERT(x509 != nullptr);
  X509* const x = x509.get();
  X509_NAME* const subject = X509_get_subject_name(x);
  if (!set_common_name(subject, spec.common_name))
    return not_issued("the common name is not UTF-8");
  const bool has_subject = X509_NAME_entry_count(subject) > 0;
  if (!has_subject && names.empty()) return not_issued("it would name nobody");
  const Bytes subject_id = key_id(spec.spki);
  const X509Ptr issued_by = issuer.has_value() ? issuer->impl().decoded() : nullptr;
  const bool made =
      X509_set_version(x, X509_VERSION_3) == 1 && set_serial(x) &&
      X509_set_issuer_name(
          x, issued_by != nullptr ? X509_get_subject_name(issued_by.get()) : subject) == 1 &&
      X509_set1_notBefore(x, to_asn1(spec.not_before).get()) == 1 &&
      X509_set1_notAfter(x, to_asn1(spec.not_after).get()) == 1 &&
      X509_set_pubkey(x, subject_key.get()) == 1 && add_basic_constraints(x, spec.is_ca) &&
      add_key_usage(x, spec.is_ca) && add_extended_key_usage(x, spec) &&
      add_key_ids(x, subject_id, issuer.has_value() ? issuer_key_id(*issuer) : subject_id) &&
      // RFC 5280 section 4.2.1.6: "If the subject field contains an empty sequence, then [...] the
      // subjectAltName extension [MUST be marked] as critical."
      (names.empty() || add_extension(x, NID_subject_alt_name, general_names.get(), !has_subject));
  const char* const digest = ca_key.impl().profile->digest;
  const EVP_MD* const md = digest == nullptr ? nullptr : EVP_get_digestbyname(digest);
  if (!made || X509_sign(x, ca_key.impl().key.get(), md) <= 0) {
    return not_issued("OpenSSL could not make it: " + errors.reason());
  }
  unsigned char* der = nullptr;
  const int length = i2d_X509(x, &der);
  if (length <= 0) return not_issued("OpenSSL could not encode it: " + errors.reason());
  const Bytes octets(der, der + length);
  OPENSSL_free(der);
  return Certificate::from_der(octets);
}

}  // namespace cygnet::crypto
