// SPDX-License-Identifier: Apache-2.0
#pragma once

/// DIMs for tests: one of everything, random ones, and raw payload lists to break. Header-only.

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <utility>
#include <vector>

#include "cygnet/proto/dim/dim_codec.h"
#include "cygnet/proto/dim/notify.h"
#include "cygnet/proto/ikev2/payload.h"

namespace cygnet::proto::test {

namespace payload = ikev2::payload;

/// Seeded by the test, so that a failure can be repeated.
using Rng = std::mt19937_64;

inline std::uint64_t below(Rng& rng, std::uint64_t bound) { return rng() % bound; }
inline bool coin(Rng& rng) { return below(rng, 2) == 0; }
inline Bytes random_octets(Rng& rng, std::size_t n) {
  Bytes out(n);
  for (std::uint8_t& octet : out) octet = static_cast<std::uint8_t>(rng());
  return out;
}

inline IpsecPolicy policy(std::string_view text) {
  const auto result = policy_from_text(text);
  EXPECT_TRUE(result.has_value()) << text;
  return result.value_or(IpsecPolicy{});
}

inline DhPublic filler_ke(std::uint16_t group, std::uint8_t octet = 0x5a) {
  const auto known = crypto::dh_group_from(group);
  const std::size_t length = known ? crypto::public_value_length(*known) : 24;
  return {group, Bytes(length, octet)};
}

/// Proposals numbered in order, with the KE values they need (not on any curve).
inline void offer(Dim& dim, const std::vector<IpsecPolicy>& policies) {
  dim.proposals.clear();
  dim.kes.clear();
  for (const IpsecPolicy& p : policies) {
    dim.proposals.push_back(make_proposal(static_cast<std::uint8_t>(dim.proposals.size() + 1), p));
    const auto group = static_cast<std::uint16_t>(p.group);
    const bool there = std::any_of(dim.kes.begin(), dim.kes.end(),
                                   [group](const DhPublic& ke) { return ke.group == group; });
    if (!there) dim.kes.push_back(filler_ke(group));
  }
}

inline Dim small_dim() {
  Dim dim;
  dim.device = DeviceName("alpha.mesh");
  dim.counter = RekeyCounter(1, 1);
  dim.nonce = Bytes(kNonceLength, 0xab);
  dim.auth = {Bytes{0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70}, Bytes(64, 0x77)};
  offer(dim, {policy("aes256gcm16-x25519-sha256")});
  return dim;
}

/// One of everything a DIM can hold.
inline Dim full_dim() {
  Dim dim = small_dim();
  dim.counter = RekeyCounter(7, 42);
  dim.initial_contact = true;
  dim.lanes = 4;
  dim.ppk_ids = {Bytes{kPpkIdFixed, 'p', '1'}, Bytes{kPpkIdFixed, 'p', '2'}};
  dim.unknown_notifies = {{16500, Bytes{1, 2, 3}}, {50000, {}}};
  offer(dim, {policy("aes256gcm16-x25519-sha256"), policy("aes128-sha256-ecp256-sha384-noesn"),
              policy("chacha20poly1305-x25519-sha256-transport")});
  return dim;
}

inline Dim random_dim(Rng& rng) {
  static constexpr std::string_view names[] = {
      "aes256gcm16-x25519-sha256",       "aes128gcm16-x25519-sha256",
      "chacha20poly1305-x448-sha512",    "aes256-sha512-ecp521-sha512",
      "aes128-sha256-modp2048-sha256",   "aes128gcm16-ecp384-sha384-noesn",
      "aes256gcm16-x25519-sha256-beet",  "aes256gcm16-ecp256-sha256-transport",
      "aes256gcm16-x25519-sha256-noesn", "aes256gcm16-modp3072-sha384-noesn-aggfrag",
  };
  Dim dim = small_dim();
  dim.device =
      DeviceName("d" + std::to_string(below(rng, 1000)) + ".m" + std::to_string(below(rng, 10)));
  dim.counter = RekeyCounter(static_cast<std::uint32_t>(rng()),
                             static_cast<std::uint32_t>(below(rng, 0xffffffff) + 1));
  dim.initial_contact = coin(rng);
  if (coin(rng)) dim.lanes = static_cast<std::uint16_t>(2 + below(rng, 100));
  for (std::uint64_t i = below(rng, 3); i > 0; --i) {
    dim.ppk_ids.push_back(
        concat({Bytes{kPpkIdFixed, static_cast<std::uint8_t>(i)}, random_octets(rng, 3)}));
  }
  std::uint16_t type = 16500;
  for (std::uint64_t i = below(rng, 4); i > 0; --i) {
    type = static_cast<std::uint16_t>(type + below(rng, 300));
    dim.unknown_notifies.push_back({type, random_octets(rng, below(rng, 20))});
  }
  std::vector<std::string_view> pool(std::begin(names), std::end(names));
  std::shuffle(pool.begin(), pool.end(), rng);
  std::vector<IpsecPolicy> policies;
  for (std::uint64_t i = 0; i <= below(rng, 6); ++i) policies.push_back(policy(pool[i]));
  offer(dim, policies);
  if (coin(rng)) {  // one that a later version might offer
    Proposal future = dim.proposals.front();
    future.number = static_cast<std::uint8_t>(dim.proposals.size() + 1);
    switch (below(rng, 3)) {
      case 0:
        future.transforms.push_back({250, static_cast<std::uint16_t>(rng()), {}, {}});
        break;
      case 1:
        future.transforms.front().other_attributes = {0x80, 0x63, 0x01, 0x02};
        break;
      default:
        future.transforms.push_back({242, 1, {}, {}});
        break;
    }
    dim.proposals.push_back(future);
  }
  dim.nonce = random_octets(rng, kNonceLength);
  dim.auth = {random_octets(rng, 1 + below(rng, 20)), random_octets(rng, 1 + below(rng, 100))};
  return dim;
}

inline Bytes encoded(const Dim& dim) {
  const auto octets = encode_dim(dim);
  EXPECT_TRUE(octets.has_value()) << octets.error().to_string();
  return octets.value_or(Bytes{});
}

/// A DIM as a list of payloads that can be broken and put together again.
struct RawDim {
  std::vector<std::pair<std::uint8_t, Bytes>> payloads;

  static RawDim of(const Dim& dim) {
    RawDim out;
    const Bytes octets = encoded(dim);
    const auto chain = ikev2::split_chain(payload::kIdi, octets, kErrDimForm);
    EXPECT_TRUE(chain.has_value());
    for (const ikev2::Payload& p : *chain) {
      out.payloads.push_back({p.type, Bytes(p.body.begin(), p.body.end())});
    }
    return out;
  }
  [[nodiscard]] std::size_t index_of(std::uint8_t type, std::size_t nth = 0) const {
    for (std::size_t i = 0; i < payloads.size(); ++i) {
      if (payloads[i].first == type && nth-- == 0) return i;
    }
    ADD_FAILURE() << "no payload of type " << int{type};
    return 0;
  }
  [[nodiscard]] Bytes& body(std::uint8_t type, std::size_t nth = 0) {
    return payloads[index_of(type, nth)].second;
  }
  /// Offset of the payload's header, from the lengths alone.
  [[nodiscard]] std::size_t offset(std::size_t index) const {
    std::size_t at = 0;
    for (std::size_t i = 0; i < index; ++i) at += 4 + payloads[i].second.size();
    return at;
  }
  [[nodiscard]] Bytes octets() const {
    ikev2::ChainWriter w;
    for (const auto& [type, body] : payloads) w.add(type, body);
    return w.take();
  }
};

}  // namespace cygnet::proto::test
