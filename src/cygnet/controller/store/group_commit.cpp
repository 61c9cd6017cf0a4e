// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <future>
#include <mutex>
#include <thread>
#include <variant>

#include "cygnet/controller/store/open.h"

namespace cygnet::controller::store {
namespace {

class GroupCommitStore : public Store {
 public:
  GroupCommitStore(std::unique_ptr<Engine> engine, const StoreLimits& limits)
      : engine_(std::move(engine)), limits_(limits), thread_([this] { run(); }) {}
  ~GroupCommitStore() override { close(); }

  Result<Snapshot> load() override {
    auto promise = std::make_shared<std::promise<Result<Snapshot>>>();
    auto future = promise->get_future();
    const bool queued = push_read([promise](Engine& engine) { promise->set_value(engine.load()); });
    if (!queued) return fail(closed());
    return future.get();
  }

  void submit(WriteBatch batch, Completion done) override {
    const std::size_t octets = batch_size(batch);
    std::optional<Error> refusal;
    {
      const std::lock_guard lock(mutex_);
      if (closing_) {
        refusal = closed();
      } else if (stats_.waiting_batches >= limits_.waiting_batches_max ||
                 stats_.waiting_octets + octets > limits_.waiting_octets_max) {
        refusal = Error{kErrStoreOverloaded,
                        "the store has " + std::to_string(stats_.waiting_batches) +
                            " changes waiting for the disk",
                        {},
                        "try again later; if it lasts, the disk is too slow"};
        ++stats_.batches_failed;
      } else {
        ++stats_.waiting_batches;
        stats_.waiting_octets += octets;
        queue_.emplace_back(Write{std::move(batch), std::move(done), octets});
      }
    }
    if (refusal) {
      done(fail(std::move(*refusal)));
    } else {
      work_.notify_one();
    }
  }

  void read_audit(AuditQuery query,
                  std::function<void(Result<std::vector<AuditRecord>>)> done) override {
    read<std::vector<AuditRecord>>([query](Engine& engine) { return engine.read_audit(query); },
                                   std::move(done));
  }
  void read_policy(MeshId mesh, std::uint64_t version,
                   std::function<void(Result<PolicyRecord>)> done) override {
    read<PolicyRecord>(
        [mesh, version](Engine& engine) { return engine.read_policy(mesh, version); },
        std::move(done));
  }
  void backup(std::string path, std::function<void(Status)> done) override {
    read<void>([path](Engine& engine) { return engine.backup(path); }, std::move(done));
  }

  void close() override {
    {
      const std::lock_guard lock(mutex_);
      closing_ = true;
    }
    work_.notify_one();
    // Whoever comes second waits for the first to have finished.
    const std::lock_guard joining(join_mutex_);
    if (thread_.joinable()) thread_.join();
  }

  StoreStats stats() const override {
    const std::lock_guard lock(mutex_);
    return stats_;
  }

 private:
  struct Write {
    WriteBatch batch;
    Completion done;
    std::size_t octets;
  };
  using Read = std::function<void(Engine&)>;
  using Item = std::variant<Write, Read>;

  static Error closed() {
    return {kErrStoreClosed, "the store is closed", {}, "the controller is shutting down"};
  }

  bool push_read(Read read) {
    {
      const std::lock_guard lock(mutex_);
      if (closing_) return false;
      queue_.emplace_back(std::move(read));
    }
    work_.notify_one();
    return true;
  }

  template <class T, class Query>
  void read(Query query, std::function<void(Result<T>)> done) {
    auto shared = std::make_shared<std::function<void(Result<T>)>>(std::move(done));
    if (!push_read([query, shared](Engine& engine) { (*shared)(query(engine)); })) {
      (*shared)(fail(closed()));
    }
  }

  /// The storage thread: takes what has gathered while the last transaction was on its way.
  void run() {
    while (true) {
      std::vector<Item> items;
      {
        std::unique_lock lock(mutex_);
        work_.wait(lock, [&] { return closing_ || !queue_.empty(); });
        if (queue_.empty()) break;
        while (!queue_.empty() && items.size() < limits_.group_batches_max) {
          items.push_back(std::move(queue_.front()));
          queue_.pop_front();
        }
      }
      std::size_t at = 0;
      while (at < items.size()) {
        if (auto* read = std::get_if<Read>(&items[at])) {
          (*read)(*engine_);
          ++at;
          continue;
        }
        std::vector<Write> group;
        for (; at < items.size() && std::holds_alternative<Write>(items[at]); ++at) {
          group.push_back(std::move(std::get<Write>(items[at])));
        }
        commit_group(group);
      }
    }
    engine_.reset();  // closes the database on the thread that used it
  }

  void commit_group(std::vector<Write>& group) {
    const auto started = std::chrono::steady_clock::now();
    std::vector<Status> outcomes(group.size());
    const std::optional<Error> disk = write_group(group, outcomes);
    const auto took = static_cast<std::uint64_t>(
        std::chrono::nanoseconds(std::chrono::steady_clock::now() - started).count());
    {
      const std::lock_guard lock(mutex_);
      ++stats_.transactions;
      stats_.commit_ns_total += took;
      stats_.commit_ns_max = std::max(stats_.commit_ns_max, took);
      for (std::size_t i = 0; i < group.size(); ++i) {
        --stats_.waiting_batches;
        stats_.waiting_octets -= group[i].octets;
        if (disk) {
          ++stats_.batches_failed;
        } else if (outcomes[i]) {
          ++stats_.batches_committed;
        } else {
          ++stats_.batches_refused;
        }
      }
    }
    for (std::size_t i = 0; i < group.size(); ++i) {
      // A refusal may stem from a neighbour that is not stored either: then it says nothing.
      if (disk) {
        group[i].done(fail(*disk));
      } else {
        group[i].done(std::move(outcomes[i]));
      }
    }
  }

  /// The error of the disk that took all of the group with it, if any.
  std::optional<Error> write_group(const std::vector<Write>& group, std::vector<Status>& outcomes) {
    if (auto begun = engine_->begin(); !begun) return std::move(begun).error();
    for (std::size_t i = 0; i < group.size(); ++i) {
      outcomes[i] = engine_->apply(group[i].batch);
      if (!outcomes[i] && is_disk_error(outcomes[i].error())) {
        engine_->rollback();
        return std::move(outcomes[i]).error();
      }
    }
    if (auto committed = engine_->commit(); !committed) return std::move(committed).error();
    return std::nullopt;
  }

  std::unique_ptr<Engine> engine_;
  const StoreLimits limits_;
  mutable std::mutex mutex_;
  std::condition_variable work_;
  std::deque<Item> queue_;
  bool closing_ = false;
  StoreStats stats_;
  std::mutex join_mutex_;
  std::thread thread_;  // last: starts when everything above stands
};

}  // namespace

std::unique_ptr<Store> make_group_commit_store(std::unique_ptr<Engine> engine,
                                               const StoreLimits& limits) {
  return std::make_unique<GroupCommitStore>(std::move(engine), limits);
}

}  // namespace cygnet::controller::store
