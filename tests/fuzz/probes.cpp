// SPDX-License-Identifier: Apache-2.0

/// Probe datagrams (docs/protocol.md section 6.6), written by a peer that holds the key.

#include "cygnet/proto/probe/probe.h"
#include "fuzz.h"

using namespace cygnet;
using namespace cygnet::proto;

FUZZ_TARGET(probes) {
  const auto probe = decode_probe(octets);
  if (!probe) {
    FUZZ_REQUIRE(probe.error().code == kErrProbe);
    return;
  }
  const auto again = encode_probe(*probe);
  FUZZ_REQUIRE(again.has_value() && again->size() == octets.size());
  for (std::size_t i = 0; i < octets.size(); ++i) {
    FUZZ_REQUIRE((*again)[i] == octets[i] || i == 2 || i == 3);  // reserved: ignored on receipt
  }
  const auto twice = decode_probe(*again);
  FUZZ_REQUIRE(twice.has_value() && *twice == *probe);
  const Probe reply = reply_to(*probe);
  FUZZ_REQUIRE(reply.type == ProbeType::kReply && reply.cookie == probe->cookie);
  FUZZ_REQUIRE(encode_probe(reply).has_value());
}
