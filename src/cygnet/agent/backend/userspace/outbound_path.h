// SPDX-License-Identifier: Apache-2.0
#pragma once

/// From the TUN device to the outer sockets: find the peer, judge the packet, hold it or seal it
/// (RFC 4301 section 5.1, RFC 4303 section 3.3). Data-plane thread only.

#include <functional>
#include <optional>
#include <vector>

#include "cygnet/agent/backend/userspace/plane_state.h"
#include "cygnet/agent/backend/userspace/segmenter.h"

namespace cygnet::agent::userspace {

class OutboundPath final : public Sender::Failures {
 public:
  /// Where an inner packet stands in a slot, so that any ESP header fits in front.
  static constexpr std::size_t kHeadroom = 64;
  static_assert(kHeadroom >= esp::kMaxHeaderLength);
  /// The longest inner packet that fits a slot with its ESP trailer.
  static constexpr std::size_t kMaxInner = 65535;
  static_assert(kHeadroom + kMaxInner + esp::kMaxTailLength <= BufferPool::kSlotSize);
  /// While the peer was not heard from for so long, probes go to all its candidates.
  static constexpr Duration kProvenFor = std::chrono::seconds(5);

  /// @param run_commands  executes commands that arrived meanwhile; true when there were any.
  OutboundPath(PlaneState& state, UdpSocket* v4, UdpSocket* v6, std::function<bool()> run_commands)
      : state_(state), sender_(v4, v6, *this), run_commands_(std::move(run_commands)) {}

  [[nodiscard]] Sender& sender() { return sender_; }

  /// A packet read into slot `slot` at kHeadroom, perhaps one that stands for many. Takes the slot
  /// over.
  void from_tun(std::uint32_t slot, std::size_t length, const GsoInfo& gso);
  /// Sends what was held, in order, if there are an SA and an endpoint now.
  void flush_held(Peer& peer);
  /// Drops what was held too long, for every peer.
  void expire_held();
  /// Drops everything held for a peer that goes.
  void drop_held(Peer& peer);
  void send_probe(Peer& peer, SaPair& pair, ByteView payload);
  /// To the endpoint in use, in one piece.
  void send_path_probe(Peer& peer, SaPair& pair, ByteView payload);
  /// A datagram behind the non-ESP marker (RFC 3948 section 2.2).
  void send_control(const UdpEndpoint& to, ByteView payload);
  /// RFC 3948 section 2.3: one octet 0xFF to peers we have SAs with and sent nothing to lately.
  void send_keepalives();

  bool on_send_failed(QueuedDatagram& datagram, int error) override;

 private:
  struct Packet {
    std::uint32_t slot;
    std::size_t length;
    std::uint8_t next_header;
    std::uint8_t tos;
    bool user;
    bool path_probe = false;
  };
  /// What the routes, the policy and the MTU say about a packet of which `largest` octets go in
  /// one; nullptr when it was dropped.
  [[nodiscard]] Peer* judge(const InnerPacket& inner, ByteView packet, std::size_t largest);
  void from_tun_whole(std::uint32_t slot, const InnerPacket& inner, MutableByteView packet);
  void from_tun_large(const GsoInfo& gso, const InnerPacket& inner, ByteView packet);
  void hold(Peer& peer, ByteView packet);
  void count_held(Peer& peer, std::size_t dropped);
  void tell_too_big(const InnerPacket& inner, ByteView packet, std::size_t mtu);
  /// Seals each segment behind the one before and queues them as few datagrams.
  void transmit_segments(Peer& peer, const Segmenter& segments, const InnerPacket& inner,
                         ByteView packet);
  /// Seals the payload that stands header_length() behind the beginning of `buffer`.
  [[nodiscard]] tl::expected<std::size_t, esp::EspDrop> seal(SaPair& pair, OutboundSa& sa,
                                                             std::uint8_t next_header, bool user,
                                                             MutableByteView buffer,
                                                             std::size_t payload_length);
  [[nodiscard]] static OutboundSa& lane_of(SaPair& pair, const InnerPacket& inner, ByteView packet);
  /// Seals and queues; takes the slot over.
  void transmit(Peer& peer, SaPair& pair, OutboundSa& sa, const Packet& packet,
                const OuterAddress& to);
  /// The packet at kHeadroom of `slot`; in fragments where the path asks for it.
  void transmit_user(Peer& peer, std::uint32_t slot, const InnerPacket& inner);
  void transmit_one(Peer& peer, std::uint32_t slot, const InnerPacket& inner);
  void transmit_fragments(Peer& peer, const InnerPacket& inner, ByteView packet);
  /// A slot of the pool, after sending what waits if need be.
  [[nodiscard]] std::optional<std::uint32_t> take_slot();
  void send_raw(const OuterAddress& to, proto::PeerId peer, ByteView prefix, ByteView octets);
  void drop_slot(std::uint32_t slot, esp::EspDrop why) {
    sender_.pool().release(slot);
    state_.drop(why);
  }

  PlaneState& state_;
  Sender sender_;
  std::function<bool()> run_commands_;
  std::vector<proto::PeerId> holding_;  ///< peers that may hold packets
};

}  // namespace cygnet::agent::userspace
