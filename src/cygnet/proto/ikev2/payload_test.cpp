// SPDX-License-Identifier: Apache-2.0
#include "cygnet/proto/ikev2/payload.h"

#include <gtest/gtest.h>

namespace cygnet::proto::ikev2 {
namespace {

constexpr ErrorCode kCode{"test"};

Bytes two_payloads() {
  ChainWriter w;
  w.add(payload::kIdi, Bytes{1, 2});
  w.add(payload::kNonce, Bytes{3});
  return w.take();
}

Error refusal(const Bytes& octets) {
  auto chain = split_chain(payload::kIdi, octets, kCode);
  EXPECT_FALSE(chain.has_value());
  return chain ? Error{ErrorCode("none"), {}} : chain.error();
}

TEST(PayloadChain, WritesNextPayloadAndLength) {
  EXPECT_EQ(to_hex(two_payloads()),
            "28000006"
            "0102"
            "00000005"
            "03");
}

TEST(PayloadChain, AnnouncesAPayloadThatIsYetToCome) {
  ChainWriter w;
  w.add(payload::kIdi, Bytes{9});
  w.announce(payload::kAuth);
  EXPECT_EQ(to_hex(w.take()), "2700000509");
}

TEST(PayloadChain, SplitsIntoTypesOffsetsAndBodies) {
  const Bytes octets = two_payloads();
  const auto chain = split_chain(payload::kIdi, octets, kCode);
  ASSERT_TRUE(chain.has_value());
  ASSERT_EQ(chain->size(), 2U);
  EXPECT_EQ((*chain)[0].type, payload::kIdi);
  EXPECT_EQ((*chain)[0].offset, 0U);
  EXPECT_EQ(to_hex((*chain)[0].body), "0102");
  EXPECT_EQ((*chain)[1].type, payload::kNonce);
  EXPECT_EQ((*chain)[1].offset, 6U);
  EXPECT_EQ(to_hex((*chain)[1].body), "03");
}

TEST(PayloadChain, EveryTruncationIsRefusedWithItsPlace) {
  const Bytes whole = two_payloads();
  for (std::size_t n = 0; n < whole.size(); ++n) {
    const Error error = refusal(Bytes(whole.begin(), whole.begin() + static_cast<long>(n)));
    EXPECT_EQ(error.code, kCode);
    EXPECT_EQ(error.where, n < 6 ? "IDi payload at offset 0" : "Ni payload at offset 6") << n;
  }
}

TEST(PayloadChain, RefusesCriticalAndReservedBits) {
  for (int bit = 0; bit < 8; ++bit) {
    Bytes octets = two_payloads();
    octets[7] = static_cast<std::uint8_t>(1 << bit);
    EXPECT_EQ(refusal(octets).where, "Ni payload at offset 6");
  }
}

TEST(PayloadChain, RefusesALengthBelowTheHeader) {
  Bytes octets = two_payloads();
  octets[3] = 3;
  EXPECT_EQ(refusal(octets).where, "IDi payload at offset 0");
}

TEST(PayloadChain, RefusesOctetsAfterTheLastPayload) {
  Bytes octets = two_payloads();
  octets.push_back(0);
  const Error error = refusal(octets);
  EXPECT_EQ(error.where, "Ni payload at offset 6");
  EXPECT_NE(error.message.find("from offset 11"), std::string::npos) << error.message;
}

TEST(PayloadChain, NamesThePayloadsOfADim) {
  EXPECT_EQ(payload_name(33), "SA");
  EXPECT_EQ(payload_name(34), "KE");
  EXPECT_EQ(payload_name(35), "IDi");
  EXPECT_EQ(payload_name(39), "AUTH");
  EXPECT_EQ(payload_name(40), "Ni");
  EXPECT_EQ(payload_name(41), "Notify");
  EXPECT_EQ(payload_at(43, 12), "type 43 payload at offset 12");
}

}  // namespace
}  // namespace cygnet::proto::ikev2
