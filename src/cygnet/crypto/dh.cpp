// SPDX-License-Identifier: Apache-2.0
#include "cygnet/crypto/dh.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/dh.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "cygnet/base/assert.h"
#include "cygnet/crypto/dh_groups.h"

namespace cygnet::crypto {

struct DhPrivate::Impl {
  DhGroup group;
  PkeyPtr key;  // decoded once; its private value is cleared when freed
  Bytes public_value;
};

namespace {

struct ParamsDelete {
  void operator()(OSSL_PARAM* p) const { OSSL_PARAM_free(p); }
  void operator()(OSSL_PARAM_BLD* p) const { OSSL_PARAM_BLD_free(p); }
};

tl::unexpected<Error> openssl_failed(const char* doing, DhGroup group,
                                     const ErrorQueueScope& errors) {
  return fail(kErrCrypto, std::string("OpenSSL could not ") + doing + " of group " +
                              std::string(to_string(group)) + ": " + errors.reason());
}

/// RFC 3526 section 8 estimates the strength of each group; an exponent of at least twice its
/// larger estimate loses nothing and is several times faster than a full one.
int modp_exponent_bits(DhGroup group) {
  if (group == DhGroup::kModp2048) return 320;
  return group == DhGroup::kModp3072 ? 420 : 480;
}

PkeyPtr generate_key(DhGroup group) {
  const PkeyCtxPtr context(EVP_PKEY_CTX_new_from_name(nullptr, openssl_algorithm(group), nullptr));
  if (context == nullptr || EVP_PKEY_keygen_init(context.get()) != 1) return nullptr;
  if (kind_of(group) != DhKind::kMontgomery) {
    std::string name = openssl_group_name(group);
    int bits = kind_of(group) == DhKind::kModp ? modp_exponent_bits(group) : 0;
    const std::array<OSSL_PARAM, 3> params{
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, name.data(), 0),
        bits != 0 ? OSSL_PARAM_construct_int(OSSL_PKEY_PARAM_DH_PRIV_LEN, &bits)
                  : OSSL_PARAM_construct_end(),
        OSSL_PARAM_construct_end()};
    if (EVP_PKEY_CTX_set_params(context.get(), params.data()) != 1) return nullptr;
  }
  EVP_PKEY* key = nullptr;
  if (EVP_PKEY_generate(context.get(), &key) != 1) return nullptr;
  return PkeyPtr(key);
}

/// A key of a named group from its parts; `secret` may be null for a public key.
PkeyPtr key_from_parts(DhGroup group, const bignum_st* secret, ByteView encoded_public) {
  const std::unique_ptr<OSSL_PARAM_BLD, ParamsDelete> builder(OSSL_PARAM_BLD_new());
  if (builder == nullptr) return nullptr;
  if (OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME,
                                      openssl_group_name(group), 0) != 1) {
    return nullptr;
  }
  if (secret != nullptr &&
      OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_PRIV_KEY, secret) != 1) {
    return nullptr;
  }
  BnPtr modp_public;  // must outlive the builder's use of it
  if (kind_of(group) == DhKind::kModp) {
    modp_public.reset(
        BN_bin2bn(encoded_public.data(), static_cast<int>(encoded_public.size()), nullptr));
    if (modp_public == nullptr ||
        OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, modp_public.get()) != 1) {
      return nullptr;
    }
  } else if (OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY,
                                              encoded_public.data(), encoded_public.size()) != 1) {
    return nullptr;
  }
  const std::unique_ptr<OSSL_PARAM, ParamsDelete> params(OSSL_PARAM_BLD_to_param(builder.get()));
  const PkeyCtxPtr context(EVP_PKEY_CTX_new_from_name(nullptr, openssl_algorithm(group), nullptr));
  if (params == nullptr || context == nullptr) return nullptr;
  EVP_PKEY* key = nullptr;
  if (EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &key,
                        secret != nullptr ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY,
                        params.get()) != 1) {
    return nullptr;
  }
  return PkeyPtr(key);
}

/// KE octets as OpenSSL encodes a public value: with the SEC 1 "uncompressed" octet for a curve.
Bytes to_openssl(DhGroup group, ByteView public_value) {
  Bytes out;
  out.reserve(public_value.size() + 1);
  if (kind_of(group) == DhKind::kEcp) out.push_back(POINT_CONVERSION_UNCOMPRESSED);
  out.insert(out.end(), public_value.begin(), public_value.end());
  return out;
}

