// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Threads for work that would hold up the loop (DH, signature verification, database commits): a
/// pure job runs on a worker, its result comes back as a call on the loop.
///
/// submit() on the loop thread only. Jobs start in order of submission; with one worker they also
/// finish in that order. Destroy the pool on the loop thread: it waits for jobs that run, drops
/// queued ones, and guarantees that no `done` is called afterwards.

#include <cstddef>
#include <memory>
#include <optional>
#include <utility>

#include "cygnet/rt/loop.h"
#include "cygnet/rt/unique_function.h"

namespace cygnet::rt {

class WorkerPool {
 public:
  /// `threads` 0: one per core. `name` shows in `ps -L` (15 characters at most).
  WorkerPool(Loop& loop, std::size_t threads = 0, const char* name = "worker");
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  /// Runs `job()` on a worker, then `done(result)` on the loop. Both may own what cannot be copied.
  template <class Job, class Done>
  void submit(Job job, Done done) {
    using Value = std::invoke_result_t<Job&>;
    if constexpr (std::is_void_v<Value>) {
      enqueue([job = std::move(job), done = std::move(done)]() mutable -> UniqueFunction<void()> {
        job();
        return [done = std::move(done)]() mutable { done(); };
      });
    } else {
      enqueue([job = std::move(job), done = std::move(done)]() mutable -> UniqueFunction<void()> {
        return [done = std::move(done), value = job()]() mutable { done(std::move(value)); };
      });
    }
  }

  /// Last call before destruction: waits until everything queued has run. For jobs that must not be
  /// lost, as writes to disk. Their `done` is called if the loop still runs while the pool exists.
  void finish();

  [[nodiscard]] std::size_t threads() const;
  /// Jobs submitted whose `done` has not been called yet.
  [[nodiscard]] std::size_t outstanding() const;

 private:
  void enqueue(UniqueFunction<UniqueFunction<void()>()> job);
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace cygnet::rt
