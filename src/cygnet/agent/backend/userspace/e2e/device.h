// SPDX-License-Identifier: Apache-2.0
#pragma once

/// For the end-to-end tests: one device, i.e. a backend with a control thread that records every
/// event, and SA pairs with keys made by hand.

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "cygnet/agent/backend/userspace/e2e/network.h"
#include "cygnet/agent/backend/userspace/userspace_backend.h"
#include "cygnet/esp/test_suites.h"

namespace cygnet::agent::userspace::e2e {

/// Runs functions one after the other on one thread, as the agent's control thread does.
class ControlThread {
 public:
  ControlThread() : thread_([this] { run(); }) {}
  ~ControlThread();
  void post(std::function<void()> work);
  /// Runs `work` there and waits for it.
  void call(const std::function<void()>& work);

 private:
  void run();
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> queue_;
  bool stop_ = false;
  std::thread thread_;
};

/// Everything a backend told, readable from the test's thread.
class RecordedEvents final : public BackendEvents {
 public:
  struct Evidence {
    proto::SaPairId pair;
    EvidenceKind kind;
  };
  struct Unknown {
    std::uint32_t spi;
    UdpEndpoint source;
    std::uint64_t count;
  };

  void on_installed(proto::PeerId, proto::SaPairId pair) override { add(installed_, pair); }
  void on_install_failed(proto::PeerId, proto::SaPairId, bool collision,
                         const Error& error) override {
    add(failed_, std::string(error.code.name()) + (collision ? " collision" : ""));
  }
  void on_keys_wanted(proto::PeerId, proto::SaPairId pair) override { add(wanted_, pair); }
  void on_evidence(proto::PeerId, proto::SaPairId pair, EvidenceKind kind) override {
    add(evidence_, Evidence{pair, kind});
  }
  void on_user_traffic(proto::PeerId) override { add(user_traffic_, 1); }
  void on_packet_waiting(proto::PeerId) override { add(waiting_, 1); }
  void on_soft_limit(proto::PeerId, proto::SaPairId pair) override { add(soft_limit_, pair); }
  void on_unknown_spi(std::uint32_t spi, const UdpEndpoint& source, std::uint64_t count) override {
    add(unknown_, Unknown{spi, source, count});
  }
  void on_peer_moved(proto::PeerId, const UdpEndpoint& endpoint) override { add(moved_, endpoint); }
  void on_probe(proto::PeerId, proto::SaPairId, Bytes payload) override {
    add(probes_, std::move(payload));
  }
  void on_control_datagram(const UdpEndpoint&, Bytes payload) override {
    add(control_, std::move(payload));
  }
  void on_states_lost(const Error& error) override { add(faults_, std::string(error.code.name())); }
  void on_fault(const Error& error) override { add(faults_, std::string(error.code.name())); }

  [[nodiscard]] auto installed() const { return get(installed_); }
  [[nodiscard]] auto failed() const { return get(failed_); }
  [[nodiscard]] auto wanted() const { return get(wanted_); }
  [[nodiscard]] auto evidence() const { return get(evidence_); }
  [[nodiscard]] auto user_traffic() const { return get(user_traffic_); }
  [[nodiscard]] auto waiting() const { return get(waiting_); }
  [[nodiscard]] auto soft_limit() const { return get(soft_limit_); }
  [[nodiscard]] auto unknown() const { return get(unknown_); }
  [[nodiscard]] auto moved() const { return get(moved_); }
  [[nodiscard]] auto probes() const { return get(probes_); }
  [[nodiscard]] auto control() const { return get(control_); }
  [[nodiscard]] auto faults() const { return get(faults_); }

 private:
  template <class T>
  void add(std::vector<T>& to, T value) {
    const std::lock_guard lock(mutex_);
    to.push_back(std::move(value));
  }
  template <class T>
  std::vector<T> get(const std::vector<T>& from) const {
    const std::lock_guard lock(mutex_);
    return from;
  }

  mutable std::mutex mutex_;
  std::vector<proto::SaPairId> installed_;
  std::vector<std::string> failed_;
  std::vector<proto::SaPairId> wanted_;
  std::vector<Evidence> evidence_;
  std::vector<int> user_traffic_;
  std::vector<int> waiting_;
  std::vector<proto::SaPairId> soft_limit_;
  std::vector<Unknown> unknown_;
  std::vector<UdpEndpoint> moved_;
  std::vector<Bytes> probes_;
  std::vector<Bytes> control_;
  std::vector<std::string> faults_;
};

class Device {
 public:
  using Make = std::function<Result<std::unique_ptr<SadBackend>>(BackendEvents&, PostToControl)>;

  /// @param ns  where it runs; must outlive the device.
  explicit Device(const Namespace& ns, UserspaceConfig config = {});
  /// The same with a backend of another kind.
  Device(const Namespace& ns, const Make& make);
  ~Device();

  /// Runs `work` with the backend on the control thread, inside the namespace.
  void on(const std::function<void(SadBackend&)>& work);
  /// The same for a userspace backend.
  void with(const std::function<void(UserspaceBackend&)>& work);
  /// Why the backend could not be made; empty when it could.
  [[nodiscard]] std::string create_error() const { return create_error_; }
  [[nodiscard]] RecordedEvents& events() { return events_; }
  [[nodiscard]] std::uint64_t drops(const std::string& name);
  /// "name=count" of every drop that was a loss, in one line; empty when there was none.
  [[nodiscard]] std::string all_losses();
  [[nodiscard]] std::vector<PairCounters> counters();
  [[nodiscard]] std::vector<PeerPath> paths();
  /// Returns when the data plane has executed everything asked so far.
  void settle() { static_cast<void>(paths()); }
  void stop(bool open);

 private:
  const Namespace& namespace_;
  RecordedEvents events_;
  ControlThread control_;
  std::unique_ptr<SadBackend> backend_;
  std::string create_error_;
};

/// What both ends need to know about one SA pair: end 0 is "left", end 1 "right".
struct PairPlan {
  std::uint32_t generation = 1;  ///< of both ends
  crypto::EspSuite suite{};
  bool esn = true;
  std::uint16_t lanes = 1;
  std::uint32_t replay_window = 1024;
  std::uint32_t spi_base = 0x10000;

  [[nodiscard]] proto::SaPairId id() const {
    return {proto::RekeyCounter(1, generation), proto::RekeyCounter(1, generation)};
  }
  /// SPI of packets towards `end`.
  [[nodiscard]] proto::Spi spi(int end, std::uint16_t lane = 0) const;
  /// Keys of packets towards `end`.
  [[nodiscard]] esp::Keys keys(int end, std::uint16_t lane = 0) const;
  [[nodiscard]] SaPairSpec spec(proto::PeerId peer, int end) const;
  [[nodiscard]] SaPairClaim claim(proto::PeerId peer, int end) const;
};

}  // namespace cygnet::agent::userspace::e2e
