// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/backend/common/mailbox.h"

#include <sys/eventfd.h>

#include <cstdint>
#include <utility>

#include "cygnet/base/assert.h"

namespace cygnet::agent {

Mailbox::Mailbox() : event_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  CYGNET_ASSERT(event_.is_open());
}

void Mailbox::post(Command command) {
  {
    const std::lock_guard lock(mutex_);
    commands_.push_back(std::move(command));
    // Whoever posted the first one rings, and take() empties the bell before the box.
    if (commands_.size() > 1) return;
  }
  const std::uint64_t one = 1;
  // Fails only when the counter is full, and then the descriptor is readable anyway.
  [[maybe_unused]] const ssize_t written = write(event_.get(), &one, sizeof one);
}

std::vector<Mailbox::Command> Mailbox::take() {
  std::uint64_t count = 0;
  [[maybe_unused]] const ssize_t got = read(event_.get(), &count, sizeof count);
  const std::lock_guard lock(mutex_);
  return std::exchange(commands_, {});
}

}  // namespace cygnet::agent
