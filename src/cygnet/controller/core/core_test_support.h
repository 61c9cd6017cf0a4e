// SPDX-License-Identifier: Apache-2.0
#pragma once

/// A core under a test's thumb: its clock, its disk (a memory engine that commits when told to),
/// its CA, and devices with real keys that sign real DIMs. No loop, no socket.

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "cygnet/controller/core/core.h"
#include "cygnet/controller/policy/parse.h"
#include "cygnet/controller/store/open.h"
#include "cygnet/crypto/dh.h"
#include "cygnet/crypto/random.h"
#include "cygnet/device/v1/device.pb.h"
#include "cygnet/proto/dim/dim_codec.h"
#include "cygnet/proto/ids/mesh_address.h"

namespace cygnet::controller::test {

namespace pb = cygnet::device::v1;

template <class Message>
Bytes octets_of(const Message& message) {
  Bytes out(message.ByteSizeLong());
  message.SerializeToArray(out.data(), static_cast<int>(out.size()));
  return out;
}

struct Ca {
  crypto::IdentityKey key;
  crypto::Certificate certificate;
  static Ca make(ServerTime now) {
    auto key = *crypto::IdentityKey::generate(crypto::KeyType::kEcdsaP256);
    crypto::CertificateSpec spec;
    spec.spki = key.spki();
    spec.common_name = "CA";
    spec.not_before = now - std::chrono::hours(24 * 400);
    spec.not_after = now + std::chrono::hours(24 * 4000);
    spec.is_ca = true;
    return {key, *crypto::issue(spec, key, std::nullopt)};
  }
};

struct Device {
  std::string name;
  crypto::IdentityKey key = *crypto::IdentityKey::generate(crypto::KeyType::kEcdsaP256);
  std::optional<crypto::Certificate> certificate;
  std::optional<SessionId> session;
  std::optional<pb::Cursor> cursor;
  std::vector<pb::FromController> heard;

  [[nodiscard]] std::vector<pb::PublishResult> results() const {
    std::vector<pb::PublishResult> out;
    for (const auto& m : heard) {
      if (m.has_publish_result()) out.push_back(m.publish_result());
    }
    return out;
  }
  [[nodiscard]] std::vector<std::pair<std::string, pb::PeerChange>> changes() const {
    std::vector<std::pair<std::string, pb::PeerChange>> out;
    for (const auto& m : heard) {
      for (const auto& change : m.update().changes()) out.emplace_back(change.device(), change);
    }
    return out;
  }
  [[nodiscard]] std::string goaway() const {
    for (const auto& m : heard) {
      if (m.has_goaway()) return m.goaway().reason();
    }
    return {};
  }
  /// The last change told about a peer, parts merged.
  [[nodiscard]] std::optional<pb::PeerChange> about(const std::string& peer) const {
    std::optional<pb::PeerChange> out;
    for (const auto& [device, change] : changes()) {
      if (device != peer) continue;
      if (!out || change.removed()) {
        out = change;
      } else {
        const bool removed = change.removed();
        out->MergeFrom(change);
        out->set_removed(removed);
      }
    }
    return out;
  }
};

class CoreWorld {
 public:
  explicit CoreWorld(Limits limits = {}, CaMode ca_mode = CaMode::kEmbedded)
      : ca(Ca::make(now.wall)), limits_(limits), ca_mode_(ca_mode) {
    store::MeshRecord record;
    record.id.fill(0x11);
    record.epoch.fill(0x22);
    record.name = "corp";
    record.created_at = now.wall;
    store::WriteBatch batch{record.id, {}};
    batch.add(store::CreateMesh{record});
    batch.add(store::SetTrust{{ca.certificate.der()}});
    EXPECT_TRUE(write(batch));
    start();
  }

  // ---- Its disk.

