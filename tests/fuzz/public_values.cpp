// SPDX-License-Identifier: Apache-2.0

/// Public values (RFC 6989) against a slow reference: the curve equation and the doubling of a
/// point written out in big numbers. The product knows lists of small-order values and asks
/// OpenSSL's curves; the reference knows neither.

#include <openssl/bn.h>

#include <memory>
#include <optional>

#include "cygnet/crypto/dh.h"
#include "fuzz.h"

using namespace cygnet;
using crypto::DhGroup;

namespace {

class Big {
 public:
  Big() : n_(BN_new()) {}
  explicit Big(ByteView octets)
      : n_(BN_bin2bn(octets.data(), static_cast<int>(octets.size()), nullptr)) {}
  explicit Big(unsigned long word) : Big() { FUZZ_REQUIRE(BN_set_word(n_.get(), word) == 1); }
  static Big hex(const char* text) {
    Big out;
    BIGNUM* n = out.n_.get();
    FUZZ_REQUIRE(BN_hex2bn(&n, text) > 0);
    return out;
  }
  [[nodiscard]] BIGNUM* get() const { return n_.get(); }
  friend bool operator<(const Big& a, const Big& b) { return BN_cmp(a.get(), b.get()) < 0; }
  friend bool operator==(const Big& a, const Big& b) { return BN_cmp(a.get(), b.get()) == 0; }

 private:
  struct Free {
    void operator()(BIGNUM* n) const { BN_free(n); }
  };
  std::unique_ptr<BIGNUM, Free> n_;
};

struct Field {
  Big p;
  static BN_CTX* scratch() {
    static BN_CTX* const kScratch = BN_CTX_new();
    return kScratch;
  }
  [[nodiscard]] Big add(const Big& a, const Big& b) const {
    Big r;
    BN_mod_add(r.get(), a.get(), b.get(), p.get(), scratch());
    return r;
  }
  [[nodiscard]] Big sub(const Big& a, const Big& b) const {
    Big r;
    BN_mod_sub(r.get(), a.get(), b.get(), p.get(), scratch());
    return r;
  }
  [[nodiscard]] Big mul(const Big& a, const Big& b) const {
    Big r;
    BN_mod_mul(r.get(), a.get(), b.get(), p.get(), scratch());
    return r;
  }
};

/// 2^bits - 2^middle - 1, or 2^bits - small.
Big pseudo_mersenne(int bits, int middle, unsigned long small) {
  Big p;
  BN_set_bit(p.get(), bits);
  if (middle > 0) {
    Big m;
    BN_set_bit(m.get(), middle);
    BN_sub(p.get(), p.get(), m.get());
  }
  BN_sub_word(p.get(), small);
  return p;
}

/// y^2 = x^3 - 3x + b over p, SEC 2.
bool on_curve(const Field& field, const Big& b, ByteView value) {
  const Big x(value.first(value.size() / 2)), y(value.subspan(value.size() / 2));
  if (!(x < field.p) || !(y < field.p)) return false;
  const Big cube = field.mul(field.mul(x, x), x);
  const Big right = field.add(field.sub(cube, field.mul(Big(3), x)), b);
  return field.mul(y, y) == right;
}

/// Doubles the point of a Montgomery curve (or its twist) `times` times: is it the neutral one?
bool vanishes(const Field& field, unsigned long a, Bytes u, bool mask, int times) {
  if (mask) u.back() &= 0x7f;
  const Bytes big_endian(u.rbegin(), u.rend());
  Big reduced;
  BN_nnmod(reduced.get(), Big(ByteView(big_endian)).get(), field.p.get(), Field::scratch());
  Big x = std::move(reduced), z(1);
  for (int i = 0; i < times; ++i) {
    const Big xx = field.mul(x, x), zz = field.mul(z, z), xz = field.mul(x, z);
    const Big difference = field.sub(xx, zz);
    const Big sum = field.add(field.add(xx, field.mul(Big(a), xz)), zz);
    x = field.mul(difference, difference);
    z = field.mul(field.mul(Big(4), xz), sum);
  }
  return BN_is_zero(z.get()) == 1;
}

bool reference(DhGroup group, ByteView value) {
  if (value.size() != crypto::public_value_length(group)) return false;
  static const Field p256{
      Big::hex("FFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF")};
  static const Field p384{
      Big::hex("FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEFFFFFFFF00000000000"
               "00000FFFFFF"
               "FF")};
  static const Field p521{pseudo_mersenne(521, 0, 1)};
  static const Field p25519{pseudo_mersenne(255, 0, 19)};
  static const Field p448{pseudo_mersenne(448, 224, 1)};
  static const Big b256 =
      Big::hex("5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B");
  static const Big b384 = Big::hex(
      "B3312FA7E23EE7E4988E056BE3F82D19181D9C6EFE8141120314088F5013875AC656398D8A2ED19D2A85C8EDD3EC"
      "2A"
      "EF");
  static const Big b521 = Big::hex(
      "0051953EB9618E1C9A1F929A21A0B68540EEA2DA725B99B315F3B8B489918EF109E156193951EC7E937B1652C0BD"
      "3B"
      "B1BF073573DF883D2C34F1EF451FD46B503F00");
  switch (group) {
    case DhGroup::kEcp256:
      return on_curve(p256, b256, value);
    case DhGroup::kEcp384:
      return on_curve(p384, b384, value);
    case DhGroup::kEcp521:
      return on_curve(p521, b521, value);
    case DhGroup::kX25519:  // cofactors 8 and 4 (twist)
      return !vanishes(p25519, 486662, Bytes(value.begin(), value.end()), true, 3);
    case DhGroup::kX448:  // cofactors 4 and 4
      return !vanishes(p448, 156326, Bytes(value.begin(), value.end()), false, 2);
    case DhGroup::kModp2048:
    case DhGroup::kModp3072:
    case DhGroup::kModp4096:
      break;
  }
  Big p;
  if (group == DhGroup::kModp2048) BN_get_rfc3526_prime_2048(p.get());
  if (group == DhGroup::kModp3072) BN_get_rfc3526_prime_3072(p.get());
  if (group == DhGroup::kModp4096) BN_get_rfc3526_prime_4096(p.get());
  BN_sub_word(p.get(), 1);
  const Big y(value);
  return Big(1) < y && y < p;
}

}  // namespace

