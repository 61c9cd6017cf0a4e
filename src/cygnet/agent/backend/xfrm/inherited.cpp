// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/backend/xfrm/inherited.h"

namespace cygnet::agent::xfrm {

InheritedStep next_step(const InheritedFacts& facts, Timestamp started, Timestamp now) {
  if (facts.drains_until) {
    return now >= *facts.drains_until ? InheritedStep::kRemove : InheritedStep::kKeep;
  }
  // Nobody of this run answers for that peer, so nobody will be heard either.
  if (!facts.claimed) {
    return now >= started + kInheritedUnclaimed ? InheritedStep::kRemove : InheritedStep::kKeep;
  }
  // A peer that sends on a pair of this run has it, and listens there. Its last packets by the old
  // SAs may be on their way: those drain.
  return facts.heard && facts.chosen ? InheritedStep::kLeave : InheritedStep::kKeep;
}

}  // namespace cygnet::agent::xfrm
