// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/backend/userspace/e2e/device.h"

#include <future>

#include "cygnet/base/assert.h"

namespace cygnet::agent::userspace::e2e {

ControlThread::~ControlThread() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void ControlThread::post(std::function<void()> work) {
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back(std::move(work));
  }
  changed_.notify_all();
}

void ControlThread::call(const std::function<void()>& work) {
  std::promise<void> done;
  post([&] {
    work();
    done.set_value();
  });
  done.get_future().wait();
}

void ControlThread::run() {
  for (;;) {
    std::function<void()> work;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return stop_ || !queue_.empty(); });
      if (queue_.empty()) return;
      work = std::move(queue_.front());
      queue_.pop_front();
    }
    work();
  }
}

Device::Device(const Namespace& ns, UserspaceConfig config)
    : Device(ns,
             [&](BackendEvents& events, PostToControl post) -> Result<std::unique_ptr<SadBackend>> {
               CYGNET_TRY(std::unique_ptr<SadBackend> backend,
                          UserspaceBackend::create(std::move(config), events, std::move(post)));
               return backend;
             }) {}

Device::Device(const Namespace& ns, const Make& make) : namespace_(ns) {
  control_.call([&] {
    namespace_.run([&] {
      auto backend =
          make(events_, [this](std::function<void()> work) { control_.post(std::move(work)); });
      if (backend) {
        backend_ = std::move(*backend);
      } else {
        create_error_ = backend.error().to_string();
      }
    });
  });
}

Device::~Device() { stop(false); }

void Device::stop(bool open) {
  control_.call([&] {
    if (backend_ == nullptr) return;
    backend_->shut_down(open);
    backend_.reset();
  });
}

void Device::on(const std::function<void(SadBackend&)>& work) {
  control_.call([&] {
    CYGNET_ASSERT(backend_ != nullptr);
    namespace_.run([&] { work(*backend_); });
  });
}

void Device::with(const std::function<void(UserspaceBackend&)>& work) {
  on([&](SadBackend& backend) {
    auto* const userspace = dynamic_cast<UserspaceBackend*>(&backend);
    CYGNET_ASSERT(userspace != nullptr);
    work(*userspace);
  });
}

namespace {

/// Asks on the control thread, waits for the answer that comes there.
template <class T, class Ask>
std::vector<T> query(Device& device, const Ask& ask) {
  std::promise<std::vector<T>> answer;
  device.on([&](SadBackend& backend) {
    ask(backend, [&](std::vector<T> rows) { answer.set_value(std::move(rows)); });
  });
  return answer.get_future().get();
}

}  // namespace

std::uint64_t Device::drops(const std::string& name) {
  for (const DropCounter& row :
       query<DropCounter>(*this, [](auto&b, auto done) { b.query_drops(done); })) {
    if (row.name == name) return row.count;
  }
  CYGNET_ASSERT(false && "no such drop counter");
  return 0;
}

std::string Device::all_losses() {
  std::string out;
  for (const DropCounter& row :
       query<DropCounter>(*this, [](auto&b, auto done) { b.query_drops(done); })) {
    if (row.loss && row.count != 0) out += row.name + "=" + std::to_string(row.count) + " ";
  }
  return out;
}

std::vector<PairCounters> Device::counters() {
  return query<PairCounters>(*this, [](auto& b, auto done) { b.query_counters(done); });
}
std::vector<PeerPath> Device::paths() {
  return query<PeerPath>(*this, [](auto& b, auto done) { b.query_paths(done); });
}

proto::Spi PairPlan::spi(int end, std::uint16_t lane) const {
  const auto spi = proto::Spi::from(spi_base + generation * 0x1000 +
                                    static_cast<std::uint32_t>(end) * 0x100 + lane);
  CYGNET_ASSERT(spi.has_value());
  return *spi;
}

esp::Keys PairPlan::keys(int end, std::uint16_t lane) const {
  return esp::keys_for(suite, static_cast<std::uint8_t>(generation * 16 + lane * 2U +
                                                        static_cast<std::uint32_t>(end)));
}

SaPairSpec PairPlan::spec(proto::PeerId peer, int end) const {
  SaPairSpec out{peer, id(), suite, esn, replay_window, {}};
  for (std::uint16_t lane = 0; lane < lanes; ++lane) {
    const esp::Keys in = keys(end, lane);
    const esp::Keys away = keys(1 - end, lane);
    out.lanes.push_back({spi(end, lane), spi(1 - end, lane), SecretBytes(ByteView(in.encr)),
                         SecretBytes(ByteView(in.integ)), SecretBytes(ByteView(away.encr)),
                         SecretBytes(ByteView(away.integ))});
  }
  return out;
}

SaPairClaim PairPlan::claim(proto::PeerId peer, int end) const {
  SaPairClaim out{peer, id(), suite, esn, {}};
  for (std::uint16_t lane = 0; lane < lanes; ++lane) {
    out.spis.emplace_back(spi(end, lane), spi(1 - end, lane));
  }
  return out;
}

}  // namespace cygnet::agent::userspace::e2e
