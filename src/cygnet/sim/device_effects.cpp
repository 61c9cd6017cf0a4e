// SPDX-License-Identifier: Apache-2.0
// Device: the core's effects, one by one, as the agent's driver carries them out.
#include <algorithm>
#include <cstring>

#include "cygnet/agent/core/derive.h"
#include "cygnet/base/assert.h"
#include "cygnet/proto/dim/dim_codec.h"
#include "cygnet/proto/probe/probe.h"
#include "cygnet/sim/device.h"
#include "cygnet/sim/world.h"

namespace cygnet::sim {

using agent::AgentCore;
using agent::Now;

namespace {

constexpr Duration kTableDelay = std::chrono::milliseconds(200);

std::uint64_t digest_of(ByteView octets) {
  std::uint64_t hash = octets.size();
  for (std::size_t i = 0; i < octets.size(); i += sizeof hash) {
    std::uint64_t word = 0;
    std::memcpy(&word, octets.data() + i, std::min(sizeof word, octets.size() - i));
    hash = mix64(hash ^ word);
  }
  return hash;
}

}  // namespace

// ---- Own generations.

void Device::run(agent::StoreBootCount& e) {
  disk.boot_count = e.boot_count;
  disk.last_sequence = 0;
}

void Device::run(agent::MakeGeneration& e) {
  if (world_.plants.erase_early) privates_.clear();
  Privates privates;
  std::vector<proto::DhPublic> kes;
  for (const crypto::DhGroup group : e.groups) {
    ++dh_pairs;
    Bytes octets = world_.rng.octets(32);
    if (world_.scenario().real_crypto) {
      auto dh = crypto::DhPrivate::from_octets(group, octets);
      CYGNET_ASSERT(dh.has_value());
      octets = dh->public_value();
      privates.real.push_back(std::move(*dh));
    }
    octets[31] &= 0x7f;  // as X25519 has it
    kes.push_back({static_cast<std::uint16_t>(group), octets});
    privates.public_value = std::move(octets);
  }
  Bytes nonce = world_.rng.octets(proto::kNonceLength);
  if (world_.plants.reuse_nonce) {
    if (last_draw_) {
      kes.front().value = last_draw_->first;
      privates.public_value = last_draw_->first;
      nonce = last_draw_->second;
    }
    last_draw_ = {kes.front().value, nonce};
  }
  const auto random = static_cast<std::uint32_t>(world_.rng.next());
  work([this, counter = e.counter, privates = std::make_shared<Privates>(std::move(privates)),
        kes = std::move(kes), nonce = std::move(nonce), random](AgentCore& core, Now now) {
    privates_[counter] = std::move(*privates);
    world_.note(Note::kDrawn, id_, id_, {counter, {}});
    world_.tell([&](Observer& o) { o.on_drawn(id_, counter); });
    return core.on_generation_made(counter, kes, nonce, random, now);
  });
}

// Signed and on disk before anybody sees it.
void Device::run(agent::SignDim& e) {
  world_.tell([&](Observer& o) { o.on_publish_decided(id_, e.counter); });
  auto octets = proto::sign_dim(e.dim, mesh_id(), world_.pki().device(id_).key);
  CYGNET_ASSERT(octets.has_value());
  work([this, counter = e.counter, octets = std::move(*octets)](AgentCore& core, Now now) {
    disk.last_sequence = std::max(disk.last_sequence, counter.sequence());
    disk.own_dims = {octets};
    signed_.push_back(octets);
    if (signed_.size() > 2) signed_.erase(signed_.begin());
    world_.tell([&](Observer& o) { o.on_signed(id_, counter, octets); });
    return core.on_dim_signed(counter, octets, now);
  });
}

void Device::run(agent::SendPublish& e) {
  const auto dim = proto::decode_dim(e.octets);
  CYGNET_ASSERT(dim.has_value());
  ++publishes;
  world_.note(Note::kPublish, id_, id_, {dim->counter, {}});
  world_.tell([&](Observer& o) { o.on_publish(id_, dim->counter); });
  send(agent::encode_publish(e.octets));
}

void Device::run(agent::EraseKeys& e) {
  const bool there = privates_.contains(e.counter);
  if (!world_.plants.never_erase) privates_.erase(e.counter);
  world_.note(Note::kErased, id_, id_, {e.counter, {}});
  world_.tell([&](Observer& o) { o.on_erased(id_, e.counter, there); });
}

// ---- SA pairs.

// Real crypto: the production derivation. Else a digest that both ends compute alike from what the
// derivation would take, and only while the private value is there.
Result<PairKeys> Device::derive(const agent::InstallPair& e) const {
  const auto it = privates_.find(e.pair.local);
  if (it == privates_.end()) {
    return fail(agent::kErrNoPrivate, "the DH private value of this generation is erased",
                proto::to_string(e.pair.local));
  }
  PairKeys keys;
  if (world_.scenario().real_crypto) {
    CYGNET_TRY(const agent::SaPairSpec spec,
               agent::derive_pair({e.peer, *e.local, *e.remote, e.agreement, e.replay_window},
                                  it->second.real.front(), {}));
    const agent::LaneSpec& lane = spec.lanes.front();
    keys = {digest_of(lane.inbound_encr.reveal()), digest_of(lane.outbound_encr.reveal())};
  } else {
    const std::uint64_t own = digest_of(it->second.public_value) + digest_of(e.local->nonce);
    const std::uint64_t other = digest_of(e.remote->kes.front().value) + digest_of(e.remote->nonce);
    keys = {mix64(mix64(other) ^ own), mix64(mix64(own) ^ other)};
  }
  if (world_.plants.swap_keys && keys.in < keys.out) keys.in = keys.out;
  return keys;
}

void Device::run(agent::InstallPair& e) {
  const DeviceId peer = device_id(e.peer);
  ++installs;
  world_.note(Note::kInstallAsked, id_, peer, e.pair);
  world_.tell([&](Observer& o) {
    o.on_install_asked(id_, peer, e.pair, privates_.contains(e.pair.local));
  });
  const Scenario& s = world_.scenario();
  Duration delay = world_.rng.between(s.work_min, s.work_max);
  if (s.derive_cost != Duration{}) {
    worker_free_ = std::max(worker_free_, world_.queue.now()) + s.derive_cost;
    delay += worker_free_ - world_.queue.now();
  }
  if (install_slow != Duration{}) delay += world_.rng.between(Duration{}, install_slow);
  if (world_.plants.claim_installed) {
    event([peer = e.peer, pair = e.pair](AgentCore& core, Now now) {
      return core.on_pair_installed(peer, pair, now);
    });
    delay += std::chrono::seconds(3);
  }
  if (delay == Duration{}) return install(e);
  const std::uint64_t token = next_token_++;
  deriving_[{e.peer, e.pair}] = token;
  later(delay, [this, e, token](AgentCore&, Now) {
    const auto it = deriving_.find({e.peer, e.pair});
    if (it != deriving_.end() && it->second == token) {  // else removed meanwhile
      deriving_.erase(it);
      install(e);
    }
    return agent::Effects{};
  });
}

void Device::install(const agent::InstallPair& e) {
  const DeviceId peer = device_id(e.peer);
  Result<PairKeys> keys = derive(e);
  if (keys && world_.rng.chance_ppm(install_refused_ppm)) {
    keys = fail(ErrorCode("sim-refused"), "the data plane refuses it");
  }
  if (!keys) {
    world_.note(Note::kInstallFailed, id_, peer, e.pair);
    event([peer = e.peer, pair = e.pair, error = keys.error()](AgentCore& core, Now now) {
      return core.on_pair_failed(peer, pair, false, error, now);
    });
    return;
  }
  backend_.install(e.peer, e.pair, *keys);
  world_.note(Note::kInstalled, id_, peer, e.pair);
  world_.tell([&](Observer& o) { o.on_installed(id_, peer, e.pair, *keys); });
  event([peer = e.peer, pair = e.pair](AgentCore& core, Now now) {
    return core.on_pair_installed(peer, pair, now);
  });
}

void Device::run(agent::ChooseOutbound& e) {
  SimPeer* const peer = backend_.peer(e.peer);
  if (peer == nullptr) return;
  world_.note(Note::kChosen, id_, peer->device, e.pair.value_or(proto::SaPairId{}));
  world_.tell([&](Observer& o) { o.on_chosen(id_, peer->device, e.pair); });
  if (world_.plants.stick_outbound && peer->chosen && e.pair) return;
  const Scenario& s = world_.scenario();
  if (s.last_words_one_in != 0 && peer->chosen && (id_ + peer->device) % s.last_words_one_in == 0) {
    user_packet(peer->device);
  }
  peer->chosen = e.pair;
  SimSa* const sa = e.pair ? peer->find(*e.pair) : nullptr;
  if (sa == nullptr) return;
  flush_held(*peer);
  if (s.talk_at_switch) user_packet(peer->device);
}

void Device::run(agent::RemoveOutbound& e) { drop_direction(e.peer, e.pair, false); }
void Device::run(agent::RemoveInbound& e) { drop_direction(e.peer, e.pair, true); }

void Device::drop_direction(proto::PeerId peer, proto::SaPairId pair, bool inbound) {
  deriving_.erase({peer, pair});
  if (!backend_.remove(peer, pair, inbound)) return;
  const DeviceId device = device_id(peer);
  world_.note(inbound ? Note::kRemovedIn : Note::kRemovedOut, id_, device, pair);
  world_.tell([&](Observer& o) { o.on_removed(id_, device, pair, inbound); });
}

void Device::run(agent::SendProbeRequest& e) {
  SimPeer* const peer = backend_.peer(e.peer);
  SimSa* const sa = peer == nullptr ? nullptr : peer->find(e.pair);
  if (sa == nullptr || !sa->outbound) return;
  std::array<std::uint8_t, 8> cookie{};
  world_.rng.fill(cookie);
  transmit(*peer, *sa, PacketKind::kRequest, cookie);
}

void Device::run(agent::SendProbePayload& e) {
  SimPeer* const peer = backend_.peer(e.peer);
  SimSa* const sa = peer == nullptr ? nullptr : peer->find(e.pair);
  const auto probe = proto::decode_probe(e.payload);
  if (sa == nullptr || !sa->outbound || !probe) return;
  transmit(*peer, *sa, PacketKind::kReply, probe->cookie);
}

// ---- Peers.

void Device::run(agent::SetPeer& e) {
  const auto device = device_of(e.config.name);
  CYGNET_ASSERT(device.has_value());
  CYGNET_ASSERT(world_.same_block(id_, *device));
  peer_ids_.resize(world_.block_size());
  peer_ids_[world_.place_in_block(*device)] = e.config.peer;
  backend_.set_peer(e.config.peer, *device);
}

void Device::run(agent::RemovePeer& e) {
  const SimPeer* const peer = backend_.peer(e.peer);
  if (peer == nullptr) return;
  std::erase_if(deriving_, [&](const auto& entry) { return entry.first.first == e.peer; });
  world_.note(Note::kPeerRemoved, id_, peer->device);
  world_.tell([&](Observer& o) { o.on_peer_removed(id_, peer->device); });
  backend_.remove_peer(e.peer);
}

void Device::run(agent::JudgeDim& e) {
  if (world_.plants.skip_counter) {  // the machine asks again: its rule goes too
    auto context = std::make_shared<proto::DimCheckContext>(*e.context);
    context->last_accepted = {};
    e.context = std::move(context);
  }
  auto result = std::make_shared<proto::DimCheckResult>(
      proto::check_dim(e.stored.dim, e.stored.certificate, *e.context));
  if (world_.plants.refuse_equal && result->verdict == proto::DimVerdict::kSame) {
    result->verdict = proto::DimVerdict::kRefused;
    result->error = Error{proto::kErrStaleDim, "equal counter"};
  }
  work([this, ticket = e.ticket, result, octets = std::move(e.stored.dim)](AgentCore& core,
                                                                           Now now) {
    // What observers are told; the machine gets the whole result.
    proto::DimCheckResult seen;
    seen.verdict = result->verdict;
    seen.dim = result->dim;
    const bool good =
        seen.verdict == proto::DimVerdict::kAccepted || seen.verdict == proto::DimVerdict::kSame;
    const std::size_t before = good ? 0 : core.rekey().hash();
    agent::Effects effects = core.on_dim_judged(ticket, std::move(*result), now);
    const bool changed = !good && before != core.rekey().hash();
    std::optional<DeviceId> of;
    if (seen.dim) of = device_of(seen.dim->dim.device.value());
    world_.note(good ? Note::kDimAccepted : Note::kDimRefused, id_, of.value_or(id_),
                {seen.dim ? seen.dim->dim.counter : proto::RekeyCounter(), {}});
    world_.tell([&](Observer& o) { o.on_judged(id_, of.value_or(id_), seen, octets, changed); });
    return effects;
  });
}

// ---- The controller.

void Device::run(agent::SendAck& e) {
  agent::AckMessage ack{e.cursor, {}};
  for (const agent::PendingDim& item : e.pending)
    ack.pending.push_back({item.device, item.counter});
  send(agent::encode_ack(ack));
}
void Device::run(agent::SendReport& e) { send(agent::encode_report(e.report)); }
void Device::run(agent::SendWant& e) { send(agent::encode_want(e.device)); }

// ---- Disk. What is not asked for at once may be lost with the memory.

void Device::run(agent::StoreTable&) {
  if (table_due_ || !world_.disks_matter()) return;
  table_due_ = true;
  world_.queue.after(kTableDelay, [this, incarnation = incarnation_] {
    if (incarnation != incarnation_) return;
    table_due_ = false;
    disk.table = core_->table();
  });
}
void Device::run(agent::StorePins&) {
  if (world_.disks_matter()) disk.pins = core_->pins();
}
void Device::run(agent::StoreRevocations&) { disk.revocations = core_->revocations(); }
void Device::run(agent::StoreServerTime& e) { disk.server_time = e.time; }

// ---- What people would read.

void Device::run(agent::Note& e) {
  if (e.level == agent::NoteLevel::kAlarm) {
    world_.count("alarm " + e.message.substr(0, e.message.find(':')));
  } else if (e.error) {
    world_.count("note " + std::string(e.error->code.name()));
  }
}
void Device::run(agent::Observed& e) {
  world_.tell([&](Observer& o) { o.on_observed(id_, e.what); });
}

}  // namespace cygnet::sim
