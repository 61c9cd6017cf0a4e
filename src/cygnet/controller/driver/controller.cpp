// SPDX-License-Identifier: Apache-2.0
#include "cygnet/controller/driver/controller.h"

#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "cygnet/controller/driver/policy_history.h"
#include "cygnet/crypto/random.h"
#include "cygnet/rt/log.h"
#include "cygnet/wire/join_line.h"

namespace cygnet::controller {
namespace {

constexpr ErrorCode kErrTestVerbs{"denied"};
constexpr std::uint32_t kReconnectAfterMs = 1000;

bool is_publish(const store::WriteBatch& batch) {
  return std::any_of(batch.ops.begin(), batch.ops.end(), [](const store::WriteOp& op) {
    return std::holds_alternative<store::PutDim>(op);
  });
}

}  // namespace

Controller::Controller(rt::Loop& loop, ControllerOptions options, store::Store& store,
                       std::optional<Authority> authority)
    : loop_(loop),
      options_(std::move(options)),
      store_(store),
      authority_(std::move(authority)),
      timer_(loop),
      shutdown_timer_(loop) {}

Controller::~Controller() { *alive_ = false; }

Result<std::unique_ptr<Controller>> Controller::start(rt::Loop& loop, ControllerOptions options,
                                                      store::Store& store, store::MeshState mesh,
                                                      std::optional<Authority> authority,
                                                      const crypto::Certificate& ca,
                                                      rt::TlsIdentity server) {
  std::unique_ptr<Controller> controller(
      new Controller(loop, std::move(options), store, std::move(authority)));
  CYGNET_CHECK_OK(controller->open(std::move(mesh), ca, std::move(server)));
  return controller;
}

Status Controller::open(store::MeshState mesh, const crypto::Certificate& ca,
                        rt::TlsIdentity server) {
  ca_fingerprint_ = rt::certificate_fingerprint(ca);
  if (options_.ca_mode == CaMode::kEmbedded && !authority_) {
    return fail(crypto::kErrKey, "ca.mode is embedded and the CA's key is not here",
                "identity-ca.key", "put the key back, or set ca.mode: external");
  }
  if (options_.test_verbs) {
    rt::log_warning(
        "TEST VERBS ARE ON: anyone on the API socket can hold the relay and kill this "
        "process; never run a real mesh like this");
  }
  std::vector<crypto::Certificate> trust;
  for (const Bytes& der : mesh.trust) {
    CYGNET_TRY(auto certificate, crypto::Certificate::from_der(der));
    trust.push_back(std::move(certificate));
  }
  rt::TlsServerContext::Options tls{std::move(server), std::move(trust),
                                    [this] { return loop_.wall_now(); }};
  tls.admit_ended = true;  // the core judges expiry, and tells the device in words
  CYGNET_TRY(tls_, rt::TlsServerContext::create(std::move(tls)));

  StreamServer::Handlers handlers;
  handlers.on_connected = [this](SessionId id, const crypto::Certificate& certificate) {
    Cookie cookie{};
    crypto::system_random().fill(cookie);
    cookies_[cookie] = true;
    cookie_of_[id] = cookie;
    core_->connected(id, PeerCertificate{certificate}, cookie, now());
    // The stream starts to read after this call; effects wait for the loop's next turn.
    loop_.post([this, alive = alive_] {
      if (*alive) pump();
    });
  };
  handlers.on_message = [this](SessionId id, Bytes message) {
    core_->received(id, message, now());
    pump();
  };
  handlers.on_closed = [this](SessionId id) {
    if (const auto it = cookie_of_.find(id); it != cookie_of_.end()) {
      cookies_.erase(it->second);
      cookie_of_.erase(it);
    }
    core_->disconnected(id, now());
    pump();
    if (shutdown_done_ && streams_->sessions() == 0) {
      shutdown_timer_.cancel();
      std::exchange(shutdown_done_, nullptr)();
    }
  };
  handlers.pull = [this](SessionId id, std::size_t size_max) {
    return core_->next_message(id, size_max);
  };
  handlers.on_join = [this](RequestId id, Bytes message) {
    core_->enrol(id, message, now());
    pump();
  };
  handlers.on_refused = [this](const Error& error, const std::string& remote) {
    own_.add("connections-refused");
    own_.add("connections-refused." + std::string(error.code.name()));
    if (!refusals_logged_.take(loop_.now())) return;
    rt::log_info("connection ended",
                 {{"remote", remote}, {"errc", error.code.name()}, {"error", error.to_string()}});
  };
  CYGNET_TRY(streams_, StreamServer::create(loop_, tls_, options_.listen, options_.streams,
                                            std::move(handlers)));
  options_.listen.port = streams_->port();
  if (options_.advertise.port == 0) options_.advertise.port = streams_->port();

  DiscoveryResponder::Handlers discovery;
  discovery.known = [this](const Cookie& cookie) { return cookies_.contains(cookie); };
  discovery.on_discovered = [this](const Cookie& cookie, Endpoint endpoint) {
    core_->discovered(cookie, std::move(endpoint), now());
    pump();
  };
  CYGNET_TRY(discovery_, DiscoveryResponder::create(loop_, options_.listen, std::move(discovery)));

  CYGNET_TRY(auto setup, core_setup_for(store_, mesh));
  setup.limits = options_.limits;
  setup.ca_mode = options_.ca_mode;
  setup.discovery_port = discovery_->port();
  setup.proofs = &proofs_;
  CYGNET_TRY(core_, Core::restore(std::move(mesh), std::move(setup), now()));
  pump();
  return {};
}

void Controller::pump() {
  if (pumping_) return;  // whoever pumps takes what was added too
  pumping_ = true;
  while (true) {
    Effects effects = core_->take_effects();
    if (effects.empty()) break;
    for (Effect& effect : effects) carry_out(std::move(effect));
  }
  pumping_ = false;
  const auto due = core_->next_deadline();
  if (due == timer_due_) return;
  timer_due_ = due;
  if (!due) return timer_.cancel();
  timer_.arm_at(*due, [this] {
    timer_due_.reset();
    core_->tick(now());
    pump();
  });
}

void Controller::carry_out(Effect effect) {
  if (auto* it = std::get_if<Persist>(&effect)) return persist(std::move(*it));
  if (const auto* it = std::get_if<Wake>(&effect)) return streams_->flush(it->session);
  if (const auto* it = std::get_if<Close>(&effect)) return streams_->close(it->session);
  if (auto* it = std::get_if<ReplyEnrol>(&effect)) {
    return streams_->reply_join(it->request, std::move(it->reply));
  }
  if (const auto* it = std::get_if<SignCertificate>(&effect)) {
    auto signed_one =
        authority_ ? authority_->sign(it->spec)
                   : Result<crypto::Certificate>(fail(crypto::kErrKey, "the CA's key is not here"));
    core_->certificate_signed(it->request,
                              signed_one ? Result<Bytes>(signed_one->der())
                                         : Result<Bytes>(fail(std::move(signed_one).error())),
                              now());
    return;
  }
  if (auto* it = std::get_if<OperatorDone>(&effect)) {
    const auto waiting = waiting_.find(it->request);
    if (waiting == waiting_.end()) return;
    Done done = std::move(waiting->second);
    waiting_.erase(waiting);
    return done(std::move(it->status));
  }
  if (auto* it = std::get_if<Event>(&effect)) {
    log_event(*it);
    events_.push(loop_.wall_now(), std::move(*it));
    if (listener_) {
      const auto last = events_.after(events_.last() - 1, 1);
      if (!last.empty()) listener_(last.front());
    }
  }
}

void Controller::persist(Persist persist) {
  const Ticket ticket = persist.ticket;
  const bool publish = is_publish(persist.batch);
  store_.submit(std::move(persist.batch), [this, alive = alive_, completions = completions_,
                                           &loop = loop_, ticket, publish](Status status) {
    // The storage thread: hand over and return.
    {
      const std::lock_guard lock(completions->mutex);
      completions->items.push_back({ticket, publish, std::move(status)});
      if (completions->items.size() > 1) return;  // the loop knows that there is something
    }
    loop.post([this, alive] {
      if (*alive) take_completions();
    });
  });
}

void Controller::take_completions() {
  std::vector<Completions::Item> items;
  {
    const std::lock_guard lock(completions_->mutex);
    items.swap(completions_->items);
  }
  for (const auto& item : items) {
    if (crash_after_durable_ && item.publish && item.status) {
      (void)kill(getpid(), SIGKILL);  // the test verb: durable, nobody told
    }
    store_failing_ = !item.status && (item.status.error().code == store::kErrDiskFull ||
                                      item.status.error().code == store::kErrStoreIo);
    core_->persisted(item.ticket, item.status, now());
  }
  pump();
}

void Controller::log_event(const Event& event) {
  const rt::LogFields fields = {
      {"event", event.kind}, {"device", event.device}, {"peer", event.peer}, {"text", event.text}};
  switch (event.level) {
    case Event::Level::kInfo:
      return rt::log_info(event.kind, fields);
    case Event::Level::kWarning:
      return rt::log_warning(event.kind, fields);
    case Event::Level::kAlarm:
      return rt::log_error(event.kind, fields);
  }
}

void Controller::shut_down(Duration deadline, rt::UniqueFunction<void()> done) {
  streams_->stop_accepting();
  shutdown_done_ = std::move(done);
  if (streams_->sessions() == 0) {
    loop_.post([this, alive = alive_] {
      if (*alive && shutdown_done_) std::exchange(shutdown_done_, nullptr)();
    });
    return;
  }
  shutdown_timer_.arm_after(deadline, [this] {
    if (shutdown_done_) std::exchange(shutdown_done_, nullptr)();
  });
  core_->shut_down(kReconnectAfterMs, now());
  pump();
}

// ---- Operators.

RequestId Controller::request(Done done) {
  const RequestId id{next_request_++};
  waiting_.emplace(id, std::move(done));
  return id;
}

void Controller::add_token(store::TokenRecord token, const std::string& who, Done done) {
  core_->add_token(request(std::move(done)), std::move(token), who, now());
  pump();
}

void Controller::apply_policy(std::string yaml, policy::CompiledPolicy compiled,
                              std::optional<std::uint64_t> expect_version, std::string comment,
                              const std::string& who, Done done) {
  core_->apply_policy(request(std::move(done)), std::move(yaml), std::move(compiled),
                      expect_version, std::move(comment), who, now());
  pump();
}

void Controller::revoke(const std::string& name, const std::string& reason, const std::string& who,
                        Done done) {
  core_->revoke(request(std::move(done)), name, reason, who, now());
  pump();
}

void Controller::rekey(std::optional<std::string> name, const std::string& who, Done done) {
  core_->rekey(request(std::move(done)), std::move(name), who, now());
  pump();
}

void Controller::import_certificate(const std::string& name, Bytes certificate,
                                    const std::string& who, Done done) {
  core_->import_certificate(request(std::move(done)), name, std::move(certificate), who, now());
  pump();
}

Status Controller::replace_server(rt::TlsIdentity server) {
  return tls_->replace_identity(std::move(server));
}

Status Controller::test_verb() const {
  if (options_.test_verbs) return {};
  return fail(kErrTestVerbs, "test verbs are off", {}, "start cygnetd with --enable-test-verbs");
}

Status Controller::hold_relay(std::size_t publishes) {
  CYGNET_CHECK_OK(test_verb());
  rt::log_warning("test verb: the relay is held", {{"publishes", publishes}});
  core_->hold_relay(publishes);
  return {};
}

Status Controller::release_relay() {
  CYGNET_CHECK_OK(test_verb());
  core_->release_relay();
  pump();
  return {};
}

Status Controller::crash_after_durable() {
  CYGNET_CHECK_OK(test_verb());
  rt::log_warning("test verb: the next publish kills this process after it is durable");
  crash_after_durable_ = true;
  return {};
}

Counters Controller::counters() const {
  Counters all = core_->counters();
  for (const auto& [name, value] : own_.all()) all.add(name, value);
  const RelayStats& relay = core_->relay().stats();
  all.add("relay.deliveries", relay.deliveries);
  all.add("relay.coalesced", relay.coalesced);
  all.add("relay.shared-messages", relay.shared_messages);
  all.add("discovery.ignored", discovery_->ignored());
  const store::StoreStats store = store_.stats();
  all.add("store.batches-committed", store.batches_committed);
  all.add("store.batches-refused", store.batches_refused);
  all.add("store.batches-failed", store.batches_failed);
  all.add("store.transactions", store.transactions);
  all.add("store.commit-ns-total", store.commit_ns_total);
  all.add("store.commit-ns-max", store.commit_ns_max);
  return all;
}

std::string Controller::join_line(const std::string& secret,
                                  const std::optional<std::string>& device) const {
  return wire::to_string(wire::JoinLine{options_.advertise.host, options_.advertise.port,
                                        core_->mesh().name, device, secret, ca_fingerprint_});
}

}  // namespace cygnet::controller
