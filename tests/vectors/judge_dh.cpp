// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>
#include <optional>

#include "cygnet/crypto/dh.h"
#include "vector_rows.h"

namespace cygnet::vectors {
namespace {

using crypto::DhGroup;
using crypto::DhPrivate;

Outcome derives(DhGroup group, ByteView secret, ByteView peer, ByteView shared) {
  const auto key = DhPrivate::from_octets(group, secret);
  if (!key.has_value()) return wrong("private value: " + key.error().to_string());
  const auto derived = key->derive(peer);
  if (!derived.has_value()) return wrong("derive: " + derived.error().to_string());
  return same(derived->reveal(), shared, "shared secret");
}

/// Refused by the test alone and by derive(), each for the public value.
Outcome refuses(DhGroup group, ByteView secret, ByteView peer) {
  const auto checked = crypto::check_public_value(group, peer);
  if (checked.has_value()) return wrong("check_public_value takes a bad value");
  if (checked.error().code != crypto::kErrPublicValue) return wrong("refused as something else");
  const auto key = DhPrivate::from_octets(group, secret);
  if (!key.has_value()) return wrong("private value: " + key.error().to_string());
  if (key->derive(peer).has_value()) return wrong("derive takes a bad value");
  return pass();
}

/// Brings a big-endian number to 32 octets: wycheproof writes some with a zero before or without.
Bytes padded_scalar(Bytes value) {
  while (value.size() > 32 && value.front() == 0) value.erase(value.begin());
  if (value.size() < 32) value.insert(value.begin(), 32 - value.size(), 0);
  return value;
}

}  // namespace

Outcome judge_x25519(const Json& row) {
  const Bytes secret = octets(row, "private");
  const Bytes peer = octets(row, "public");
  const Bytes shared = octets(row, "shared");
  const auto result = row.at("result").get<std::string>();
  if (result != "valid" && result != "acceptable") return wrong("an unknown result: " + result);
  // Small-order values are the ones we must not use (RFC 6989, RFC 8031 section 4); what is only
  // not canonical or on the twist is good (RFC 8031 section 3.1).
  if (std::all_of(shared.begin(), shared.end(), [](std::uint8_t octet) { return octet == 0; })) {
    return refuses(DhGroup::kX25519, secret, peer);
  }
  return derives(DhGroup::kX25519, secret, peer, shared);
}

Outcome judge_ecdh_p256(const Json& row) {
  const Bytes secret = padded_scalar(octets(row, "private"));
  Bytes peer = octets(row, "public");
  // A KE payload has x|y: SEC 1's uncompressed form without its first octet.
  const bool uncompressed = peer.size() == 65 && peer.front() == 0x04;
  if (uncompressed) peer.erase(peer.begin());
  const auto result = row.at("result").get<std::string>();
  if (result == "valid") return derives(DhGroup::kEcp256, secret, peer, octets(row, "shared"));
  const Outcome refused = refuses(DhGroup::kEcp256, secret, peer);
  if (refused.verdict != Verdict::kPass) return refused;
  if (result == "invalid") return pass();
  if (result == "acceptable" && !uncompressed) return not_ours("a KE payload has no such form");
  return wrong("an unknown result: " + result);
}

Outcome judge_key_exchange(const Json& row) {
  // IANA transform type 4 numbers.
  static const std::map<std::string, std::uint16_t> kMethods{
      {"MODP_768_BIT", 1},   {"MODP_1024_BIT", 2},  {"MODP_1536_BIT", 5},  {"MODP_2048_BIT", 14},
      {"MODP_3072_BIT", 15}, {"MODP_4096_BIT", 16}, {"MODP_6144_BIT", 17}, {"MODP_8192_BIT", 18},
      {"ECP_256_BIT", 19},   {"ECP_384_BIT", 20},   {"ECP_521_BIT", 21},   {"ECP_192_BIT", 25},
      {"ECP_224_BIT", 26},   {"CURVE_25519", 31},   {"CURVE_448", 32}};
  const auto method = row.at("method").get<std::string>();
  const auto group = crypto::dh_group_from(kMethods.at(method));
  if (!group.has_value()) return not_ours(method);
  const Bytes seed = octets(row, "seed");
  const ByteView private_i = ByteView(seed).first(seed.size() / 2);
  const ByteView private_r = ByteView(seed).subspan(seed.size() / 2);
  const Bytes public_i = octets(row, "pub_i");
  const Bytes public_r = octets(row, "pub_r");
  const Bytes shared = octets(row, "shared");
  for (const auto& [secret, own, peer] :
       {std::tuple(private_i, ByteView(public_i), ByteView(public_r)),
        std::tuple(private_r, ByteView(public_r), ByteView(public_i))}) {
    const auto key = DhPrivate::from_octets(*group, secret);
    if (!key.has_value()) return wrong("private value: " + key.error().to_string());
    const Outcome public_matches = same(key->public_value(), own, "public value");
    if (public_matches.verdict != Verdict::kPass) return public_matches;
    const Outcome derived = derives(*group, secret, peer, shared);
    if (derived.verdict != Verdict::kPass) return derived;
  }
  return pass();
}

}  // namespace cygnet::vectors
