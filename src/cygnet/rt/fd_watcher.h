// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Calls back on the loop when a descriptor can be read: for UDP sockets, eventfds, netlink, TUN.
/// Loop thread only. Level-triggered: called again while data is left. Does not own the descriptor,
/// which must be non-blocking and stay open longer than the watcher.

#include <memory>

#include "cygnet/base/result.h"
#include "cygnet/rt/loop.h"

namespace cygnet::rt {

class FdWatcher {
 public:
  FdWatcher(Loop& loop, int fd, UniqueFunction<void()> on_readable);
  ~FdWatcher();  ///< No callback runs afterwards; may be destroyed from its own callback.
  FdWatcher(const FdWatcher&) = delete;
  FdWatcher& operator=(const FdWatcher&) = delete;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace cygnet::rt
