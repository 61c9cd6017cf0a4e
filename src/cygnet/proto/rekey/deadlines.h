// SPDX-License-Identifier: Apache-2.0
#pragma once

/// When each peer of a device is due next, and which of them first (docs/protocol.md section 6).
/// Peers stand in slots, ascending by their ids; of two that are due at one time the lower slot
/// comes first. A knockout tree over the slots in two arrays: moving a deadline, as nearly every
/// event does, costs O(log n) at worst, mostly a step or two, and never the heap. Pure; value type.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "cygnet/base/time.h"

namespace cygnet::proto::rekey {

class Deadlines {
 public:
  /// Makes room for a slot without a deadline; those from `slot` on move up by one.
  void insert(std::size_t slot) {
    const bool last = slot == count_;
    if (++count_ > at_.size()) {
      at_.resize(std::max<std::size_t>(1, 2 * at_.size()), kNever);
      winner_.resize(at_.size());
      rebuild();
    }
    if (last) return;
    std::move_backward(at_.begin() + static_cast<std::ptrdiff_t>(slot),
                       at_.begin() + static_cast<std::ptrdiff_t>(count_ - 1),
                       at_.begin() + static_cast<std::ptrdiff_t>(count_));
    at_[slot] = kNever;
    rebuild();
  }

  void set(std::size_t slot, std::optional<Timestamp> at) {
    const Timestamp value = at.value_or(kNever);
    if (at_[slot] == value) return;
    at_[slot] = value;
    for (std::size_t node = (at_.size() + slot) / 2; node > 0; node /= 2) {
      const std::uint32_t before = winner_[node];
      winner_[node] = better(node);
      if (winner_[node] == before && before != slot) return;  // nothing changes further up
    }
  }

  /// nullopt: it has none.
  [[nodiscard]] std::optional<Timestamp> of(std::size_t slot) const {
    return at_[slot] == kNever ? std::nullopt : std::optional(at_[slot]);
  }
  /// The slot that is due first; its deadline may be none. There is at least one slot.
  [[nodiscard]] std::size_t first_slot() const { return at_.size() == 1 ? 0 : winner_[1]; }
  [[nodiscard]] std::optional<Timestamp> first() const {
    return at_.empty() ? std::nullopt : of(first_slot());
  }

 private:
  static constexpr Timestamp kNever = Timestamp::max();

  [[nodiscard]] std::uint32_t winner(std::size_t node) const {
    return node < at_.size() ? winner_[node] : static_cast<std::uint32_t>(node - at_.size());
  }
  [[nodiscard]] std::uint32_t better(std::size_t node) const {
    const std::uint32_t left = winner(2 * node);
    const std::uint32_t right = winner(2 * node + 1);
    return at_[right] < at_[left] ? right : left;
  }
  void rebuild() {
    for (std::size_t node = at_.size() - 1; node > 0; --node) winner_[node] = better(node);
  }

  std::size_t count_ = 0;
  std::vector<Timestamp> at_;  ///< by slot; as many as the next power of two
  /// Node n has the nodes 2n and 2n + 1 below it, the slots are the last of them: the slot that is
  /// due first of those below each node. Node 0 is nobody's.
  std::vector<std::uint32_t> winner_;
};

}  // namespace cygnet::proto::rekey