FUZZ_TARGET(public_values) {
  static constexpr DhGroup kGroups[] = {DhGroup::kX25519,   DhGroup::kX448,    DhGroup::kEcp256,
                                        DhGroup::kEcp384,   DhGroup::kEcp521,  DhGroup::kModp2048,
                                        DhGroup::kModp3072, DhGroup::kModp4096};
  fuzz::Input in(octets);
  const DhGroup group = kGroups[in.below(8)];
  const std::uint8_t how = in.u8() % 4;
  Bytes value;
  if (how == 0) {  // octets as they come
    const ByteView rest = in.rest();
    value.assign(rest.begin(), rest.end());
  } else if (how == 1) {
    value = in.exactly(crypto::public_value_length(group));
  } else {  // a good one, perhaps damaged
    static std::optional<crypto::DhPrivate> good[8];
    auto& own = good[octets[0] % 8];
    if (!own) {
      Bytes secret(crypto::private_value_length(group), 0x0d);
      secret.front() = 0;  // below every order
      auto made = crypto::DhPrivate::from_octets(group, secret);
      FUZZ_REQUIRE(made.has_value());
      own.emplace(std::move(*made));
    }
    value = own->public_value();
    if (how == 3) value[in.u16() % value.size()] ^= in.u8();
  }
  const Status judged = crypto::check_public_value(group, value);
  FUZZ_REQUIRE(judged.has_value() == reference(group, value));
  if (!judged) FUZZ_REQUIRE(judged.error().code == crypto::kErrPublicValue);
}
