// SPDX-License-Identifier: Apache-2.0
#include "cygnet/rt/worker_pool.h"

#include <pthread.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace cygnet::rt {
namespace {
using Job = UniqueFunction<UniqueFunction<void()>()>;
}

struct WorkerPool::Impl {
  explicit Impl(Loop& given) : loop(given) {}

  void work() {
    for (;;) {
      Job job;
      {
        std::unique_lock lock(mutex);
        wake.wait(lock, [this] { return stopping || !jobs.empty(); });
        if (stopping && (jobs.empty() || !draining)) return;
        job = std::move(jobs.front());
        jobs.pop_front();
      }
      auto done = job();
      job = nullptr;  // what the job owned goes here, not on the loop
      loop.post(
          [alive = std::weak_ptr<Outstanding>(outstanding), done = std::move(done)]() mutable {
            const auto count = alive.lock();
            if (!count) return;  // the pool is gone, and with it whoever waited
            --count->jobs;
            done();
          });
    }
  }

  void stop(bool drain) {
    {
      const std::lock_guard lock(mutex);
      stopping = true;
      draining = drain;
    }
    wake.notify_all();
    for (auto& thread : threads) thread.join();
    threads.clear();
  }

  struct Outstanding {
    std::size_t jobs = 0;  // loop thread only
  };
  Loop& loop;
  std::shared_ptr<Outstanding> outstanding = std::make_shared<Outstanding>();
  std::mutex mutex;
  std::condition_variable wake;
  std::deque<Job> jobs;
  bool stopping = false;
  bool draining = false;  ///< what is queued still runs
  std::vector<std::thread> threads;
};

WorkerPool::WorkerPool(Loop& loop, std::size_t threads, const char* name)
    : impl_(std::make_unique<Impl>(loop)) {
  if (threads == 0) threads = std::max<std::size_t>(1, std::thread::hardware_concurrency());
  for (std::size_t i = 0; i < threads; ++i) {
    impl_->threads.emplace_back([impl = impl_.get()] { impl->work(); });
    const std::string short_name = std::string(name).substr(0, 15);
    pthread_setname_np(impl_->threads.back().native_handle(), short_name.c_str());
  }
}

WorkerPool::~WorkerPool() { impl_->stop(false); }

void WorkerPool::finish() { impl_->stop(true); }

void WorkerPool::enqueue(Job job) {
  ++impl_->outstanding->jobs;
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->jobs.push_back(std::move(job));
  }
  impl_->wake.notify_one();
}

std::size_t WorkerPool::threads() const { return impl_->threads.size(); }
std::size_t WorkerPool::outstanding() const { return impl_->outstanding->jobs; }

}  // namespace cygnet::rt
