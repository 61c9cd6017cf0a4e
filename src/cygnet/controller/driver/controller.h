// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The driver of the controller's core: one loop owns it, streams and the store turn into its
/// inputs, its effects turn into writes, messages and log lines (docs/controller.md).
///
/// Everything on the loop thread; the store's completions come from its own thread and are posted.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cygnet/controller/core/core.h"
#include "cygnet/controller/core/seen_chains.h"
#include "cygnet/controller/driver/authority.h"
#include "cygnet/controller/driver/event_ring.h"
#include "cygnet/controller/session/discovery.h"
#include "cygnet/controller/session/stream_server.h"
#include "cygnet/controller/store/store.h"
#include "cygnet/rt/loop.h"
#include "cygnet/rt/tls.h"

namespace cygnet::controller {

struct ControllerOptions {
  rt::HostPort listen;
  rt::HostPort advertise;  ///< what join lines name
  CaMode ca_mode = CaMode::kEmbedded;
  Limits limits;
  StreamServerLimits streams;
  bool test_verbs = false;
};

class Controller {
 public:
  /// Takes the store's mesh, listens and serves. The store outlives the controller.
  [[nodiscard]] static Result<std::unique_ptr<Controller>> start(
      rt::Loop& loop, ControllerOptions options, store::Store& store, store::MeshState mesh,
      std::optional<Authority> authority, const crypto::Certificate& ca, rt::TlsIdentity server);
  ~Controller();
  Controller(const Controller&) = delete;
  Controller& operator=(const Controller&) = delete;

  /// Goaway to everyone, then `done` when all streams are gone or the deadline has passed.
  void shut_down(Duration deadline, rt::UniqueFunction<void()> done);

  using Done = rt::UniqueFunction<void(Status)>;
  void add_token(store::TokenRecord token, const std::string& who, Done done);
  void apply_policy(std::string yaml, policy::CompiledPolicy compiled,
                    std::optional<std::uint64_t> expect_version, std::string comment,
                    const std::string& who, Done done);
  void revoke(const std::string& name, const std::string& reason, const std::string& who,
              Done done);
  void rekey(std::optional<std::string> name, const std::string& who, Done done);
  void import_certificate(const std::string& name, Bytes certificate, const std::string& who,
                          Done done);

  /// A renewed server certificate, for new handshakes.
  [[nodiscard]] Status replace_server(rt::TlsIdentity server);

  // Test verbs; refused unless started with them.
  [[nodiscard]] Status hold_relay(std::size_t publishes);
  [[nodiscard]] Status release_relay();
  /// The process kills itself with SIGKILL exactly between durable and acknowledge of the next
  /// publish.
  [[nodiscard]] Status crash_after_durable();

  [[nodiscard]] const Core& core() const { return *core_; }
  [[nodiscard]] const EventRing& events() const { return events_; }
  [[nodiscard]] store::Store& store() { return store_; }
  [[nodiscard]] rt::Loop& loop() { return loop_; }
  [[nodiscard]] const ControllerOptions& options() const { return options_; }
  [[nodiscard]] std::uint16_t port() const { return streams_->port(); }
  [[nodiscard]] const crypto::Sha256& ca_fingerprint() const { return ca_fingerprint_; }
  [[nodiscard]] Counters counters() const;  ///< the core's and the driver's own
  void count(std::string_view name) { own_.add(std::string(name)); }
  /// The last write was refused by the disk.
  [[nodiscard]] bool store_failing() const { return store_failing_; }
  [[nodiscard]] std::string join_line(const std::string& secret,
                                      const std::optional<std::string>& device) const;
  /// Called for every event, after it was logged (event streams).
  void on_event(std::function<void(const StampedEvent&)> listener) {
    listener_ = std::move(listener);
  }

 private:
  /// What the storage thread has made durable and the loop has not heard of yet: the changes of one
  /// transaction come together, and what they tell a device goes out together.
  struct Completions {
    struct Item {
      Ticket ticket;
      bool publish = false;
      Status status;
    };
    std::mutex mutex;
    std::vector<Item> items;
  };
  Controller(rt::Loop& loop, ControllerOptions options, store::Store& store,
             std::optional<Authority> authority);
  [[nodiscard]] Status open(store::MeshState mesh, const crypto::Certificate& ca,
                            rt::TlsIdentity server);
  [[nodiscard]] Times now() const { return {loop_.now(), loop_.wall_now()}; }
  /// Carries out what the core left, until it leaves nothing.
  void pump();
  void carry_out(Effect effect);
  void persist(Persist persist);
  void take_completions();
  void log_event(const Event& event);
  [[nodiscard]] RequestId request(Done done);
  [[nodiscard]] Status test_verb() const;

  rt::Loop& loop_;
  ControllerOptions options_;
  store::Store& store_;
  std::optional<Authority> authority_;
  crypto::Sha256 ca_fingerprint_{};
  SeenChains proofs_;  ///< before the core, which uses it
  std::unique_ptr<Core> core_;
  std::shared_ptr<rt::TlsServerContext> tls_;
  RateLimit refusals_logged_{600};  ///< a minute: whoever knocks is not known yet
  std::unique_ptr<DiscoveryResponder> discovery_;
  std::unique_ptr<StreamServer> streams_;
  std::map<Cookie, bool> cookies_;
  std::map<SessionId, Cookie> cookie_of_;
  std::map<RequestId, Done> waiting_;
  std::uint64_t next_request_ = std::uint64_t{1} << 62;
  EventRing events_;
  std::function<void(const StampedEvent&)> listener_;
  Counters own_;
  rt::Timer timer_;
  rt::Timer shutdown_timer_;
  rt::UniqueFunction<void()> shutdown_done_;
  bool pumping_ = false;
  bool crash_after_durable_ = false;
  bool store_failing_ = false;
  std::optional<Timestamp> timer_due_;  ///< what timer_ is armed for
  /// Store completions outlive us: they hold this and look first.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::shared_ptr<Completions> completions_ = std::make_shared<Completions>();
};

}  // namespace cygnet::controller
