// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The waiting line in front of the outer sockets: datagrams go out in order and in batches; when
/// a socket is full they wait here and the tunnel device is not read meanwhile, so that the kernel
/// holds the rest (back-pressure instead of loss). No allocation in steady state. Data-plane
/// thread only.

#include <cstdint>
#include <optional>
#include <vector>

#include "cygnet/agent/backend/common/buffer_pool.h"
#include "cygnet/agent/backend/common/outer_address.h"
#include "cygnet/agent/backend/common/udp_socket.h"
#include "cygnet/proto/ids/ids.h"

namespace cygnet::agent::userspace {

/// A datagram that waits, or several of one size one behind the other, in a slot of the pool that
/// they own.
struct QueuedDatagram {
  std::uint32_t slot = 0;
  std::uint32_t offset = 0;
  std::uint32_t length = 0;
  std::uint32_t segment = 0;  ///< not 0: the size of each but the last
  bool one_by_one = false;    ///< the kernel would not segment these
  OuterAddress to;
  std::uint8_t tos = 0;
  std::uint8_t attempts = 0;
  bool user = false;  ///< a user's packet: when refused, somebody's traffic is lost
  /// Not 0: a path probe, whose inner packet has so many octets. It goes in one piece.
  std::uint32_t path_probe = 0;
  proto::PeerId peer;
};

class Sender {
 public:
  /// Asked about each datagram the kernel refused (about several at once when it segments).
  class Failures {
   public:
    virtual ~Failures() = default;
    /// @return true after giving `datagram` another address: it is queued again.
    virtual bool on_send_failed(QueuedDatagram& datagram, int error) = 0;
  };

  static constexpr std::size_t kSlots = 256;
  static constexpr std::size_t kFlushOctets = 128U << 10;

  /// Either socket may be null: then that family is refused with EAFNOSUPPORT.
  Sender(UdpSocket* v4, UdpSocket* v6, Failures& failures);

  [[nodiscard]] BufferPool& pool() { return pool_; }
  /// Takes the slot over; it goes back to the pool when the datagram has been sent or refused.
  void push(const QueuedDatagram& datagram);
  /// Sends what the sockets take.
  void flush();
  /// Enough waits to be worth a call: more would only leave the cache before it is sent.
  [[nodiscard]] bool flush_due() const { return queued_octets_ >= kFlushOctets; }
  /// True while a socket is full and datagrams wait for it.
  [[nodiscard]] bool blocked(bool v6) const { return lines_[v6 ? 1 : 0].blocked; }
  [[nodiscard]] bool blocked() const { return blocked(false) || blocked(true); }

 private:
  struct Piece {
    std::uint32_t length;
    std::uint32_t segment;
  };
  struct Line {
    UdpSocket* socket = nullptr;
    std::vector<QueuedDatagram> ring;  ///< kSlots entries
    std::size_t head = 0;
    std::size_t count = 0;
    bool blocked = false;
  };
  void flush(Line& line);
  void sent(Line& line, std::size_t pieces);
  void refused(Line& line, int error);
  /// The next octets of `datagram` from `offset` that go in one message.
  [[nodiscard]] static Piece piece(const Line& line, const QueuedDatagram& datagram,
                                   std::uint32_t offset);
  static QueuedDatagram& at(Line& line, std::size_t i) {
    return line.ring[(line.head + i) % kSlots];
  }
  static void pop(Line& line, std::size_t n) {
    line.head = (line.head + n) % kSlots;
    line.count -= n;
  }

  BufferPool pool_{kSlots};
  std::size_t queued_octets_ = 0;  ///< since the last flush
  Line lines_[2];
  Failures& failures_;
};

}  // namespace cygnet::agent::userspace
