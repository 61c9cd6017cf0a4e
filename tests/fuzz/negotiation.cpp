// SPDX-License-Identifier: Apache-2.0

/// Two devices negotiate without a message between them, so both must come to the same result from
/// the same two DIMs, with opposite roles; and to the one docs/protocol.md section 4 describes,
/// which is spelled out again here.

#include "cygnet/proto/negotiate/negotiate.h"
#include "dims.h"

using namespace cygnet;
using namespace cygnet::proto;

namespace {

/// "Walk the responder's proposals in order; take the first that equals one of the initiator's."
struct Expected {
  const Proposal* initiators = nullptr;
  const Proposal* responders = nullptr;
};
Expected walk(const Dim& initiator, const Dim& responder) {
  for (const Proposal& r : responder.proposals) {
    if (!interpret(r)) continue;
    for (const Proposal& i : initiator.proposals) {
      if (i.transforms == r.transforms) return {&i, &r};
    }
  }
  return {};
}

}  // namespace

FUZZ_TARGET(negotiation) {
  fuzz::Input in(octets);
  const bool mandatory = in.flag();
  const Dim a = fuzz::any_dim(in, "alpha.mesh");
  const Dim b = fuzz::any_dim(in, "beta.mesh");
  const auto at_a = negotiate(a, b, mandatory);
  const auto at_b = negotiate(b, a, mandatory);
  FUZZ_REQUIRE(at_a.has_value() == at_b.has_value());
  if (a.nonce == b.nonce) {
    FUZZ_REQUIRE(!at_a && at_a.error().code == kErrEqualNonces);
    FUZZ_REQUIRE(at_b.error().code == kErrEqualNonces);
    return;
  }
  const bool a_initiates = a.nonce > b.nonce;
  const Dim& initiator = a_initiates ? a : b;
  const Dim& responder = a_initiates ? b : a;
  const Expected expected = walk(initiator, responder);
  if (!at_a) {
    FUZZ_REQUIRE(at_a.error().code == at_b.error().code);
    if (at_a.error().code == kErrNoProposal) {
      FUZZ_REQUIRE(expected.responders == nullptr);
    } else {
      FUZZ_REQUIRE(at_a.error().code == kErrPpk && mandatory);
    }
    return;
  }
  FUZZ_REQUIRE(expected.responders != nullptr);
  FUZZ_REQUIRE((at_a->local_role == Role::kInitiator) == a_initiates);
  FUZZ_REQUIRE(at_a->local_role != at_b->local_role);
  FUZZ_REQUIRE(at_a->policy == at_b->policy && at_a->lanes == at_b->lanes);
  FUZZ_REQUIRE(at_a->spn_i == at_b->spn_i && at_a->spn_r == at_b->spn_r);
  FUZZ_REQUIRE(at_a->ppk_id == at_b->ppk_id);
  FUZZ_REQUIRE(at_a->spn_i == expected.initiators->number);
  FUZZ_REQUIRE(at_a->spn_r == expected.responders->number);
  FUZZ_REQUIRE(at_a->policy == *interpret(*expected.responders));
  FUZZ_REQUIRE(at_a->lanes >= 1 && at_a->lanes <= std::min({a.lanes, b.lanes, kLanesMax}));
  std::optional<Bytes> ppk;
  for (const Bytes& id : responder.ppk_ids) {
    const auto& theirs = initiator.ppk_ids;
    if (!ppk && std::find(theirs.begin(), theirs.end(), id) != theirs.end()) ppk = id;
  }
  FUZZ_REQUIRE(at_a->ppk_id == ppk);
  FUZZ_REQUIRE(ppk || !mandatory);
}
