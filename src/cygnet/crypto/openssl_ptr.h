// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Owning pointers to OpenSSL's objects and the guard of its error queue, for the .cpp files of
/// this directory only. OpenSSL's headers stay out of here: its types are named, not defined.

#include <memory>
#include <string>

// OpenSSL's own struct tags, as its typedefs name them.
struct asn1_string_st;
struct bignum_st;
struct bio_st;
struct ec_group_st;
struct ec_point_st;
struct evp_cipher_ctx_st;
struct evp_mac_ctx_st;
struct evp_md_ctx_st;
struct evp_pkey_ctx_st;
struct evp_pkey_st;
struct X509_req_st;
struct x509_st;

namespace cygnet::crypto {

/// Frees with OpenSSL's function for the type, which clears private values first.
struct OsslDelete {
  void operator()(asn1_string_st* p) const;
  void operator()(bignum_st* p) const;
  void operator()(bio_st* p) const;
  void operator()(ec_group_st* p) const;
  void operator()(ec_point_st* p) const;
  void operator()(evp_cipher_ctx_st* p) const;
  void operator()(evp_mac_ctx_st* p) const;
  void operator()(evp_md_ctx_st* p) const;
  void operator()(evp_pkey_ctx_st* p) const;
  void operator()(evp_pkey_st* p) const;
  void operator()(X509_req_st* p) const;
  void operator()(x509_st* p) const;
};
template <class T>
using OsslPtr = std::unique_ptr<T, OsslDelete>;

using BnPtr = OsslPtr<bignum_st>;
using BioPtr = OsslPtr<bio_st>;
using PkeyPtr = OsslPtr<evp_pkey_st>;
using PkeyCtxPtr = OsslPtr<evp_pkey_ctx_st>;
using CipherCtxPtr = OsslPtr<evp_cipher_ctx_st>;
using MacCtxPtr = OsslPtr<evp_mac_ctx_st>;
using MdCtxPtr = OsslPtr<evp_md_ctx_st>;
using X509Ptr = OsslPtr<x509_st>;
using X509ReqPtr = OsslPtr<X509_req_st>;

/// Takes back what our calls put on the thread's OpenSSL error queue: a TLS connection on the same
/// thread reads that queue after its own calls and would take our refusal for its failure.
class ErrorQueueScope {
 public:
  ErrorQueueScope();
  ~ErrorQueueScope();
  ErrorQueueScope(const ErrorQueueScope&) = delete;
  ErrorQueueScope& operator=(const ErrorQueueScope&) = delete;

  /// What OpenSSL says about the newest failure; "no reason given" when it says nothing.
  [[nodiscard]] std::string reason() const;
};

}  // namespace cygnet::crypto
