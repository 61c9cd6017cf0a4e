// SPDX-License-Identifier: Apache-2.0
#include "spec_support.h"

namespace cygnet::spec {
namespace {

namespace payload = proto::ikev2::payload;

Bytes without(std::uint8_t type) {
  test::RawDim raw = test::RawDim::of(test::small_dim());
  raw.payloads.erase(raw.payloads.begin() + static_cast<long>(raw.index_of(type)));
  return raw.octets();
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-6
//= type=test
//# The following data elements MUST be embedded in a DIM message:
//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-6
//= type=test
//# o DH public number (used for key computation)
//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-6
//= type=test
//# o Nonce (used for key computation and SPI generation)
//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-6
//= type=test
//# o Peer identity (used to identify a peer in the PAD)
TEST(DraftSection6, ADimWithoutValueNonceOrIdentityIsNone) {
  ASSERT_TRUE(decode_dim(test::RawDim::of(test::small_dim()).octets()).has_value());
  for (const std::uint8_t type : {payload::kKe, payload::kNonce, payload::kIdi}) {
    EXPECT_FALSE(decode_dim(without(type)).has_value()) << int{type};
  }
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-6
//= type=test
//# - o An Indication whether this is the initial distributed policy.
TEST(DraftSection6, ADimSaysWhetherItIsTheFirstAfterLostState) {
  Dim dim = test::small_dim();
  EXPECT_FALSE(decode_dim(test::encoded(dim))->initial_contact);
  dim.initial_contact = true;
  EXPECT_TRUE(decode_dim(test::encoded(dim))->initial_contact);
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-6
//= type=test
//# - o A rekey counter, which increases for each unique DIM sent
//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-6
//= type=test
//# - o An IPsec policy or policies
//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-6
//= type=test
//# the following data elements SHOULD be included in a DIM
TEST(DraftSection6, ADimAlwaysHasACounterAndItsPolicies) {
  EXPECT_FALSE(decode_dim(without(payload::kNotify)).has_value());
  EXPECT_FALSE(decode_dim(without(payload::kSa)).has_value());
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-6.1
//= type=test
//# When a device supports multiple policies, it MUST include those policies within the DIM. This is
//# done by sending multiple distinct policies, in order of preference, where the first policy is
//# the most preferred.
TEST(DraftSection6, PoliciesTravelDistinctAndInOrder) {
  Dim dim = test::small_dim();
  const std::vector<std::string> order = {"aes128gcm16-x25519-sha256", "aes256gcm16-ecp256-sha384",
                                          "chacha20poly1305-x25519-sha256"};
  std::vector<IpsecPolicy> policies;
  for (const std::string& text : order) policies.push_back(test::policy(text));
  test::offer(dim, policies);
  const auto reread = decode_dim(test::encoded(dim));
  ASSERT_TRUE(reread.has_value());
  std::vector<std::string> came;
  for (const Proposal& p : reread->proposals) came.push_back(to_string(interpret(p).value()));
  EXPECT_EQ(came, order);

  policies.push_back(policies.front());
  test::offer(dim, policies);
  EXPECT_FALSE(encode_dim(dim).has_value()) << "not distinct";
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-6.1
//= type=test
//# starting with the first policy, compare against the initiator's (device that generates N_i)
//# list, and choosing the first one found in common.
TEST(DraftSection6, TheRespondersOrderDecides) {
  test::Rng rng(1);
  Device a("a.mesh", {"aes256gcm16-x25519-sha256", "aes128gcm16-x25519-sha256"}, rng);
  Device b("b.mesh", {"aes128gcm16-x25519-sha256", "aes256gcm16-x25519-sha256"}, rng);
  a.dim.nonce = Bytes(kNonceLength, 2);
  b.dim.nonce = Bytes(kNonceLength, 1);  // b is the responder
  EXPECT_EQ(to_string(negotiate(a.dim, b.dim)->policy), "aes128gcm16-x25519-sha256");
  EXPECT_EQ(to_string(negotiate(b.dim, a.dim)->policy), "aes128gcm16-x25519-sha256");
  b.dim.nonce = Bytes(kNonceLength, 3);
  EXPECT_EQ(to_string(negotiate(a.dim, b.dim)->policy), "aes256gcm16-x25519-sha256");
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-6.1
//= type=test
//# These devices MUST NOT establish new SAs until a DIM is received that does produce a match.
TEST(DraftSection6, NothingIsDerivedWithoutAMatchAndTheNextDimMayBringOne) {
  test::Rng rng(2);
  const Device a("a.mesh", {"aes256gcm16-x25519-sha256"}, rng);
  const Device b("b.mesh", {"chacha20poly1305-x25519-sha256"}, rng);
  const auto none = a.derive(b.dim);
  ASSERT_FALSE(none.has_value());
  EXPECT_EQ(none.error().code, kErrNoProposal);
  const Device b_later("b.mesh", {"chacha20poly1305-x25519-sha256", "aes256gcm16-x25519-sha256"},
                       rng);
  EXPECT_TRUE(a.derive(b_later.dim).has_value());
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-6.1
//= type=test
//# When a device supports more than one DH group, then a unique DH public number MUST be specified
//# for each in order of preference.
TEST(DraftSection6, EachGroupHasOneValueInOrderOfFirstUse) {
  test::Rng rng(3);
  const Device a(
      "a.mesh",
      {"aes256gcm16-ecp384-sha384", "aes256gcm16-x25519-sha256", "aes128gcm16-ecp384-sha384"}, rng);
  const auto reread = decode_dim(test::encoded(a.dim));
  ASSERT_TRUE(reread.has_value());
  ASSERT_EQ(reread->kes.size(), 2U);
  EXPECT_EQ(reread->kes[0].group, 20);
  EXPECT_EQ(reread->kes[1].group, 31);
  Dim swapped = a.dim;
  std::swap(swapped.kes[0], swapped.kes[1]);
  EXPECT_FALSE(encode_dim(swapped).has_value());
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-6.1
//= type=test
//# The selection of which DH group to use follows the same logic as Policy selection, using the
//# receiver's list order until a match is found in the initiator's list.
//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-5.2.1.1
//= type=test
//# The DH group to be used must be known by the device.
TEST(DraftSection6, TheGroupComesWithTheChosenPolicy) {
  test::Rng rng(4);
  Device a("a.mesh", {"aes256gcm16-x25519-sha256", "aes256gcm16-ecp256-sha256"}, rng);
  Device b("b.mesh", {"aes256gcm16-ecp256-sha256", "aes256gcm16-x25519-sha256"}, rng);
  a.dim.nonce = Bytes(kNonceLength, 2);
  b.dim.nonce = Bytes(kNonceLength, 1);
  EXPECT_EQ(negotiate(a.dim, b.dim)->policy.group, crypto::DhGroup::kEcp256);
  const auto at_a = a.derive(b.dim);
  const auto at_b = b.derive(a.dim);
  ASSERT_TRUE(at_a.has_value() && at_b.has_value());
  EXPECT_EQ(to_hex(at_a->keymat.reveal()), to_hex(at_b->keymat.reveal()));
}

}  // namespace
}  // namespace cygnet::spec
