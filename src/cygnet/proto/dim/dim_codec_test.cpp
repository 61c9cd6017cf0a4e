// SPDX-License-Identifier: Apache-2.0
#include "cygnet/proto/dim/dim_codec.h"

#include <functional>

#include "cygnet/proto/dim/dim_test_support.h"

namespace cygnet::proto {
namespace {

using test::full_dim;
using test::RawDim;
using test::small_dim;
namespace payload = ikev2::payload;

std::string repeat(std::string_view text, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += text;
  return out;
}

TEST(DimCodec, WritesTheOctetsOfTheSpecification) {
  Dim dim = small_dim();
  dim.lanes = 3;
  // Written out by hand from docs/protocol.md section 3.
  const std::string expected =
      // IDi: FQDN "alpha.mesh"
      "29000012"
      "02000000"
      "616c7068612e6d657368"
      // N(REKEY_COUNTER) 1.1
      "29000010"
      "0000a029"
      "0000000100000001"
      // N(LANES) 3
      "2100000a"
      "0000a02a"
      "0003"
      // SA: ENCR AES-GCM-16 256, KE 31, SN 1, PRF 5
      "22000030"
      "0000002c"
      "01030004"
      "0300000c01000014800e0100"
      "030000080400001f"
      "0300000805000001"
      "0000000802000005"
      // KE, Ni
      "28000028"
      "001f0000" +
      repeat("5a", 32) + "27000024" + repeat("ab", 32) +
      // AUTH: method 14, Ed25519
      "00000050"
      "0e000000"
      "07"
      "300506032b6570" +
      repeat("77", 64);
  EXPECT_EQ(to_hex(test::encoded(dim)), expected);
}

TEST(DimCodec, ReadsBackEverythingADimCanHold) {
  const Dim dim = full_dim();
  const auto reread = decode_dim(test::encoded(dim));
  ASSERT_TRUE(reread.has_value()) << reread.error().to_string();
  EXPECT_TRUE(*reread == dim);
}

TEST(DimCodec, RandomDimsComeBackAsTheyWere) {
  test::Rng rng(20260501);
  for (int i = 0; i < 2000; ++i) {
    const Dim dim = test::random_dim(rng);
    const Bytes octets = test::encoded(dim);
    ASSERT_FALSE(octets.empty());
    const auto reread = decode_dim(octets);
    ASSERT_TRUE(reread.has_value()) << reread.error().to_string();
    ASSERT_TRUE(*reread == dim);
    ASSERT_EQ(test::encoded(*reread), octets);
  }
}

// Canonical: whatever is accepted has exactly one encoding.
TEST(DimCodec, AnOctetChangedIsRefusedOrIsAnotherCanonicalDim) {
  std::size_t accepted = 0;
  std::size_t refused = 0;
  test::Rng rng(7);
  for (int round = 0; round < 6; ++round) {
    const Bytes whole =
        round == 0 ? test::encoded(full_dim()) : test::encoded(test::random_dim(rng));
    for (std::size_t at = 0; at < whole.size(); ++at) {
      for (const int flip : {0x01, 0x02, 0x10, 0x80, 0xff}) {
        Bytes octets = whole;
        octets[at] = static_cast<std::uint8_t>(octets[at] ^ flip);
        const auto dim = decode_dim(octets);
        if (!dim) {
          ++refused;
          ASSERT_FALSE(dim.error().where.empty()) << dim.error().message;
          continue;
        }
        ++accepted;
        const auto again = encode_dim(*dim);
        ASSERT_TRUE(again.has_value()) << again.error().to_string();
        ASSERT_EQ(*again, octets) << "octet " << at;
      }
    }
  }
  EXPECT_GT(accepted, 100U);
  EXPECT_GT(refused, 100U);
}

TEST(DimCodec, RandomOctetsNeverBreakTheReader) {
  test::Rng rng(11);
  for (int i = 0; i < 20000; ++i) {
    Bytes octets = test::encoded(small_dim());
    const std::size_t changes = 1 + test::below(rng, 4);
    for (std::size_t c = 0; c < changes; ++c) {
      octets[test::below(rng, octets.size())] = static_cast<std::uint8_t>(rng());
    }
    octets.resize(test::below(rng, octets.size() + 1));
    const auto dim = decode_dim(octets);
    if (dim) {
      ASSERT_EQ(test::encoded(*dim), octets);
    }
  }
}

TEST(DimCodec, EveryTruncationIsRefused) {
  const Bytes whole = test::encoded(full_dim());
  for (std::size_t n = 0; n < whole.size(); ++n) {
    const auto dim = decode_dim(ByteView(whole).first(n));
    ASSERT_FALSE(dim.has_value()) << n;
    ASSERT_EQ(dim.error().code, kErrDimForm);
    ASSERT_NE(dim.error().where.find(" payload at offset "), std::string::npos);
  }
}

struct Refusal {
  const char* what;
  std::uint8_t type;  ///< payload the refusal has to name…
  std::size_t nth;    ///< …and which one of that type
  std::function<void(RawDim&)> breaks;
  const char* message;  ///< part of what it says
};

class DimCodecRefuses : public testing::TestWithParam<Refusal> {};

TEST_P(DimCodecRefuses, AndNamesPayloadAndOffset) {
  RawDim raw = RawDim::of(full_dim());
  GetParam().breaks(raw);
  const Bytes octets = raw.octets();
  const auto dim = decode_dim(octets);
  ASSERT_FALSE(dim.has_value()) << GetParam().what;
  EXPECT_EQ(dim.error().code, kErrDimForm);
  const std::size_t index = raw.index_of(GetParam().type, GetParam().nth);
  EXPECT_EQ(dim.error().where, ikev2::payload_at(GetParam().type, raw.offset(index)))
      << dim.error().to_string();
  EXPECT_NE(dim.error().message.find(GetParam().message), std::string::npos)
      << dim.error().to_string();
}

// full_dim: Notify 0 REKEY_COUNTER, 1 INITIAL_CONTACT, 2 LANES, 3 and 4 PPK_IDENTITY, 5 and 6
// unknown; KE 0 is group 31, KE 1 group 19.
void swap(RawDim& raw, std::size_t a, std::size_t b) {
  std::swap(raw.payloads[a], raw.payloads[b]);
}
void erase(RawDim& raw, std::size_t index) {
  raw.payloads.erase(raw.payloads.begin() + static_cast<long>(index));
}
void insert(RawDim& raw, std::size_t index, std::uint8_t type, Bytes body) {
  raw.payloads.insert(raw.payloads.begin() + static_cast<long>(index), {type, std::move(body)});
}

const Refusal kRefusals[] = {
    {"IdentityCutShort", payload::kIdi, 0, [](RawDim& r) { r.body(payload::kIdi).resize(3); },
     "shorter than its fixed fields"},
    {"IdentityOfAnotherType", payload::kIdi, 0, [](RawDim& r) { r.body(payload::kIdi)[0] = 3; },
     "not FQDN"},
    {"IdentityReservedBits", payload::kIdi, 0, [](RawDim& r) { r.body(payload::kIdi)[2] = 1; },
     "reserved"},
    {"IdentityUpperCase", payload::kIdi, 0, [](RawDim& r) { r.body(payload::kIdi)[4] = 'A'; },
     "no lower-case DNS label"},
    {"IdentityWithoutMesh", payload::kIdi, 0, [](RawDim& r) { r.body(payload::kIdi).resize(9); },
     "no device name"},
    {"IdentityWithThreeLabels", payload::kIdi, 0, [](RawDim& r) { r.body(payload::kIdi)[6] = '.'; },
     "no lower-case DNS label"},
    {"IdentityOfNothing", payload::kIdi, 0, [](RawDim& r) { r.body(payload::kIdi).resize(4); },
     "no device name"},
    {"CounterMissing", payload::kNotify, 0, [](RawDim& r) { erase(r, 1); },
     "stands where REKEY_COUNTER should"},
    {"CounterAfterAnother", payload::kNotify, 0, [](RawDim& r) { swap(r, 1, 2); },
     "stands where REKEY_COUNTER should"},
    {"NotifiesMissing", payload::kSa, 0,
     [](RawDim& r) {
       for (int i = 0; i < 7; ++i) erase(r, 1);
     },
     "Notify should stand here"},
    {"CounterTooShort", payload::kNotify, 0, [](RawDim& r) { r.body(payload::kNotify).pop_back(); },
     "7 octets of data, not 8"},
    {"CounterTooLong", payload::kNotify, 0,
     [](RawDim& r) { r.body(payload::kNotify).push_back(0); }, "9 octets of data, not 8"},
    {"CounterSequenceZero", payload::kNotify, 0,
     [](RawDim& r) {
       for (std::size_t i = 8; i < 12; ++i) r.body(payload::kNotify)[i] = 0;
     },
     "sequence 0"},
    {"CounterTwice", payload::kNotify, 1,
     [](RawDim& r) { insert(r, 2, payload::kNotify, r.body(payload::kNotify)); },
     "repeated or out of order"},
    {"NotifyCutShort", payload::kNotify, 1,
     [](RawDim& r) { r.body(payload::kNotify, 1).resize(3); }, "shorter than its fixed fields"},
    {"NotifyWithProtocol", payload::kNotify, 1,
     [](RawDim& r) { r.body(payload::kNotify, 1)[0] = 3; }, "protocol 3"},
    {"NotifyWithSpi", payload::kNotify, 1, [](RawDim& r) { r.body(payload::kNotify, 1)[1] = 4; },
     "SPI size 4"},
    {"InitialContactWithData", payload::kNotify, 1,
     [](RawDim& r) { r.body(payload::kNotify, 1).push_back(0); }, "1 octets of data, not 0"},
    {"InitialContactTwice", payload::kNotify, 2,
     [](RawDim& r) { insert(r, 2, payload::kNotify, r.body(payload::kNotify, 1)); },
     "repeated or out of order"},
    {"InitialContactAfterLanes", payload::kNotify, 2, [](RawDim& r) { swap(r, 2, 3); },
     "repeated or out of order"},
    {"LanesZero", payload::kNotify, 2, [](RawDim& r) { r.body(payload::kNotify, 2)[5] = 0; },
     "LANES is 0"},
    {"LanesOne", payload::kNotify, 2, [](RawDim& r) { r.body(payload::kNotify, 2)[5] = 1; },
     "left out"},
    {"LanesTooLong", payload::kNotify, 2,
     [](RawDim& r) { r.body(payload::kNotify, 2).push_back(0); }, "3 octets of data, not 2"},
    {"PpkOfAnotherType", payload::kNotify, 3, [](RawDim& r) { r.body(payload::kNotify, 3)[4] = 1; },
     "type 1, not 2"},
    {"PpkWithoutId", payload::kNotify, 3, [](RawDim& r) { r.body(payload::kNotify, 3).resize(5); },
     "names no PPK"},
    {"PpkTwiceTheSame", payload::kNotify, 4,
     [](RawDim& r) { r.body(payload::kNotify, 4) = r.body(payload::kNotify, 3); },
     "PPK_IDENTITY is repeated"},
    {"PpkThreeOfThem", payload::kNotify, 5,
     [](RawDim& r) {
       Bytes third = r.body(payload::kNotify, 3);
       third.push_back('x');
       insert(r, 6, payload::kNotify, third);
     },
     "more than 2"},
    {"UnknownNotifiesDescending", payload::kNotify, 6, [](RawDim& r) { swap(r, 6, 7); },
     "after a higher"},
    {"UnknownBeforeKnown", payload::kNotify, 5, [](RawDim& r) { swap(r, 5, 6); },
     "repeated or out of order"},
    {"ErrorNotify", payload::kNotify, 5,
     [](RawDim& r) { store_be16(r.body(payload::kNotify, 5).data() + 2, 16383); },
     "no status notify"},
    {"SaMissing", payload::kKe, 0, [](RawDim& r) { erase(r, r.index_of(payload::kSa)); },
     "SA should stand here"},
    {"SaTwice", payload::kSa, 1,
     [](RawDim& r) { insert(r, r.index_of(payload::kKe), payload::kSa, r.body(payload::kSa)); },
     "KE should stand here"},
    {"KeMissing", payload::kNonce, 0, [](RawDim& r) { erase(r, r.index_of(payload::kKe, 1)); },
     "KE should stand here"},
    {"KeTooMany", payload::kKe, 2,
     [](RawDim& r) { insert(r, r.index_of(payload::kNonce), payload::kKe, r.body(payload::kKe)); },
     "Ni should stand here"},
    {"KeOutOfOrder", payload::kKe, 0,
     [](RawDim& r) { swap(r, r.index_of(payload::kKe), r.index_of(payload::kKe, 1)); },
     "KE for group 19 where group 31 is due"},
    {"KeReservedBits", payload::kKe, 0, [](RawDim& r) { r.body(payload::kKe)[3] = 1; }, "reserved"},
    {"KeCutShort", payload::kKe, 0, [](RawDim& r) { r.body(payload::kKe).resize(3); },
     "shorter than its fixed fields"},
    {"KeValueTooShort", payload::kKe, 0, [](RawDim& r) { r.body(payload::kKe).pop_back(); },
     "has 31 octets, not 32"},
    {"KeValueTooLong", payload::kKe, 1, [](RawDim& r) { r.body(payload::kKe, 1).push_back(0); },
     "has 65 octets, not 64"},
    {"NonceMissing", payload::kAuth, 0, [](RawDim& r) { erase(r, r.index_of(payload::kNonce)); },
     "Ni should stand here"},
    {"NonceTooShort", payload::kNonce, 0, [](RawDim& r) { r.body(payload::kNonce).pop_back(); },
     "31 octets, not 32"},
    {"NonceTooLong", payload::kNonce, 0, [](RawDim& r) { r.body(payload::kNonce).push_back(1); },
     "33 octets, not 32"},
    {"AuthMissing", payload::kNonce, 0, [](RawDim& r) { r.payloads.pop_back(); },
     "the message ends where the AUTH payload should follow"},
    {"AuthOfAnotherMethod", payload::kAuth, 0, [](RawDim& r) { r.body(payload::kAuth)[0] = 1; },
     "AUTH method 1"},
    {"AuthReservedBits", payload::kAuth, 0, [](RawDim& r) { r.body(payload::kAuth)[1] = 1; },
     "reserved"},
    {"AuthCutShort", payload::kAuth, 0, [](RawDim& r) { r.body(payload::kAuth).resize(4); },
     "shorter than its fixed fields"},
    {"AuthWithoutAlgorithm", payload::kAuth, 0, [](RawDim& r) { r.body(payload::kAuth)[4] = 0; },
     "algorithm length 0"},
    {"AuthAlgorithmTooLong", payload::kAuth, 0, [](RawDim& r) { r.body(payload::kAuth)[4] = 255; },
     "algorithm length 255"},
    {"AuthWithoutSignature", payload::kAuth, 0,
     [](RawDim& r) { r.body(payload::kAuth).resize(5 + 7); }, "no signature"},
    {"PayloadAfterAuth", payload::kNotify, 7,
     [](RawDim& r) {
       r.payloads.push_back({payload::kNotify, r.body(payload::kNotify, 1)});
     },
     "follows AUTH"},
    {"UnknownPayload", 43, 0, [](RawDim& r) { insert(r, r.index_of(payload::kSa), 43, Bytes{1}); },
     "unexpected payload"},
    {"IdentityTwice", payload::kIdi, 1,
     [](RawDim& r) { insert(r, 1, payload::kIdi, r.body(payload::kIdi)); }, "unexpected payload"},
};

INSTANTIATE_TEST_SUITE_P(Malformed, DimCodecRefuses, testing::ValuesIn(kRefusals),
                         [](const auto& test) { return std::string(test.param.what); });

TEST(DimCodec, RefusesADimOverEightKibibytes) {
  Dim dim = small_dim();
  dim.unknown_notifies = {{50000, Bytes(kDimLengthMax, 1)}};
  const auto octets = encode_dim(dim);
  ASSERT_FALSE(octets.has_value());
  EXPECT_EQ(octets.error().code, kErrDimSize);

  RawDim raw = RawDim::of(small_dim());
  raw.payloads.insert(raw.payloads.begin() + 2,
                      {payload::kNotify, concat({Bytes{0, 0, 0xff, 0xff}, Bytes(8000, 1)})});
  const Bytes too_long = raw.octets();
  ASSERT_GT(too_long.size(), kDimLengthMax);
  const auto dim_back = decode_dim(too_long);
  ASSERT_FALSE(dim_back.has_value());
  EXPECT_EQ(dim_back.error().code, kErrDimSize);
}

TEST(DimCodec, AcceptsADimOfExactlyEightKibibytes) {
  Dim dim = small_dim();
  dim.unknown_notifies = {{50000, {}}};
  const std::size_t room = kDimLengthMax - test::encoded(dim).size();
  dim.unknown_notifies.front().data = Bytes(room, 1);
  EXPECT_EQ(test::encoded(dim).size(), kDimLengthMax);
  dim.unknown_notifies.front().data.push_back(1);
  EXPECT_FALSE(encode_dim(dim).has_value());
}

TEST(DimCodec, AcceptsSeveralUnknownNotifiesOfOneType) {
  Dim dim = small_dim();
  dim.unknown_notifies = {{50000, Bytes{2}}, {50000, Bytes{1}}};
  const auto reread = decode_dim(test::encoded(dim));
  ASSERT_TRUE(reread.has_value());
  EXPECT_TRUE(*reread == dim);
}

TEST(DimCodec, DoesNotCheckTheKeOfAProposalItCannotChoose) {
  Dim dim = small_dim();
  Proposal future = make_proposal(2, test::policy("aes256gcm16-x448-sha256"));
  future.transforms[1].id = 36;  // ML-KEM-768, a method we do not implement
  dim.proposals.push_back(future);
  dim.kes.push_back({36, Bytes(11, 1)});
  // x448 named only by a proposal with an unknown cipher: known group, but never chosen.
  Proposal odd = make_proposal(3, test::policy("aes256gcm16-x448-sha256"));
  odd.transforms[0].id = 30;
  dim.proposals.push_back(odd);
  dim.kes.push_back({32, Bytes(3, 1)});
  const auto reread = decode_dim(test::encoded(dim));
  ASSERT_TRUE(reread.has_value()) << reread.error().to_string();
  EXPECT_TRUE(*reread == dim);
}

TEST(DimCodec, RefusesToWriteWhatItWouldNotRead) {
  const auto refuses = [](const std::function<void(Dim&)>& change) {
    Dim dim = full_dim();
    change(dim);
    return !encode_dim(dim).has_value() && !encode_dim_unsigned(dim).has_value();
  };
  EXPECT_TRUE(refuses([](Dim& d) { d.device = DeviceName("Alpha.mesh"); }));
  EXPECT_TRUE(refuses([](Dim& d) { d.counter = RekeyCounter(1, 0); }));
  EXPECT_TRUE(refuses([](Dim& d) { d.lanes = 0; }));
  EXPECT_TRUE(refuses([](Dim& d) { d.ppk_ids.push_back(Bytes{2, 'x'}); }));
  EXPECT_TRUE(refuses([](Dim& d) { d.proposals.clear(); }));
  EXPECT_TRUE(refuses([](Dim& d) { d.proposals[1].number = 7; }));
  EXPECT_TRUE(refuses([](Dim& d) { d.kes.pop_back(); }));
  EXPECT_TRUE(refuses([](Dim& d) { std::swap(d.kes[0], d.kes[1]); }));
  EXPECT_TRUE(refuses([](Dim& d) { d.nonce.pop_back(); }));
  // A known notify among the unknown ones would come back as something else.
  EXPECT_TRUE(refuses([](Dim& d) { d.unknown_notifies[0] = {16384, {}}; }));
}

TEST(DimCodec, TheUnsignedFormIsTheDimUpToAuth) {
  const Dim dim = full_dim();
  const Bytes whole = test::encoded(dim);
  const auto before = encode_dim_unsigned(dim);
  ASSERT_TRUE(before.has_value());
  EXPECT_TRUE(equal(octets_before_auth(whole), *before));
  Dim resigned = dim;
  resigned.auth = {Bytes{1}, Bytes{2}};
  EXPECT_EQ(*encode_dim_unsigned(resigned), *before);
}

TEST(DimAuth, SignsTheOctetsOfTheSpecification) {
  crypto::MeshId mesh{};
  mesh[0] = 0xaa;
  mesh[15] = 0xbb;
  const Bytes body{1, 2, 3};
  EXPECT_EQ(to_hex(auth_input(mesh, body)), to_hex(as_bytes("cygnet-dim-v1")) + "00" +
                                                "aa0000000000000000000000000000bb" + "23" +
                                                "010203");
}

class DimAuthWith : public testing::TestWithParam<crypto::KeyType> {};

TEST_P(DimAuthWith, VerifiesUnderItsOwnKeyMeshAndOctetsOnly) {
  const auto key = crypto::IdentityKey::generate(GetParam());
  ASSERT_TRUE(key.has_value());
  crypto::CertificateSpec spec;
  spec.spki = key->spki();
  spec.common_name = "alpha.mesh";
  spec.not_after = ServerTime(std::chrono::hours(1));
  const auto certificate = crypto::issue(spec, *key, std::nullopt);
  ASSERT_TRUE(certificate.has_value()) << certificate.error().to_string();

  Dim dim = full_dim();
  crypto::MeshId mesh{};
  mesh.fill(0x11);
  const auto octets = sign_dim(dim, mesh, *key);
  ASSERT_TRUE(octets.has_value()) << octets.error().to_string();
  EXPECT_TRUE(verify_dim(dim, *octets, mesh, *certificate).has_value());

  crypto::MeshId other_mesh = mesh;
  other_mesh[3] ^= 1;
  EXPECT_EQ(verify_dim(dim, *octets, other_mesh, *certificate).error().code, crypto::kErrSignature);
  Bytes changed = *octets;
  changed[33] ^= 1;  // last octet of the counter
  ASSERT_TRUE(decode_dim(changed).has_value());
  EXPECT_EQ(verify_dim(dim, changed, mesh, *certificate).error().code, crypto::kErrSignature);
  Dim forged = dim;
  forged.auth.value.back() ^= 1;
  EXPECT_EQ(verify_dim(forged, *octets, mesh, *certificate).error().code, crypto::kErrSignature);
}

INSTANTIATE_TEST_SUITE_P(Keys, DimAuthWith,
                         testing::Values(crypto::KeyType::kEcdsaP256, crypto::KeyType::kEcdsaP384,
                                         crypto::KeyType::kEd25519));

}  // namespace
}  // namespace cygnet::proto
