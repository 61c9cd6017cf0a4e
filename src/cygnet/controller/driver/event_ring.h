// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The last events, numbered, for /api/v1/events. Bounded; loop thread only.

#include <cstdint>
#include <deque>
#include <vector>

#include "cygnet/controller/core/effects.h"

namespace cygnet::controller {

struct StampedEvent {
  std::uint64_t id = 0;  ///< rising, from 1
  ServerTime at;
  Event event;
};

class EventRing {
 public:
  explicit EventRing(std::size_t max = 10'000) : max_(max) {}
  void push(ServerTime at, Event event) {
    ring_.push_back({++last_, at, std::move(event)});
    if (ring_.size() > max_) ring_.pop_front();
  }
  [[nodiscard]] std::vector<StampedEvent> after(std::uint64_t id, std::size_t limit) const {
    std::vector<StampedEvent> out;
    for (const auto& event : ring_) {
      if (event.id <= id) continue;
      if (out.size() == limit) break;
      out.push_back(event);
    }
    return out;
  }
  [[nodiscard]] std::uint64_t last() const { return last_; }

 private:
  std::size_t max_;
  std::uint64_t last_ = 0;
  std::deque<StampedEvent> ring_;
};

}  // namespace cygnet::controller
