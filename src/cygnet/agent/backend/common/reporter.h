// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Carries what the data plane has to tell to BackendEvents on the control thread. Called on the
/// data-plane thread, seldom: callers limit the rate.

#include <functional>
#include <memory>
#include <utility>

#include "cygnet/agent/backend/api/backend.h"

namespace cygnet::agent {

/// Runs a function on the control thread, in the order of the calls. Callable on any thread.
using PostToControl = std::function<void(std::function<void()>)>;

class Reporter {
 public:
  Reporter(BackendEvents& events, PostToControl post) : events_(events), post_(std::move(post)) {}
  ~Reporter() { mute(); }
  Reporter(const Reporter&) = delete;
  Reporter& operator=(const Reporter&) = delete;

  /// `call` gets the BackendEvents, unless the backend has been shut down by then.
  template <class Call>
  void tell(Call call) const {
    post_([alive = alive_, &events = events_, call = std::move(call)] {
      if (*alive) call(events);
    });
  }
  /// Control thread: nothing that is still on its way is told any more.
  void mute() { *alive_ = false; }

 private:
  BackendEvents& events_;
  PostToControl post_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  ///< control thread only
};

}  // namespace cygnet::agent
