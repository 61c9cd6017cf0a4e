// SPDX-License-Identifier: Apache-2.0
#include "cygnet/proto/dim/sa_payload.h"

#include <functional>

#include "cygnet/proto/dim/dim_test_support.h"

namespace cygnet::proto {
namespace {

using test::policy;

// Two proposals written by hand: AES-GCM-256 / X25519 / ESN / SHA-256, and AES-CBC-128 with
// HMAC-SHA2-256-128 / P-256 / 32-bit numbers / SHA-384 in transport mode.
const char* const kSa =
    "0200002c"
    "01030004"
    "0300000c01000014800e0100"
    "030000080400001f"
    "0300000805000001"
    "0000000802000005"
    "0000003c"
    "02030006"
    "0300000c0100000c800e0080"
    "030000080300000c"
    "0300000804000013"
    "0300000805000000"
    "0300000802000006"
    "00000008f1000002";
constexpr std::size_t kSecond = 0x2c;  // offset of the second proposal

Bytes sa() { return from_hex(kSa).value(); }

TEST(SaPayload, ReadsProposalsAndWritesThemBack) {
  const auto proposals = decode_sa(sa(), 0);
  ASSERT_TRUE(proposals.has_value()) << proposals.error().to_string();
  ASSERT_EQ(proposals->size(), 2U);
  EXPECT_EQ(interpret((*proposals)[0]), policy("aes256gcm16-x25519-sha256"));
  EXPECT_EQ(interpret((*proposals)[1]), policy("aes128-sha256-ecp256-sha384-noesn-transport"));
  EXPECT_EQ(to_hex(encode_sa(*proposals)), kSa);
}

TEST(SaPayload, EveryTruncationIsRefused) {
  const Bytes whole = sa();
  for (std::size_t n = 0; n < whole.size(); ++n) {
    EXPECT_FALSE(decode_sa(ByteView(whole).first(n), 0).has_value()) << n;
  }
}

struct SaRefusal {
  const char* what;
  std::function<void(Bytes&)> breaks;
  const char* message;
};
class SaPayloadRefuses : public testing::TestWithParam<SaRefusal> {};

TEST_P(SaPayloadRefuses, AndNamesTheSaPayload) {
  Bytes octets = sa();
  GetParam().breaks(octets);
  const auto proposals = decode_sa(octets, 38);
  ASSERT_FALSE(proposals.has_value());
  EXPECT_EQ(proposals.error().code, kErrDimForm);
  EXPECT_EQ(proposals.error().where, "SA payload at offset 38");
  EXPECT_NE(proposals.error().message.find(GetParam().message), std::string::npos)
      << proposals.error().message;
}

const SaRefusal kSaRefusals[] = {
    {"ProposalNeitherLastNorMore", [](Bytes& b) { b[0] = 1; }, "neither last (0) nor more (2)"},
    {"ProposalReserved", [](Bytes& b) { b[1] = 1; }, "reserved bits set (octet 43)"},
    {"ProposalLengthTooLong", [](Bytes& b) { b[3] = 0xff; }, "does not fit"},
    {"ProposalLengthTooShort", [](Bytes& b) { b[3] = 7; }, "does not fit"},
    {"ProposalNumber", [](Bytes& b) { b[kSecond + 4] = 3; }, "proposal 2 is numbered 3"},
    {"FirstProposalNumber", [](Bytes& b) { b[4] = 0; }, "proposal 1 is numbered 0"},
    {"ProposalProtocol", [](Bytes& b) { b[5] = 1; }, "protocol 1, not ESP"},
    {"ProposalSpiSize", [](Bytes& b) { b[6] = 4; }, "has an SPI"},
    {"ProposalCountTooHigh", [](Bytes& b) { b[7] = 5; }, "announces 5 transforms and has 4"},
    {"ProposalCountTooLow", [](Bytes& b) { b[7] = 3; }, "announces 3 transforms and has 4"},
    {"ProposalCountZero", [](Bytes& b) { b[7] = 0; }, "no transforms"},
    {"OctetsAfterTheLastProposal", [](Bytes& b) { b.push_back(0); }, "follow the last proposal"},
    {"MoreAnnouncedThanThere", [](Bytes& b) { b[kSecond] = 2; }, "cut short"},
    {"TransformNeitherLastNorMore", [](Bytes& b) { b[8] = 2; }, "neither last (0) nor more (3)"},
    {"TransformReserved", [](Bytes& b) { b[9] = 1; }, "reserved"},
    {"TransformReservedBesideType", [](Bytes& b) { b[13] = 1; }, "reserved"},
    {"TransformLengthTooLong", [](Bytes& b) { b[11] = 0x50; }, "does not fit"},
    {"LastTransformTooEarly", [](Bytes& b) { b[8] = 0; }, "announces 4 transforms and has 1"},
    {"TransformTypeTwice", [](Bytes& b) { b[24] = 1; }, "two transforms of type 1"},
    {"TransformsOutOfOrder",
     [](Bytes& b) {
       b[24] = 5;
       b[32] = 4;
     },
     "type 4 after one of type 5"},
    {"NoEncr", [](Bytes& b) { b[12] = 0; }, "has a transform of type 4 after one of type 0"},
    {"NoPrf", [](Bytes& b) { b[40] = 250; }, "no PRF transform"},
    {"KeyExchangeNone", [](Bytes& b) { b[27] = 0; }, "KE method NONE"},
    {"AesWithoutKeyLength", [](Bytes& b) { b[17] = 15; }, "AES without a Key Length"},
    {"ChaChaWithKeyLength", [](Bytes& b) { b[15] = 28; }, "Key Length for ChaCha20"},
    {"AeadWithInteg", [](Bytes& b) { b[kSecond + 15] = 20; }, "beside an AEAD"},
    {"CbcWithoutInteg", [](Bytes& b) { b[15] = 12; }, "AES-CBC without an integrity"},
    {"CbcWithIntegNone", [](Bytes& b) { b[kSecond + 27] = 0; }, "AES-CBC without an integrity"},
    {"TunnelModeEncoded", [](Bytes& b) { b[kSecond + 59] = 1; }, "tunnel mode"},
    {"KeyLengthInLongForm", [](Bytes& b) { b[16] = 0; }, "two-octet form"},
    {"ProposalRepeated",
     [](Bytes& b) {
       const Bytes first(b.begin(), b.begin() + kSecond);
       b = concat({first, first});
       b[kSecond] = 0;
       b[kSecond + 4] = 2;
     },
     "proposal 2 repeats proposal 1"},
};
INSTANTIATE_TEST_SUITE_P(Malformed, SaPayloadRefuses, testing::ValuesIn(kSaRefusals),
                         [](const auto& test) { return std::string(test.param.what); });

TEST(SaPayload, RefusesATransformWithAnAttributeCutShort) {
  Proposal proposal = make_proposal(1, policy("aes256gcm16-x25519-sha256"));
  for (const Bytes& attribute : {Bytes{0x80}, Bytes{0x80, 0x63, 1}, Bytes{0, 0x63, 0, 3, 1, 2}}) {
    proposal.transforms[0].other_attributes = attribute;
    const auto result = decode_sa(encode_sa({proposal}), 0);
    ASSERT_FALSE(result.has_value());
    EXPECT_NE(result.error().message.find("attribute cut short"), std::string::npos);
  }
}

TEST(SaPayload, RefusesTheKeyLengthTwiceOrBehindAnother) {
  Proposal proposal = make_proposal(1, policy("aes256gcm16-x25519-sha256"));
  proposal.transforms[0].other_attributes = {0x80, 0x0e, 0x01, 0x00};
  EXPECT_FALSE(decode_sa(encode_sa({proposal}), 0).has_value());
  proposal.transforms[0].key_bits.reset();
  proposal.transforms[0].other_attributes = {0x80, 0x63, 0, 1, 0x80, 0x0e, 0x01, 0x00};
  EXPECT_FALSE(decode_sa(encode_sa({proposal}), 0).has_value());
}

TEST(SaPayload, RefusesAKeyLengthOutsideEncr) {
  Proposal proposal = make_proposal(1, policy("aes256gcm16-x25519-sha256"));
  proposal.transforms[1].key_bits = 256;
  const auto result = decode_sa(encode_sa({proposal}), 0);
  ASSERT_FALSE(result.has_value());
  EXPECT_NE(result.error().message.find("Key Length to a transform of type 4"), std::string::npos);
}

TEST(SaPayload, KeepsWhatItDoesNotKnowAndNeverChoosesIt) {
  const auto keeps = [](const std::function<void(Proposal&)>& change) {
    Proposal proposal = make_proposal(1, policy("aes256gcm16-x25519-sha256"));
    change(proposal);
    const auto result = decode_sa(encode_sa({proposal}), 0);
    EXPECT_TRUE(result.has_value()) << result.error().to_string();
    return result.has_value() && result->front() == proposal && !interpret(result->front());
  };
  EXPECT_TRUE(keeps([](Proposal& p) { p.transforms[0].id = 30; }));         // cipher
  EXPECT_TRUE(keeps([](Proposal& p) { p.transforms[0].key_bits = 192; }));  // key length
  EXPECT_TRUE(keeps([](Proposal& p) { p.transforms[1].id = 36; }));         // group
  EXPECT_TRUE(keeps([](Proposal& p) { p.transforms[2].id = 2; }));          // sequence numbers
  EXPECT_TRUE(keeps([](Proposal& p) { p.transforms[3].id = 8; }));          // PRF
  EXPECT_TRUE(keeps([](Proposal& p) { p.transforms.push_back({241, 9, {}, {}}); }));
  EXPECT_TRUE(keeps([](Proposal& p) { p.transforms.push_back({242, 0, {}, {}}); }));
  EXPECT_TRUE(keeps([](Proposal& p) { p.transforms.push_back({6, 36, {}, {}}); }));
  EXPECT_TRUE(keeps([](Proposal& p) { p.transforms.push_back({250, 1, 17, {}}); }));
  EXPECT_TRUE(keeps([](Proposal& p) {
    p.transforms[2].other_attributes = {0x00, 0x63, 0x00, 0x02, 0xaa, 0xbb};
  }));
}

TEST(SaPayload, UnknownTransformTypesStandLastAndAscending) {
  Proposal proposal = make_proposal(1, policy("aes256gcm16-x25519-sha256"));
  proposal.transforms.push_back({6, 1, {}, {}});
  proposal.transforms.push_back({200, 1, {}, {}});
  EXPECT_TRUE(decode_sa(encode_sa({proposal}), 0).has_value());
  std::swap(proposal.transforms[4], proposal.transforms[5]);
  EXPECT_FALSE(decode_sa(encode_sa({proposal}), 0).has_value());
}

std::vector<Proposal> distinct_proposals(std::size_t count) {
  std::vector<Proposal> out;
  for (std::size_t i = 0; i < count; ++i) {
    out.push_back(
        make_proposal(static_cast<std::uint8_t>(i + 1), policy("aes256gcm16-x25519-sha256")));
    out.back().transforms.push_back({250, static_cast<std::uint16_t>(i), {}, {}});
  }
  return out;
}

TEST(SaPayload, TakesSixteenProposalsAndNoMore) {
  EXPECT_TRUE(decode_sa(encode_sa(distinct_proposals(16)), 0).has_value());
  const auto result = decode_sa(encode_sa(distinct_proposals(17)), 0);
  ASSERT_FALSE(result.has_value());
  EXPECT_NE(result.error().message.find("more than 16"), std::string::npos);
}

TEST(SaPayload, NineGroupsAreOneTooMany) {
  Dim dim = test::small_dim();
  dim.proposals.clear();
  dim.kes.clear();
  for (std::uint8_t i = 0; i < 8; ++i) {
    dim.proposals.push_back(
        make_proposal(static_cast<std::uint8_t>(i + 1), policy("aes256gcm16-x25519-sha256")));
    const auto group = static_cast<std::uint16_t>(100 + i);
    dim.proposals.back().transforms[1].id = group;
    dim.kes.push_back({group, Bytes{i}});
  }
  EXPECT_TRUE(encode_dim(dim).has_value());
  dim.proposals.push_back(make_proposal(9, policy("aes256gcm16-x25519-sha256")));
  dim.kes.push_back(test::filler_ke(31));
  const auto result = encode_dim(dim);
  ASSERT_FALSE(result.has_value());
  EXPECT_NE(result.error().message.find("more than 8 groups"), std::string::npos);
}

TEST(SaPayload, GroupsComeInOrderOfFirstUse) {
  Dim dim = test::small_dim();
  test::offer(dim, {policy("aes256gcm16-ecp384-sha384"), policy("aes256gcm16-x25519-sha256"),
                    policy("aes128gcm16-ecp384-sha384")});
  EXPECT_EQ(groups_in_order(dim.proposals), (std::vector<std::uint16_t>{20, 31}));
}

TEST(SaPayload, ProposalsAreEqualAsSetsWhateverTheirNumber) {
  const Proposal a = make_proposal(1, policy("aes256gcm16-x25519-sha256"));
  Proposal b = make_proposal(9, policy("aes256gcm16-x25519-sha256"));
  std::swap(b.transforms[0], b.transforms[3]);
  EXPECT_TRUE(same_transforms(a, b));
  b.transforms[0].id ^= 1;
  EXPECT_FALSE(same_transforms(a, b));
}

}  // namespace
}  // namespace cygnet::proto
