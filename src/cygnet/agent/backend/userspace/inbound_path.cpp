// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/backend/userspace/inbound_path.h"

#include <algorithm>

#include "cygnet/agent/backend/userspace/ecn.h"
#include "cygnet/agent/backend/userspace/mss_clamp.h"
#include "cygnet/agent/backend/userspace/probe_packet.h"

namespace cygnet::agent::userspace {
namespace {

using esp::EspDrop;

constexpr std::size_t kMarkerLength = 4;

EspDrop drop_of(InnerRefusal refusal) {
  switch (refusal) {
    case InnerRefusal::kSource:
      return EspDrop::kInnerSource;
    case InnerRefusal::kDestination:
      return EspDrop::kInnerDestination;
    case InnerRefusal::kIcmp:
      break;
  }
  return EspDrop::kInnerIcmp;
}

}  // namespace

InboundPath::InboundPath(PlaneState& state, OutboundPath& outbound)
    : state_(state), outbound_(outbound), coalescer_(*this) {
  coalescer_.allow(state.tun.offloads());
  same_spi_copy_.resize(BufferPool::kSlotSize);
  resync_copy_.resize(BufferPool::kSlotSize);
}

void InboundPath::handle(const Datagram& datagram) {
  if (datagram.segment == 0 || datagram.octets.size() <= datagram.segment) {
    return handle_one(datagram);
  }
  Datagram one = datagram;
  one.segment = 0;
  for (MutableByteView rest = datagram.octets; !rest.empty();) {
    one.octets = rest.first(std::min(datagram.segment, rest.size()));
    rest = rest.subspan(one.octets.size());
    one.truncated = datagram.truncated && rest.empty();
    handle_one(one);
  }
}

void InboundPath::handle_one(const Datagram& datagram) {
  const MutableByteView packet = datagram.octets;
  // RFC 3948 section 2.3: "The receiver SHOULD ignore a received NAT-keepalive packet".
  if (packet.size() == 1 && packet[0] == 0xff) {
    ++keepalives_;
    return;
  }
  if (packet.size() < kMarkerLength) return state_.drop(EspDrop::kTooShort);
  if (datagram.truncated) return state_.drop(EspDrop::kLength);
  const std::uint32_t spi = load_be32(packet.data());
  if (spi == 0) return on_non_esp(datagram);
  InboundSa* const first = state_.sad.find(spi);
  if (first == nullptr) {
    state_.drop(EspDrop::kUnknownSpi);
    state_.unknown_spis.add(spi, datagram.source.endpoint());
    state_.timers_wanted = true;
    return;
  }
  const auto verified = open(*first, datagram);
  if (!verified) {
    if (verified.error() == EspDrop::kKeysPending) return wait_for_keys(*first, datagram);
    return state_.drop(verified.error());
  }

  InboundSa& sa = *verified->sa;
  const bool newest = sa.window.update(verified->sequence);
  sa.pair->peer->last_verified = state_.now;
  ++sa.counters.packets;
  state_.check_soft_limit(*sa.pair, sa.window.highest(), sa.format.last_sequence());
  if (newest) learn_endpoint(sa, datagram.source);
  const auto trailer = esp::read_trailer(sa.format, packet);
  if (!trailer) {
    evidence(sa, EvidenceKind::kDummy);
    return state_.drop(trailer.error());
  }
  deliver(sa, packet.subspan(trailer->payload_offset, trailer->payload_length),
          trailer->next_header, datagram);
}

tl::expected<InboundPath::Verified, EspDrop> InboundPath::open(InboundSa& first,
                                                               const Datagram& datagram) {
  if (first.next_same_spi == nullptr) return open_one(first, datagram.octets);
  // Several SAs share this SPI: by source first, then whoever's ICV verifies. A failed attempt
  // destroys the packet, so every attempt works on a fresh copy.
  std::copy(datagram.octets.begin(), datagram.octets.end(), same_spi_copy_.begin());
  EspDrop why = EspDrop::kReplay;
  //= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-5.2.1.3
  //# In that case, the inbound SA Lookup SHOULD include a source IP addresses in addition to the
  //# SPI value
  for (const bool from_source : {true, false}) {
    for (InboundSa* sa = &first; sa != nullptr; sa = sa->next_same_spi) {
      if ((sa->pair->peer->endpoint == datagram.source) != from_source) continue;
      std::copy_n(same_spi_copy_.begin(), datagram.octets.size(), datagram.octets.begin());
      const auto verified = open_one(*sa, datagram.octets);
      if (verified) return verified;
      // If one of them has no keys yet, the packet may be its.
      if (verified.error() != EspDrop::kReplay && why != EspDrop::kKeysPending) {
        why = verified.error();
      }
    }
  }
  return tl::make_unexpected(why);
}

tl::expected<InboundPath::Verified, EspDrop> InboundPath::open_one(InboundSa& sa,
                                                                   MutableByteView packet) {
  const auto header = esp::read_clear_header(sa.format, packet);
  if (!header) return tl::make_unexpected(header.error());
  if (sa.cipher == nullptr) return tl::make_unexpected(EspDrop::kKeysPending);
  std::uint64_t sequence = sa.window.infer(header->sequence_low);
  const std::uint32_t halves = sa.format.esn() ? sa.resync.halves_to_try() : 0;
  // Cheap, and first: a replayed packet costs no decryption.
  if (!sa.window.check(sequence)) return tl::make_unexpected(EspDrop::kReplay);
  if (halves == 0 && sa.format.esn() && !sa.window.plausible(sequence)) {
    sa.resync.on_failed();
    return tl::make_unexpected(EspDrop::kReplay);
  }
  if (halves != 0) std::copy(packet.begin(), packet.end(), resync_copy_.begin());
  auto verified = esp::verify_in_place(sa.format, *sa.cipher, sequence, packet);
  if (!verified && halves != 0) {
    // RFC 4303 section A3: perhaps whole halves were lost on the way.
    std::copy_n(resync_copy_.begin(), packet.size(), packet.begin());
    sequence += std::uint64_t{halves} << 32;
    if (sa.window.check(sequence)) {
      verified = esp::verify_in_place(sa.format, *sa.cipher, sequence, packet);
    }
  }
  if (!verified) {
    sa.resync.on_failed();
    return tl::make_unexpected(verified.error());
  }
  sa.resync.on_verified();
  return Verified{&sa, sequence};
}

void InboundPath::learn_endpoint(InboundSa& sa, const OuterAddress& source) {
  Peer& peer = *sa.pair->peer;
  // Only the newest packet tells where the peer is: not one that was delayed on an older SA.
  if (sa.pair->id.remote < peer.endpoint_generation) return;
  peer.endpoint_generation = sa.pair->id.remote;
  const bool first = !peer.endpoint_learned;
  peer.endpoint_learned = true;
  if (peer.endpoint == source) return;
  peer.endpoint = source;
  peer.moved_pending = true;
  report_moved(peer);
  if (first) outbound_.flush_held(peer);
}

void InboundPath::report_moved(Peer& peer) {
  if (!peer.moved.pass(state_.now, kEventInterval)) {
    state_.timers_wanted = true;
    return;
  }
  peer.moved_pending = false;
  state_.reporter.tell([id = peer.id, endpoint = peer.endpoint.endpoint()](BackendEvents& events) {
    events.on_peer_moved(id, endpoint);
  });
}

void InboundPath::report_pending_moves() {
  state_.peers.for_each([&](Peer& peer) {
    if (peer.moved_pending) report_moved(peer);
  });
}

// docs/protocol.md section 5.2: the first packet for a claimed pair makes it want its keys, and
// waits for them. Whether it is a forgery only the keys can tell.
void InboundPath::wait_for_keys(InboundSa& first, const Datagram& datagram) {
  SaPair* claimed = nullptr;
  for (InboundSa* sa = &first; sa != nullptr; sa = sa->next_same_spi) {
    if (sa->cipher != nullptr) continue;
    state_.want_keys(*sa->pair);
    if (claimed == nullptr || sa->pair->peer->endpoint == datagram.source) claimed = sa->pair;
  }
  if (first.next_same_spi != nullptr) {  // attempts under other keys have destroyed it
    std::copy_n(same_spi_copy_.begin(), datagram.octets.size(), datagram.octets.begin());
  }
  if (claimed->waits == nullptr) {
    claimed->waits = std::make_unique<KeyWait>(state_.waiting_octets);
  }
  KeyWait& waits = *claimed->waits;
  if (!waits.push(state_.now, datagram.source, datagram.tos, datagram.octets)) {
    return state_.drop(EspDrop::kKeysPending);
  }
  if (waits.packets().size() == 1) waiting_.emplace_back(claimed->peer->id, claimed->id);
  state_.timers_wanted = true;
}

void InboundPath::take_waiting(KeyWait& waits) {
  for (KeyWait::Packet& packet : waits.packets()) {
    Datagram datagram;
    datagram.octets = packet.octets;
    datagram.source = packet.source;
    datagram.tos = packet.tos;
    handle_one(datagram);
  }
  flush();  // while what they carry lives
}

void InboundPath::drop_waiting(SaPair& pair) {
  if (pair.waits == nullptr) return;
  state_.drop(EspDrop::kKeysPending, pair.waits->packets().size());
  state_.drop(EspDrop::kProbeNoSa, pair.waits->probes().size());
  pair.waits.reset();
}

void InboundPath::expire_waiting() {
  std::erase_if(waiting_, [&](const auto& entry) {
    Peer* const peer = state_.peers.find(entry.first);
    SaPair* const pair = peer == nullptr ? nullptr : peer->find(entry.second);
    if (pair == nullptr || pair->waits == nullptr) return true;
    state_.drop(EspDrop::kKeysPending, pair->waits->expire(state_.now));
    return pair->waits->packets().empty();
  });
  if (!waiting_.empty()) state_.timers_wanted = true;
}

void InboundPath::evidence(InboundSa& sa, EvidenceKind kind) {
  if (!sa.pair->evidence[static_cast<std::size_t>(kind)].pass(state_.now, kEventInterval)) return;
  state_.reporter.tell([peer = sa.pair->peer->id, pair = sa.pair->id, kind](BackendEvents& events) {
    events.on_evidence(peer, pair, kind);
  });
}

void InboundPath::deliver(InboundSa& sa, MutableByteView payload, std::uint8_t next_header,
                          const Datagram& datagram) {
  sa.counters.octets += payload.size();
  // RFC 4303 section 2.6: a dummy packet "MUST be discarded"; its ICV verified all the same.
  if (next_header == esp::kNextHeaderDummy) {
    evidence(sa, EvidenceKind::kDummy);
    return state_.drop(EspDrop::kDummy);
  }
  const bool v6 = next_header == esp::kNextHeaderIpv6;
  if (!v6 && next_header != esp::kNextHeaderIpv4) {
    evidence(sa, EvidenceKind::kDummy);
    return state_.drop(EspDrop::kNextHeader);
  }
  const auto inner = parse_inner(payload);
  if (!inner || inner->is_v6 != v6) {
    evidence(sa, EvidenceKind::kDummy);
    const bool length = !inner && inner.error() == InnerFault::kLength;
    return state_.drop(length ? EspDrop::kInnerLength : EspDrop::kInnerVersion);
  }
  // RFC 4303 section 2.7: what follows the inner packet is traffic-flow-confidentiality padding.
  const MutableByteView packet = payload.first(inner->total_length);
  Peer& peer = *sa.pair->peer;
  if (is_probe(*inner, packet, peer.mesh_address, state_.own_mesh_address)) {
    evidence(sa, EvidenceKind::kProbe);
    const auto content = probe_payload(*inner, packet);
    if (!content) return state_.drop(EspDrop::kProbe);
    if (!peer.probes.pass(state_.now)) return state_.drop(EspDrop::kProbeRate);
    state_.reporter.tell([id = peer.id, pair = sa.pair->id,
                          octets = Bytes(content->begin(), content->end())](BackendEvents& events) {
      events.on_probe(id, pair, octets);
    });
    return;
  }
  evidence(sa, EvidenceKind::kUser);
  deliver_user(sa, packet, *inner, datagram.tos);
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-5
//# The PAD, SPD, and SAD all need to be setup as defined in the IPsec Security Architecture
void InboundPath::deliver_user(InboundSa& sa, MutableByteView packet, const InnerPacket& inner,
                               std::uint8_t outer_tos) {
  Peer& peer = *sa.pair->peer;
  if (const auto refusal = check_inner(
          inner, packet, Side::kPeers, Side::kOurs,
          [&](const IpAddress& address) { return state_.peers.side_of(peer, address); })) {
    return state_.drop(drop_of(*refusal));
  }
  const auto ecn = ecn_decap(static_cast<Ecn>(inner.ecn), static_cast<Ecn>(outer_tos & 3));
  if (ecn.drop) return state_.drop(EspDrop::kEcn);
  if (static_cast<std::uint8_t>(ecn.ecn) != inner.ecn) write_ecn(packet, inner, ecn.ecn);
  if (state_.config.clamp_mss) clamp_mss(packet, inner, state_.tcp_mtu_of(peer));
  ++sa.counters.user_packets;
  state_.report_user_traffic(peer);
  coalescer_.add(packet, inner);
}

void InboundPath::write(std::span<const iovec> pieces, const GsoInfo& gso, std::size_t packets) {
  if (state_.tun.write(pieces, gso) != 0) state_.drop(EspDrop::kTunWrite, packets);
}

void InboundPath::on_non_esp(const Datagram& datagram) {
  if (!control_budget_.pass(state_.now)) return state_.drop(EspDrop::kControlRate);
  const ByteView payload = ByteView(datagram.octets).subspan(kMarkerLength);
  state_.reporter.tell([source = datagram.source.endpoint(),
                        octets = Bytes(payload.begin(), payload.end())](BackendEvents& events) {
    events.on_control_datagram(source, octets);
  });
}

}  // namespace cygnet::agent::userspace