  Status write(const store::WriteBatch& batch) {
    CYGNET_CHECK_OK(engine_->begin());
    const Status applied = engine_->apply(batch);
    CYGNET_CHECK_OK(engine_->commit());
    return applied;
  }
  /// Makes the oldest waiting batch durable, or fails it.
  bool commit_one(std::optional<Error> failure = {}) {
    if (persists.empty()) return false;
    Persist persist = std::move(persists.front());
    persists.pop_front();
    const Status status = failure ? Status(fail(*failure)) : write(persist.batch);
    core->persisted(persist.ticket, status, now);
    collect();
    return true;
  }
  void commit_all() {
    while (commit_one()) {
    }
  }
  /// What the log told of effects since the last call: "persist", "wake a", "close a", ….
  std::vector<std::string> take_trace() { return std::exchange(trace_, {}); }

  /// Loses everything that was not durable and starts again; with `failure`, nothing of the start
  /// is stored.
  void restart(const std::optional<Error>& failure = {}) {
    persists.clear();
    for (auto& [name, device] : devices) {
      device.session.reset();
      device.heard.clear();
    }
    sessions_.clear();
    start(failure);
  }

  // ---- Operators.

  Status apply(const std::string& yaml) {
    auto document = policy::parse("mesh: corp\n" + yaml, "test.yaml");
    EXPECT_TRUE(document) << document.error().to_string();
    const auto specs = core->enrolled_specs();
    auto options = core->compile_options();
    options.enrolled = specs;
    auto compiled = policy::CompiledPolicy::compile(*document, options, core->names());
    EXPECT_TRUE(compiled) << compiled.error().to_string();
    const RequestId id = request();
    core->apply_policy(id, "mesh: corp\n" + yaml, std::move(*compiled), std::nullopt, "", "tester",
                       now);
    return finish(id);
  }
  Status revoke(const std::string& name) {
    const RequestId id = request();
    core->revoke(id, name, "test", "tester", now);
    return finish(id);
  }
  Status rekey(std::optional<std::string> name) {
    const RequestId id = request();
    core->rekey(id, std::move(name), "tester", now);
    return finish(id);
  }
  using Labels = std::map<std::string, std::string>;
  std::string token(std::optional<std::string> device, Labels labels = {}, std::uint32_t uses = 1,
                    std::chrono::hours ttl = std::chrono::hours(1)) {
    const Bytes secret = crypto::system_random().octets(20);
    store::TokenRecord record;
    record.hash = crypto::sha256({secret});
    record.device = std::move(device);
    record.labels = std::move(labels);
    record.created_at = now.wall;
    record.expires_at = now.wall + ttl;
    record.uses_left = uses;
    const RequestId id = request();
    core->add_token(id, record, "tester", now);
    EXPECT_TRUE(finish(id));
    return to_hex(secret);
  }
  RequestId request() { return RequestId{++requests_}; }
  Status finish(RequestId id) {
    collect();
    while (!done_.contains(id) && commit_one()) {
    }
    EXPECT_TRUE(done_.contains(id)) << "an operator got no answer";
    return done_.contains(id) ? done_.at(id) : Status(fail(ErrorCode("test"), "no answer"));
  }

  // ---- Enrolment.

  RequestId ask_enrol(Device& device, const std::string& token,
                      std::optional<std::string> as = {}) {
    pb::EnrolRequest message;
    message.set_token(token);
    message.set_device_name(as.value_or(device.name));
    message.set_csr_der(std::string(as_text(
        *device.key.make_csr(as.value_or(device.name) + ".corp", "cygnet://join/" + device.name))));
    message.set_version_min(1);
    message.set_version_max(1);
    const RequestId id = request();
    core->enrol(id, octets_of(message), now);
    collect();
    return id;
  }
  pb::EnrolReply enrol(Device& device, const std::string& token,
                       std::optional<std::string> as = {}) {
    const RequestId id = ask_enrol(device, token, std::move(as));
    commit_all();
    const auto reply = enrol_replies[id];
    if (reply.outcome() == pb::EnrolReply::ISSUED) {
      device.certificate = *crypto::Certificate::from_der(as_bytes(reply.certificate_der()));
    }
    return reply;
  }
  /// An enrolled device.
  Device& add(const std::string& name, std::map<std::string, std::string> labels = {}) {
    Device& device = devices[name];
    device.name = name;
    const auto reply = enrol(
        device, token(labels.empty() ? std::optional(name) : std::nullopt, std::move(labels)));
    EXPECT_EQ(reply.outcome(), pb::EnrolReply::ISSUED) << reply.refusal().message();
    return device;
  }