Bytes public_octets(DhGroup group, EVP_PKEY* key) {
  unsigned char* encoded = nullptr;
  const std::size_t length = EVP_PKEY_get1_encoded_public_key(key, &encoded);
  Bytes out(encoded, encoded + length);
  OPENSSL_free(encoded);
  if (kind_of(group) == DhKind::kEcp && !out.empty()) out.erase(out.begin());
  return out;
}

tl::unexpected<Error> bad_private(DhGroup group, const std::string& why) {
  return fail(kErrPrivateValue,
              "private value of group " + std::string(to_string(group)) + " " + why, {},
              "give " + std::to_string(private_value_length(group)) + " octets");
}

BnPtr secret_bignum(ByteView value) {
  // The "secure" flag makes the parameter builder clear its copy.
  BnPtr number(BN_secure_new());
  CYGNET_ASSERT(number != nullptr);
  CYGNET_ASSERT(BN_bin2bn(value.data(), static_cast<int>(value.size()), number.get()) != nullptr);
  BN_set_flags(number.get(), BN_FLG_CONSTTIME);
  return number;
}

/// g^x mod p, padded; empty on failure.
Bytes modp_public(DhGroup group, const bignum_st& x) {
  const bignum_st& p = modp_prime(group);
  const BnPtr g(BN_new());
  const BnPtr y(BN_new());
  BN_CTX* const scratch = BN_CTX_secure_new();
  CYGNET_ASSERT(g != nullptr && y != nullptr && scratch != nullptr);
  Bytes out(public_value_length(group));
  const bool ok = BN_set_word(g.get(), 2) == 1 &&
                  BN_mod_exp_mont_consttime(y.get(), g.get(), &x, &p, scratch, nullptr) == 1 &&
                  BN_bn2binpad(y.get(), out.data(), static_cast<int>(out.size())) > 0;
  BN_CTX_free(scratch);
  return ok ? out : Bytes{};
}

/// x·G as KE octets; empty on failure.
Bytes ecp_public(DhGroup group, const bignum_st& x) {
  const ec_group_st& curve = ec_group(group);
  const OsslPtr<ec_point_st> point(EC_POINT_new(&curve));
  CYGNET_ASSERT(point != nullptr);
  Bytes out(public_value_length(group) + 1);
  if (EC_POINT_mul(&curve, point.get(), &x, nullptr, nullptr, nullptr) != 1 ||
      EC_POINT_point2oct(&curve, point.get(), POINT_CONVERSION_UNCOMPRESSED, out.data(), out.size(),
                         nullptr) != out.size()) {
    return {};
  }
  out.erase(out.begin());
  return out;
}

/// The peer's key in OpenSSL's form. For named groups one key a thread is kept and given each
/// peer's value, because setting up a group's parameters costs as much as some derivations.
EVP_PKEY* peer_key(DhGroup group, ByteView public_value, PkeyPtr& owned) {
  if (kind_of(group) == DhKind::kMontgomery) {
    owned.reset(EVP_PKEY_new_raw_public_key_ex(nullptr, openssl_algorithm(group), nullptr,
                                               public_value.data(), public_value.size()));
    return owned.get();
  }
  thread_local std::array<PkeyPtr, 33> kept;  // by IANA number, of which 32 is our largest
  PkeyPtr& slot = kept[static_cast<std::size_t>(group)];
  const Bytes encoded = to_openssl(group, public_value);
  if (slot == nullptr) {
    slot = key_from_parts(group, nullptr, encoded);
    return slot.get();
  }
  return EVP_PKEY_set1_encoded_public_key(slot.get(), encoded.data(), encoded.size()) == 1
             ? slot.get()
             : nullptr;
}

}  // namespace

