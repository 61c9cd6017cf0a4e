// SPDX-License-Identifier: Apache-2.0
#pragma once

/// DIMs made from fuzz input: well formed, with any proposals in any order, some of them unusable.

#include <algorithm>

#include "cygnet/proto/dim/dim.h"
#include "cygnet/proto/dim/notify.h"
#include "fuzz.h"

namespace cygnet::fuzz {

inline proto::IpsecPolicy any_policy(Input& in) {
  using crypto::EncrId;
  using crypto::IntegId;
  static constexpr crypto::EspSuite kSuites[] = {
      {EncrId::kAesGcm16, 256, IntegId::kNone},
      {EncrId::kAesGcm16, 128, IntegId::kNone},
      {EncrId::kChaCha20Poly1305, 256, IntegId::kNone},
      {EncrId::kAesCbc, 128, IntegId::kHmacSha2_256_128},
      {EncrId::kAesCbc, 256, IntegId::kHmacSha2_384_192},
      {EncrId::kAesCbc, 256, IntegId::kHmacSha2_512_256}};
  static constexpr crypto::DhGroup kGroups[] = {crypto::DhGroup::kX25519, crypto::DhGroup::kEcp256,
                                                crypto::DhGroup::kX448, crypto::DhGroup::kModp2048};
  static constexpr crypto::PrfId kPrfs[] = {
      crypto::PrfId::kHmacSha2_256, crypto::PrfId::kHmacSha2_384, crypto::PrfId::kHmacSha2_512};
  const std::uint8_t octet = in.u8();
  proto::IpsecPolicy policy;
  if (octet < 0xc0) {  // mostly few kinds, so that two devices often have one in common
    policy.suite = kSuites[octet % 6];
    policy.prf = kPrfs[(octet / 6) % 2];
    return policy;
  }
  policy.suite = kSuites[octet % 6];
  policy.prf = kPrfs[(octet >> 3) % 3];
  policy.group = kGroups[(octet >> 5) % 4];
  const std::uint8_t more = in.u8();
  policy.sn = (more & 1) != 0 ? proto::SequenceNumbers::k32Bit : proto::SequenceNumbers::kEsn;
  policy.mode = static_cast<proto::Mode>(1 + (more >> 1) % 4);
  return policy;
}

/// No two proposals are equal. KE values are of the right length, not on any curve.
inline proto::Dim any_dim(Input& in, const char* name) {
  proto::Dim dim;
  dim.device = proto::DeviceName(name);
  dim.counter = proto::RekeyCounter(1, 1 + in.u8());
  dim.lanes = static_cast<std::uint16_t>(1 + in.u16() % 300);
  for (std::size_t n = in.below(3); n > 0; --n) {
    const Bytes id{proto::kPpkIdFixed, static_cast<std::uint8_t>('a' + in.below(4))};
    if (std::find(dim.ppk_ids.begin(), dim.ppk_ids.end(), id) == dim.ppk_ids.end()) {
      dim.ppk_ids.push_back(id);
    }
  }
  for (std::size_t n = 1 + in.below(6); n > 0; --n) {
    const auto number = static_cast<std::uint8_t>(dim.proposals.size() + 1);
    proto::Proposal proposal = proto::make_proposal(number, any_policy(in));
    if (in.below(8) == 7) proposal.transforms.push_back({250, in.u16(), {}, {}});  // of the future
    const bool there = std::any_of(
        dim.proposals.begin(), dim.proposals.end(),
        [&](const proto::Proposal& other) { return other.transforms == proposal.transforms; });
    if (!there) dim.proposals.push_back(std::move(proposal));
  }
  for (const proto::Proposal& proposal : dim.proposals) {
    for (const proto::Transform& t : proposal.transforms) {
      if (t.type != static_cast<std::uint8_t>(proto::TransformType::kKe)) continue;
      const bool there = std::any_of(dim.kes.begin(), dim.kes.end(),
                                     [&](const proto::DhPublic& ke) { return ke.group == t.id; });
      const auto group = crypto::dh_group_from(t.id);
      if (!there && group) {
        dim.kes.push_back({t.id, Bytes(crypto::public_value_length(*group), 0x5a)});
      }
    }
  }
  dim.nonce = in.exactly(proto::kNonceLength);
  dim.auth = {Bytes{0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70}, Bytes(64, 0x77)};
  return dim;
}

}  // namespace cygnet::fuzz
