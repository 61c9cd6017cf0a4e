// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The TUN device: whole IP packets to and from the kernel, one a call. The device lives as long
/// as the object. Data-plane thread only, once made.

#include <string>

#include "cygnet/agent/backend/userspace/fd.h"
#include "cygnet/base/bytes.h"
#include "cygnet/base/result.h"

namespace cygnet::agent::userspace {

inline constexpr ErrorCode kErrTunMissing{"tun-missing"};
inline constexpr ErrorCode kErrTunBusy{"tun-busy"};
inline constexpr ErrorCode kErrTunName{"tun-name"};
inline constexpr ErrorCode kErrPrivilege{"privilege"};
inline constexpr ErrorCode kErrTun{"tun"};

class Tun {
 public:
  /// @retval kErrTunMissing  no /dev/net/tun
  /// @retval kErrPrivilege   CAP_NET_ADMIN is lacking
  /// @retval kErrTunBusy     another process has a device of this name
  /// @retval kErrTunName     no valid interface name
  [[nodiscard]] static Result<Tun> open(const std::string& name);

  /// Octets read; 0 when nothing waits; -errno when the device is gone (EBADFD, EIO).
  [[nodiscard]] int read(MutableByteView into);
  /// 0, or -errno.
  [[nodiscard]] int write(ByteView packet);
  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] const std::string& name() const { return name_; }

 private:
  Tun(Fd fd, std::string name) : fd_(std::move(fd)), name_(std::move(name)) {}
  Fd fd_;
  std::string name_;
};

}  // namespace cygnet::agent::userspace