DhPrivate::DhPrivate(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
DhPrivate::DhPrivate(DhPrivate&&) noexcept = default;
DhPrivate& DhPrivate::operator=(DhPrivate&&) noexcept = default;
DhPrivate::~DhPrivate() = default;

DhGroup DhPrivate::group() const { return impl_->group; }
const Bytes& DhPrivate::public_value() const { return impl_->public_value; }

Result<DhPrivate> DhPrivate::generate(DhGroup group) {
  const ErrorQueueScope errors;
  auto impl = std::make_unique<Impl>();
  impl->group = group;
  impl->key = generate_key(group);
  if (impl->key == nullptr) return openssl_failed("generate a private value", group, errors);
  impl->public_value = public_octets(group, impl->key.get());
  if (impl->public_value.size() != public_value_length(group)) {
    return openssl_failed("encode the public value", group, errors);
  }
  return DhPrivate(std::move(impl));
}

Result<DhPrivate> DhPrivate::from_octets(DhGroup group, ByteView value) {
  const ErrorQueueScope errors;
  const std::size_t full = private_value_length(group);
  auto impl = std::make_unique<Impl>();
  impl->group = group;
  if (kind_of(group) == DhKind::kMontgomery) {
    if (value.size() != full) {
      return bad_private(group, "has " + std::to_string(value.size()) + " octets");
    }
    impl->key.reset(EVP_PKEY_new_raw_private_key_ex(nullptr, openssl_algorithm(group), nullptr,
                                                    value.data(), value.size()));
    if (impl->key == nullptr) return openssl_failed("take a private value", group, errors);
    impl->public_value = public_octets(group, impl->key.get());
    return DhPrivate(std::move(impl));
  }
  const bool modp = kind_of(group) == DhKind::kModp;
  // MODP exponents are commonly shorter than the modulus; leading zeroes change nothing.
  if (modp ? value.empty() || value.size() > full : value.size() != full) {
    return bad_private(group, "has " + std::to_string(value.size()) + " octets");
  }
  const BnPtr secret = secret_bignum(value);
  const bignum_st* const bound = modp ? &modp_prime(group) : EC_GROUP_get0_order(&ec_group(group));
  if (BN_is_zero(secret.get())) return bad_private(group, "is zero");
  if (BN_cmp(secret.get(), bound) >= 0) {
    return bad_private(group, modp ? "is not below p" : "is not below the group's order");
  }
  impl->public_value = modp ? modp_public(group, *secret) : ecp_public(group, *secret);
  // g^x = ±1 for x = (p-1)/2 and p-1: no peer would take it.
  if (impl->public_value.empty() || !check_public_value(group, impl->public_value).has_value()) {
    return bad_private(group, "has no valid public value");
  }
  impl->key = key_from_parts(group, secret.get(), to_openssl(group, impl->public_value));
  if (impl->key == nullptr) return openssl_failed("take a private value", group, errors);
  return DhPrivate(std::move(impl));
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-5.2.1.1
//# is computed using the peer's public value, and the device's private value.
Result<SecretBytes> DhPrivate::derive(ByteView peer_public) const {
  const DhGroup group = impl_->group;
  //= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-7
  //# the device first validating a peer's public value to be a safe public value before combining
  //# its own private value with it. The tests which MUST be performed are described in
  CYGNET_CHECK_OK(check_public_value(group, peer_public));
  const ErrorQueueScope errors;
  PkeyPtr owned;
  EVP_PKEY* const peer = peer_key(group, peer_public, owned);
  if (peer == nullptr) return openssl_failed("take the peer's public value", group, errors);
  const PkeyCtxPtr context(EVP_PKEY_CTX_new_from_pkey(nullptr, impl_->key.get(), nullptr));
  // The peer's value has passed our own tests; OpenSSL's would add an exponentiation for MODP.
  if (context == nullptr || EVP_PKEY_derive_init(context.get()) != 1 ||
      EVP_PKEY_derive_set_peer_ex(context.get(), peer, 0) != 1) {
    return openssl_failed("prepare a shared secret", group, errors);
  }
  // RFC 7296 section 2.14: "g^ir is represented as a string of octets in big endian order padded
  // with zeros if necessary to make it the length of the modulus."
  if (kind_of(group) == DhKind::kModp && EVP_PKEY_CTX_set_dh_pad(context.get(), 1) != 1) {
    return openssl_failed("prepare a shared secret", group, errors);
  }
  SecretBytes secret(shared_secret_length(group));
  std::size_t length = secret.size();
  const bool derived = EVP_PKEY_derive(context.get(), secret.reveal_mutable().data(), &length) == 1;
  // RFC 7748 section 6: "Both MAY check, without leaking extra information about the value of K,
  // whether K is the all-zero value and abort if so". OpenSSL fails then; we look ourselves too.
  std::uint8_t any = 0;
  for (const std::uint8_t octet : secret.reveal()) any = static_cast<std::uint8_t>(any | octet);
  if (kind_of(group) == DhKind::kMontgomery && (!derived || any == 0)) {
    return fail(kErrPublicValue, "public value of group " + std::string(to_string(group)) +
                                     " gives an all-zero shared secret");
  }
  if (!derived || length != secret.size()) {
    return openssl_failed("compute a shared secret", group, errors);
  }
  return secret;
}

}  // namespace cygnet::crypto
