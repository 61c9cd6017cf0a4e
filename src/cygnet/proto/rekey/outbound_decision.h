// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The outbound SA decision process of draft section 4, closed where the draft leaves it open
/// (docs/protocol.md section 6: Start, Take-over). Pure; a function of the facts it is given.

#include <optional>
#include <span>

#include "cygnet/proto/ids/ids.h"

namespace cygnet::proto::rekey {

/// What the decision is made from: one peer, at one moment. Made at every event, so the lists are
/// their owner's, who keeps them until the decision is made.
struct DecisionFacts {
  /// The newest remote generation that counts as received (Take-over): all its pairs are installed.
  std::optional<RekeyCounter> remote;
  /// The peer was heard on a newer generation than `remote`: it receives on no older one any more.
  bool heard_newer = false;
  /// Own generations that have an outbound SA with `remote`, ascending.
  std::span<const RekeyCounter> usable;
  /// Own generations inbound traffic was seen on, ascending.
  std::span<const RekeyCounter> live;
  /// The own generation Start would take: it is in `usable`, accepted, not retired.
  std::optional<RekeyCounter> start;
  /// The peer acknowledged `start`, or the wait for that is over.
  bool start_may_send = false;
  /// What is chosen now.
  std::optional<SaPairId> choice;
};

struct Decision {
  char row = 'A';                  ///< label in the table
  std::optional<SaPairId> choice;  ///< what to transmit on; nullopt: hold packets
};

/// Total: some row matches any facts. The result never has an own generation below the chosen one.
[[nodiscard]] Decision choose_outbound(const DecisionFacts& facts);

}  // namespace cygnet::proto::rekey
