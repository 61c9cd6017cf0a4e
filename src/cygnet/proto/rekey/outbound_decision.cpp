// SPDX-License-Identifier: Apache-2.0
#include "cygnet/proto/rekey/outbound_decision.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "cygnet/base/assert.h"

namespace cygnet::proto::rekey {
namespace {

enum class Is : std::uint8_t { kNo, kYes, kAny };
enum class Act : std::uint8_t { kKeep, kLive, kStart, kWait };

struct Row {
  char label;
  Is remote;      // a remote generation counts as received
  Is newer;       // … but the peer was heard on a newer one
  Is any_live;    // some own generation is live
  Is live_pair;   // … and has an outbound SA with that remote generation
  Is start_pair;  // Start has an own generation to offer
  Is chosen;      // an outbound SA is chosen now
  Is may_send;    // Start need not wait (any longer) for the delivery mark
  Act act;
};

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-4
//# 1. Determine the outbound SAs with the remote peer's most recently distributed DH public value.
//# 2. Determine which of those outbound SAs are "live". A "live" outbound SA is one built from a DH
//# value from the local peer for which it has observed inbound traffic using any SA based on the
//# same local DH pair. This proves that the remote peer is prepared to receive traffic protected by
//# that DH pair.
//# 3. Choose the "live" outbound SA built from the local peer's most recent DH public value.
//
// @A  Nothing of the peer counts as received: its DIM has not come, or its SAs are still being
//     installed. What is chosen (normally nothing) stays.
//
// @H  The peer was heard on a generation whose SAs are not all here yet. It has nothing live
//     towards us (Start), and no older generation with us to begin on, so it receives on none.
//     On the newer one nothing may be sent before all its SAs are there. Packets wait.
//
// @B  The draft's own case, steps 1 to 3: the newest live own generation that has an outbound SA
// with
//     the newest remote generation.
//
// @C  Something is live, but without an outbound SA towards the newest remote generation: its pair
//     was used up or its private value is gone. "If the newest complete remote generation has no
//     live outbound SA, the choice stays where it is" (docs/protocol.md, Take-over): the peer is
//     known to receive there.
//
// @D  Nothing is live and Start has nothing to offer: our own DIM is not accepted yet, so no peer
// can
//     have it. What is chosen (normally nothing) stays.
//
// @E  Nothing is live, but Start chose before: "A new DIM moves the remote half only." The own half
//     moves up, never down, when the chosen generation has no SA with the newest remote one.
//
// @F  Nothing is live and nothing chosen; the peer has not acknowledged our DIM. The first packets
//     wait, at most a second.
//
// @G  Start (AMB-01): by the letter nothing would ever become live, since either side waits for the
//     other's traffic. So transmit on the newest remote generation and the oldest accepted own one,
//     the one the peer is most likely to have.
constexpr std::array<Row, 8> kTable{{
    //     remote    newer     any live  live pair start pair chosen    may send  outbound
    {'A', Is::kNo, Is::kAny, Is::kAny, Is::kAny, Is::kAny, Is::kAny, Is::kAny, Act::kKeep},
    {'H', Is::kYes, Is::kYes, Is::kAny, Is::kAny, Is::kAny, Is::kAny, Is::kAny, Act::kWait},
    {'B', Is::kYes, Is::kNo, Is::kYes, Is::kYes, Is::kAny, Is::kAny, Is::kAny, Act::kLive},
    {'C', Is::kYes, Is::kNo, Is::kYes, Is::kNo, Is::kAny, Is::kAny, Is::kAny, Act::kKeep},
    {'D', Is::kYes, Is::kNo, Is::kNo, Is::kAny, Is::kNo, Is::kAny, Is::kAny, Act::kKeep},
    {'E', Is::kYes, Is::kNo, Is::kNo, Is::kAny, Is::kYes, Is::kYes, Is::kAny, Act::kStart},
    {'F', Is::kYes, Is::kNo, Is::kNo, Is::kAny, Is::kYes, Is::kNo, Is::kNo, Act::kWait},
    {'G', Is::kYes, Is::kNo, Is::kNo, Is::kAny, Is::kYes, Is::kNo, Is::kYes, Act::kStart},
}};

/// A row's conditions as bits, in the order of its columns: the decision is made at every event.
struct Bits {
  std::uint32_t asked = 0;
  std::uint32_t yes = 0;
};
constexpr std::array<Bits, kTable.size()> kBits = [] {
  std::array<Bits, kTable.size()> all{};
  for (std::size_t i = 0; i < kTable.size(); ++i) {
    const Row& row = kTable[i];
    std::uint32_t bit = 1;
    for (const Is is : {row.remote, row.newer, row.any_live, row.live_pair, row.start_pair,
                        row.chosen, row.may_send}) {
      if (is != Is::kAny) all[i].asked |= bit;
      if (is == Is::kYes) all[i].yes |= bit;
      bit <<= 1;
    }
  }
  return all;
}();

}  // namespace

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-4.1
//# It continues to transmit on the old SAs for each peer until it observes that peer begin to
//# transmit on the new SAs.
Decision choose_outbound(const DecisionFacts& facts) {
  std::optional<RekeyCounter> live_pair;
  for (const RekeyCounter own : facts.usable) {
    if (std::find(facts.live.begin(), facts.live.end(), own) != facts.live.end()) live_pair = own;
  }
  std::uint32_t given = 0;
  std::uint32_t bit = 1;
  for (const bool fact :
       {facts.remote.has_value(), facts.heard_newer, !facts.live.empty(), live_pair.has_value(),
        facts.start.has_value(), facts.choice.has_value(), facts.start_may_send}) {
    if (fact) given |= bit;
    bit <<= 1;
  }
  for (std::size_t i = 0; i < kTable.size(); ++i) {
    if ((given & kBits[i].asked) != kBits[i].yes) continue;
    const Row& row = kTable[i];
    switch (row.act) {
      case Act::kKeep:
        return {row.label, facts.choice};
      case Act::kLive:
        return {row.label, SaPairId{*live_pair, *facts.remote}};
      case Act::kStart:
        return {row.label, SaPairId{*facts.start, *facts.remote}};
      case Act::kWait:
        return {row.label, std::nullopt};
    }
  }
  CYGNET_ASSERT(false && "the decision table is total");
  return {};
}

}  // namespace cygnet::proto::rekey
