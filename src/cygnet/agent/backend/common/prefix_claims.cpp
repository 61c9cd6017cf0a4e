// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/backend/common/prefix_claims.h"

#include <algorithm>

namespace cygnet::agent {

PrefixClaims::Change PrefixClaims::update(proto::PeerId peer, const std::vector<IpPrefix>& wanted) {
  Change change;
  for (auto it = claims_.begin(); it != claims_.end();) {
    auto& [prefix, claimants] = *it;
    const auto mine = std::find(claimants.begin(), claimants.end(), peer);
    if (mine == claimants.end() ||
        std::find(wanted.begin(), wanted.end(), prefix) != wanted.end()) {
      ++it;
      continue;
    }
    const bool owned = mine == claimants.begin();
    claimants.erase(mine);
    if (claimants.empty()) {
      change.freed.push_back(prefix);
      it = claims_.erase(it);
      continue;
    }
    if (owned) change.given.push_back({prefix, claimants.front(), false});
    ++it;
  }
  for (const IpPrefix& prefix : wanted) {
    auto& claimants = claims_[prefix];
    const bool known = std::find(claimants.begin(), claimants.end(), peer) != claimants.end();
    if (!known) claimants.push_back(peer);
    if (claimants.front() != peer) {
      change.waiting.push_back({prefix, claimants.front()});
    } else if (!known) {
      change.given.push_back({prefix, peer, true});
    }
  }
  return change;
}

std::vector<IpPrefix> PrefixClaims::all() const {
  std::vector<IpPrefix> out;
  out.reserve(claims_.size());
  for (const auto& [prefix, claimants] : claims_) out.push_back(prefix);
  return out;
}

}  // namespace cygnet::agent
