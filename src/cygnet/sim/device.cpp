// SPDX-License-Identifier: Apache-2.0
// Device: its life and its stream to the controller.
#include "cygnet/sim/device.h"

#include "cygnet/agent/link/backoff.h"
#include "cygnet/base/assert.h"
#include "cygnet/sim/world.h"

namespace cygnet::sim {

using agent::AgentCore;
using agent::Now;

Now Device::now() const {
  const Timestamp mono = world_.queue.now();
  return {mono,
          world_.wall() + std::chrono::duration_cast<std::chrono::milliseconds>(clock_offset)};
}

void Device::start() {
  CYGNET_ASSERT(!core_);
  ++incarnation_;
  // "+1, fsynced before use, when the device starts without its SAs."
  if (!world_.plants.keep_boot_count || disk.boot_count == 0) {
    ++disk.boot_count;
    disk.last_sequence = 0;
  }
  agent::Restored restored;
  restored.boot_count = disk.boot_count;
  restored.last_sequence = disk.last_sequence;
  restored.own_dims = disk.own_dims;
  restored.table = disk.table;
  restored.pins = disk.pins;
  restored.revocations = disk.revocations;
  restored.last_server_time = disk.server_time;
  agent::Features features;
  features.name = "sim";
  features.per_source_spi = true;
  const Identity& identity = world_.pki().device(id_);
  core_ = std::make_unique<AgentCore>(
      agent::DeviceIdentity{mesh_id(), name_of(id_), identity.certificate, {world_.pki().ca()}},
      features, agent::Abilities{1, {}}, std::move(restored), kEpoch,
      agent::CoreSeams{&world_.proofs, world_.plants.rules});
  world_.note(Note::kStarted, id_, id_, {}, disk.boot_count);
  world_.tell([&](Observer& o) { o.on_started(id_); });
  away_since_ = world_.queue.now();
  event([](AgentCore& core, Now now) { return core.start(now); });
  connect();
}

void Device::stop() {
  if (!core_) return;
  world_.note(Note::kStopped, id_, id_);
  world_.controller().closed_by_device(id_, stream_);
  core_.reset();
  ++incarnation_;
  backend_ = SimBackend{};
  peer_ids_.clear();
  privates_.clear();
  signed_.clear();
  last_draw_.reset();
  deriving_.clear();
  waiting_.clear();
  timer_at_.reset();
  ++timer_token_;
  ++connect_token_;
  link_ = Link::kWaiting;
  stream_ = 0;
  table_due_ = false;
}

// ---- Events, as the agent's driver hands them in.

void Device::carry_out(agent::Effects effects) {
  for (agent::Effect& effect : effects) {
    std::visit([this](auto& e) { run(e); }, effect);
  }
}

void Device::later(Duration delay, Call call) {
  world_.queue.after(delay, [this, incarnation = incarnation_, call = std::move(call)]() mutable {
    if (incarnation == incarnation_) event(std::move(call));
  });
}

void Device::work(Call call) {
  const Scenario& s = world_.scenario();
  const Duration delay = world_.rng.between(s.work_min, s.work_max);
  if (delay == Duration{}) return event(std::move(call));
  later(delay, std::move(call));
}

Timestamp Device::noticed(Timestamp deadline) const {
  const Duration grain = world_.scenario().timer_grain;
  if (grain == Duration{}) return deadline;
  const Duration over = deadline.time_since_epoch() % grain;
  return over == Duration{} ? deadline : deadline + (grain - over);
}

void Device::arm_timer() {
  const auto at = core_->next_deadline();
  if (!at || (timer_at_ && *timer_at_ <= *at)) return;  // an early call looks again
  timer_at_ = at;
  const Duration lazy = world_.plants.lazy_timer ? Duration(std::chrono::minutes(1)) : Duration{};
  world_.queue.at(noticed(*at) + lazy, [this, token = ++timer_token_] {
    if (token != timer_token_ || !core_) return;
    timer_at_.reset();
    const auto due = core_->next_deadline();
    if (due && *due <= world_.queue.now()) {
      event([](AgentCore& core, Now now) { return core.on_time(now); });
    } else {
      arm_timer();
    }
  });
}

// ---- The stream.

void Device::connect() {
  if (!core_) return;
  link_ = Link::kConnecting;
  const Duration leg = world_.leg_delay(id_);
  world_.queue.after(3 * leg, [this, token = ++connect_token_] {
    if (token != connect_token_ || !core_) return;
    agent::HelloMessage hello;
    hello.resume = core_->cursor();
    hello.revocation_number = core_->revocations().number;
    hello.software = "cygnet-sim";
    hello.held = core_->held_on_demand();
    Bytes octets = agent::encode_hello(hello);
    ++messages_up;
    octets_up += octets.size() + 4;
    const auto stream =
        world_.controller().open(id_, world_.pki().device(id_).certificate, std::move(octets));
    if (!stream) return reconnect(std::nullopt);
    stream_ = *stream;
  });
}

void Device::reconnect(std::optional<Duration> told) {
  link_ = Link::kWaiting;
  if (world_.plants.no_reconnect && incarnation_ > 0 && stream_ != 0) return;
  const Duration own =
      agent::reconnect_delay(world_.queue.now() - away_since_, core_->publish_waits(),
                             static_cast<std::uint32_t>(world_.rng.next()));
  world_.queue.after(told ? std::max(*told, own) : own, [this, token = ++connect_token_] {
    if (token == connect_token_) connect();
  });
}

void Device::link_lost(std::uint64_t stream) {
  if (!core_ || stream != stream_ || link_ == Link::kWaiting) return;
  const bool was_up = link_ == Link::kUp;
  world_.note(Note::kLinkDown, id_, id_);
  if (was_up) {
    away_since_ = world_.queue.now();
    link_ = Link::kWaiting;
    event([](AgentCore& core, Now now) { return core.on_link_down(now); });
    if (world_.plants.removal_by_silence) {
      agent::Update silence;
      for (const SimPeer& peer : backend_.peers()) {
        if (!peer.present) continue;
        agent::PeerChange gone;
        gone.device = name_of(peer.device);
        gone.removed = true;
        silence.changes.push_back(std::move(gone));
      }
      inject(silence);
    }
  }
  reconnect(std::nullopt);
}

void Device::send(Bytes message) {
  if (link_ != Link::kUp) return;
  ++messages_up;
  octets_up += message.size() + 4;
  world_.controller().up(id_, stream_, std::move(message));
}

void Device::message(std::uint64_t stream, const Bytes& octets,
                     const std::shared_ptr<const agent::ControllerMessage>& decoded) {
  if (!core_ || stream != stream_) return;
  ++messages_down;
  octets_down += octets.size() + 4;
  if (const auto* goaway = std::get_if<agent::GoawayMessage>(&*decoded)) {
    const bool was_up = link_ == Link::kUp;
    link_ = Link::kWaiting;
    world_.controller().closed_by_device(id_, stream_);
    if (was_up) {
      away_since_ = world_.queue.now();
      event([](AgentCore& core, Now now) { return core.on_link_down(now); });
    }
    return reconnect(goaway->reconnect_after);
  }
  if (std::holds_alternative<agent::WelcomeMessage>(*decoded)) {
    CYGNET_ASSERT(link_ == Link::kConnecting);
    link_ = Link::kUp;
  }
  told(*decoded);
}

void Device::told(const agent::ControllerMessage& message) {
  std::visit(
      [this](const auto& m) {
        using T = std::decay_t<decltype(m)>;
        if constexpr (std::is_same_v<T, agent::WelcomeMessage>) {
          world_.note(Note::kWelcome, id_, id_, {}, m.welcome.resumed ? 1 : 0);
          event([&m](AgentCore& core, Now now) { return core.on_welcome(m.welcome, now); });
          if (world_.plants.clear_and_reload) {
            agent::Update clear;
            for (const SimPeer& peer : backend_.peers()) {
              if (!peer.present) continue;
              agent::PeerChange gone;
              gone.device = name_of(peer.device);
              gone.removed = true;
              clear.changes.push_back(std::move(gone));
            }
            inject(clear);
          }
        } else if constexpr (std::is_same_v<T, agent::Update>) {
          take_update(m);
        } else if constexpr (std::is_same_v<T, agent::PublishResult>) {
          world_.note(m.accepted ? Note::kAccepted : Note::kRefused, id_, id_, {m.counter, {}});
          event([&m](AgentCore& core, Now now) { return core.on_publish_result(m, now); });
        } else if constexpr (std::is_same_v<T, agent::PublishStatus>) {
          world_.note(Note::kMark, id_, id_, {m.counter, {}}, m.attached_missing);
          event([&m](AgentCore& core, Now now) { return core.on_publish_status(m, now); });
        } else if constexpr (std::is_same_v<T, agent::RekeyCommand>) {
          rekey(proto::rekey::RekeyCause::kCommand);
        } else if constexpr (std::is_same_v<T, agent::MissingNewestCommand>) {
          event([&m](AgentCore& core, Now now) { return core.on_missing_newest(m.peer, now); });
        }
      },
      message);
}

void Device::tell_peers(const agent::Update& update) {
  for (const agent::PeerChange& change : update.changes) {
    const auto peer = device_of(change.device.value());
    if (peer) world_.tell([&](Observer& o) { o.on_peer_told(id_, *peer, change.removed); });
  }
}

void Device::take_update(const agent::Update& update) {
  world_.note(Note::kUpdate, id_, id_, {}, update.changes.size());
  tell_peers(update);
  if (world_.plants.ignore_tombstones) {
    agent::Update without = update;
    std::erase_if(without.changes, [](const auto& change) { return change.removed; });
    event([without](AgentCore& core, Now now) { return core.on_update(without, now); });
    return;
  }
  event([&update](AgentCore& core, Now now) { return core.on_update(update, now); });
}

void Device::inject(const agent::Update& update) {
  tell_peers(update);
  event([update](AgentCore& core, Now now) { return core.on_update(update, now); });
}

void Device::rekey(proto::rekey::RekeyCause cause) {
  event([cause](AgentCore& core, Now now) { return core.on_rekey_ordered(cause, now); });
}

void Device::flush() {
  if (!core_) return;
  world_.tell([&](Observer& o) { o.on_lost_state(id_, StateLoss::kFlush); });
  event([](AgentCore& core, Now now) { return core.on_counters_unknown(now); });
}

// ---- Views.

std::optional<proto::PeerId> Device::peer_id(DeviceId device) const {
  if (peer_ids_.empty() || !world_.same_block(id_, device)) return std::nullopt;
  const proto::PeerId id = peer_ids_[world_.place_in_block(device)];
  return id.value() == 0 ? std::nullopt : std::optional(id);
}

DeviceId Device::device_id(proto::PeerId peer) const {
  const SimPeer* const p = backend_.peer(peer);
  CYGNET_ASSERT(p != nullptr);
  return p->device;
}

const SimPeer* Device::towards(DeviceId device) const {
  const auto id = peer_id(device);
  return id ? backend_.peer(*id) : nullptr;
}

}  // namespace cygnet::sim
