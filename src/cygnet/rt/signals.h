// SPDX-License-Identifier: Apache-2.0
#pragma once

/// SIGTERM, SIGINT and SIGHUP as calls on the loop. One object a process; loop thread only.

#include <memory>

#include "cygnet/rt/loop.h"

namespace cygnet::rt {

class SignalWatcher {
 public:
  struct Handlers {
    UniqueFunction<void()> on_terminate;  ///< SIGTERM or SIGINT; a second one kills the process
    UniqueFunction<void()> on_reload;     ///< SIGHUP; ignored when empty
  };
  SignalWatcher(Loop& loop, Handlers handlers);
  ~SignalWatcher();
  SignalWatcher(const SignalWatcher&) = delete;
  SignalWatcher& operator=(const SignalWatcher&) = delete;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace cygnet::rt
