// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/backend/userspace/outbound_path.h"

#include <algorithm>
#include <array>
#include <cerrno>

#include "cygnet/agent/backend/userspace/icmp_too_big.h"
#include "cygnet/agent/backend/userspace/ipv4_fragments.h"
#include "cygnet/agent/backend/userspace/mss_clamp.h"
#include "cygnet/agent/backend/userspace/probe_packet.h"

namespace cygnet::agent::userspace {
namespace {

using esp::EspDrop;

constexpr std::array<std::uint8_t, 4> kNonEspMarker{};
constexpr std::array<std::uint8_t, 1> kNatKeepalive{0xff};

/// The outer header's traffic class: RFC 6040 section 4.1 "normal mode" copies ECN.
std::uint8_t outer_tos(const InnerPacket& inner, bool copy_dscp) {
  const unsigned dscp = copy_dscp ? inner.dscp : 0U;
  return static_cast<std::uint8_t>((dscp << 2) | inner.ecn);
}

bool is_unreachable(int error) {
  return error == ENETUNREACH || error == EHOSTUNREACH || error == EAFNOSUPPORT ||
         error == EADDRNOTAVAIL || error == EINVAL || error == ENETDOWN || error == ENODEV;
}

}  // namespace

void OutboundPath::from_tun(std::uint32_t slot, std::size_t length, const GsoInfo& gso) {
  const MutableByteView packet = sender_.pool()[slot].subspan(kHeadroom, length);
  const auto inner = parse_inner(packet);
  if (!inner) return drop_slot(slot, EspDrop::kNotIp);
  if (gso.kind != GsoKind::kNone) {
    from_tun_large(gso, *inner, packet);
    return sender_.pool().release(slot);
  }
  if (gso.partial_checksum && !complete_checksum(gso, packet.first(inner->total_length))) {
    return drop_slot(slot, EspDrop::kNotIp);
  }
  from_tun_whole(slot, *inner, packet);
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-5.1
//# The SPD describes the type of traffic that will be protected between IPsec devices and the
//# policy (e.g., ciphers) used to create SAs.
Peer* OutboundPath::judge(const InnerPacket& inner, ByteView packet, std::size_t largest) {
  const auto refuse = [&](EspDrop why) -> Peer* {
    state_.drop(why);
    return nullptr;
  };
  Peer* peer = state_.peers.owner(inner.destination);
  if (peer == nullptr) {
    if (is_link_scope(inner.destination)) return refuse(EspDrop::kLinkScope);
    // Its route may be newer than the last command we looked at.
    if (run_commands_()) peer = state_.peers.owner(inner.destination);
    if (peer == nullptr) return refuse(EspDrop::kNoRoute);
  }
  if (check_inner(inner, packet, Side::kOurs, Side::kPeers,
                  [&](const IpAddress& address) { return state_.peers.side_of(*peer, address); })) {
    return refuse(EspDrop::kOutboundSource);
  }
  if (const std::size_t mtu = state_.mtu_of(*peer, inner.is_v6);
      largest > mtu && inner.dont_fragment) {
    tell_too_big(inner, packet, mtu);
    return refuse(EspDrop::kTooBig);
  }
  return peer;
}

void OutboundPath::from_tun_whole(std::uint32_t slot, const InnerPacket& inner,
                                  MutableByteView packet) {
  Peer* const peer = judge(inner, packet, inner.total_length);
  if (peer == nullptr) return sender_.pool().release(slot);
  if (state_.config.clamp_mss) clamp_mss(packet, inner, state_.tcp_mtu_of(*peer));
  state_.report_user_traffic(*peer);
  if (!peer->sendable()) {
    hold(*peer, packet.first(inner.total_length));
    sender_.pool().release(slot);
    return;
  }
  transmit_user(*peer, slot, inner);
}

void OutboundPath::from_tun_large(const GsoInfo& gso, const InnerPacket& inner, ByteView packet) {
  const auto segments = Segmenter::create(gso, inner, packet);
  if (!segments) return state_.drop(EspDrop::kNotIp);
  Peer* const peer = judge(inner, packet, segments->length(0));
  if (peer == nullptr) return;
  state_.report_user_traffic(*peer);
  const bool fits = segments->length(0) <= state_.mtu_of(*peer, inner.is_v6);
  if (peer->sendable() && fits) return transmit_segments(*peer, *segments, inner, packet);
  Bytes segment;
  for (std::size_t i = 0; i < segments->count(); ++i) {
    segment.resize(segments->length(i));
    segments->write(i, segment.data());
    if (!peer->sendable()) {
      hold(*peer, segment);
    } else if (const auto one = parse_inner(segment)) {
      transmit_fragments(*peer, *one, segment);
    }
  }
}

OutboundSa& OutboundPath::lane_of(SaPair& pair, const InnerPacket& inner, ByteView packet) {
  std::size_t lane = 0;
  if (pair.outbound.size() > 1) lane = flow_hash(inner, packet) % pair.outbound.size();
  return *pair.outbound[lane];
}

// RFC 4301 section 8.2: what may be fragmented is, before it is sealed, so that no gateway on the
// way has to and the receiver need not put ESP packets together.
void OutboundPath::transmit_user(Peer& peer, std::uint32_t slot, const InnerPacket& inner) {
  if (inner.total_length <= state_.mtu_of(peer, inner.is_v6) || inner.dont_fragment) {
    return transmit_one(peer, slot, inner);
  }
  transmit_fragments(peer, inner, sender_.pool()[slot].subspan(kHeadroom, inner.total_length));
  sender_.pool().release(slot);
}

void OutboundPath::transmit_fragments(Peer& peer, const InnerPacket& inner, ByteView packet) {
  const auto fragments = Ipv4Fragments::create(inner, packet, state_.mtu_of(peer, false));
  if (!fragments) return state_.drop(EspDrop::kTooBig);
  for (std::size_t i = 0; i < fragments->count(); ++i) {
    const auto slot = take_slot();
    if (!slot) {
      state_.drop(EspDrop::kQueueFull);
      continue;
    }
    const MutableByteView out = sender_.pool()[*slot].subspan(kHeadroom, fragments->length(i));
    fragments->write(i, out.data());
    const auto one = parse_inner(out);
    if (one) {
      transmit_one(peer, *slot, *one);
    } else {
      drop_slot(*slot, EspDrop::kNotIp);
    }
  }
}

std::optional<std::uint32_t> OutboundPath::take_slot() {
  if (const auto slot = sender_.pool().acquire()) return slot;
  sender_.flush();
  return sender_.pool().acquire();
}

void OutboundPath::transmit_one(Peer& peer, std::uint32_t slot, const InnerPacket& inner) {
  SaPair& pair = *peer.chosen;
  OutboundSa& sa = lane_of(pair, inner, sender_.pool()[slot].subspan(kHeadroom));
  peer.sent_user = true;
  transmit(peer, pair, sa,
           {slot, inner.total_length, inner.is_v6 ? esp::kNextHeaderIpv6 : esp::kNextHeaderIpv4,
            outer_tos(inner, state_.config.copy_dscp), true},
           peer.endpoint);
}

void OutboundPath::transmit_segments(Peer& peer, const Segmenter& segments,
                                     const InnerPacket& inner, ByteView packet) {
  SaPair& pair = *peer.chosen;
  OutboundSa& sa = lane_of(pair, inner, packet);
  peer.sent_user = true;
  peer.last_sent = state_.now;
  QueuedDatagram datagram;
  datagram.to = peer.endpoint;
  datagram.tos = outer_tos(inner, state_.config.copy_dscp);
  datagram.user = true;
  datagram.peer = peer.id;
  const std::size_t one = sa.format.packet_length(segments.length(0));
  const std::size_t in_one = std::clamp<std::size_t>(kMaxDatagram / one, 1, kMaxSegments);
  for (std::size_t i = 0; i < segments.count();) {
    const auto slot = take_slot();
    const std::size_t n = std::min(in_one, segments.count() - i);
    if (!slot) {
      state_.drop(EspDrop::kQueueFull, n);
      i += n;
      continue;
    }
    const MutableByteView buffer = sender_.pool()[*slot];
    std::size_t used = 0;
    for (const std::size_t end = i + n; i < end; ++i) {
      segments.write(i, buffer.data() + used + sa.format.header_length());
      const auto sealed = seal(pair, sa, inner.is_v6 ? esp::kNextHeaderIpv6 : esp::kNextHeaderIpv4,
                               true, buffer.subspan(used), segments.length(i));
      if (!sealed) {
        state_.drop(sealed.error());
      } else {
        used += *sealed;
      }
    }
    if (used == 0) {
      sender_.pool().release(*slot);
      continue;
    }
    datagram.slot = *slot;
    datagram.length = static_cast<std::uint32_t>(used);
    datagram.segment = static_cast<std::uint32_t>(used > one ? one : 0);
    sender_.push(datagram);
  }
}

tl::expected<std::size_t, EspDrop> OutboundPath::seal(SaPair& pair, OutboundSa& sa,
                                                      std::uint8_t next_header, bool user,
                                                      MutableByteView buffer,
                                                      std::size_t payload_length) {
  const auto sequence = take_sequence(sa);
  if (!sequence) return tl::make_unexpected(EspDrop::kSeqOverflow);
  auto sealed = esp::seal_in_place(sa.format, *sa.cipher,
                                   {sa.spi.value(), *sequence, sa.iv.next(*sequence), next_header},
                                   buffer, payload_length);
  if (!sealed) return sealed;
  ++sa.counters.packets;
  sa.counters.octets += payload_length;
  if (user) ++sa.counters.user_packets;
  //= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-4
  //# may be the result of a cipher counter mode Initialization Vector (IV) counter nearing its
  //# final value.
  state_.check_soft_limit(pair, *sequence, sa.format.last_sequence());
  return sealed;
}

void OutboundPath::transmit(Peer& peer, SaPair& pair, OutboundSa& sa, const Packet& packet,
                            const OuterAddress& to) {
  const std::size_t offset = kHeadroom - sa.format.header_length();
  const auto sealed = seal(pair, sa, packet.next_header, packet.user,
                           sender_.pool()[packet.slot].subspan(offset), packet.length);
  if (!sealed) return drop_slot(packet.slot, sealed.error());
  peer.last_sent = state_.now;
  QueuedDatagram datagram;
  datagram.slot = packet.slot;
  datagram.offset = static_cast<std::uint32_t>(offset);
  datagram.length = static_cast<std::uint32_t>(*sealed);
  datagram.to = to;
  datagram.tos = packet.tos;
  datagram.user = packet.user;
  if (packet.path_probe) datagram.path_probe = static_cast<std::uint32_t>(packet.length);
  datagram.peer = peer.id;
  sender_.push(datagram);
}

void OutboundPath::hold(Peer& peer, ByteView packet) {
  if (peer.held.empty()) holding_.push_back(peer.id);
  count_held(peer, peer.held.push(state_.now, packet));
  state_.timers_wanted = true;
  if (peer.chosen != nullptr) state_.want_keys(*peer.chosen);
  if (!peer.packet_waiting.pass(state_.now, kEventInterval)) return;
  state_.reporter.tell([id = peer.id](BackendEvents& events) { events.on_packet_waiting(id); });
}

void OutboundPath::count_held(Peer& peer, std::size_t dropped) {
  if (dropped == 0) return;
  if (peer.chosen != nullptr && !peer.endpoint.is_set()) {
    state_.drop(EspDrop::kNoEndpoint, dropped);
  } else if (peer.sent_user) {
    peer.no_sa += dropped;
    state_.drop(EspDrop::kNoSa, dropped);
  } else {
    peer.held_dropped += dropped;
    state_.drop(EspDrop::kHeldDropped, dropped);
  }
}

void OutboundPath::flush_held(Peer& peer) {
  if (!peer.sendable()) {
    if (peer.chosen != nullptr && !peer.held.empty()) state_.want_keys(*peer.chosen);
    return;
  }
  count_held(peer, peer.held.expire(state_.now));
  while (auto packet = peer.held.pop()) {
    const auto slot = take_slot();
    if (!slot) {
      state_.drop(EspDrop::kQueueFull);
      continue;
    }
    std::copy(packet->begin(), packet->end(),
              sender_.pool()[*slot].begin() + static_cast<std::ptrdiff_t>(kHeadroom));
    const auto inner = parse_inner(*packet);
    if (!inner) {
      drop_slot(*slot, EspDrop::kNotIp);
      continue;
    }
    transmit_user(peer, *slot, *inner);
  }
}

void OutboundPath::expire_held() {
  std::erase_if(holding_, [&](proto::PeerId id) {
    Peer* const peer = state_.peers.find(id);
    if (peer == nullptr) return true;
    count_held(*peer, peer->held.expire(state_.now));
    return peer->held.empty();
  });
  if (!holding_.empty()) state_.timers_wanted = true;
}

void OutboundPath::drop_held(Peer& peer) { count_held(peer, peer.held.clear()); }

void OutboundPath::send_probe(Peer& peer, SaPair& pair, ByteView payload) {
  if (!pair.has_outbound() || payload.size() > kMaxInner - kProbeOverhead) {
    state_.drop(EspDrop::kProbeNoSa);
    return;
  }
  if (pair.claimed) {
    if (pair.waits == nullptr) pair.waits = std::make_unique<KeyWait>(state_.waiting_octets);
    if (!pair.waits->push_probe(payload)) state_.drop(EspDrop::kProbeSend);
    return state_.want_keys(pair);
  }
  const auto send_to = [&](const OuterAddress& to) {
    const auto slot = sender_.pool().acquire();
    if (!slot) return state_.drop(EspDrop::kProbeSend);
    const std::size_t length = build_probe(state_.own_mesh_address, peer.mesh_address, payload,
                                           sender_.pool()[*slot].subspan(kHeadroom));
    transmit(peer, pair, *pair.outbound.front(), {*slot, length, esp::kNextHeaderIpv6, 0, false},
             to);
  };
  if (peer.endpoint.is_set()) send_to(peer.endpoint);
  const bool proven = peer.endpoint_learned && state_.now - peer.last_verified < kProvenFor;
  if (proven) return;
  // Each copy has its own sequence number, so the receiver takes none of them for a replay.
  for (const UdpEndpoint& candidate : peer.candidates) {
    const OuterAddress to(candidate);
    if (!(to == peer.endpoint)) send_to(to);
  }
}

// A probe that cannot go now is lost: its sender tries again.
void OutboundPath::send_path_probe(Peer& peer, SaPair& pair, ByteView payload) {
  if (pair.claimed || pair.outbound.empty() || !peer.endpoint.is_set() ||
      payload.size() > kMaxInner - kProbeOverhead) {
    return state_.drop(EspDrop::kProbeNoSa);
  }
  const auto slot = sender_.pool().acquire();
  if (!slot) return state_.drop(EspDrop::kProbeSend);
  const std::size_t length = build_probe(state_.own_mesh_address, peer.mesh_address, payload,
                                         sender_.pool()[*slot].subspan(kHeadroom));
  transmit(peer, pair, *pair.outbound.front(),
           {*slot, length, esp::kNextHeaderIpv6, 0, false, true}, peer.endpoint);
}

void OutboundPath::send_raw(const OuterAddress& to, proto::PeerId peer, ByteView prefix,
                            ByteView octets) {
  const auto slot = sender_.pool().acquire();
  if (!slot || prefix.size() + octets.size() > kMaxInner) {
    if (slot) sender_.pool().release(*slot);
    return state_.drop(EspDrop::kProbeSend);
  }
  const MutableByteView buffer = sender_.pool()[*slot];
  std::copy(octets.begin(), octets.end(), std::copy(prefix.begin(), prefix.end(), buffer.begin()));
  QueuedDatagram datagram;
  datagram.slot = *slot;
  datagram.length = static_cast<std::uint32_t>(prefix.size() + octets.size());
  datagram.to = to;
  datagram.peer = peer;
  sender_.push(datagram);
}

void OutboundPath::send_control(const UdpEndpoint& to, ByteView payload) {
  send_raw(OuterAddress(to), proto::PeerId(), kNonEspMarker, payload);
}

void OutboundPath::send_keepalives() {
  state_.peers.for_each([&](Peer& peer) {
    if (peer.pairs.empty() || !peer.endpoint.is_set() ||
        state_.now - peer.last_sent < state_.config.keepalive) {
      return;
    }
    peer.last_sent = state_.now;
    // A dummy packet keeps a NAT's mapping as well, and being authenticated it tells the peer where
    // we are now: a NAT that forgot us or changed its address costs an idle pair no more than this.
    // It is no reason to derive a claimed pair's keys.
    const bool seals = peer.chosen != nullptr && !peer.chosen->claimed;
    const auto slot = seals ? sender_.pool().acquire() : std::nullopt;
    if (slot) {
      transmit(peer, *peer.chosen, *peer.chosen->outbound.front(),
               {*slot, 0, esp::kNextHeaderDummy, 0, false}, peer.endpoint);
    } else {
      send_raw(peer.endpoint, peer.id, {}, kNatKeepalive);
    }
  });
}

void OutboundPath::tell_too_big(const InnerPacket& inner, ByteView packet, std::size_t mtu) {
  std::array<std::uint8_t, kMaxTooBigLength> message;
  const std::size_t length = build_too_big(inner, packet, mtu, message);
  if (length != 0 && state_.tun.write(ByteView(message).first(length)) != 0) {
    state_.drop(EspDrop::kTunWrite);
  }
}

bool OutboundPath::on_send_failed(QueuedDatagram& datagram, int error) {
  Peer* const peer = state_.peers.find(datagram.peer);
  if (datagram.user && peer != nullptr && !peer->endpoint_learned && is_unreachable(error) &&
      datagram.attempts < peer->candidates.size()) {
    // Not proven yet, and this host cannot send there at all (no IPv6, no route): the next one.
    if (datagram.to == peer->endpoint) {
      peer->candidate = (peer->candidate + 1) % peer->candidates.size();
      peer->endpoint = OuterAddress(peer->candidates[peer->candidate]);
    }
    datagram.to = peer->endpoint;
    return true;
  }
  if (datagram.path_probe != 0 && error == EMSGSIZE) {
    state_.reporter.tell([id = datagram.peer, inner = datagram.path_probe](BackendEvents& events) {
      events.on_path_probe_too_large(id, inner);
    });
    return false;  // an answer, and nothing is lost
  }
  const std::uint32_t packets =
      datagram.segment == 0 ? 1 : (datagram.length + datagram.segment - 1) / datagram.segment;
  state_.drop(datagram.user ? EspDrop::kOuterSend : EspDrop::kProbeSend, packets);
  return false;
}

}  // namespace cygnet::agent::userspace
