// SPDX-License-Identifier: Apache-2.0
#include "cygnet/rt/loop.h"

#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <csignal>
#include <ctime>
#include <set>
#include <thread>
#include <vector>

#include "cygnet/base/assert.h"
#include "cygnet/rt/asio_loop.h"

namespace cygnet::rt {
namespace {

Duration read_clock(clockid_t id) {
  timespec value{};
  CYGNET_ASSERT(clock_gettime(id, &value) == 0);
  return std::chrono::seconds(value.tv_sec) + std::chrono::nanoseconds(value.tv_nsec);
}

/// Earliest first; equal times in order of arming, so that runs are reproducible.
struct Earlier {
  bool operator()(const Timer* a, const Timer* b) const;
};

}  // namespace

struct Loop::Impl {
  explicit Impl(ClockOffsets given)
      : offsets(given),
        work(boost::asio::make_work_guard(io)),
        timer_fd(io, timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC)) {
    CYGNET_ASSERT(timer_fd.native_handle() >= 0);
  }

  [[nodiscard]] Timestamp now() const {
    return Timestamp(read_clock(CLOCK_BOOTTIME) + offsets.monotonic);
  }

  static Timestamp at(const Timer* timer) { return timer->at_; }
  static std::uint64_t order(const Timer* timer) { return timer->order_; }

  void add(Timer* timer) {
    timer->order_ = ++next_order;
    timers.insert(timer);
    if (*timers.begin() == timer) set_fd();
    wait();
  }
  void remove(Timer* timer) { timers.erase(timer); }  // a wake-up for nothing is harmless

  void set_fd() {
    itimerspec spec{};
    if (!timers.empty()) {
      // Zero would disarm; a time in the past fires at once.
      const Duration at_clock =
          std::max((*timers.begin())->at_.time_since_epoch() - offsets.monotonic, Duration{1});
      const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(at_clock);
      spec.it_value.tv_sec = seconds.count();
      spec.it_value.tv_nsec = (at_clock - seconds).count();
    }
    CYGNET_ASSERT(timerfd_settime(timer_fd.native_handle(), TFD_TIMER_ABSTIME, &spec, nullptr) ==
                  0);
  }

  void wait() {
    if (waiting) return;
    waiting = true;
    timer_fd.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                        [this](const boost::system::error_code& error) {
                          if (error) return;  // only when the loop goes
                          waiting = false;
                          std::uint64_t expirations = 0;
                          [[maybe_unused]] const ssize_t n =
                              read(timer_fd.native_handle(), &expirations, sizeof expirations);
                          fire();
                        });
  }

  void fire() {
    // Only what was due when we started: a timer that re-arms itself at once does not starve I/O.
    const Timestamp due = now();
    const std::uint64_t last_order = next_order;
    while (!timers.empty()) {
      Timer* timer = *timers.begin();
      if (timer->at_ > due || timer->order_ > last_order) break;
      timers.erase(timers.begin());
      timer->armed_ = false;
      auto callback = std::move(timer->callback_);
      timer->callback_ = nullptr;
      callback();  // may destroy the timer
    }
    if (!timers.empty()) {
      set_fd();
      wait();
    }
  }

  ClockOffsets offsets;
  // Before io: handlers that io drops when it goes may own timers.
  std::set<Timer*, Earlier> timers;
  boost::asio::io_context io{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work;
  boost::asio::posix::stream_descriptor timer_fd;
  std::uint64_t next_order = 0;
  bool waiting = false;
  std::atomic<std::thread::id> thread{std::this_thread::get_id()};
};

namespace {
bool Earlier::operator()(const Timer* a, const Timer* b) const {
  const auto at_a = Loop::Impl::at(a);
  const auto at_b = Loop::Impl::at(b);
  if (at_a != at_b) return at_a < at_b;
  return Loop::Impl::order(a) < Loop::Impl::order(b);
}
}  // namespace

Loop::Loop(ClockOffsets offsets) {
  std::signal(SIGPIPE, SIG_IGN);
  impl_ = std::make_unique<Impl>(offsets);
}
Loop::~Loop() = default;

void Loop::run() {
  impl_->thread = std::this_thread::get_id();
  impl_->io.restart();
  impl_->io.run();
}

void Loop::stop() { impl_->io.stop(); }

void Loop::post(UniqueFunction<void()> work) {
  boost::asio::post(impl_->io, [work = std::move(work)]() mutable { work(); });
}

bool Loop::on_loop_thread() const { return impl_->thread.load() == std::this_thread::get_id(); }

Timestamp Loop::now() const { return impl_->now(); }

ServerTime Loop::wall_now() const {
  return ServerTime(std::chrono::duration_cast<std::chrono::milliseconds>(
      read_clock(CLOCK_REALTIME) + impl_->offsets.wall));
}

bool Loop::run_until_impl(UniqueFunction<bool()> done, Duration limit) {
  impl_->thread = std::this_thread::get_id();
  impl_->io.restart();
  const Timestamp end = now() + limit;
  while (!done()) {
    const Timestamp at = now();
    if (at >= end) return false;
    // One handler at a time, so that the predicate is looked at after each.
    impl_->io.run_one_for(std::min<Duration>(end - at, std::chrono::milliseconds(50)));
  }
  return true;
}

Timer::Timer(Loop& loop) : loop_(loop) {}
Timer::~Timer() { cancel(); }

void Timer::arm_at(Timestamp at, UniqueFunction<void()> callback) {
  cancel();
  at_ = at;
  callback_ = std::move(callback);
  armed_ = true;
  loop_.impl().add(this);
}

void Timer::arm_after(Duration delay, UniqueFunction<void()> callback) {
  arm_at(loop_.now() + delay, std::move(callback));
}

void Timer::cancel() {
  if (!armed_) return;
  loop_.impl().remove(this);
  armed_ = false;
  callback_ = nullptr;
}

bool Timer::armed() const { return armed_; }

boost::asio::io_context& io_context_of(Loop& loop) { return loop.impl().io; }

}  // namespace cygnet::rt
