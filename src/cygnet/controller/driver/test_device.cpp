// SPDX-License-Identifier: Apache-2.0
#include "cygnet/controller/driver/test_device.h"

#include <gtest/gtest.h>

#include "cygnet/crypto/dh.h"
#include "cygnet/crypto/random.h"
#include "cygnet/proto/dim/dim_codec.h"
#include "cygnet/proto/ids/mesh_address.h"

namespace cygnet::controller::test {
namespace {

template <class Message>
Bytes octets_of(const Message& message) {
  Bytes out(message.ByteSizeLong());
  message.SerializeToArray(out.data(), static_cast<int>(out.size()));
  return out;
}

Bytes bytes_of(const std::string& text) {
  const ByteView view = as_bytes(text);
  return Bytes(view.begin(), view.end());
}

}  // namespace

TestDevice::TestDevice(rt::Loop& loop, std::uint16_t port, std::string device, std::string mesh)
    : name(device), full_name(device + "." + mesh), loop_(loop), port_(port) {}

TestDevice::~TestDevice() { drop(); }

pb::EnrolReply TestDevice::join(const std::string& token, const crypto::Sha256& ca_fingerprint,
                                std::optional<std::string> as_name) {
  if (!key) key = *crypto::IdentityKey::generate(crypto::KeyType::kEcdsaP256);
  pb::EnrolReply reply;
  auto context = rt::TlsClientContext::create_join(
      {ca_fingerprint, [this] { return loop_.wall_now(); }, std::nullopt});
  EXPECT_TRUE(context) << context.error().to_string();
  std::optional<Result<rt::StreamPtr>> connected;
  const auto pending =
      rt::connect_stream(loop_, *context, {{"127.0.0.1", port_}, kPatience, {}, 0},
                         [&](Result<rt::StreamPtr> result) { connected = std::move(result); });
  if (!wait([&] { return connected.has_value(); }) || !*connected) {
    error = connected ? std::optional((*connected).error()) : std::nullopt;
    return reply;
  }
  bool answered = false;
  rt::StreamPtr join_stream = **connected;
  join_stream->start({[&](Bytes message) {
                        answered =
                            reply.ParseFromArray(message.data(), static_cast<int>(message.size()));
                      },
                      [](const Error&) {},
                      {}});
  pb::EnrolRequest request;
  request.set_token(token);
  request.set_device_name(as_name.value_or(name));
  const std::string asked = as_name.value_or(name) + full_name.substr(full_name.find('.'));
  const auto csr = key->make_csr(asked, "cygnet://join/" + asked);
  EXPECT_TRUE(csr) << csr.error().to_string();
  request.set_csr_der(std::string(as_text(*csr)));
  request.set_version_min(1);
  request.set_version_max(1);
  EXPECT_TRUE(join_stream->send(octets_of(request)));
  EXPECT_TRUE(wait([&] { return answered; }));
  join_stream->close();
  if (reply.outcome() != pb::EnrolReply::ISSUED) return reply;
  certificate = *crypto::Certificate::from_der(as_bytes(reply.certificate_der()));
  trust.clear();
  for (const auto& der : reply.trust_der()) {
    trust.push_back(*crypto::Certificate::from_der(as_bytes(der)));
  }
  const Bytes id = bytes_of(reply.mesh_id());
  std::copy(id.begin(), id.end(), mesh_id.begin());
  return reply;
}

void TestDevice::adopt(rt::TlsIdentity identity, std::vector<crypto::Certificate> bundle,
                       const crypto::MeshId& mesh) {
  key = identity.key;
  certificate = identity.chain.front();
  trust = std::move(bundle);
  mesh_id = mesh;
}

bool TestDevice::connect() {
  drop();
  welcome.reset();
  goaway.reset();
  closed.reset();
  error.reset();
  auto context = rt::TlsClientContext::create_device(
      {{*key, {*certificate}}, trust, [this] { return loop_.wall_now(); }, std::nullopt});
  if (!context) {
    error = context.error();
    return false;
  }
  std::optional<Result<rt::StreamPtr>> connected;
  connecting_ =
      rt::connect_stream(loop_, *context, {{"127.0.0.1", port_}, kPatience, {}, 0},
                         [&](Result<rt::StreamPtr> result) { connected = std::move(result); });
  if (!wait([&] { return connected.has_value(); })) return false;
  if (!*connected) {
    error = (*connected).error();
    return false;
  }
  stream = **connected;
  stream->start({[this](Bytes message) { heard(message); },
                 [this](const Error& why) {
                   closed = why;
                   stream.reset();
                 },
                 {}});
  return true;
}

void TestDevice::hello(std::optional<pb::Cursor> resume, std::uint32_t version_min,
                       std::uint32_t version_max) {
  pb::FromDevice message;
  message.mutable_hello()->set_version_min(version_min);
  message.mutable_hello()->set_version_max(version_max);
  message.mutable_hello()->set_software("test");
  if (resume) *message.mutable_hello()->mutable_resume() = *resume;
  send(message);
}

bool TestDevice::attach(std::optional<pb::Cursor> resume) {
  if (!connect()) return false;
  hello(std::move(resume));
  return wait([&] { return welcome || goaway || closed; }) && welcome.has_value();
}

void TestDevice::drop() {
  if (stream) stream->close();
  stream.reset();
}

void TestDevice::send(const pb::FromDevice& message) { send_raw(octets_of(message)); }

void TestDevice::send_raw(Bytes octets) {
  if (stream) (void)stream->send(std::move(octets));
}

void TestDevice::acknowledge(std::vector<std::pair<std::string, std::uint64_t>> pending) {
  if (!cursor) return;
  pb::FromDevice message;
  *message.mutable_ack()->mutable_cursor() = *cursor;
  for (const auto& [device, counter] : pending) {
    auto& item = *message.mutable_ack()->add_pending();
    item.set_device(device);
    item.set_counter(counter);
  }
  send(message);
}

proto::Dim TestDevice::make_dim(proto::RekeyCounter counter, bool initial_contact) {
  proto::Dim dim;
  dim.device = proto::DeviceName(full_name);
  dim.counter = counter;
  dim.initial_contact = initial_contact;
  dim.proposals = {proto::make_proposal(1, *proto::policy_from_text("aes256gcm16-x25519-sha256"))};
  const auto pair = crypto::DhPrivate::generate(crypto::DhGroup::kX25519);
  dim.kes = {{31, pair->public_value()}};
  dim.nonce = crypto::system_random().octets(proto::kNonceLength);
  return dim;
}

Bytes TestDevice::sign(proto::Dim& dim) const {
  auto octets = proto::sign_dim(dim, mesh_id, *key);
  EXPECT_TRUE(octets) << octets.error().to_string();
  return *octets;
}

void TestDevice::publish(ByteView octets) {
  pb::FromDevice message;
  message.mutable_publish_dim()->set_dim(std::string(as_text(octets)));
  send(message);
}

pb::PublishResult TestDevice::await_result() {
  const std::size_t want = ++results_taken_;
  EXPECT_TRUE(wait([&] { return results.size() >= want || closed; })) << name;
  return results.size() >= want ? results[want - 1] : pb::PublishResult();
}

pb::PublishResult TestDevice::publish(std::uint32_t boot, std::uint32_t sequence) {
  proto::Dim dim = make_dim(proto::RekeyCounter(boot, sequence));
  publish(sign(dim));
  return await_result();
}

void TestDevice::settle() {
  // A publish that is no DIM is refused in its turn, after everything this device sent before.
  publish(Bytes{1, 2, 3});
  (void)await_result();
}

void TestDevice::heard(const Bytes& octets) {
  pb::FromController message;
  ASSERT_TRUE(message.ParseFromArray(octets.data(), static_cast<int>(octets.size())));
  switch (message.message_case()) {
    case pb::FromController::kWelcome:
      welcome = message.welcome();
      order.emplace_back("welcome", 0);
      break;
    case pb::FromController::kUpdate: {
      const auto& update = message.update();
      order.emplace_back("update", update.changes_size());
      for (const auto& change : update.changes()) {
        HeardPeer& peer = peers[change.device()];
        peer.removed = change.removed();
        if (change.has_dim()) {
          const auto dim = proto::decode_dim(as_bytes(change.dim().dim()));
          ASSERT_TRUE(dim) << dim.error().to_string();
          peer.counter = dim->counter.to_wire();
          peer.dim = bytes_of(change.dim().dim());
          ++peer.dims_heard;
        }
        peer.last = change;
      }
      cursor = update.cursor();
      updates.push_back(update);
      if (auto_ack) acknowledge();
      break;
    }
    case pb::FromController::kPublishResult:
      order.emplace_back("result", 0);
      results.push_back(message.publish_result());
      break;
    case pb::FromController::kPublishStatus:
      order.emplace_back("status", 0);
      statuses.push_back(message.publish_status());
      break;
    case pb::FromController::kCommand:
      order.emplace_back("command", 0);
      commands.push_back(message.command());
      break;
    case pb::FromController::kGoaway:
      goaway = message.goaway();
      break;
    case pb::FromController::kCertificateRenewed:
      renewals.push_back(message.certificate_renewed());
      break;
    case pb::FromController::MESSAGE_NOT_SET:
      ADD_FAILURE() << "an empty message came";
      break;
  }
}

}  // namespace cygnet::controller::test
