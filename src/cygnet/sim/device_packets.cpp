// SPDX-License-Identifier: Apache-2.0
// Device: the way of a packet through the simulated data plane.
#include <algorithm>

#include "cygnet/agent/core/derive.h"
#include "cygnet/base/assert.h"
#include "cygnet/proto/dim/dim_codec.h"
#include "cygnet/proto/negotiate/negotiate.h"
#include "cygnet/proto/probe/probe.h"
#include "cygnet/sim/device.h"
#include "cygnet/sim/world.h"

namespace cygnet::sim {

using agent::AgentCore;
using agent::Now;

namespace {

constexpr std::uint32_t kReplayWindow = 1024;

std::uint64_t detail_of(const Packet& packet) {
  return (std::uint64_t{static_cast<std::uint8_t>(packet.kind)} << 56) | packet.sequence;
}

}  // namespace

void Device::user_packet(DeviceId to) {
  ++traffic.sent;
  if (!core_) {
    ++traffic.sender_down;
    return;
  }
  const auto id = peer_id(to);
  SimPeer* const peer = id ? backend_.peer(*id) : nullptr;
  if (peer == nullptr || !peer->present) {
    ++traffic.not_known;
    return;
  }
  if (pass(peer->traffic_told, world_.queue.now(), SimBackend::kEventInterval)) {
    event([id = *id](AgentCore& core, Now now) { return core.on_user_traffic(id, now); });
  }
  // The call may have moved things.
  SimSa* const sa = peer->chosen ? peer->find(*peer->chosen) : nullptr;
  if (sa == nullptr || !sa->outbound) return hold(*id, *peer);
  peer->sent_user = true;
  transmit(*peer, *sa, PacketKind::kUser, {});
}

void Device::hold(proto::PeerId id, SimPeer& peer) {
  const Timestamp now = world_.queue.now();
  const auto expire = [&] {
    while (!peer.held.empty() && (now - peer.held.front() > SimBackend::kHoldMax ||
                                  peer.held.size() > SimBackend::kHeldMax)) {
      peer.held.erase(peer.held.begin());
      ++(peer.sent_user ? traffic.no_choice : traffic.held_dropped);
    }
  };
  peer.held.push_back(now);
  expire();
  if (!pass(peer.waiting_told, now, SimBackend::kEventInterval)) return;
  event([id](AgentCore& core, Now when) { return core.on_packet_waiting(id, when); });
}

void Device::flush_held(SimPeer& peer) {
  const Timestamp now = world_.queue.now();
  std::vector<Timestamp> held = std::exchange(peer.held, {});
  for (const Timestamp at : held) {
    SimSa* const sa = peer.chosen ? peer.find(*peer.chosen) : nullptr;
    if (sa == nullptr || now - at > SimBackend::kHoldMax) {
      ++(peer.sent_user ? traffic.no_choice : traffic.held_dropped);
      continue;
    }
    peer.sent_user = true;
    transmit(peer, *sa, PacketKind::kUser, {});
  }
}

void Device::transmit(SimPeer& peer, SimSa& sa, PacketKind kind,
                      const std::array<std::uint8_t, 8>& cookie) {
  Packet packet;
  packet.from = id_;
  packet.to = peer.device;
  packet.pair = sa.id;
  packet.key = sa.keys.out;
  if (world_.plants.reset_counters && sa.sent == 8) sa.sent = 0;
  packet.sequence = ++sa.sent;
  packet.kind = kind;
  packet.cookie = cookie;
  packet.sent = world_.queue.now();
  packet.incarnation = incarnation_;
  const auto id = peer_id(peer.device);
  packet.nothing_live = core_->rekey().nothing_live(*id);
  packet.known = core_->rekey().newest_complete(*id).value_or(proto::RekeyCounter());
  world_.note(Note::kSent, id_, packet.to, packet.pair, detail_of(packet));
  world_.tell([&](Observer& o) { o.on_sent(packet); });
  world_.send(packet);
}

void Device::arrive(const Packet& packet) {
  TrafficCounts& counts = world_.device(packet.from).traffic;
  const bool user = packet.kind == PacketKind::kUser && !packet.spoofed && !packet.copy;
  const auto id = peer_id(packet.from);
  SimPeer* const peer = id ? backend_.peer(*id) : nullptr;
  const proto::SaPairId pair{packet.pair.remote, packet.pair.local};
  SimSa* const sa = core_ && peer != nullptr ? peer->find(pair) : nullptr;
  if (sa == nullptr || !sa->inbound) {
    if (user) ++counts.no_sa;
    world_.note(Note::kNoSa, packet.from, id_, packet.pair, detail_of(packet));
    world_.tell([&](Observer& o) { o.on_no_sa(packet); });
    if (core_ && pass(spi_told_, world_.queue.now(), SimBackend::kEventInterval)) {
      // The SPI is what both nonces make of it; a packet of a pair nobody knows carries any.
      const auto spi = world_.spi_of(packet);
      event([spi](AgentCore& core, Now now) { return core.on_unknown_spi(spi, {}, 1, now); });
    }
    return;
  }
  if (sa->keys.in != packet.key && !world_.plants.accept_any_icv) {
    if (user) ++counts.bad_icv;
    world_.note(Note::kBadIcv, packet.from, id_, packet.pair, detail_of(packet));
    world_.tell([&](Observer& o) { o.on_bad_icv(packet); });
    return;
  }
  if (!sa->window) sa->window = std::make_unique<esp::ReplayWindow>(kReplayWindow, true);
  if (!sa->window->check(packet.sequence) && !world_.plants.no_replay_window) {
    if (user) ++counts.replay;
    world_.note(Note::kReplayed, packet.from, id_, packet.pair, detail_of(packet));
    world_.tell([&](Observer& o) { o.on_replay(packet); });
    return;
  }
  sa->window->update(packet.sequence);
  ++sa->opened;
  if (packet.kind == PacketKind::kUser) ++counts.delivered;
  world_.note(Note::kOpened, packet.from, id_, packet.pair, detail_of(packet));
  world_.tell([&](Observer& o) { o.on_opened(packet); });
  if (world_.plants.deaf_to_probes && packet.kind != PacketKind::kUser) return;

  evidence(*id, *sa, packet.kind);
  if (packet.kind == PacketKind::kUser) {
    if (pass(peer->traffic_told, world_.queue.now(), SimBackend::kEventInterval)) {
      event([id = *id](AgentCore& core, Now now) { return core.on_user_traffic(id, now); });
    }
    return;
  }
  proto::Probe probe;
  probe.type =
      packet.kind == PacketKind::kRequest ? proto::ProbeType::kRequest : proto::ProbeType::kReply;
  probe.cookie = packet.cookie;
  auto payload = proto::encode_probe(probe);
  CYGNET_ASSERT(payload.has_value());
  event([id = *id, pair, payload = std::move(*payload)](AgentCore& core, Now now) {
    return core.on_probe(id, pair, payload, now);
  });
}

void Device::evidence(proto::PeerId id, SimSa& sa, PacketKind kind) {
  const auto told =
      kind == PacketKind::kUser ? agent::EvidenceKind::kUser : agent::EvidenceKind::kProbe;
  Timestamp& last = sa.evidence_told[static_cast<std::size_t>(told)];
  if (!pass(last, world_.queue.now(), SimBackend::kEventInterval)) return;
  event([id, pair = sa.id, told](AgentCore& core, Now now) {
    return core.on_evidence(id, pair, told, now);
  });
}

}  // namespace cygnet::sim
