// SPDX-License-Identifier: Apache-2.0
#pragma once

/// A disk that can be slow, full or stuck: wraps any engine. For tests, the simulator and the
/// fault verbs of test builds; a shipped controller never makes one.

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>

#include "cygnet/controller/store/engine.h"

namespace cygnet::controller::store {

/// What the disk does to commits. Thread-safe.
class FaultControl {
 public:
  enum class Point : std::uint8_t {
    kBeforeDurable,  ///< the transaction is not on the disk yet
    kAfterDurable,   ///< it is, but nobody has been told
  };

  /// Commits stop at a point until release(); a hold that nobody releases ends with the control's
  /// stop().
  void hold(Point point);
  void release();
  /// True once a commit stands at the held point; false at the deadline.
  [[nodiscard]] bool wait_until_held(std::chrono::steady_clock::time_point deadline);

  /// Every commit fails with this error until clear_failure(); nothing of it is stored.
  void fail_commits(Error error);
  void clear_failure();
  /// Every commit takes this much longer (a slow fsync).
  void delay_commits(std::chrono::milliseconds delay);
  /// Lets everything go, for good.
  void stop();

 private:
  friend class FaultEngine;
  void pass(Point point);
  [[nodiscard]] std::optional<Error> failure();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<Point> held_;
  bool standing_ = false;
  bool stopped_ = false;
  std::optional<Error> failure_;
  std::chrono::milliseconds delay_{0};
};

[[nodiscard]] std::unique_ptr<Engine> make_fault_engine(std::unique_ptr<Engine> inner,
                                                        std::shared_ptr<FaultControl> control);

}  // namespace cygnet::controller::store
