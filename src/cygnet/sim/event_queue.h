// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The virtual clock and the one heap of events. Two events of one instant run in the order in
/// which they were put in, so a run is a function of its seed. Nothing here looks at a real clock.
///
/// Only what is due within a quarter of a second stands in the heap; what comes later waits,
/// unsorted, in the list of its quarter. A million timers that lie half an hour ahead cost nothing
/// until then.

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <utility>
#include <vector>

#include "cygnet/base/time.h"

namespace cygnet::sim {

class EventQueue {
 public:
  using Action = std::function<void()>;

  EventQueue() : ring_(kRing), current_(index_of(now_)) {}

  [[nodiscard]] Timestamp now() const { return now_; }
  [[nodiscard]] std::uint64_t executed() const { return executed_; }
  [[nodiscard]] std::size_t waiting() const { return waiting_; }
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
    put({std::max(when, now_), next_++, slot});
    waiting_max_ = std::max(waiting_max_, ++waiting_);
  }
  void after(Duration delay, Action action) { at(now_ + delay, std::move(action)); }

  /// Runs what is due until `end` (inclusive), or until `stop` says so.
  template <class Stop>
  void run_until(Timestamp end, Stop stop) {
    while (fill(end) && heap_.front().at <= end && !stop()) {
      std::pop_heap(heap_.begin(), heap_.end(), Later());
      const Entry entry = heap_.back();
      heap_.pop_back();
      --waiting_;
      now_ = entry.at;
      ++executed_;
      const Action action = std::exchange(actions_[entry.slot], nullptr);
      free_.push_back(entry.slot);
      action();
    }
    if (!stop()) now_ = std::max(now_, end);
  }

 private:
  static constexpr int kWidthBits = 28;  ///< of a list: 2^28 ns
  static constexpr std::uint64_t kRing = 1 << 14;

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

  static std::uint64_t index_of(Timestamp at) {
    return static_cast<std::uint64_t>(at.time_since_epoch().count()) >> kWidthBits;
  }
  void put(const Entry& entry) {
    const std::uint64_t index = index_of(entry.at);
    if (index <= current_) {
      heap_.push_back(entry);
      std::push_heap(heap_.begin(), heap_.end(), Later());
    } else if (index < current_ + kRing) {
      ring_[index % kRing].push_back(entry);
    } else {
      far_[index].push_back(entry);
    }
  }
  /// Whether the heap has something, moving on to the next lists as far as `end`.
  bool fill(Timestamp end) {
    while (heap_.empty()) {
      if (waiting_ == 0 || current_ >= index_of(end)) return false;
      ++current_;
      heap_ = std::exchange(ring_[current_ % kRing], {});
      if (!far_.empty() && far_.begin()->first == current_) {
        const auto& list = far_.begin()->second;
        heap_.insert(heap_.end(), list.begin(), list.end());
        far_.erase(far_.begin());
      }
      std::make_heap(heap_.begin(), heap_.end(), Later());
    }
    return true;
  }

  Timestamp now_{std::chrono::hours(1)};
  std::vector<Entry> heap_;               ///< everything up to the end of the current list
  std::vector<std::vector<Entry>> ring_;  ///< the kRing - 1 lists after it
  std::map<std::uint64_t, std::vector<Entry>> far_;
  std::uint64_t current_;
  std::vector<Action> actions_;
  std::vector<std::uint32_t> free_;
  std::uint64_t next_ = 0;
  std::uint64_t executed_ = 0;
  std::size_t waiting_ = 0;
  std::size_t waiting_max_ = 0;
};

}  // namespace cygnet::sim
