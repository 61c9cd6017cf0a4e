// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The reactor: one thread that runs posted work, timers and socket readiness, and the clocks.
///
/// A Loop belongs to the thread that calls run(). Everything said to be "on the loop" runs there;
/// only post(), stop(), now() and wall_now() may be called from other threads. Built on
/// boost::asio::io_context, which only asio_loop.h shows.
///
/// Clocks: now() is CLOCK_BOOTTIME, so time a machine spends suspended counts (a key's lifetime
/// does not stop with the laptop's lid). wall_now() is the system's real-time clock. A test that
/// needs another time passes ClockOffsets; nothing reads an offset from the environment.

#include <chrono>
#include <cstdint>
#include <memory>

#include "cygnet/base/time.h"
#include "cygnet/rt/unique_function.h"

namespace cygnet::rt {

struct ClockOffsets {
  Duration monotonic{0};
  std::chrono::milliseconds wall{0};
};

class Loop {
 public:
  /// Also makes the process ignore SIGPIPE: a peer that closes is an error value, not a death.
  explicit Loop(ClockOffsets offsets = {});
  ~Loop();  ///< Drops posted work that has not run.
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  /// Runs until stop(). Does not return for lack of work.
  void run();
  /// Makes run() return after the handler that runs now. Any thread.
  void stop();
  /// Runs `work` on the loop, later, in order of posting. Any thread. Never runs it at once.
  void post(UniqueFunction<void()> work);
  /// Whether the calling thread is the one that runs (or last ran) this loop.
  [[nodiscard]] bool on_loop_thread() const;

  [[nodiscard]] Timestamp now() const;        ///< CLOCK_BOOTTIME; any thread
  [[nodiscard]] ServerTime wall_now() const;  ///< CLOCK_REALTIME; any thread

  /// Test seam: runs the loop until `done()` holds or `limit` of real time has passed.
  /// @return whether it holds. How tests wait for an event with a deadline instead of sleeping.
  template <class Predicate>
  [[nodiscard]] bool run_until(Predicate done, Duration limit) {
    return run_until_impl([&done] { return static_cast<bool>(done()); }, limit);
  }

  struct Impl;
  [[nodiscard]] Impl& impl() { return *impl_; }  ///< for asio_loop.h

 private:
  [[nodiscard]] bool run_until_impl(UniqueFunction<bool()> done, Duration limit);
  std::unique_ptr<Impl> impl_;
};

/// One shot, re-armable. Loop thread only. Destroying or re-arming it guarantees that the old
/// callback does not run any more. Cheap: all timers of a loop share one timerfd on CLOCK_BOOTTIME.
class Timer {
 public:
  explicit Timer(Loop& loop);
  ~Timer();
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  /// Replaces what was armed. A time that has passed fires on the next turn of the loop.
  void arm_at(Timestamp at, UniqueFunction<void()> callback);
  void arm_after(Duration delay, UniqueFunction<void()> callback);
  void cancel();
  [[nodiscard]] bool armed() const;

 private:
  friend struct Loop::Impl;
  Loop& loop_;
  bool armed_ = false;
  Timestamp at_{};
  std::uint64_t order_ = 0;
  UniqueFunction<void()> callback_;
};

}  // namespace cygnet::rt
