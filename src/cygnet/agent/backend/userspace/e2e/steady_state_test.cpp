// SPDX-License-Identifier: Apache-2.0
// In steady state a packet costs the data-plane thread neither memory nor a lock. A binary of its
// own: it stands between the program and the allocator, and the program and its mutexes.
#include <dlfcn.h>
#include <pthread.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <new>

#include "cygnet/agent/backend/userspace/e2e/two_devices.h"

namespace {

// Plain and global: both functions below may run before any object of ours exists.
std::atomic<std::size_t> allocations{0};
std::atomic<std::size_t> locks{0};

bool on_data_plane() {
  char name[16] = {};
  return pthread_getname_np(pthread_self(), name, sizeof name) == 0 &&
         std::strcmp(name, "cygnet-plane") == 0;
}

using MutexCall = int (*)(pthread_mutex_t*);
MutexCall real_lock() {
  static std::atomic<MutexCall> found{nullptr};
  MutexCall call = found.load();
  if (call == nullptr) {
    void* const symbol = dlsym(RTLD_NEXT, "pthread_mutex_lock");
    std::memcpy(&call, &symbol, sizeof call);
    found.store(call);
  }
  return call;
}

}  // namespace

// Not inlined: g++ would see malloc and delete side by side and call them mismatched.
[[gnu::noinline]] void* operator new(std::size_t size) {
  if (on_data_plane()) ++allocations;
  void* const memory = std::malloc(size);
  if (memory == nullptr) std::abort();
  return memory;
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t /*size*/) noexcept {
  std::free(memory);
}
extern "C" int pthread_mutex_lock(pthread_mutex_t* mutex) noexcept {
  if (on_data_plane()) ++locks;
  return real_lock()(mutex);
}

namespace cygnet::agent::userspace::e2e {
namespace {

struct Cost {
  std::size_t allocations;
  std::size_t locks;
};

class SteadyState : public TwoDevices {
 protected:
  /// What `packets` datagrams there and back cost both data planes together.
  Cost exchange(std::size_t packets) {
    const std::size_t allocations_before = allocations;
    const std::size_t locks_before = locks;
    for (std::size_t i = 0; i < packets; ++i) {
      sockets_[0]->send(kSites[1].lan4, kTrafficPort, payload_);
      EXPECT_TRUE(sockets_[1]->receive().has_value());
      sockets_[1]->send(kSites[0].lan4, kTrafficPort, payload_);
      EXPECT_TRUE(sockets_[0]->receive().has_value());
    }
    return {allocations - allocations_before, locks - locks_before};
  }

  Bytes payload_ = Bytes(1000, 7);
  std::array<std::unique_ptr<Socket>, 2> sockets_;
};

// Events (traffic was seen, a packet verified) go to the control thread at most once a second and
// kind, with a lock and some memory: the more packets, the less each of them has to do with it.
TEST_F(SteadyState, NeitherMemoryNorLocksAPacket) {
  bring_up();
  for (const std::size_t end : {0U, 1U}) {
    sockets_[end] = std::make_unique<Socket>(ns_[end], kSites[end].lan4, kTrafficPort);
  }
  exchange(200);
  constexpr std::size_t kPackets = 4000;
  const auto began = std::chrono::steady_clock::now();
  const Cost cost = exchange(kPackets);
  const auto seconds = static_cast<std::size_t>(
      std::chrono::ceil<std::chrono::seconds>(std::chrono::steady_clock::now() - began).count());
  // Two devices, at most six kinds of event each in a second, with its mailbox.
  const std::size_t events = 2 * 6 * (seconds + 1);
  EXPECT_LE(cost.allocations, 8 * events) << kPackets << " packets each way, " << seconds << " s";
  EXPECT_LE(cost.locks, 4 * events) << kPackets << " packets each way, " << seconds << " s";
  std::printf("%zu packets each way: %zu allocations and %zu locks of events\n", kPackets,
              cost.allocations, cost.locks);
  expect_no_losses();
}

// The test of the test: what it stands between is really counted.
TEST_F(SteadyState, CountsWhatACommandCosts) {
  bring_up();
  const std::size_t allocations_before = allocations;
  const std::size_t locks_before = locks;
  static_cast<void>(device_[0]->counters());
  EXPECT_GT(allocations, allocations_before);
  EXPECT_GT(locks, locks_before);
}

}  // namespace
}  // namespace cygnet::agent::userspace::e2e
