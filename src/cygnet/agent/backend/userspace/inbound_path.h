// SPDX-License-Identifier: Apache-2.0
#pragma once

/// From the outer sockets to the TUN device, in this order: SPI known, replay window, ICV, window
/// update, padding, inner source and destination, deliver (RFC 4303 section 3.4, RFC 4301 section
/// 5.2). Every packet that ends on the way is counted under one name. Data-plane thread only.

#include "cygnet/agent/backend/common/udp_socket.h"
#include "cygnet/agent/backend/userspace/coalescer.h"
#include "cygnet/agent/backend/userspace/outbound_path.h"
#include "cygnet/agent/backend/userspace/plane_state.h"

namespace cygnet::agent::userspace {

class InboundPath final : private Coalescer::Sink {
 public:
  /// What control takes of non-ESP datagrams, which anybody can send.
  static constexpr unsigned kControlDatagramsPerSecond = 50;

  InboundPath(PlaneState& state, OutboundPath& outbound);

  /// Takes one datagram, or those that the kernel joined. What it carries may be written to the
  /// TUN device only by flush(), until when the octets must live.
  void handle(const Datagram& datagram);
  void flush() { coalescer_.flush(); }
  /// Tells moves that were held back by the rate limit.
  void report_pending_moves();

  /// Takes what waited for a pair's keys, which are there now.
  void take_waiting(KeyWait& waits);
  /// Drops what waits for a pair that goes.
  void drop_waiting(SaPair& pair);
  /// Drops what has waited too long, for every pair.
  void expire_waiting();

  [[nodiscard]] std::uint64_t keepalives() const { return keepalives_; }

 private:
  struct Verified {
    InboundSa* sa = nullptr;
    std::uint64_t sequence = 0;
  };
  void handle_one(const Datagram& datagram);
  void wait_for_keys(InboundSa& first, const Datagram& datagram);
  void write(std::span<const iovec> pieces, const GsoInfo& gso, std::size_t packets) override;
  [[nodiscard]] tl::expected<Verified, esp::EspDrop> open(InboundSa& first,
                                                          const Datagram& datagram);
  [[nodiscard]] tl::expected<Verified, esp::EspDrop> open_one(InboundSa& sa,
                                                              MutableByteView packet);
  void learn_endpoint(InboundSa& sa, const OuterAddress& source);
  void report_moved(Peer& peer);
  void evidence(InboundSa& sa, EvidenceKind kind);
  void deliver(InboundSa& sa, MutableByteView payload, std::uint8_t next_header,
               const Datagram& datagram);
  void deliver_user(InboundSa& sa, MutableByteView packet, const InnerPacket& inner,
                    std::uint8_t outer_tos);
  void on_non_esp(const Datagram& datagram);

  PlaneState& state_;
  OutboundPath& outbound_;
  Coalescer coalescer_;
  RateBudget control_budget_{kControlDatagramsPerSecond, std::chrono::seconds(1)};
  std::uint64_t keepalives_ = 0;
  std::vector<std::pair<proto::PeerId, proto::SaPairId>> waiting_;  ///< pairs that may hold packets
  Bytes same_spi_copy_;  ///< of a packet that more than one key may have to be tried on
  Bytes resync_copy_;    ///< of a packet that more than one sequence number may have to be tried on
};

}  // namespace cygnet::agent::userspace
