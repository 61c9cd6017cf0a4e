// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Writes one file of the state directory behind the control thread's back: however often it is
/// asked for, one write runs at a time, with the newest content, and a failed one is tried again.
/// Control thread only; the write itself runs on the disk worker.

#include <functional>
#include <memory>
#include <string>

#include "cygnet/base/result.h"
#include "cygnet/rt/log.h"
#include "cygnet/rt/loop.h"
#include "cygnet/rt/worker_pool.h"

namespace cygnet::agent {

inline constexpr Duration kSaveRetry = std::chrono::seconds(5);

class Saver {
 public:
  /// `snapshot` runs on the control thread and returns the job for the disk worker.
  Saver(rt::Loop& loop, rt::WorkerPool& disk, std::string name, Duration delay,
        std::function<std::function<Status()>()> snapshot, std::function<void()> on_failed)
      : disk_(disk),
        name_(std::move(name)),
        delay_(delay),
        snapshot_(std::move(snapshot)),
        on_failed_(std::move(on_failed)),
        timer_(loop) {}

  void request() {
    wanted_ = true;
    if (!writing_ && !timer_.armed()) timer_.arm_after(delay_, [this] { write(); });
  }
  [[nodiscard]] bool idle() const { return !wanted_ && !writing_; }
  /// At the end: what is still wanted, or whose writing was not answered, is written now, on this
  /// thread.
  void flush() {
    timer_.cancel();
    if (!wanted_ && !writing_) return;
    wanted_ = false;
    report(snapshot_()());
  }

 private:
  void write() {
    if (!wanted_ || writing_) return;
    wanted_ = false;
    writing_ = true;
    disk_.submit(snapshot_(), [this](Status status) {
      writing_ = false;
      const bool failed = !status.has_value();
      report(status);
      if (failed) wanted_ = true;
      if (wanted_) timer_.arm_after(failed ? kSaveRetry : delay_, [this] { write(); });
    });
  }
  void report(const Status& status) {
    if (status) return;
    rt::log_error("cannot store " + name_, status.error());
    on_failed_();
  }

  rt::WorkerPool& disk_;
  std::string name_;
  Duration delay_;
  std::function<std::function<Status()>()> snapshot_;
  std::function<void()> on_failed_;
  bool wanted_ = false;
  bool writing_ = false;
  rt::Timer timer_;
};

}  // namespace cygnet::agent