  // ---- Streams.

  void connect(Device& device, std::optional<crypto::Certificate> certificate = {}) {
    device.session = SessionId{++sessions_made_};
    sessions_[*device.session] = &device;
    Cookie cookie{};
    crypto::system_random().fill(cookie);
    core->connected(*device.session, {certificate.value_or(*device.certificate)}, cookie, now);
    collect();
  }
  void attach(Device& device, bool resume = false, const std::vector<std::string>& held = {}) {
    if (device.session) drop(device);
    connect(device);
    pb::FromDevice message;
    message.mutable_hello()->set_version_min(1);
    message.mutable_hello()->set_version_max(1);
    for (const std::string& name : held) message.mutable_hello()->add_held(name);
    if (resume && device.cursor) *message.mutable_hello()->mutable_resume() = *device.cursor;
    say(device, message);
    pull(device);
  }
  void drop(Device& device) {
    if (!device.session) return;
    core->disconnected(*device.session, now);
    sessions_.erase(*device.session);
    device.session.reset();
    collect();
  }
  void say(Device& device, const pb::FromDevice& message) {
    core->received(*device.session, octets_of(message), now);
    collect();
  }
  /// Everything the core has for a device, as it would read it.
  std::size_t pull(Device& device) {
    std::size_t n = 0;
    while (device.session) {
      const SharedOctets octets = core->next_message(*device.session, 65536);
      if (!octets) break;
      pb::FromController message;
      EXPECT_TRUE(message.ParseFromArray(octets->data(), static_cast<int>(octets->size())));
      if (message.has_update()) device.cursor = message.update().cursor();
      device.heard.push_back(std::move(message));
      ++n;
    }
    return n;
  }
  void pull_all() {
    for (auto& [name, device] : devices) pull(device);
  }
  void acknowledge(Device& device) {
    pb::FromDevice message;
    *message.mutable_ack()->mutable_cursor() = *device.cursor;
    say(device, message);
  }

  // ---- DIMs.

  proto::Dim dim(const Device& device, std::uint32_t boot, std::uint32_t sequence) const {
    proto::Dim out;
    out.device = proto::DeviceName(device.name + ".corp");
    out.counter = proto::RekeyCounter(boot, sequence);
    out.proposals = {
        proto::make_proposal(1, *proto::policy_from_text("aes256gcm16-x25519-sha256"))};
    out.kes = {{31, crypto::DhPrivate::generate(crypto::DhGroup::kX25519)->public_value()}};
    out.nonce = crypto::system_random().octets(proto::kNonceLength);
    return out;
  }
  Bytes sign(const Device& device, proto::Dim value) const {
    auto octets = proto::sign_dim(value, mesh_id(), device.key);
    EXPECT_TRUE(octets) << octets.error().to_string();
    return *octets;
  }
  void publish_octets(Device& device, ByteView octets) {
    pb::FromDevice message;
    message.mutable_publish_dim()->set_dim(std::string(as_text(octets)));
    say(device, message);
  }
  /// Publishes, commits, and gives the answer.
  pb::PublishResult publish(Device& device, ByteView octets) {
    publish_octets(device, octets);
    commit_all();
    const std::size_t before = device.results().size();
    pull(device);
    const auto results = device.results();
    EXPECT_EQ(results.size(), before + 1) << device.name << " got no answer to its publish";
    return results.empty() ? pb::PublishResult() : results.back();
  }
  pb::PublishResult publish(Device& device, std::uint32_t boot, std::uint32_t sequence) {
    return publish(device, sign(device, dim(device, boot, sequence)));
  }

