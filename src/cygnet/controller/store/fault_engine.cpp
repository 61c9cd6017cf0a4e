// SPDX-License-Identifier: Apache-2.0
#include "cygnet/controller/store/fault_engine.h"

namespace cygnet::controller::store {

void FaultControl::hold(Point point) {
  const std::lock_guard lock(mutex_);
  held_ = point;
}

void FaultControl::release() {
  const std::lock_guard lock(mutex_);
  held_.reset();
  changed_.notify_all();
}

bool FaultControl::wait_until_held(std::chrono::steady_clock::time_point deadline) {
  std::unique_lock lock(mutex_);
  return changed_.wait_until(lock, deadline, [&] { return standing_; });
}

void FaultControl::fail_commits(Error error) {
  const std::lock_guard lock(mutex_);
  failure_ = std::move(error);
}

void FaultControl::clear_failure() {
  const std::lock_guard lock(mutex_);
  failure_.reset();
}

void FaultControl::delay_commits(std::chrono::milliseconds delay) {
  const std::lock_guard lock(mutex_);
  delay_ = delay;
}

void FaultControl::stop() {
  const std::lock_guard lock(mutex_);
  stopped_ = true;
  changed_.notify_all();
}

void FaultControl::pass(Point point) {
  std::unique_lock lock(mutex_);
  if (point == Point::kBeforeDurable && delay_.count() != 0) {
    changed_.wait_for(lock, delay_, [&] { return stopped_; });
  }
  if (held_ != point || stopped_) return;
  standing_ = true;
  changed_.notify_all();
  changed_.wait(lock, [&] { return stopped_ || held_ != point; });
  standing_ = false;
}

std::optional<Error> FaultControl::failure() {
  const std::lock_guard lock(mutex_);
  return failure_;
}

class FaultEngine : public Engine {
 public:
  FaultEngine(std::unique_ptr<Engine> inner, std::shared_ptr<FaultControl> control)
      : inner_(std::move(inner)), control_(std::move(control)) {}

  Status begin() override { return inner_->begin(); }
  Status apply(const WriteBatch& batch) override { return inner_->apply(batch); }
  Status commit() override {
    control_->pass(FaultControl::Point::kBeforeDurable);
    if (auto error = control_->failure()) {
      inner_->rollback();
      return fail(std::move(*error));
    }
    auto status = inner_->commit();
    control_->pass(FaultControl::Point::kAfterDurable);
    return status;
  }
  void rollback() override { inner_->rollback(); }
  Result<Snapshot> load() override { return inner_->load(); }
  Result<std::vector<AuditRecord>> read_audit(const AuditQuery& query) override {
    return inner_->read_audit(query);
  }
  Result<PolicyRecord> read_policy(const MeshId& mesh, std::uint64_t version) override {
    return inner_->read_policy(mesh, version);
  }
  Status backup(const std::string& path) override { return inner_->backup(path); }

 private:
  std::unique_ptr<Engine> inner_;
  std::shared_ptr<FaultControl> control_;
};

std::unique_ptr<Engine> make_fault_engine(std::unique_ptr<Engine> inner,
                                          std::shared_ptr<FaultControl> control) {
  return std::make_unique<FaultEngine>(std::move(inner), std::move(control));
}

}  // namespace cygnet::controller::store
