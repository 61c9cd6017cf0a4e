// SPDX-License-Identifier: Apache-2.0
#include "cygnet/crypto/openssl_ptr.h"

#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

namespace cygnet::crypto {

void OsslDelete::operator()(asn1_string_st* p) const { ASN1_STRING_free(p); }
void OsslDelete::operator()(bignum_st* p) const { BN_clear_free(p); }
void OsslDelete::operator()(bio_st* p) const { BIO_free_all(p); }
void OsslDelete::operator()(ec_group_st* p) const { EC_GROUP_free(p); }
void OsslDelete::operator()(ec_point_st* p) const { EC_POINT_clear_free(p); }
void OsslDelete::operator()(evp_cipher_ctx_st* p) const { EVP_CIPHER_CTX_free(p); }
void OsslDelete::operator()(evp_mac_ctx_st* p) const { EVP_MAC_CTX_free(p); }
void OsslDelete::operator()(evp_md_ctx_st* p) const { EVP_MD_CTX_free(p); }
void OsslDelete::operator()(evp_pkey_ctx_st* p) const { EVP_PKEY_CTX_free(p); }
void OsslDelete::operator()(evp_pkey_st* p) const { EVP_PKEY_free(p); }
void OsslDelete::operator()(X509_req_st* p) const { X509_REQ_free(p); }
void OsslDelete::operator()(x509_st* p) const { X509_free(p); }

ErrorQueueScope::ErrorQueueScope() { ERR_set_mark(); }
ErrorQueueScope::~ErrorQueueScope() { ERR_pop_to_mark(); }

std::string ErrorQueueScope::reason() const {
  const char* text = ERR_reason_error_string(ERR_peek_last_error());
  return text != nullptr ? text : "no reason given";
}

}  // namespace cygnet::crypto
