// SPDX-License-Identifier: Apache-2.0

/// Chains of IKEv2 payloads (RFC 7296 section 3.2) and the SA payload inside: the first octet
/// names the first payload. A chain that splits is made of exactly the octets that were given.

#include "cygnet/proto/dim/dim_codec.h"
#include "cygnet/proto/dim/sa_payload.h"
#include "cygnet/proto/ikev2/payload.h"
#include "fuzz.h"

using namespace cygnet;
using namespace cygnet::proto;

FUZZ_TARGET(ikev2_payloads) {
  fuzz::Input in(octets);
  const std::uint8_t first = in.u8();
  const ByteView chain = in.rest();
  const auto payloads = ikev2::split_chain(first, chain, kErrDimForm);
  if (payloads) {
    ikev2::ChainWriter writer;
    std::size_t covered = 0;
    for (const ikev2::Payload& payload : *payloads) {
      FUZZ_REQUIRE(payload.offset == covered);
      covered += payload.body.size() + ikev2::kPayloadHeaderLength;
      writer.add(payload.type, payload.body);
      FUZZ_REQUIRE(!ikev2::payload_name(payload.type).empty());
    }
    FUZZ_REQUIRE(covered == chain.size());
    FUZZ_REQUIRE(equal(writer.take(), chain));
  }
  const auto proposals = decode_sa(chain, 0);
  if (proposals) {
    FUZZ_REQUIRE(!proposals->empty());
    FUZZ_REQUIRE(equal(encode_sa(*proposals), chain));
  }
}
