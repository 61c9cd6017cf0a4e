// SPDX-License-Identifier: Apache-2.0
#include "cygnet/rt/loop.h"

#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <string>
#include <thread>
#include <vector>

#include "cygnet/rt/fd_watcher.h"
#include "cygnet/rt/sd_notify.h"
#include "cygnet/rt/signals.h"
#include "cygnet/rt/test_directory.h"
#include "cygnet/rt/test_support.h"
#include "cygnet/rt/worker_pool.h"

namespace cygnet::rt {
namespace {

using namespace std::chrono_literals;
using test::kPatience;

TEST(Loop, PostedWorkRunsInOrderAndNeverAtOnce) {
  Loop loop;
  std::vector<int> order;
  loop.post([&] { order.push_back(1); });
  loop.post([&] { order.push_back(2); });
  EXPECT_TRUE(order.empty());
  ASSERT_TRUE(loop.run_until([&] { return order.size() == 2; }, kPatience));
  EXPECT_EQ(order, (std::vector<int>{1, 2}));
}

TEST(Loop, OtherThreadsCanPostAndStop) {
  Loop loop;
  bool ran = false;
  std::thread other([&] {
    loop.post([&] {
      ran = loop.on_loop_thread();
      loop.stop();
    });
  });
  loop.run();
  other.join();
  EXPECT_TRUE(ran);
}

TEST(Loop, TimersFireInOrderOfTheirTimes) {
  Loop loop;
  std::vector<int> order;
  Timer late(loop), early(loop), past(loop);
  late.arm_after(20ms, [&] { order.push_back(3); });
  early.arm_after(5ms, [&] { order.push_back(2); });
  past.arm_at(loop.now() - 1s, [&] { order.push_back(1); });
  ASSERT_TRUE(loop.run_until([&] { return order.size() == 3; }, kPatience));
  EXPECT_EQ(order, (std::vector<int>{1, 2, 3}));
  EXPECT_FALSE(late.armed());
}

TEST(Loop, ACancelledOrReArmedTimerForgetsItsOldCallback) {
  Loop loop;
  bool old_ran = false;
  bool new_ran = false;
  Timer timer(loop), cancelled(loop);
  timer.arm_after(1ms, [&] { old_ran = true; });
  timer.arm_after(3ms, [&] { new_ran = true; });
  cancelled.arm_after(1ms, [&] { old_ran = true; });
  cancelled.cancel();
  ASSERT_TRUE(loop.run_until([&] { return new_ran; }, kPatience));
  EXPECT_FALSE(old_ran);
}

TEST(Loop, ATimerMayReArmAndDestroyItselfInItsCallback) {
  Loop loop;
  int rounds = 0;
  auto timer = std::make_unique<Timer>(loop);
  std::function<void()> again = [&] {
    if (++rounds == 3) {
      timer.reset();
    } else {
      timer->arm_after(Duration(0), again);
    }
  };
  timer->arm_after(Duration(0), again);
  ASSERT_TRUE(loop.run_until([&] { return rounds == 3; }, kPatience));
  EXPECT_EQ(timer, nullptr);
}

TEST(Loop, ATimerThatReArmsAtOnceDoesNotStarveOtherWork) {
  Loop loop;
  Timer busy(loop);
  std::function<void()> again = [&] { busy.arm_at(loop.now() - 1s, again); };
  busy.arm_after(Duration(0), again);
  bool ran = false;
  loop.post([&] { loop.post([&] { ran = true; }); });
  EXPECT_TRUE(loop.run_until([&] { return ran; }, kPatience));
}

TEST(Loop, ClockOffsetsMoveBothClocksAndTimersFollow) {
  Loop real;
  Loop shifted({.monotonic = 1h, .wall = 24h});
  EXPECT_GT(shifted.now() - real.now(), 59min);
  EXPECT_GT(shifted.wall_now() - real.wall_now(), 23h);
  bool fired = false;
  Timer timer(shifted);
  timer.arm_at(shifted.now() + 2ms, [&] { fired = true; });
  EXPECT_TRUE(shifted.run_until([&] { return fired; }, kPatience));
}

TEST(Loop, RunUntilGivesUpAtItsLimit) {
  Loop loop;
  EXPECT_FALSE(loop.run_until([] { return false; }, 1ms));
}

TEST(FdWatcher, CallsWhileThereIsSomethingToReadUntilDestroyed) {
  Loop loop;
  const int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  int calls = 0;
  auto watcher = std::make_unique<FdWatcher>(loop, fd, [&] { ++calls; });
  const std::uint64_t one = 1;
  ASSERT_EQ(write(fd, &one, sizeof one), static_cast<ssize_t>(sizeof one));
  ASSERT_TRUE(loop.run_until([&] { return calls >= 2; }, kPatience));
  watcher.reset();
  const int before = calls;
  bool turned = false;
  loop.post([&] { loop.post([&] { turned = true; }); });
  ASSERT_TRUE(loop.run_until([&] { return turned; }, kPatience));
  EXPECT_EQ(calls, before);
  EXPECT_EQ(write(fd, &one, sizeof one), static_cast<ssize_t>(sizeof one));  // still open
  close(fd);
}

TEST(WorkerPool, ResultsComeBackOnTheLoop) {
  Loop loop;
  WorkerPool pool(loop, 2);
  EXPECT_EQ(pool.threads(), 2U);
  std::vector<int> results;
  bool on_loop = true;
  for (int i = 0; i < 20; ++i) {
    pool.submit([i, secret = SecretBytes(8)] { return i * static_cast<int>(secret.size()); },
                [&](int value) {
                  on_loop = on_loop && loop.on_loop_thread();
                  results.push_back(value);
                });
  }
  EXPECT_EQ(pool.outstanding(), 20U);
  ASSERT_TRUE(loop.run_until([&] { return results.size() == 20; }, kPatience));
  EXPECT_TRUE(on_loop);
  EXPECT_EQ(pool.outstanding(), 0U);
}

TEST(WorkerPool, OneWorkerKeepsOrder) {
  Loop loop;
  WorkerPool pool(loop, 1);
  std::vector<int> results;
  for (int i = 0; i < 50; ++i) {
    pool.submit([i] { return i; }, [&](int value) { results.push_back(value); });
  }
  ASSERT_TRUE(loop.run_until([&] { return results.size() == 50; }, kPatience));
  EXPECT_TRUE(std::is_sorted(results.begin(), results.end()));
}

TEST(WorkerPool, NothingComesBackAfterThePoolIsGone) {
  Loop loop;
  bool came = false;
  {
    WorkerPool pool(loop, 1);
    pool.submit([] {}, [&] { came = true; });
  }
  bool turned = false;
  loop.post([&] { turned = true; });
  ASSERT_TRUE(loop.run_until([&] { return turned; }, kPatience));
  EXPECT_FALSE(came);
}

TEST(WorkerPool, FinishRunsWhatIsQueued) {
  Loop loop;
  std::atomic<int> ran = 0;
  WorkerPool pool(loop, 1);
  for (int i = 0; i < 50; ++i) pool.submit([&] { ++ran; }, [] {});
  pool.finish();
  EXPECT_EQ(ran, 50);
}

TEST(Signals, TerminateAndReloadAreToldOnTheLoop) {
  Loop loop;
  int reloads = 0;
  bool terminated = false;
  const SignalWatcher watcher(loop, {[&] { terminated = true; }, [&] { ++reloads; }});
  raise(SIGHUP);
  ASSERT_TRUE(loop.run_until([&] { return reloads == 1; }, kPatience));
  raise(SIGHUP);
  ASSERT_TRUE(loop.run_until([&] { return reloads == 2; }, kPatience));
  raise(SIGTERM);
  ASSERT_TRUE(loop.run_until([&] { return terminated; }, kPatience));
}

TEST(SdNotify, SendsStateToTheNamedSocket) {
  const test::TempDirectory dir;
  const std::string path = dir / "notify";
  const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  const ServiceNotifier notifier(path, Duration(10s));
  notifier.ready();
  notifier.status("2 peers\nREADY=0");
  const auto receive = [&] {
    std::array<char, 256> text{};
    const ssize_t n = recv(fd, text.data(), text.size(), MSG_DONTWAIT);
    return n < 0 ? std::string("nothing") : std::string(text.data(), static_cast<std::size_t>(n));
  };
  EXPECT_EQ(receive(), "READY=1");
  EXPECT_EQ(receive(), "STATUS=2 peers READY=0");
  EXPECT_EQ(notifier.watchdog_interval(), Duration(5s));
  close(fd);
}

TEST(SdNotify, DoesNothingOutsideSystemd) {
  const ServiceNotifier notifier("", std::nullopt);
  notifier.ready();
  EXPECT_EQ(notifier.watchdog_interval(), std::nullopt);
}

}  // namespace
}  // namespace cygnet::rt
