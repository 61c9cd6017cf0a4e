// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The virtual clock and the one heap of events. Two events of one instant run in the order in
/// which they were put in, so a run is a function of its seed. Nothing here looks at a real clock.

#include <algorithm>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "cygnet/base/time.h"

namespace cygnet::sim {

class EventQueue {
 public:
  using Action = std::function<void()>;

  [[nodiscard]] Timestamp now() const { return now_; }
  [[nodiscard]] std::uint64_t executed() const { return executed_; }
  [[nodiscard]] std::size_t waiting() const { return heap_.size(); }
  [[nodiscard]] std::size_t waiting_max() const { return waiting_max_; }

  void at(Timestamp when, Action action) {
    std::uint32_t slot = static_cast<std::uint32_t>(actions_.size());
    if (free_.empty()) {
      actions_.push_back(std::move(action));
    } else {
      slot = free_.back();
      free_.pop_back();
      actions_[slot] = std::move(action);
    }
    heap_.push_back({std::max(when, now_), next_++, slot});
    std::push_heap(heap_.begin(), heap_.end(), Later());
    waiting_max_ = std::max(waiting_max_, heap_.size());
  }
  void after(Duration delay, Action action) { at(now_ + delay, std::move(action)); }

  /// Runs what is due until `end` (inclusive), or until `stop` says so.
  template <class Stop>
  void run_until(Timestamp end, Stop stop) {
    while (!heap_.empty() && heap_.front().at <= end && !stop()) {
      std::pop_heap(heap_.begin(), heap_.end(), Later());
      const Entry entry = heap_.back();
      heap_.pop_back();
      now_ = entry.at;
      ++executed_;
      const Action action = std::exchange(actions_[entry.slot], nullptr);
      free_.push_back(entry.slot);
      action();
    }
    if (!stop()) now_ = std::max(now_, end);
  }

 private:
  struct Entry {
    Timestamp at;
    std::uint64_t order;
    std::uint32_t slot;  ///< of its action: what is moved about in the heap stays small
  };
  struct Later {
    bool operator()(const Entry& a, const Entry& b) const {
      return a.at != b.at ? a.at > b.at : a.order > b.order;
    }
  };

  std::vector<Entry> heap_;
  std::vector<Action> actions_;
  std::vector<std::uint32_t> free_;
  Timestamp now_{std::chrono::hours(1)};
  std::uint64_t next_ = 0;
  std::uint64_t executed_ = 0;
  std::size_t waiting_max_ = 0;
};

}  // namespace cygnet::sim
