// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Two devices as the draft's sentences speak of them. Header-only; tests only.

#include "cygnet/crypto/dh.h"
#include "cygnet/proto/dim/dim_test_support.h"
#include "cygnet/proto/keymat/keymat.h"
#include "cygnet/proto/negotiate/negotiate.h"

namespace cygnet::spec {

using namespace proto;  // NOLINT: the tests read like the draft

inline const std::vector<std::string> kOffer = {"aes256gcm16-x25519-sha256"};

/// A device with one generation: a DH pair and the nonce that belongs to it.
struct Device {
  Dim dim;
  std::vector<crypto::DhPrivate> privates;

  /// Offers the proposals in this order, with a fresh pair a group and a random nonce.
  Device(const char* name, const std::vector<std::string>& proposals, test::Rng& rng) {
    dim.device = DeviceName(name);
    dim.counter = RekeyCounter(1, 1);
    dim.auth = {Bytes{1}, Bytes{1}};
    std::vector<IpsecPolicy> policies;
    for (const std::string& text : proposals) policies.push_back(test::policy(text));
    test::offer(dim, policies);
    renew(rng);
  }
  /// A new generation: new pairs and a new nonce, together.
  void renew(test::Rng& rng) {
    privates.clear();
    for (DhPublic& ke : dim.kes) {
      privates.push_back(
          crypto::DhPrivate::generate(crypto::dh_group_from(ke.group).value()).value());
      ke.value = privates.back().public_value();
    }
    dim.nonce = test::random_octets(rng, kNonceLength);
  }
  [[nodiscard]] const Bytes& public_of(crypto::DhGroup group) const {
    for (const DhPublic& ke : dim.kes) {
      if (ke.group == static_cast<std::uint16_t>(group)) return ke.value;
    }
    throw std::out_of_range("no such group");
  }

  /// The SA pairs with a peer of whom only the DIM is known; lane 0 and the rest.
  [[nodiscard]] Result<Keymat> derive(const Dim& peer, ByteView ppk = {}) const {
    CYGNET_TRY(const Agreement agreed, negotiate(dim, peer));
    const bool initiator = agreed.local_role == Role::kInitiator;
    const SpiInputs inputs{agreed.policy.prf, initiator ? dim.nonce : peer.nonce,
                           initiator ? peer.nonce : dim.nonce,
                           std::pair{agreed.spn_i, agreed.spn_r}, agreed.lanes};
    for (const crypto::DhPrivate& own : privates) {
      if (own.group() != agreed.policy.group) continue;
      for (const DhPublic& ke : peer.kes) {
        if (ke.group != static_cast<std::uint16_t>(own.group())) continue;
        CYGNET_TRY(const SecretBytes g_ir, own.derive(ke.value));
        return derive_keymat(inputs, agreed.policy.suite, g_ir.reveal(), ppk);
      }
    }
    return fail(kErrNoProposal, "no value for the agreed group");
  }
};

/// One direction as its two ends see it.
struct Sa {
  std::uint32_t spi = 0;
  std::string encr;
  std::string integ;
  friend bool operator==(const Sa&, const Sa&) = default;
};
inline Sa sa(Spi spi, const DirectionKeys& keys) {
  return {spi.value(), to_hex(keys.encr.reveal()), to_hex(keys.integ.reveal())};
}
/// Rx: the SPI of the device that gave Ni is SPIi, and what comes to it is responder to initiator.
inline Sa inbound(const LaneKeys& lane, Role role) {
  return role == Role::kInitiator ? sa(lane.spi.i, lane.r_to_i) : sa(lane.spi.r, lane.i_to_r);
}
inline Sa outbound(const LaneKeys& lane, Role role) {
  return role == Role::kInitiator ? sa(lane.spi.r, lane.i_to_r) : sa(lane.spi.i, lane.r_to_i);
}

}  // namespace cygnet::spec
