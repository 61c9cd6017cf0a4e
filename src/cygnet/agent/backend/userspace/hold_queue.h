// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Packets of one peer that wait for an outbound SA: bounded in number and in time, the oldest go
/// first (docs/protocol.md section 6, "Start": "First packets wait (bounded; at most 1 s; oldest
/// dropped first)"). Pure: time comes in. Not thread-safe.

#include <chrono>
#include <cstddef>
#include <deque>
#include <optional>

#include "cygnet/base/bytes.h"
#include "cygnet/base/time.h"

namespace cygnet::agent::userspace {

class HoldQueue {
 public:
  static constexpr std::size_t kMaxPackets = 64;
  static constexpr Duration kMaxAge = std::chrono::seconds(1);

  /// Takes a copy. @return how many packets fell out: too old, or the oldest for lack of room.
  std::size_t push(Timestamp now, ByteView packet);
  /// Drops what is too old. @return how many.
  std::size_t expire(Timestamp now);
  /// The oldest packet, to be sent now; call expire first.
  [[nodiscard]] std::optional<Bytes> pop();
  /// Drops everything. @return how many.
  std::size_t clear();
  [[nodiscard]] bool empty() const { return packets_.empty(); }
  [[nodiscard]] std::size_t size() const { return packets_.size(); }

 private:
  struct Held {
    Timestamp since;
    Bytes packet;
  };
  std::deque<Held> packets_;
};

}  // namespace cygnet::agent::userspace
