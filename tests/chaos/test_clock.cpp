// SPDX-License-Identifier: Apache-2.0
// A wall clock that a test sets: preloaded into a daemon, it adds the seconds found in a file to
// what CLOCK_REALTIME says, and leaves every other clock and all timers alone, as setting a host's
// clock does. The file, named by CYGNET_TEST_CLOCK, holds eight octets: a signed 64-bit number,
// written in place.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include <cstdlib>
#include <ctime>

namespace {

const volatile long* map_offset() {
  const char* path = std::getenv("CYGNET_TEST_CLOCK");
  const int fd = path == nullptr ? -1 : open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return nullptr;
  void* memory = mmap(nullptr, sizeof(long), PROT_READ, MAP_SHARED, fd, 0);
  close(fd);
  return memory == MAP_FAILED ? nullptr : static_cast<const volatile long*>(memory);
}

long offset() {
  static const volatile long* const seconds = map_offset();
  return seconds == nullptr ? 0 : *seconds;
}

}  // namespace

extern "C" {

__attribute__((visibility("default"))) int clock_gettime(clockid_t clock, timespec* out) noexcept {
  const long done = syscall(SYS_clock_gettime, clock, out);
  if (done == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
    out->tv_sec += offset();
  }
  return static_cast<int>(done);
}

__attribute__((visibility("default"))) int gettimeofday(timeval* out, void* /*zone*/) noexcept {
  timespec now{};
  const int done = clock_gettime(CLOCK_REALTIME, &now);
  out->tv_sec = now.tv_sec;
  out->tv_usec = now.tv_nsec / 1000;
  return done;
}

__attribute__((visibility("default"))) time_t time(time_t* out) noexcept {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  if (out != nullptr) *out = now.tv_sec;
  return now.tv_sec;
}

}  // extern "C"
