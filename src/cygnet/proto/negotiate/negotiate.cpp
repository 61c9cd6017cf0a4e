// SPDX-License-Identifier: Apache-2.0
#include "cygnet/proto/negotiate/negotiate.h"

#include <algorithm>

#include "cygnet/proto/dim/sa_payload.h"

namespace cygnet::proto {
namespace {

bool has_ke(const Dim& dim, crypto::DhGroup group) {
  return std::any_of(dim.kes.begin(), dim.kes.end(), [group](const DhPublic& ke) {
    return ke.group == static_cast<std::uint16_t>(group);
  });
}

const Proposal* find_same(const Dim& dim, const Proposal& wanted) {
  const auto it = std::find_if(dim.proposals.begin(), dim.proposals.end(),
                               [&](const Proposal& p) { return same_transforms(p, wanted); });
  return it == dim.proposals.end() ? nullptr : &*it;
}

std::optional<Bytes> common_ppk(const Dim& initiator, const Dim& responder) {
  for (const Bytes& id : responder.ppk_ids) {
    if (std::find(initiator.ppk_ids.begin(), initiator.ppk_ids.end(), id) !=
        initiator.ppk_ids.end()) {
      return id;
    }
  }
  return std::nullopt;
}

}  // namespace

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-5.2.1.2
//# The initiator is chosen as the peer with the larger nonce and the responder is the peer with the
//# smaller.
Result<Role> role_of_local(ByteView local_nonce, ByteView remote_nonce) {
  const int order = compare(local_nonce, remote_nonce);
  if (order == 0) {
    return fail(
        kErrEqualNonces, "both devices have the same nonce, so neither is the initiator", {},
        "draw a new nonce with a new DH pair; if it happens again, look for a cloned device");
  }
  return order > 0 ? Role::kInitiator : Role::kResponder;
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-6.1
//# The policy to use is selected by taking the receiver's list of policies (i.e., the list
//# advertised by the device that generates N_r), starting with the first policy, compare against
//# the initiator's (device that generates N_i) list, and choosing the first one found in common.
Result<Agreement> negotiate(const Dim& local, const Dim& remote, bool ppk_mandatory) {
  CYGNET_TRY(const Role role, role_of_local(local.nonce, remote.nonce));
  //= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-5.2.1.2
  //# This does mean that the roles can change for each rekey and for each SA within a rekey.
  const Dim& initiator = role == Role::kInitiator ? local : remote;
  const Dim& responder = role == Role::kInitiator ? remote : local;

  //= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-A.3.1
  //# Each peer will independently compare each Proposal in the Responder's SA payload to each
  //# Proposal in the Initiator's SA payload and choose the first match.
  for (const Proposal& wanted : responder.proposals) {
    const std::optional<IpsecPolicy> policy = interpret(wanted);
    if (!policy) continue;
    const Proposal* match = find_same(initiator, wanted);
    if (match == nullptr) continue;

    //= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-6.1
    //# The selection of which DH group to use follows the same logic as Policy selection, using the
    //# receiver's list order until a match is found in the initiator's list.
    if (!has_ke(local, policy->group) || !has_ke(remote, policy->group)) {
      return fail(kErrNoProposal, "proposal " + to_string(*policy) +
                                      " is chosen, but a KE value for it is missing");
    }
    Agreement out;
    out.local_role = role;
    out.policy = *policy;
    out.spn_i = match->number;
    out.spn_r = wanted.number;
    out.lanes = lanes_for(local.lanes, remote.lanes, *policy);
    out.ppk_id = common_ppk(initiator, responder);
    if (!out.ppk_id && ppk_mandatory) {
      return fail(kErrPpk,
                  local.device.value() + " and " + remote.device.value() +
                      " have no PPK in common, and policy demands one",
                  {}, "give both devices the same PPK, or make PPKs optional in the policy");
    }
    return out;
  }
  return fail(
      kErrNoProposal,
      local.device.value() + " and " + remote.device.value() + " have no proposal in common", {},
      "compare their lists; the mesh policy should give both the same one");
}

std::uint16_t lanes_for(std::uint16_t local, std::uint16_t remote, const IpsecPolicy& policy) {
  // RFC 7296 section 2.13: prf+ ends after 255 blocks.
  const std::size_t keyable =
      255 * crypto::prf_length(policy.prf) /
      (2 * (policy.suite.encr_key_length() + policy.suite.integ_key_length()));
  return static_cast<std::uint16_t>(std::min<std::size_t>({local, remote, kLanesMax, keyable}));
}

}  // namespace cygnet::proto
