// SPDX-License-Identifier: Apache-2.0
#pragma once

/// A controller for tests of the agent: real TLS streams on loopback and the messages of
/// device.proto, but the simplest relay there can be: every device may talk to every other, nothing
/// is stored, a cursor is honoured when nothing was missed. It can be taken away and come back on
/// the same port.

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cygnet/agent/core/core_test_kit.h"
#include "cygnet/device/v1/device.pb.h"
#include "cygnet/rt/framed_stream.h"
#include "cygnet/wire/join_line.h"

namespace cygnet::agent::testing {

namespace pb = ::cygnet::device::v1;

/// A loop whose wall clock stands where the certificates of TestCa are valid.
inline rt::ClockOffsets test_clock() {
  const auto real = std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::system_clock::now().time_since_epoch());
  return {Duration(0), kStart.time_since_epoch() - real};
}

class FakeController {
 public:
  struct Device {
    rt::StreamPtr stream;
    bool welcomed = false;
    std::optional<pb::StoredDim> dim;
    std::uint64_t counter = 0;
    std::set<std::string> acknowledged_by;
    std::uint32_t hellos = 0;
    std::vector<pb::Report> reports;
    std::vector<pb::Hello> said_hello;
  };

  FakeController(rt::Loop& loop, const TestCa& ca)
      : loop_(loop), ca_(ca), key_(*crypto::IdentityKey::generate(crypto::KeyType::kEcdsaP256)) {
    server_name = wire::controller_name("m");
    settings.add_proposals("aes256gcm16-x25519-sha256");
    settings.set_drain_ms(200);
    settings.set_policy_version(1);
  }

  /// Listens; on the port it had before, when it had one.
  void start() {
    crypto::CertificateSpec spec;
    spec.spki = key_.spki();
    spec.common_name = server_name;
    spec.dns_sans = {server_name};
    spec.not_before = kStart - std::chrono::hours(1);
    spec.not_after = kStart + std::chrono::hours(1000);
    spec.server_auth = true;
    const auto leaf = crypto::issue(spec, ca_.key(), ca_.certificate());
    ASSERT_TRUE(leaf) << leaf.error().to_string();
    auto context = rt::TlsServerContext::create({{key_, {*leaf, ca_.certificate()}},
                                                 {ca_.certificate()},
                                                 [this] { return loop_.wall_now(); },
                                                 true});
    ASSERT_TRUE(context) << context.error().to_string();
    rt::StreamListener::Options options;
    options.bind = {"127.0.0.1", port_};
    rt::StreamListener::Handlers handlers;
    handlers.on_stream = [this](rt::StreamPtr stream) { accept(std::move(stream)); };
    handlers.on_refused = [this](const Error& error, const rt::HostPort&) {
      refused.push_back(error);
    };
    auto listener = rt::StreamListener::create(loop_, *context, options, std::move(handlers));
    ASSERT_TRUE(listener) << listener.error().to_string();
    listener_ = std::move(*listener);
    port_ = listener_->port();
  }
  /// Gone as by kill -9.
  void stop() {
    listener_.reset();
    for (auto& [name, device] : devices) {
      if (device.stream) device.stream->close();
      device.stream.reset();
      device.welcomed = false;
    }
    strangers_.clear();
  }
  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

  void send(const std::string& name, const pb::FromController& message) {
    const auto it = devices.find(name);
    if (it == devices.end() || !it->second.stream) return;
    const std::string octets = message.SerializeAsString();
    const Status sent = it->second.stream->send(Bytes(octets.begin(), octets.end()));
    EXPECT_TRUE(sent) << sent.error().to_string();
  }
  void order_rekey(const std::string& name) {
    pb::FromController message;
    message.mutable_command()->mutable_rekey()->set_reason("test");
    send(name, message);
  }
  void say_goaway(const std::string& name, std::uint32_t reconnect_after_ms) {
    pb::FromController message;
    message.mutable_goaway()->set_reason("test");
    message.mutable_goaway()->set_reconnect_after_ms(reconnect_after_ms);
    send(name, message);
  }
  void remove(const std::string& gone) {
    pb::FromController message;
    auto* change = message.mutable_update()->add_changes();
    change->set_device(gone);
    change->set_removed(true);
    cursor(message);
    for (const auto& [name, device] : devices) {
      if (name != gone) send(name, message);
    }
  }

  std::map<std::string, Device> devices;
  pb::MeshSettings settings;
  std::string server_name;
  std::vector<Error> refused;
  crypto::MeshId mesh = test_mesh();
  std::optional<pb::FromController> instead_of_welcome;
  std::vector<Bytes> renewals;

 private:
  void accept(rt::StreamPtr stream) {
    // Before Hello a stream has no place in the table.
    auto* raw = stream.get();
    rt::FramedStream::Handlers handlers;
    const std::string name = stream->peer_certificate()->dns_san().value_or("?");
    handlers.on_message = [this, name, raw](Bytes octets) {
      if (devices[name].stream.get() != raw && !strangers_.contains(raw)) return;
      receive(name, raw, octets);
    };
    handlers.on_closed = [this, name, raw](const Error&) {
      strangers_.erase(raw);
      Device& device = devices[name];
      if (device.stream.get() == raw) {
        device.stream.reset();
        device.welcomed = false;
      }
    };
    strangers_[raw] = stream;
    stream->start(std::move(handlers));
  }

