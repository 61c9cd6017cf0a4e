// SPDX-License-Identifier: Apache-2.0
#include "cygnet/load/device.h"

#include "cygnet/agent/link/backoff.h"
#include "cygnet/agent/link/convert.h"
#include "cygnet/base/assert.h"
#include "cygnet/crypto/dh.h"
#include "cygnet/crypto/random.h"
#include "cygnet/load/heard.h"
#include "cygnet/proto/dim/dim_codec.h"
#include "cygnet/wire/join_line.h"

namespace cygnet::load {
namespace {

constexpr Duration kConnectDeadline = std::chrono::seconds(20);

std::uint32_t draw() {
  const Bytes octets = crypto::system_random().octets(4);
  return load_be32(octets.data());
}

}  // namespace

Device::Device(Surroundings& around, DeviceNumber number, const Member& member)
    : around_(around),
      number_(number),
      member_(member),
      full_name_(member.name + "." + around.mesh_name),
      retry_(around.loop) {}

Device::~Device() {
  *alive_ = false;
  if (stream_) stream_->close();
}

void Device::set_state(State state) {
  if (state == State::kUp) ++around_.up;
  if (state_ == State::kUp) --around_.up;
  state_ = state;
}

void Device::connect() {
  if (state_ != State::kAway) return;
  away_since_ = around_.loop.now();
  attempt();
}

void Device::attempt() {
  set_state(State::kConnecting);
  if (!context_) {
    auto context =
        rt::TlsClientContext::create_device({{member_.key, {member_.certificate}},
                                             around_.trust,
                                             [&loop = around_.loop] { return loop.wall_now(); },
                                             wire::controller_name(around_.mesh_name)});
    if (!context) return lost(context.error(), {});
    context_ = std::move(*context);
  }
  rt::ConnectOptions options;
  options.to = around_.controller;
  options.deadline = kConnectDeadline;
  pending_ =
      rt::connect_stream(around_.loop, context_, std::move(options),
                         [this](Result<rt::StreamPtr> stream) { connected(std::move(stream)); });
}

void Device::connected(Result<rt::StreamPtr> stream) {
  if (!stream) return lost(stream.error(), {});
  set_state(State::kHello);
  stream_ = std::move(*stream);
  rt::FramedStream::Handlers handlers;
  handlers.on_message = [this](Bytes octets) { heard(std::move(octets)); };
  handlers.on_closed = [this](const Error& error) { lost(error, {}); };
  stream_->start(std::move(handlers));
  agent::HelloMessage hello;
  hello.resume = cursor_;
  hello.software = "cygnet-sim";
  send(agent::encode_hello(hello));
}

void Device::lost(const Error& error, std::optional<Duration> told) {
  if (state_ == State::kUp) {
    ++around_.traffic.streams_lost;
    away_since_ = around_.loop.now();
  } else {
    ++around_.traffic.connects_failed;
  }
  around_.last_error = error;
  if (stream_) stream_->close();
  stream_.reset();
  set_state(State::kWaiting);
  const Duration delay =
      told.value_or(agent::reconnect_delay(around_.loop.now() - away_since_, true, draw()));
  retry_.arm_after(delay, [this] { attempt(); });
}

void Device::drop() {
  retry_.cancel();
  pending_.reset();
  if (stream_) stream_->close();
  stream_.reset();
  set_state(State::kAway);
}

void Device::pause_reading(bool paused) {
  paused_ = paused;
  if (stream_) stream_->pause_reading(paused);
}

void Device::send(Bytes message) {
  if (!stream_) return;
  around_.traffic.octets_out += message.size() + 4;
  (void)stream_->send(std::move(message));  // a stream that failed says so by on_closed
}

Status Device::publish() {
  CYGNET_ASSERT(up() && !publishing());
  proto::Dim dim;
  dim.device = proto::DeviceName(full_name_);
  dim.counter = proto::RekeyCounter(counter_.boot_count(), counter_.sequence() + 1);
  dim.initial_contact = initial_contact_;
  dim.proposals = proposals_;
  CYGNET_TRY(const auto pair, crypto::DhPrivate::generate(crypto::DhGroup::kX25519));
  dim.kes = {{static_cast<std::uint16_t>(crypto::DhGroup::kX25519), pair.public_value()}};
  dim.nonce = crypto::system_random().octets(proto::kNonceLength);
  CYGNET_TRY(newest_dim_, proto::sign_dim(dim, around_.mesh, member_.key));
  counter_ = dim.counter;
  initial_contact_ = false;
  awaited_ = counter_.to_wire();
  around_.ledger.published(number_, counter_.to_wire(), newest_dim_, around_.loop.now());
  send(agent::encode_publish(newest_dim_));
  return {};
}

// ---- What comes.

void Device::heard(Bytes octets) {
  ++around_.traffic.messages_in;
  around_.traffic.octets_in += octets.size() + 4;
  if (HeardUpdate::is_update(octets)) return heard_update(octets);
  auto message = agent::decode_controller_message(octets);
  if (!message) {
    ++around_.traffic.messages_broken;
    return lost(message.error(), {});
  }
  if (const auto* welcome = std::get_if<agent::WelcomeMessage>(&*message)) {
    welcomed(welcome->welcome);
  } else if (const auto* answer = std::get_if<agent::PublishResult>(&*message)) {
    result(*answer);
  } else if (std::holds_alternative<agent::PublishStatus>(*message)) {
    ++around_.traffic.marks;
  } else if (const auto* goaway = std::get_if<agent::GoawayMessage>(&*message)) {
    ++around_.traffic.goaways;
    lost(Error{ErrorCode("goaway"), goaway->reason}, goaway->reconnect_after);
  }
}

void Device::heard_update(ByteView octets) {
  const Timestamp now = around_.loop.now();
  HeardUpdate update(octets);
  while (const auto change = update.next()) {
    if (change->dim.empty()) continue;
    if (around_.lose != 0 && --around_.lose == 0) continue;
    const auto sender = member_number(change->device);
    const auto counter = counter_of_dim(change->dim);
    if (!sender || !counter) {
      ++around_.traffic.messages_broken;
      continue;
    }
    around_.ledger.delivered(number_, *sender, *counter, change->dim, now);
  }
  if (update.broken()) {
    ++around_.traffic.messages_broken;
    return;
  }
  if (update.epoch().empty()) return;
  if (!cursor_) cursor_.emplace();
  cursor_->epoch.assign(update.epoch().begin(), update.epoch().end());
  cursor_->position = update.position();
  schedule_ack();
}

/// One Ack for all that a turn of the loop brought.
void Device::schedule_ack() {
  if (ack_due_) return;
  ack_due_ = true;
  around_.loop.post([this, alive = alive_] {
    if (!*alive) return;
    ack_due_ = false;
    if (!up()) return;
    ++around_.traffic.acks;
    send(agent::encode_ack({*cursor_, {}}));
  });
}

void Device::welcomed(const agent::Welcome& welcome) {
  set_state(State::kUp);
  ++around_.traffic.connects;
  if (stream_->resumed()) ++around_.traffic.tls_resumed;
  if (welcome.resumed) ++around_.traffic.cursors_honoured;
  around_.ledger.reconnected(number_);
  if (paused_) stream_->pause_reading(true);
  proposals_.clear();
  for (const std::string& text : welcome.settings.proposals) {
    const auto policy = proto::policy_from_text(text);
    // Only what one Diffie-Hellman value serves: as a device that leaves out what it cannot do.
    if (!policy || policy->group != crypto::DhGroup::kX25519) continue;
    proposals_.push_back(
        proto::make_proposal(static_cast<std::uint8_t>(proposals_.size() + 1), *policy));
  }
  const auto stored =
      welcome.own_dim ? counter_of_dim(welcome.own_dim->dim) : std::optional<std::uint64_t>();
  if (stored && *stored > counter_.to_wire()) {
    // An earlier run's: as a device that lost its state.
    counter_ = proto::RekeyCounter(proto::RekeyCounter::from_wire(*stored).boot_count() + 1, 0);
    initial_contact_ = true;
  } else if (counter_.boot_count() == 0) {
    counter_ = proto::RekeyCounter(1, 0);
  } else if (stored && awaited_ && *stored == *awaited_) {
    around_.ledger.accepted(number_, *awaited_, around_.loop.now());
    awaited_.reset();
  } else if (awaited_) {
    send(agent::encode_publish(newest_dim_));
  }
}

void Device::result(const agent::PublishResult& result) {
  if (!awaited_ || *awaited_ != result.counter.to_wire()) return;
  awaited_.reset();
  if (result.accepted) {
    around_.ledger.accepted(number_, result.counter.to_wire(), around_.loop.now());
    return;
  }
  around_.last_error = Error{ErrorCode("publish-refused"),
                             result.refusal_code + ": " + result.refusal_message, full_name_};
  around_.ledger.refused(number_, result.counter.to_wire());
}

}  // namespace cygnet::load
