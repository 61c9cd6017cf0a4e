// SPDX-License-Identifier: Apache-2.0

/// DIM octets come from the controller, so from anybody who got hold of it, and are decoded before
/// their signature is looked at. "A DIM has exactly one encoding" (docs/protocol.md section 3.1):
/// what decodes must encode to the same octets.

#include "cygnet/proto/dim/dim_codec.h"

#include "cygnet/proto/dim/sa_payload.h"
#include "fuzz.h"

using namespace cygnet;
using namespace cygnet::proto;

FUZZ_TARGET(dim_codec) {
  const auto dim = decode_dim(octets);
  if (!dim) {
    FUZZ_REQUIRE(dim.error().code == kErrDimForm || dim.error().code == kErrDimSize);
    FUZZ_REQUIRE(!dim.error().message.empty());
    return;
  }
  const auto again = encode_dim(*dim);
  FUZZ_REQUIRE(again.has_value());
  FUZZ_REQUIRE(equal(*again, octets));
  const auto before_auth = encode_dim_unsigned(*dim);
  FUZZ_REQUIRE(before_auth.has_value());
  FUZZ_REQUIRE(equal(*before_auth, octets_before_auth(octets)));
  FUZZ_REQUIRE(before_auth->size() < octets.size());
  FUZZ_REQUIRE(octets.size() <= kDimLengthMax && dim->proposals.size() <= kProposalsMax);
  FUZZ_REQUIRE(dim->kes.size() <= kKesMax && dim->nonce.size() == kNonceLength);
  FUZZ_REQUIRE(dim->counter.sequence() != 0 && dim->lanes != 0);
  for (const Proposal& proposal : dim->proposals) {
    const auto policy = interpret(proposal);
    if (!policy) continue;
    // What we understand we would write the same way, and can spell.
    FUZZ_REQUIRE(make_proposal(proposal.number, *policy) == proposal);
    const auto spelled = policy_from_text(to_string(*policy));
    FUZZ_REQUIRE(spelled.has_value() && *spelled == *policy);
  }
}
