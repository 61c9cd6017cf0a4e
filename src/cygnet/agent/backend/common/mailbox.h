// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Commands for a thread that waits in epoll: posted by any thread, taken by one. The lock is held
/// for a push or a swap only, and the taker touches it only after the event descriptor fired.

#include <mutex>
#include <vector>

#include "cygnet/agent/backend/common/fd.h"
#include "cygnet/rt/unique_function.h"

namespace cygnet::agent {

class Mailbox {
 public:
  using Command = rt::UniqueFunction<void()>;

  Mailbox();
  void post(Command command);
  /// Everything posted so far, in order.
  [[nodiscard]] std::vector<Command> take();
  /// Readable when something was posted.
  [[nodiscard]] int fd() const { return event_.get(); }

 private:
  Fd event_;
  std::mutex mutex_;
  std::vector<Command> commands_;
};

}  // namespace cygnet::agent
