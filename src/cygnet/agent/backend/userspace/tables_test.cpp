// SPDX-License-Identifier: Apache-2.0
// Who owns an address, who claims a prefix, which SA has an SPI.

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "cygnet/agent/backend/api/ip_text.h"
#include "cygnet/agent/backend/common/prefix_claims.h"
#include "cygnet/agent/backend/userspace/peer_table.h"
#include "cygnet/agent/backend/userspace/prefix_table.h"
#include "cygnet/agent/backend/userspace/sad.h"
#include "cygnet/esp/test_suites.h"

namespace cygnet::agent::userspace {
namespace {

IpAddress ip(std::string_view text) { return *parse_ip_address(text); }
IpPrefix net(std::string_view text) { return *parse_ip_prefix(text); }

TEST(IpText, WritesAndReadsAddressesPrefixesAndEndpoints) {
  for (const char* text : {"192.0.2.1", "0.0.0.0", "2001:db8::1", "::"}) {
    EXPECT_EQ(to_string(ip(text)), text);
  }
  EXPECT_EQ(to_string(net("10.0.0.0/8")), "10.0.0.0/8");
  EXPECT_EQ(net("192.0.2.1").length, 32);
  EXPECT_EQ(to_string(UdpEndpoint{ip("192.0.2.1"), 4500, 0}), "192.0.2.1:4500");
  EXPECT_EQ(to_string(UdpEndpoint{ip("fe80::1"), 4500, 3}), "[fe80::1%3]:4500");
}

TEST(IpText, RefusesWhatIsNoAddressOrPrefix) {
  for (const char* text : {"", "1.2.3", "1.2.3.4.5", "g::", "10.0.0.0/33", "10.0.0.0/", "::/129",
                           "10.0.0.0/8x", "10.0.0.0/-1", "10.0.0.1/8", "2001:db8::1/32"}) {
    EXPECT_FALSE(parse_ip_prefix(text).has_value()) << text;
  }
  EXPECT_NE(parse_ip_prefix("10.0.0.1/8").error().cure.find("10.0.0.0/8"), std::string::npos);
}

TEST(PrefixTable, TheLongestPrefixWins) {
  PrefixTable table;
  table.set(net("0.0.0.0/0"), 1);
  table.set(net("10.0.0.0/8"), 2);
  table.set(net("10.1.0.0/16"), 3);
  table.set(net("10.1.2.3/32"), 4);
  EXPECT_EQ(table.find(ip("192.0.2.1")), 1U);
  EXPECT_EQ(table.find(ip("10.9.9.9")), 2U);
  EXPECT_EQ(table.find(ip("10.1.9.9")), 3U);
  EXPECT_EQ(table.find(ip("10.1.2.3")), 4U);
  table.erase(net("10.1.0.0/16"));
  EXPECT_EQ(table.find(ip("10.1.9.9")), 2U);
  EXPECT_EQ(table.find(ip("10.1.2.3")), 4U);
  table.erase(net("0.0.0.0/0"));
  EXPECT_EQ(table.find(ip("192.0.2.1")), PrefixTable::kNobody);
  EXPECT_EQ(table.size(), 2U);
}

TEST(PrefixTable, FamiliesDoNotMix) {
  PrefixTable table;
  table.set(net("::/0"), 1);
  EXPECT_EQ(table.find(ip("10.0.0.1")), PrefixTable::kNobody);
  table.set(net("0.0.0.0/0"), 2);
  EXPECT_EQ(table.find(ip("10.0.0.1")), 2U);
  EXPECT_EQ(table.find(ip("a00::1")), 1U);
}

TEST(PrefixTable, AgreesWithASlowReferenceWhateverComesAndGoes) {
  std::mt19937 random(4711);
  for (const bool v6 : {false, true}) {
    PrefixTable table;
    std::map<IpPrefix, PrefixTable::Owner> reference;
    const auto address = [&] {
      // Few different bits, all over the address, so that prefixes nest and share paths.
      IpAddress a;
      a.is_v6 = v6;
      for (std::size_t i = 0; i < (v6 ? 16U : 4U); ++i) {
        if (random() % 3 == 0) a.octets[i] = static_cast<std::uint8_t>(random() % 4 * 85);
      }
      return a;
    };
    for (int step = 0; step < 4000; ++step) {
      const IpPrefix prefix =
          masked({address(), static_cast<std::uint8_t>(random() % (v6 ? 129U : 33U))});
      if (random() % 2 == 0) {
        const auto owner = static_cast<PrefixTable::Owner>(1 + random() % 9);
        table.set(prefix, owner);
        reference[prefix] = owner;
      } else {
        const IpPrefix victim =
            !reference.empty() && random() % 2 == 0 ? reference.begin()->first : prefix;
        table.erase(victim);
        reference.erase(victim);
      }
      ASSERT_EQ(table.size(), reference.size());
      const IpAddress probe = address();
      PrefixTable::Owner expected = PrefixTable::kNobody;
      int longest = -1;
      for (const auto& [p, owner] : reference) {
        if (contains(p, probe) && p.length > longest) {
          longest = p.length;
          expected = owner;
        }
      }
      ASSERT_EQ(table.find(probe), expected) << to_string(probe) << " at step " << step;
      const auto exact = reference.find(prefix);
      ASSERT_EQ(table.exact(prefix),
                exact == reference.end() ? PrefixTable::kNobody : exact->second);
    }
    while (!reference.empty()) {
      table.erase(reference.begin()->first);
      reference.erase(reference.begin());
    }
    EXPECT_EQ(table.size(), 0U);
    EXPECT_EQ(table.find(address()), PrefixTable::kNobody);
  }
}

constexpr proto::PeerId kA{1};
constexpr proto::PeerId kB{2};

TEST(PrefixClaims, TheFirstToClaimOwnsAndTheSecondWaits) {
  PrefixClaims claims;
  auto change = claims.update(kA, {net("10.1.0.0/16"), net("10.2.0.0/16")});
  ASSERT_EQ(change.given.size(), 2U);
  EXPECT_TRUE(change.given[0].fresh);
  change = claims.update(kB, {net("10.2.0.0/16"), net("10.2.1.0/24")});
  ASSERT_EQ(change.given.size(), 1U);
  EXPECT_EQ(change.given[0].prefix, net("10.2.1.0/24"));
  ASSERT_EQ(change.waiting.size(), 1U);
  EXPECT_EQ(change.waiting[0].prefix, net("10.2.0.0/16"));
  EXPECT_EQ(change.waiting[0].holder, kA);
  // Saying the same again changes nothing, and still tells who waits.
  change = claims.update(kB, {net("10.2.0.0/16"), net("10.2.1.0/24")});
  EXPECT_TRUE(change.given.empty());
  EXPECT_EQ(change.waiting.size(), 1U);
  // The owner lets go: whoever waited has it, and it was never nobody's.
  change = claims.update(kA, {net("10.1.0.0/16")});
  EXPECT_TRUE(change.freed.empty());
  ASSERT_EQ(change.given.size(), 1U);
  EXPECT_EQ(change.given[0].peer, kB);
  EXPECT_FALSE(change.given[0].fresh);
  change = claims.update(kB, {});
  EXPECT_EQ(change.freed.size(), 2U);
  EXPECT_TRUE(claims.claimed(net("10.1.0.0/16")));
  EXPECT_FALSE(claims.claimed(net("10.2.0.0/16")));
  EXPECT_EQ(claims.all().size(), 1U);
}

TEST(PrefixClaims, WhoOnlyWaitedGoesWithoutTrace) {
  PrefixClaims claims;
  static_cast<void>(claims.update(kA, {net("10.1.0.0/16")}));
  static_cast<void>(claims.update(kB, {net("10.1.0.0/16")}));
  const auto change = claims.update(kB, {});
  EXPECT_TRUE(change.given.empty());
  EXPECT_TRUE(change.freed.empty());
  EXPECT_EQ(claims.update(kA, {}).freed.size(), 1U);
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-5
//= type=test
//# The PAD, SPD, and SAD all need to be setup as defined in the IPsec Security Architecture
//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-5.1
//= type=test
//# The SPD describes the type of traffic that will be protected between IPsec devices and the
//# policy (e.g., ciphers) used to create SAs.
TEST(PeerTable, OwnersFollowPeersThatComeAndGo) {
  PeerTable table;
  table.own_prefix(net("10.0.0.0/16"));
  table.set(kA, "a", ip("fd00::1"), {});
  table.give_prefix(net("10.1.0.0/16"), kA);
  ASSERT_NE(table.owner(ip("10.1.0.1")), nullptr);
  EXPECT_EQ(table.owner(ip("10.1.0.1"))->name, "a");
  EXPECT_EQ(table.owner(ip("10.0.0.1")), nullptr);
  EXPECT_EQ(table.owner(ip("192.0.2.1")), nullptr);
  table.set(kB, "b", ip("fd00::2"), {});
  const Peer& b = *table.find(kB);
  EXPECT_EQ(table.side_of(b, ip("10.1.0.1")), Side::kOther);
  EXPECT_EQ(table.side_of(b, ip("10.0.0.1")), Side::kOurs);
  EXPECT_EQ(table.side_of(b, ip("192.0.2.1")), Side::kOther);
  table.take_prefix(net("10.1.0.0/16"));
  table.erase(kA);
  EXPECT_EQ(table.find(kA), nullptr);
  // A new peer may get the old one's number, never its prefixes.
  constexpr proto::PeerId kC{3};
  table.set(kC, "c", ip("fd00::3"), {});
  EXPECT_EQ(table.owner(ip("10.1.0.1")), nullptr);
  table.give_prefix(net("10.1.0.0/16"), kC);
  EXPECT_EQ(table.owner(ip("10.1.0.1"))->name, "c");
  EXPECT_EQ(table.side_of(*table.find(kB), ip("10.1.0.1")), Side::kOther);
}

std::unique_ptr<SaPair> pair_with_spi(std::uint32_t spi) {
  const crypto::EspSuite suite{};
  SaPairSpec spec;
  spec.suite = suite;
  const esp::Keys keys = esp::keys_for(suite);
  spec.lanes.push_back({*proto::Spi::from(spi), *proto::Spi::from(spi + 1),
                        SecretBytes(ByteView(keys.encr)), SecretBytes(),
                        SecretBytes(ByteView(keys.encr)), SecretBytes()});
  auto pair = make_sa_pair(std::move(spec), crypto::system_random());
  EXPECT_TRUE(pair.has_value());
  return std::move(*pair);
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-5.2.1.3
//= type=test
//# its SA lookup process needs to be aware that duplicates could occur.
TEST(Sad, KeepsAShortListOfEqualSpis) {
  Sad sad;
  std::vector<std::unique_ptr<SaPair>> pairs;
  for (std::size_t i = 0; i <= Sad::kMaxSameSpi; ++i) pairs.push_back(pair_with_spi(0x1000));
  for (std::size_t i = 0; i < Sad::kMaxSameSpi; ++i) EXPECT_TRUE(sad.add(*pairs[i]->inbound[0]));
  EXPECT_FALSE(sad.add(*pairs.back()->inbound[0]));
  sad.remove(*pairs[3]->inbound[0]);
  sad.remove(*pairs[3]->inbound[0]);  // twice is once
  std::size_t n = 0;
  for (const InboundSa* sa = sad.find(0x1000); sa != nullptr; sa = sa->next_same_spi) {
    EXPECT_NE(sa, pairs[3]->inbound[0].get());
    ++n;
  }
  EXPECT_EQ(n, Sad::kMaxSameSpi - 1);
  EXPECT_TRUE(sad.add(*pairs.back()->inbound[0]));
  EXPECT_EQ(sad.find(0x1001), nullptr);
  for (const auto& pair : pairs) sad.remove(*pair->inbound[0]);
  EXPECT_EQ(sad.find(0x1000), nullptr);
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-4
//= type=test
//# may be the result of a cipher counter mode Initialization Vector (IV) counter nearing its final
//# value.
TEST(OutboundSa, ItsSequenceNumberNeverWraps) {
  const auto pair = pair_with_spi(0x1000);
  OutboundSa& sa = *pair->outbound[0];
  EXPECT_EQ(take_sequence(sa), 1U);
  sa.last_sequence = ~std::uint64_t{0} - 1;
  EXPECT_EQ(take_sequence(sa), ~std::uint64_t{0});
  EXPECT_EQ(take_sequence(sa), std::nullopt);
  EXPECT_EQ(take_sequence(sa), std::nullopt);
  sa.format = esp::EspFormat({}, false);
  sa.last_sequence = 0xfffffffe;
  EXPECT_EQ(take_sequence(sa), 0xffffffffU);
  EXPECT_EQ(take_sequence(sa), std::nullopt);
  EXPECT_LT(rekey_sequence(sa.format.last_sequence()), sa.format.last_sequence());
}

TEST(IvSource, CountsForAnAeadAndCannotBeGuessedForCbc) {
  const Bytes seed(IvSource::kSeedLength, 7);
  auto counting = IvSource::create({}, seed);
  ASSERT_TRUE(counting.has_value());
  EXPECT_EQ(to_hex(counting->next(0x0102030405060708)), "0102030405060708");
  const crypto::EspSuite cbc{crypto::EncrId::kAesCbc, 128, crypto::IntegId::kHmacSha2_256_128};
  auto masked_source = IvSource::create(cbc, seed);
  auto other_key = IvSource::create(cbc, Bytes(IvSource::kSeedLength, 8));
  ASSERT_TRUE(masked_source.has_value() && other_key.has_value());
  std::set<std::string> seen;
  for (std::uint64_t i = 1; i <= 1000; ++i) {
    const ByteView iv = masked_source->next(i);
    ASSERT_EQ(iv.size(), 16U);
    EXPECT_TRUE(seen.insert(to_hex(iv)).second);
    EXPECT_NE(to_hex(iv), to_hex(other_key->next(i)));
  }
}

}  // namespace
}  // namespace cygnet::agent::userspace