  void receive(const std::string& name, rt::FramedStream* raw, const Bytes& octets) {
    pb::FromDevice message;
    ASSERT_TRUE(message.ParseFromArray(octets.data(), static_cast<int>(octets.size())));
    Device& device = devices[name];
    if (message.has_hello()) {
      device.stream = strangers_.at(raw);
      strangers_.erase(raw);
      ++device.hellos;
      device.said_hello.push_back(message.hello());
      welcome(name, device, message.hello());
    } else if (message.has_publish_dim()) {
      publish(name, device, message.publish_dim().dim());
    } else if (message.has_ack()) {
      acknowledge(name, message.ack());
    } else if (message.has_report()) {
      device.reports.push_back(message.report());
    } else if (message.has_renew_certificate()) {
      const std::string& csr = message.renew_certificate().csr_der();
      renewals.emplace_back(csr.begin(), csr.end());
    }
  }

  void welcome(const std::string& name, Device& device, const pb::Hello& hello) {
    if (instead_of_welcome) {
      send(name, *instead_of_welcome);
      return;
    }
    pb::FromController message;
    pb::Welcome& out = *message.mutable_welcome();
    out.set_version(1);
    out.set_mesh_id(std::string(as_text(mesh)));
    out.set_mesh_name("m");
    out.set_server_time_ms(now_ms());
    if (device.dim) *out.mutable_own_dim() = *device.dim;
    *out.mutable_settings() = settings;
    out.add_trust_der(std::string(as_text(ca_.certificate().der())));
    const bool resumed = hello.has_resume() && hello.resume().epoch() == epoch_ &&
                         hello.resume().position() == position_;
    out.set_resumed(resumed);
    send(name, message);
    device.welcomed = true;
    if (resumed) return;
    pb::FromController snapshot;
    pb::Update& update = *snapshot.mutable_update();
    update.set_snapshot_begin(true);
    update.set_snapshot_end(true);
    for (const auto& [other, known] : devices) {
      if (other == name) continue;
      fill(*update.add_changes(), other, known);
    }
    cursor(snapshot);
    send(name, snapshot);
    // A device that was never seen before is news to the others.
    if (device.hellos == 1) fan_out(name, device);
  }

  static void fill(pb::PeerChange& change, const std::string& name, const Device& device) {
    change.set_device(name);
    if (device.dim) *change.mutable_dim() = *device.dim;
    change.mutable_endpoints();
    auto* prefix = change.mutable_prefixes()->add_items();
    prefix->set_address(std::string("\x0a\x00\x00\x00", 4));
    prefix->set_length(24);
    change.mutable_policy();
  }

  void fan_out(const std::string& from, const Device& device) {
    ++position_;
    for (const auto& [name, other] : devices) {
      if (name == from || !other.welcomed) continue;
      pb::FromController message;
      fill(*message.mutable_update()->add_changes(), from, device);
      cursor(message);
      send(name, message);
    }
  }

  void publish(const std::string& name, Device& device, const std::string& octets) {
    const Bytes bytes(octets.begin(), octets.end());
    const auto dim = proto::decode_dim(bytes);
    ASSERT_TRUE(dim) << dim.error().to_string();
    pb::FromController answer;
    pb::PublishResult& result = *answer.mutable_publish_result();
    result.set_counter(dim->counter.to_wire());
    if (device.dim && dim->counter.to_wire() < device.counter) {
      result.mutable_refusal()->set_code("stale-dim");
      *result.mutable_newer() = *device.dim;
      send(name, answer);
      return;
    }
    const bool same = device.dim && device.dim->dim() == octets;
    if (!same) {
      device.dim.emplace();
      device.dim->set_dim(octets);
      device.dim->set_certificate_der(
          std::string(as_text(device.stream->peer_certificate()->der())));
      device.dim->set_accepted_at_ms(now_ms());
      device.counter = dim->counter.to_wire();
      device.acknowledged_by.clear();
      fan_out(name, device);
    }
    result.set_accepted(true);
    result.set_accepted_at_ms(device.dim->accepted_at_ms());
    send(name, answer);
    mark(name);
  }

  // Whoever acknowledges the present cursor has every DIM but the pending ones.
  void acknowledge(const std::string& name, const pb::Ack& ack) {
    if (ack.cursor().epoch() != epoch_ || ack.cursor().position() != position_) return;
    std::set<std::string> pending;
    for (const auto& p : ack.pending()) pending.insert(p.device());
    for (auto& [other, device] : devices) {
      if (other == name || pending.contains(other)) continue;
      if (device.acknowledged_by.insert(name).second) mark(other, name);
    }
  }

  void mark(const std::string& name, const std::string& by = {}) {
    pb::FromController message;
    pb::PublishStatus& status = *message.mutable_publish_status();
    status.set_counter(devices[name].counter);
    if (!by.empty()) status.add_acknowledged(by);
    std::uint32_t missing = 0;
    for (const auto& [other, device] : devices) {
      if (other != name && device.welcomed && !devices[name].acknowledged_by.contains(other)) {
        ++missing;
      }
    }
    status.set_attached_missing(missing);
    send(name, message);
  }

  void cursor(pb::FromController& message) const {
    message.mutable_update()->mutable_cursor()->set_epoch(epoch_);
    message.mutable_update()->mutable_cursor()->set_position(position_);
  }
  [[nodiscard]] std::uint64_t now_ms() const {
    return static_cast<std::uint64_t>(loop_.wall_now().time_since_epoch().count());
  }

  rt::Loop& loop_;
  const TestCa& ca_;
  crypto::IdentityKey key_;
  std::uint16_t port_ = 0;
  std::unique_ptr<rt::StreamListener> listener_;
  std::map<rt::FramedStream*, rt::StreamPtr> strangers_;
  std::string epoch_ = "e";
  std::uint64_t position_ = 1;
};

}  // namespace cygnet::agent::testing
