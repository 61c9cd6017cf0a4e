// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/core/derive.h"

#include <algorithm>

#include "cygnet/proto/keymat/keymat.h"

namespace cygnet::agent {
namespace {

proto::SpiInputs spi_inputs(const proto::Dim& local, const proto::Dim& remote,
                            const proto::Agreement& agreement) {
  const bool initiator = agreement.local_role == proto::Role::kInitiator;
  return proto::SpiInputs{
      .prf = agreement.policy.prf,
      .ni = initiator ? ByteView(local.nonce) : ByteView(remote.nonce),
      .nr = initiator ? ByteView(remote.nonce) : ByteView(local.nonce),
      .spn = std::pair{agreement.spn_i, agreement.spn_r},
      .lanes = agreement.lanes,
  };
}

}  // namespace

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-3
//# For each peer, a pair of IPsec SAs are created combining the IPsec device's own DH private value
//# with the DH public number received from the Controller.
//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-3
//# Whenever a DH private or DH public value is used, it is used along with the corresponding nonce.
Result<SaPairSpec> derive_pair(const DeriveInput& input, const crypto::DhPrivate& dh_private,
                               ByteView ppk) {
  const auto group = static_cast<std::uint16_t>(input.agreement.policy.group);
  //= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-5.2.1.1
  //# The DH group to be used must be known by the device.
  const auto ke = std::find_if(input.remote.kes.begin(), input.remote.kes.end(),
                               [group](const proto::DhPublic& k) { return k.group == group; });
  if (ke == input.remote.kes.end()) {
    return fail(proto::kErrNoProposal, "the peer's DIM has no KE payload of the agreed group",
                input.remote.device.value());
  }
  CYGNET_TRY(const SecretBytes shared, dh_private.derive(ke->value));
  CYGNET_TRY(proto::Keymat keymat,
             proto::derive_keymat(spi_inputs(input.local, input.remote, input.agreement),
                                  input.agreement.policy.suite, shared.reveal(), ppk));
  //= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-5.2
  //# The SAD is constructed from IPsec policy (e.g., ciphers) obtained (depending on the controller
  //# protocol method) either from the controller or distributed by a peer
  SaPairSpec spec;
  spec.peer = input.peer;
  spec.pair = {input.local.counter, input.remote.counter};
  spec.suite = input.agreement.policy.suite;
  spec.esn = input.agreement.policy.sn == proto::SequenceNumbers::kEsn;
  spec.replay_window = input.replay_window;
  const bool initiator = input.agreement.local_role == proto::Role::kInitiator;
  //= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-3
  //# When each device receives the peer's DH public value, a pair of IPsec SAs are generated: one
  //# outbound and one inbound.
  //= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-3
  //# B generates the same IPsec SA as an inbound SA, which is labeled Rx(a1-b1).
  //= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-5.2.1.3
  //# is taken by the device providing Ni
  for (proto::LaneKeys& lane : keymat.lanes) {
    proto::DirectionKeys& in = initiator ? lane.r_to_i : lane.i_to_r;
    proto::DirectionKeys& out = initiator ? lane.i_to_r : lane.r_to_i;
    spec.lanes.push_back(LaneSpec{
        .inbound = initiator ? lane.spi.i : lane.spi.r,
        .outbound = initiator ? lane.spi.r : lane.spi.i,
        .inbound_encr = std::move(in.encr),
        .inbound_integ = std::move(in.integ),
        .outbound_encr = std::move(out.encr),
        .outbound_integ = std::move(out.integ),
    });
  }
  return spec;
}

Result<SaPairClaim> claim_pair(const DeriveInput& input) {
  CYGNET_TRY(const std::vector<proto::SpiPair> pairs,
             proto::derive_spis(spi_inputs(input.local, input.remote, input.agreement)));
  SaPairClaim claim;
  claim.peer = input.peer;
  claim.pair = {input.local.counter, input.remote.counter};
  claim.suite = input.agreement.policy.suite;
  claim.esn = input.agreement.policy.sn == proto::SequenceNumbers::kEsn;
  const bool initiator = input.agreement.local_role == proto::Role::kInitiator;
  for (const proto::SpiPair& pair : pairs) {
    claim.spis.emplace_back(initiator ? pair.i : pair.r, initiator ? pair.r : pair.i);
  }
  return claim;
}

Result<std::vector<proto::Spi>> inbound_spis(const proto::Dim& local, const proto::Dim& remote,
                                             const proto::Agreement& agreement) {
  CYGNET_TRY(const std::vector<proto::SpiPair> pairs,
             proto::derive_spis(spi_inputs(local, remote, agreement)));
  std::vector<proto::Spi> inbound;
  for (const proto::SpiPair& pair : pairs) {
    inbound.push_back(agreement.local_role == proto::Role::kInitiator ? pair.i : pair.r);
  }
  return inbound;
}

}  // namespace cygnet::agent
