// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Sockets to the kernel's IPsec: one to ask with, one to hear events on. Both belong to the
/// network namespace they were opened in. Each is for one thread.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "cygnet/agent/backend/common/fd.h"
#include "cygnet/agent/backend/xfrm/messages.h"
#include "cygnet/base/result.h"

namespace cygnet::agent::xfrm {

inline constexpr ErrorCode kErrKernelIpsec{"kernel-ipsec"};
inline constexpr ErrorCode kErrKernelAnswer{"kernel-answer"};

/// A message the kernel did not accept.
struct Refusal {
  std::size_t index = 0;  ///< in the batch
  int error = 0;          ///< errno
  std::string text;       ///< the kernel's own words, when it has any
};

class XfrmSocket {
 public:
  using Visit = std::function<void(const nlmsghdr*)>;

  /// @retval kErrKernelIpsec  the kernel has no IPsec to talk to
  /// @retval kErrPrivilege    no CAP_NET_ADMIN
  [[nodiscard]] static Result<XfrmSocket> open();

  /// Sends the whole batch and waits until the kernel has worked through it: two system calls when
  /// everything is accepted. The kernel works on after a refusal. Answers that are no refusals go
  /// to `visit`. The batch is cleared.
  /// @retval kErrKernelAnswer  what became of it is not known
  [[nodiscard]] Result<std::vector<Refusal>> send(MessageBatch& batch, const Visit& visit = {});
  /// Sends a batch of one list request.
  [[nodiscard]] Status list(MessageBatch& batch, const Visit& visit);

  /// System calls since it was opened.
  [[nodiscard]] std::uint64_t system_calls() const { return system_calls_; }

 private:
  explicit XfrmSocket(Fd fd) : fd_(std::move(fd)), buffer_(kReceive / sizeof(std::uint64_t)) {}
  static constexpr std::size_t kReceive = 64U * 1024;
  /// One datagram of answers. @return octets, or -errno.
  [[nodiscard]] int receive();
  [[nodiscard]] ByteView datagram(int received) const;

  Fd fd_;
  std::vector<std::uint64_t> buffer_;
  std::uint32_t sequence_ = 0;
  std::uint64_t system_calls_ = 0;
};

class XfrmEvents {
 public:
  /// Acquire, expire, replay and mapping events of this network namespace, foreign ones included.
  [[nodiscard]] static Result<XfrmEvents> open();
  /// Hands what waits to `visit`. @return false when the kernel had to drop some: look for
  /// yourself.
  [[nodiscard]] bool receive(const XfrmSocket::Visit& visit);
  [[nodiscard]] int fd() const { return fd_.get(); }

 private:
  explicit XfrmEvents(Fd fd) : fd_(std::move(fd)), buffer_(kReceive / sizeof(std::uint64_t)) {}
  static constexpr std::size_t kReceive = 8U * 1024;
  Fd fd_;
  std::vector<std::uint64_t> buffer_;
};

}  // namespace cygnet::agent::xfrm
