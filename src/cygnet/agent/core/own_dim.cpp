// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/core/own_dim.h"

#include <algorithm>

namespace cygnet::agent {

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-2
//# All algorithms are selected by the controller
//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-6.1
//# When a device supports multiple policies, it MUST include those policies within the DIM. This is
//# done by sending multiple distinct policies, in order of preference, where the first policy is
//# the most preferred.
Result<Offer> make_offer(const MeshSettings& settings, const Abilities& abilities) {
  Offer offer;
  for (const std::string& text : settings.proposals) {
    const Result<proto::IpsecPolicy> policy = proto::policy_from_text(text);
    const bool usable = policy && policy->mode == proto::Mode::kTunnel &&
                        offer.policies.size() < proto::kProposalsMax;
    const bool doubled = usable && std::find(offer.policies.begin(), offer.policies.end(),
                                             *policy) != offer.policies.end();
    const bool group_known = usable && std::find(offer.groups.begin(), offer.groups.end(),
                                                 policy->group) != offer.groups.end();
    if (!usable || doubled || (!group_known && offer.groups.size() >= proto::kKesMax)) {
      offer.left_out.push_back(text);
      continue;
    }
    offer.policies.push_back(*policy);
    if (!group_known) offer.groups.push_back(policy->group);
  }
  if (offer.policies.empty()) {
    return fail(kErrNoUsableProposal, "the mesh offers no proposal that this device can do",
                "proposals",
                "name one this version knows in the mesh policy, or upgrade this device");
  }
  offer.lanes =
      std::clamp<std::uint16_t>(std::min(settings.lanes, abilities.lanes_max), 1, proto::kLanesMax);
  offer.ppk_ids = abilities.ppk_ids;
  if (offer.ppk_ids.size() > proto::kPpksMax) offer.ppk_ids.resize(proto::kPpksMax);
  return offer;
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-3
//# Whenever DH public values are transmitted, they are transmitted with the corresponding nonce.
proto::Dim compose_dim(const proto::DeviceName& device, const Offer& offer,
                       proto::RekeyCounter counter, std::vector<proto::DhPublic> kes, Bytes nonce) {
  proto::Dim dim;
  dim.device = device;
  dim.counter = counter;
  dim.lanes = offer.lanes;
  dim.ppk_ids = offer.ppk_ids;
  std::uint8_t number = 1;
  for (const proto::IpsecPolicy& policy : offer.policies) {
    dim.proposals.push_back(proto::make_proposal(number++, policy));
  }
  dim.kes = std::move(kes);
  dim.nonce = std::move(nonce);
  return dim;
}

}  // namespace cygnet::agent
