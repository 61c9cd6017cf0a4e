// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Which peer has which prefix. The same prefix can belong to one peer at a time; a second peer
/// that is given it waits and takes over when the first lets go, so that a prefix can move between
/// peers in whatever order the changes arrive. Nested prefixes are different prefixes. Pure.
/// Control thread only.

#include <map>
#include <vector>

#include "cygnet/agent/backend/api/backend.h"

namespace cygnet::agent {

class PrefixClaims {
 public:
  struct Change {
    struct Given {
      IpPrefix prefix;
      proto::PeerId peer;
      bool fresh = false;  ///< nobody had it before
    };
    struct Waiting {
      IpPrefix prefix;
      proto::PeerId holder;
    };
    std::vector<Given> given;      ///< has this owner now, and had another or none
    std::vector<IpPrefix> freed;   ///< has no owner any more
    std::vector<Waiting> waiting;  ///< wanted, but another peer has it
  };

  /// Makes `wanted` (all different) the prefixes this peer claims.
  [[nodiscard]] Change update(proto::PeerId peer, const std::vector<IpPrefix>& wanted);
  /// Every prefix that somebody claims.
  [[nodiscard]] std::vector<IpPrefix> all() const;
  [[nodiscard]] bool claimed(const IpPrefix& prefix) const { return claims_.contains(prefix); }

 private:
  std::map<IpPrefix, std::vector<proto::PeerId>> claims_;  ///< front: the owner
};

}  // namespace cygnet::agent
