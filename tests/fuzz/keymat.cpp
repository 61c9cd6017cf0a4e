// SPDX-License-Identifier: Apache-2.0

/// Both ends, each with its own private value and the other's public one, must derive the same
/// SPIs and keys (docs/protocol.md section 5), and no two keys or SPIs of a direction are alike.

#include "cygnet/proto/keymat/keymat.h"

#include <set>

#include "cygnet/crypto/dh.h"
#include "cygnet/crypto/hash.h"
#include "dims.h"

using namespace cygnet;
using namespace cygnet::proto;

namespace {

struct End {
  const Dim* local;
  const Dim* remote;
  const crypto::DhPrivate* own;
  ByteView peer_public;
};

/// What a device computes from its side alone.
Keymat derive(const End& end, const Agreement& agreement, ByteView ppk) {
  const bool initiator = agreement.local_role == Role::kInitiator;
  SpiInputs inputs{agreement.policy.prf, initiator ? end.local->nonce : end.remote->nonce,
                   initiator ? end.remote->nonce : end.local->nonce,
                   std::pair(agreement.spn_i, agreement.spn_r), agreement.lanes};
  const auto shared = end.own->derive(end.peer_public);
  FUZZ_REQUIRE(shared.has_value());
  auto keymat = derive_keymat(inputs, agreement.policy.suite, shared->reveal(), ppk);
  FUZZ_REQUIRE(keymat.has_value());
  const auto spis = derive_spis(inputs);  // as a lazy device claims them, before any DH
  FUZZ_REQUIRE(spis.has_value() && spis->size() == keymat->lanes.size());
  for (std::size_t k = 0; k < spis->size(); ++k) {
    FUZZ_REQUIRE((*spis)[k].i == keymat->lanes[k].spi.i && (*spis)[k].r == keymat->lanes[k].spi.r);
  }
  return std::move(*keymat);
}

bool same(const SecretBytes& a, const SecretBytes& b) { return equal(a.reveal(), b.reveal()); }

}  // namespace

FUZZ_TARGET(keymat) {
  fuzz::Input in(octets);
  const Bytes secret_a = in.exactly(32), secret_b = in.exactly(32);
  const ByteView ppk = in.take(in.below(40));
  const Dim a = fuzz::any_dim(in, "alpha.mesh");
  const Dim b = fuzz::any_dim(in, "beta.mesh");
  const auto at_a = negotiate(a, b), at_b = negotiate(b, a);
  if (!at_a || !at_b) return;
  // One group for all: that the others agree with themselves is what vectors are for.
  const auto own_a = crypto::DhPrivate::from_octets(crypto::DhGroup::kX25519, secret_a);
  const auto own_b = crypto::DhPrivate::from_octets(crypto::DhGroup::kX25519, secret_b);
  if (!own_a || !own_b) return;
  const Keymat ka = derive({&a, &b, &*own_a, own_b->public_value()}, *at_a, ppk);
  const Keymat kb = derive({&b, &a, &*own_b, own_a->public_value()}, *at_b, ppk);
  FUZZ_REQUIRE(same(ka.sk_d, kb.sk_d) && ka.lanes.size() == kb.lanes.size());
  FUZZ_REQUIRE(ka.lanes.size() == at_a->lanes);
  std::set<std::uint32_t> to_initiator, to_responder;
  std::set<Bytes> keys;
  for (std::size_t k = 0; k < ka.lanes.size(); ++k) {
    const LaneKeys& x = ka.lanes[k];
    const LaneKeys& y = kb.lanes[k];
    FUZZ_REQUIRE(x.spi.i == y.spi.i && x.spi.r == y.spi.r);
    FUZZ_REQUIRE(to_initiator.insert(x.spi.i.value()).second && x.spi.i.value() > 255);
    FUZZ_REQUIRE(to_responder.insert(x.spi.r.value()).second && x.spi.r.value() > 255);
    const std::pair<const DirectionKeys*, const DirectionKeys*> both[] = {{&x.i_to_r, &y.i_to_r},
                                                                          {&x.r_to_i, &y.r_to_i}};
    for (const auto& [one, other] : both) {
      FUZZ_REQUIRE(same(one->encr, other->encr) && same(one->integ, other->integ));
      FUZZ_REQUIRE(one->encr.size() == at_a->policy.suite.encr_key_length());
      FUZZ_REQUIRE(one->integ.size() == at_a->policy.suite.integ_key_length());
      const ByteView key = one->encr.reveal();
      FUZZ_REQUIRE(keys.insert(Bytes(key.begin(), key.end())).second);
    }
  }
}
