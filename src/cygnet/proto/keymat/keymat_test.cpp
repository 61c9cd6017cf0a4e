// SPDX-License-Identifier: Apache-2.0
#include "cygnet/proto/keymat/keymat.h"

#include <gtest/gtest.h>

#include "cygnet/crypto/dh.h"
#include "cygnet/crypto/prf.h"
#include "cygnet/proto/dim/dim_test_support.h"

namespace cygnet::proto {
namespace {

using crypto::PrfId;

struct Material {
  Bytes ni = Bytes(32, 0x91);
  Bytes nr = Bytes(32, 0x12);
  Bytes g_ir = Bytes(32, 0x5c);
  Bytes ppk;
  [[nodiscard]] SpiInputs inputs(std::uint16_t lanes = 1, PrfId prf = PrfId::kHmacSha2_256) const {
    return {prf, ni, nr, std::pair<std::uint8_t, std::uint8_t>{1, 2}, lanes};
  }
};

crypto::EspSuite gcm() { return test::policy("aes256gcm16-x25519-sha256").suite; }
crypto::EspSuite cbc() { return test::policy("aes128-sha384-x25519-sha256").suite; }

TEST(Spis, AreCutFromThePrfPlusOfBothNonces) {
  const Material m;
  const Bytes seed = concat({as_bytes("SPI generation"), Bytes{1, 2}});
  const SecretBytes stream = crypto::prf_plus(PrfId::kHmacSha2_256, concat({m.ni, m.nr}), seed, 16);
  const auto spis = derive_spis(m.inputs(2));
  ASSERT_TRUE(spis.has_value());
  ASSERT_EQ(spis->size(), 2U);
  const std::uint8_t* s = stream.reveal().data();
  EXPECT_EQ((*spis)[0].i.value(), load_be32(s));
  EXPECT_EQ((*spis)[0].r.value(), load_be32(s + 4));
  EXPECT_EQ((*spis)[1].i.value(), load_be32(s + 8));
  EXPECT_EQ((*spis)[1].r.value(), load_be32(s + 12));
}

TEST(Spis, ProposalNumbersAndTheirAbsenceChangeThem) {
  const Material m;
  SpiInputs inputs = m.inputs();
  const auto chosen = derive_spis(inputs)->front();
  inputs.spn = {2, 1};
  EXPECT_NE(derive_spis(inputs)->front().i, chosen.i);
  inputs.spn.reset();
  const Bytes bare = concat({as_bytes("SPI generation")});
  const SecretBytes stream = crypto::prf_plus(PrfId::kHmacSha2_256, concat({m.ni, m.nr}), bare, 8);
  EXPECT_EQ(derive_spis(inputs)->front().i.value(), load_be32(stream.reveal().data()));
}

TEST(Spis, MoreLanesOnlyAddToThem) {
  const Material m;
  const auto few = derive_spis(m.inputs(3));
  const auto many = derive_spis(m.inputs(64));
  ASSERT_EQ(many->size(), 64U);
  for (std::size_t i = 0; i < few->size(); ++i) {
    EXPECT_EQ((*few)[i].i, (*many)[i].i);
    EXPECT_EQ((*few)[i].r, (*many)[i].r);
  }
}

TEST(Keys, AreCutInitiatorToResponderFirstAndEncryptionBeforeIntegrity) {
  const Material m;
  const auto keymat = derive_keymat(m.inputs(2), cbc(), m.g_ir, {});
  ASSERT_TRUE(keymat.has_value());
  ASSERT_EQ(keymat->keymat.size(), 2U * 2 * (16 + 48));
  const std::string all = to_hex(keymat->keymat.reveal());
  std::string joined;
  for (const LaneKeys& lane : keymat->lanes) {
    for (const DirectionKeys* keys : {&lane.i_to_r, &lane.r_to_i}) {
      EXPECT_EQ(keys->encr.size(), 16U);
      EXPECT_EQ(keys->integ.size(), 48U);
      joined += to_hex(keys->encr.reveal()) + to_hex(keys->integ.reveal());
    }
  }
  EXPECT_EQ(joined, all);
}

TEST(Keys, AnAeadHasItsSaltAndNoIntegrityKey) {
  const Material m;
  const auto keymat = derive_keymat(m.inputs(), gcm(), m.g_ir, {});
  ASSERT_TRUE(keymat.has_value());
  EXPECT_EQ(keymat->lanes.front().i_to_r.encr.size(), 36U);
  EXPECT_TRUE(keymat->lanes.front().i_to_r.integ.empty());
}

TEST(Keys, TheLongFormFollowsTheFormulas) {
  const Material m;
  const auto keymat = derive_keymat(m.inputs(), gcm(), m.g_ir, {});
  ASSERT_TRUE(keymat.has_value());
  const Bytes nonces = concat({m.ni, m.nr});
  ByteWriter spis;
  spis.u32(keymat->lanes.front().spi.i.value());
  spis.u32(keymat->lanes.front().spi.r.value());
  const auto prf = PrfId::kHmacSha2_256;
  const SecretBytes skeyseed = crypto::prf(prf, nonces, m.g_ir);
  const SecretBytes sk_d =
      crypto::prf_plus(prf, skeyseed.reveal(), concat({nonces, spis.view()}), 32);
  const SecretBytes expected = crypto::prf_plus(prf, sk_d.reveal(), nonces, 72);
  EXPECT_EQ(to_hex(keymat->skeyseed.reveal()), to_hex(skeyseed.reveal()));
  EXPECT_EQ(to_hex(keymat->sk_d_prime.reveal()), to_hex(sk_d.reveal()));
  EXPECT_EQ(to_hex(keymat->sk_d.reveal()), to_hex(sk_d.reveal()));
  EXPECT_EQ(to_hex(keymat->keymat.reveal()), to_hex(expected.reveal()));
}

TEST(Keys, TheShortFormHasNoSkD) {
  const Material m;
  const auto keymat = derive_keymat(m.inputs(), gcm(), m.g_ir, {}, Kdf::kShort);
  ASSERT_TRUE(keymat.has_value());
  EXPECT_TRUE(keymat->sk_d.empty());
  EXPECT_TRUE(keymat->sk_d_prime.empty());
  const auto long_form = derive_keymat(m.inputs(), gcm(), m.g_ir, {});
  EXPECT_EQ(to_hex(keymat->skeyseed.reveal()), to_hex(long_form->skeyseed.reveal()));
  EXPECT_NE(to_hex(keymat->keymat.reveal()), to_hex(long_form->keymat.reveal()));
}

TEST(Keys, APpkChangesSkDAndNotWhatComesBefore) {
  const Material m;
  const Bytes ppk(32, 0xee);
  const auto without = derive_keymat(m.inputs(), gcm(), m.g_ir, {});
  const auto with = derive_keymat(m.inputs(), gcm(), m.g_ir, ppk);
  ASSERT_TRUE(with.has_value());
  EXPECT_EQ(to_hex(with->sk_d_prime.reveal()), to_hex(without->sk_d_prime.reveal()));
  EXPECT_NE(to_hex(with->sk_d.reveal()), to_hex(without->sk_d.reveal()));
  EXPECT_EQ(
      to_hex(with->sk_d.reveal()),
      to_hex(crypto::prf_plus(PrfId::kHmacSha2_256, ppk, with->sk_d_prime.reveal(), 32).reveal()));
}

TEST(Keys, APpkWithTheShortFormIsRefused) {
  const Material m;
  const auto keymat = derive_keymat(m.inputs(), gcm(), m.g_ir, Bytes(32, 1), Kdf::kShort);
  ASSERT_FALSE(keymat.has_value());
  EXPECT_EQ(keymat.error().code, kErrPpk);
}

TEST(Keys, NoncesHaveSixteenTo256Octets) {
  for (const auto& [length, good] : {std::pair<std::size_t, bool>{15, false},
                                     {16, true},
                                     {256, true},
                                     {257, false},
                                     {0, false}}) {
    Material m;
    m.ni = Bytes(length, 1);
    EXPECT_EQ(derive_spis(m.inputs()).has_value(), good) << length;
    std::swap(m.ni, m.nr);
    const auto keymat = derive_keymat(m.inputs(), gcm(), m.g_ir, {});
    EXPECT_EQ(keymat.has_value(), good) << length;
    if (!good) {
      EXPECT_EQ(keymat.error().code, kErrNonceLength);
    }
  }
}

TEST(Keys, LanesEndWhereThePrfDoes) {
  const Material m;
  const auto heavy = test::policy("aes256-sha512-x25519-sha256").suite;
  EXPECT_TRUE(derive_keymat(m.inputs(42), heavy, m.g_ir, {}).has_value());
  for (const auto& result : {derive_keymat(m.inputs(43), heavy, m.g_ir, {}).has_value(),
                             derive_keymat(m.inputs(0), heavy, m.g_ir, {}).has_value(),
                             derive_keymat(m.inputs(65), gcm(), m.g_ir, {}).has_value()}) {
    EXPECT_FALSE(result);
  }
  EXPECT_EQ(derive_keymat(m.inputs(43), heavy, m.g_ir, {}).error().code, kErrLanes);
  EXPECT_EQ(derive_spis(m.inputs(0)).error().code, kErrLanes);
}

// Two devices that know only each other's DIM have the same keys, each way round.
TEST(Keys, AreTheSameAtBothEndsForEveryGroup) {
  test::Rng rng(3);
  for (const auto group :
       {crypto::DhGroup::kX25519, crypto::DhGroup::kX448, crypto::DhGroup::kEcp256,
        crypto::DhGroup::kEcp384, crypto::DhGroup::kEcp521, crypto::DhGroup::kModp2048}) {
    const auto a = crypto::DhPrivate::generate(group);
    const auto b = crypto::DhPrivate::generate(group);
    ASSERT_TRUE(a.has_value() && b.has_value());
    const Bytes na = test::random_octets(rng, 32);
    const Bytes nb = test::random_octets(rng, 32);
    const bool a_is_initiator = role_of_local(na, nb).value() == Role::kInitiator;
    const SpiInputs inputs{PrfId::kHmacSha2_384, a_is_initiator ? na : nb, a_is_initiator ? nb : na,
                           std::pair<std::uint8_t, std::uint8_t>{1, 1}, 2};
    const auto secret_a = a->derive(b->public_value());
    const auto secret_b = b->derive(a->public_value());
    ASSERT_TRUE(secret_a.has_value() && secret_b.has_value());
    const auto keys_a = derive_keymat(inputs, cbc(), secret_a->reveal(), {});
    const auto keys_b = derive_keymat(inputs, cbc(), secret_b->reveal(), {});
    EXPECT_EQ(to_hex(keys_a->keymat.reveal()), to_hex(keys_b->keymat.reveal()));
    EXPECT_NE(to_hex(keys_a->lanes[0].i_to_r.encr.reveal()),
              to_hex(keys_a->lanes[0].r_to_i.encr.reveal()));
  }
}

}  // namespace
}  // namespace cygnet::proto
