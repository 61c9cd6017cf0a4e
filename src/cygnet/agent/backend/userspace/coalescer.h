// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Joins packets of one flow that came out of the tunnel one after another into one large packet
/// for the kernel, as a network card with receive offload would, so that the kernel handles 64 KB
/// at a time. Only what the kernel can cut again into the very same packets is joined: consecutive
/// TCP segments or equal UDP datagrams whose headers differ in nothing else, never across a hole,
/// and only with a correct checksum, because the joined packet gets a new one. Order within a flow
/// is kept. No allocation in steady state. Data-plane thread only.
///
/// Packets stay where they are until flush(); the octets must live so long, and the headers of a
/// group's first packet are rewritten.

#include <sys/uio.h>

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "cygnet/agent/backend/common/gso.h"
#include "cygnet/agent/backend/common/tun.h"
#include "cygnet/agent/backend/userspace/inner_packet.h"
#include "cygnet/base/bytes.h"

namespace cygnet::agent::userspace {

class Coalescer {
 public:
  /// Where packets go.
  class Sink {
   public:
    virtual ~Sink() = default;
    /// `packets`: how many packets of the wire this one stands for.
    virtual void write(std::span<const iovec> pieces, const GsoInfo& gso, std::size_t packets) = 0;
  };

  explicit Coalescer(Sink& sink) : sink_(sink) {}

  /// What the sink can take; nothing by default.
  void allow(const TunOffloads& offloads) { offloads_ = offloads; }
  /// Takes a packet whose IP header fits its octets.
  void add(MutableByteView packet, const InnerPacket& inner);
  /// Writes what was taken and not written yet.
  void flush();

 private:
  static constexpr std::size_t kMaxOctets = 65535;
  static constexpr std::size_t kGroups = 8;  ///< flows at a time

  /// Headers of a packet that may be joined.
  struct Candidate {
    bool tcp = false;
    std::size_t headers = 0;
    std::size_t payload = 0;
  };
  struct Group {
    bool open = false;  ///< may still grow
    bool v6 = false;
    std::uint32_t hash = 0;
    Candidate first;
    std::size_t ip_header = 0;
    std::size_t octets = 0;   ///< headers and payload so far
    std::size_t packets = 0;  ///< 0: unused
    std::uint32_t next_sequence = 0;
    std::uint8_t last_flags = 0;
    std::array<iovec, Tun::kMaxPieces> pieces;
  };

  [[nodiscard]] std::optional<Candidate> candidate(const InnerPacket& inner, ByteView packet) const;
  [[nodiscard]] static bool same_flow(const Group& group, const InnerPacket& inner,
                                      ByteView packet);
  [[nodiscard]] static bool continues(const Group& group, const Candidate& candidate,
                                      ByteView packet);
  void begin(const InnerPacket& inner, const Candidate& candidate, std::uint32_t hash,
             MutableByteView packet);
  static void append(Group& group, const Candidate& candidate, MutableByteView packet);
  void write(Group& group);
  void write_single(ByteView packet, bool checksum_valid);

  Sink& sink_;
  TunOffloads offloads_;
  std::array<Group, kGroups> groups_;
  std::size_t used_ = 0;  ///< groups_[0 … used_) in order of arrival
};

}  // namespace cygnet::agent::userspace