  [[nodiscard]] const crypto::MeshId& mesh_id() const { return core->mesh().id; }
  [[nodiscard]] std::uint64_t count(std::string_view name) const {
    return core->counters().get(name);
  }
  [[nodiscard]] bool saw_event(std::string_view kind) const {
    return std::any_of(events.begin(), events.end(),
                       [&](const Event& event) { return event.kind == kind; });
  }
  void pass(Duration duration) {
    now.mono += duration;
    now.wall += std::chrono::duration_cast<std::chrono::milliseconds>(duration);
    core->tick(now);
    collect();
  }
  void collect() {
    for (Effect& effect : core->take_effects()) {
      if (auto* persist = std::get_if<Persist>(&effect)) {
        trace_.emplace_back("persist");
        persists.push_back(std::move(*persist));
      } else if (const auto* wake = std::get_if<Wake>(&effect)) {
        trace_.push_back("wake " + name_of(wake->session));
      } else if (const auto* close = std::get_if<Close>(&effect)) {
        trace_.push_back("close " + name_of(close->session));
        closed.insert(close->session);
      } else if (auto* sign = std::get_if<SignCertificate>(&effect)) {
        const auto made = crypto::issue(sign->spec, ca.key, ca.certificate);
        EXPECT_TRUE(made) << made.error().to_string();
        core->certificate_signed(sign->request, made->der(), now);
        collect();
      } else if (const auto* reply = std::get_if<ReplyEnrol>(&effect)) {
        pb::EnrolReply parsed;
        EXPECT_TRUE(
            parsed.ParseFromArray(reply->reply.data(), static_cast<int>(reply->reply.size())));
        enrol_replies[reply->request] = parsed;
      } else if (auto* done = std::get_if<OperatorDone>(&effect)) {
        EXPECT_FALSE(done_.contains(done->request)) << "answered twice";
        done_.emplace(done->request, std::move(done->status));
      } else if (auto* event = std::get_if<Event>(&effect)) {
        events.push_back(std::move(*event));
      }
    }
  }

  Times now{Timestamp{std::chrono::hours(10)}, ServerTime{std::chrono::hours(24 * 365 * 56)}};
  Ca ca;
  std::unique_ptr<Core> core;
  std::map<std::string, Device> devices;
  std::deque<Persist> persists;
  std::map<RequestId, pb::EnrolReply> enrol_replies;
  std::vector<Event> events;
  std::set<SessionId> closed;
  std::size_t history_max = 64;

 private:
  std::string name_of(SessionId id) const {
    const auto it = sessions_.find(id);
    return it == sessions_.end() ? "nobody" : it->second->name;
  }
  void start(const std::optional<Error>& failure = {}) {
    auto snapshot = engine_->load();
    ASSERT_TRUE(snapshot) << snapshot.error().to_string();
    store::MeshState state = snapshot->meshes.front();
    CoreSetup setup;
    setup.limits = limits_;
    setup.ca_mode = ca_mode_;
    setup.defaults = *policy::parse("mesh: corp\n", "defaults");
    for (const auto& header : state.policies) {
      const auto record = engine_->read_policy(state.mesh.id, header.version);
      ASSERT_TRUE(record);
      setup.policy_history.push_back(
          {header, record->yaml, *policy::parse(record->yaml, "stored")});
    }
    auto made = Core::restore(std::move(state), std::move(setup), now);
    ASSERT_TRUE(made) << made.error().to_string();
    core = std::move(*made);
    collect();
    while (commit_one(failure)) {
    }
    trace_.clear();
  }

  Limits limits_;
  CaMode ca_mode_;
  std::unique_ptr<store::Engine> engine_ = store::make_memory_engine();
  std::map<SessionId, Device*> sessions_;
  std::uint64_t sessions_made_ = 0;
  std::uint64_t requests_ = 0;
  std::map<RequestId, Status> done_;
  std::vector<std::string> trace_;
};

inline constexpr const char* kFullMesh = "rules:\n  - {from: any, to: any}\n";

}  // namespace cygnet::controller::test
