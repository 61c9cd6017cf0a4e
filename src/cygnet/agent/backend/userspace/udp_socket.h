// SPDX-License-Identifier: Apache-2.0
#pragma once

/// One UDP socket of the ESP port, IPv4 or IPv6, with batched receive and send (RFC 3948). Marked,
/// so that what it sends is never captured by the tunnel's own routes; the outer DF bit is clear
/// (RFC 4301 section 8.1). Data-plane thread only, once made.

#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "cygnet/agent/backend/userspace/buffer_pool.h"
#include "cygnet/agent/backend/userspace/fd.h"
#include "cygnet/agent/backend/userspace/outer_address.h"
#include "cygnet/base/bytes.h"
#include "cygnet/base/result.h"

namespace cygnet::agent::userspace {

inline constexpr ErrorCode kErrPortInUse{"port-in-use"};
inline constexpr ErrorCode kErrSocket{"socket"};
inline constexpr ErrorCode kErrNoFamily{"no-family"};

inline constexpr std::size_t kBatch = 64;

struct Datagram {
  MutableByteView octets;
  OuterAddress source;
  std::uint8_t tos = 0;  ///< outer DSCP and ECN
  bool truncated = false;
};

/// A datagram on its way out.
struct Outgoing {
  ByteView octets;
  const OuterAddress* to = nullptr;
  std::uint8_t tos = 0;
};

class UdpSocket {
 public:
  struct Options {
    std::uint16_t port = 4500;
    std::uint32_t mark = 0;
    std::uint32_t buffer = 0;  ///< octets, each direction; as much as the kernel allows
  };
  /// @retval kErrPortInUse  names the holder
  /// @retval kErrPrivilege (tun.h)  no right to set the mark
  /// @retval kErrNoFamily   this host has no such address family
  [[nodiscard]] static Result<std::unique_ptr<UdpSocket>> open(bool v6, const Options& options);

  /// Datagrams that wait, at most kBatch; empty when none. Valid until the next call.
  [[nodiscard]] std::span<Datagram> receive();
  /// Datagrams the kernel dropped because the receive buffer was full, since the last call.
  [[nodiscard]] std::uint32_t take_overflow();

  struct Sent {
    std::size_t count = 0;  ///< how many went out
    int error = 0;          ///< errno of the first that did not; EAGAIN: the socket is full
  };
  /// Sends in order, at most kBatch.
  [[nodiscard]] Sent send(std::span<const Outgoing> datagrams);

  [[nodiscard]] int fd() const { return fd_.get(); }

 private:
  static constexpr std::size_t kControlSize = 128;
  struct Control {
    alignas(cmsghdr) std::array<char, kControlSize> octets;
  };

  UdpSocket(Fd fd, bool v6);
  void read_control(const msghdr& header, Datagram& datagram);

  Fd fd_;
  bool v6_;
  std::uint32_t overflow_seen_ = 0;
  std::uint32_t overflow_pending_ = 0;
  BufferPool buffers_;
  std::vector<mmsghdr> headers_;
  std::vector<iovec> vectors_;
  std::vector<Control> controls_;
  std::vector<Datagram> datagrams_;
};

}  // namespace cygnet::agent::userspace
