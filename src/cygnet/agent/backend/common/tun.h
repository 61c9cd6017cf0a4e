// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The TUN device: whole IP packets to and from the kernel, one a call; with offloads, one a call
/// that stands for up to 64 KB of segments (gso.h). The device lives as long as the object,
/// unless told otherwise.
/// Data-plane thread only, once made.

#include <sys/uio.h>

#include <span>
#include <string>

#include "cygnet/agent/backend/common/fd.h"
#include "cygnet/agent/backend/common/gso.h"
#include "cygnet/base/bytes.h"
#include "cygnet/base/result.h"

namespace cygnet::agent {

inline constexpr ErrorCode kErrTunMissing{"tun-missing"};
inline constexpr ErrorCode kErrTunBusy{"tun-busy"};
inline constexpr ErrorCode kErrTunName{"tun-name"};
inline constexpr ErrorCode kErrPrivilege{"privilege"};
inline constexpr ErrorCode kErrTun{"tun"};

/// What this kernel agreed to.
struct TunOffloads {
  bool tcp = false;  ///< TCP segmentation and checksums, both directions
  bool udp = false;  ///< UDP segmentation (Linux 6.2)
};

class Tun {
 public:
  /// @param offload  false: single packets only, whatever the kernel can do.
  /// @retval kErrTunMissing  no /dev/net/tun
  /// @retval kErrPrivilege   CAP_NET_ADMIN is lacking
  /// @retval kErrTunBusy     another process has a device of this name
  /// @retval kErrTunName     no valid interface name
  [[nodiscard]] static Result<Tun> open(const std::string& name, bool offload);

  /// Octets read; 0 when nothing waits; -errno when the device is gone (EBADFD, EIO).
  [[nodiscard]] int read(MutableByteView into, GsoInfo& gso);
  /// Writes one packet, given in pieces, at most kMaxPieces. 0, or -errno.
  [[nodiscard]] int write(std::span<const iovec> pieces, const GsoInfo& gso);
  [[nodiscard]] int write(ByteView packet);
  static constexpr std::size_t kMaxPieces = 128;

  /// Whether the device stays when the object goes.
  [[nodiscard]] Status set_persistent(bool stays);

  [[nodiscard]] const TunOffloads& offloads() const { return offloads_; }
  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] const std::string& name() const { return name_; }

 private:
  Tun(Fd fd, std::string name, bool header, TunOffloads offloads)
      : fd_(std::move(fd)), name_(std::move(name)), header_(header), offloads_(offloads) {}
  Fd fd_;
  std::string name_;
  bool header_;  ///< every packet comes and goes behind a virtio-net header
  TunOffloads offloads_;
};

}  // namespace cygnet::agent
