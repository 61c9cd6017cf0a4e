// SPDX-License-Identifier: Apache-2.0
#pragma once

/// One UDP socket of the ESP port, IPv4 or IPv6, with batched receive and send (RFC 3948). Marked,
/// so that what it sends is never captured by the tunnel's own routes; the outer DF bit is clear
/// (RFC 4301 section 8.1), path probes excepted. Data-plane thread only, once made.

#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "cygnet/agent/backend/common/buffer_pool.h"
#include "cygnet/agent/backend/common/fd.h"
#include "cygnet/agent/backend/common/outer_address.h"
#include "cygnet/base/bytes.h"
#include "cygnet/base/result.h"

namespace cygnet::agent {

inline constexpr ErrorCode kErrPortInUse{"port-in-use"};
inline constexpr ErrorCode kErrSocket{"socket"};
inline constexpr ErrorCode kErrNoFamily{"no-family"};

inline constexpr std::size_t kBatch = 64;
inline constexpr std::size_t kMaxDatagram = 65507;  ///< of IPv4; IPv6 has 20 octets more
inline constexpr std::size_t kMaxSegments = 64;     ///< of the oldest kernel with UDP_SEGMENT

struct Datagram {
  MutableByteView octets;
  OuterAddress source;
  std::uint8_t tos = 0;  ///< outer DSCP and ECN
  bool truncated = false;
  /// Not 0: the kernel joined datagrams of this size; the last may be shorter.
  std::size_t segment = 0;
};

/// A datagram on its way out.
struct Outgoing {
  ByteView octets;
  const OuterAddress* to = nullptr;
  std::uint8_t tos = 0;
  /// Not 0: datagrams of this size, the last perhaps shorter; at most kMaxSegments and
  /// kMaxDatagram octets, and only when the socket has offloads().segmentation.
  std::size_t segment = 0;
};

/// What this kernel agreed to.
struct UdpOffloads {
  bool segmentation = false;  ///< UDP_SEGMENT (Linux 4.18)
  bool coalescing = false;    ///< UDP_GRO (Linux 5.0)
};

class UdpSocket {
 public:
  struct Options {
    std::uint16_t port = 4500;
    std::uint32_t mark = 0;
    std::uint32_t buffer = 0;  ///< octets, each direction; as much as the kernel allows
    bool offload = true;       ///< false: single datagrams only, whatever the kernel can do
  };
  /// @retval kErrPortInUse  names the holder
  /// @retval kErrPrivilege (tun.h)  no right to set the mark
  /// @retval kErrNoFamily   this host has no such address family
  [[nodiscard]] static Result<std::unique_ptr<UdpSocket>> open(bool v6, const Options& options);
  /// Takes the socket of an earlier run; nullptr, and `fd` as it was, when it is of another family
  /// or port.
  [[nodiscard]] static Result<std::unique_ptr<UdpSocket>> adopt(Fd& fd, bool v6,
                                                                const Options& options);

  /// Datagrams that wait, at most kBatch; empty when none. Valid until the next call.
  [[nodiscard]] std::span<Datagram> receive();
  /// Datagrams the kernel dropped because the receive buffer was full, since the last call.
  [[nodiscard]] std::uint32_t take_overflow();

  struct Sent {
    std::size_t count = 0;  ///< how many went out
    int error = 0;          ///< errno of the first that did not; EAGAIN: the socket is full
  };
  /// Sends in order, at most kBatch. With `in_one_piece` neither this host nor a router may
  /// fragment them, and what the kernel believes of the path does not count (RFC 8899 section 3):
  /// EMSGSIZE when this host's interface is too small.
  [[nodiscard]] Sent send(std::span<const Outgoing> datagrams, bool in_one_piece = false);

  [[nodiscard]] const UdpOffloads& offloads() const { return offloads_; }
  [[nodiscard]] int fd() const { return fd_.get(); }

 private:
  static constexpr std::size_t kControlSize = 128;
  struct Control {
    alignas(cmsghdr) std::array<char, kControlSize> octets;
  };

  UdpSocket(Fd fd, bool v6, UdpOffloads offloads);
  [[nodiscard]] static Result<UdpOffloads> prepare(int fd, bool v6, const Options& options);
  void read_control(const msghdr& header, Datagram& datagram);
  void write_control(const Outgoing& out, Control& control, msghdr& header) const;
  void forbid_fragments(bool forbid);

  Fd fd_;
  bool v6_;
  bool fragments_forbidden_ = false;
  UdpOffloads offloads_;
  std::uint32_t overflow_seen_ = 0;
  std::uint32_t overflow_pending_ = 0;
  BufferPool buffers_;
  std::vector<mmsghdr> headers_;
  std::vector<iovec> vectors_;
  std::vector<Control> controls_;
  std::vector<Datagram> datagrams_;
};

}  // namespace cygnet::agent
