// SPDX-License-Identifier: Apache-2.0
#include "cygnet/rt/signals.h"

#include <boost/asio/signal_set.hpp>
#include <csignal>
#include <utility>

#include "cygnet/rt/asio_loop.h"

namespace cygnet::rt {

struct SignalWatcher::Impl : std::enable_shared_from_this<SignalWatcher::Impl> {
  Impl(Loop& loop, Handlers given)
      : set(io_context_of(loop), SIGTERM, SIGINT, SIGHUP), handlers(std::move(given)) {}

  void wait() {
    set.async_wait([weak = weak_from_this()](const boost::system::error_code& error, int number) {
      const auto self = weak.lock();
      if (!self || error) return;
      self->got(number);
    });
  }

  void got(int number) {
    if (number == SIGHUP) {
      wait();
      if (handlers.on_reload) handlers.on_reload();
      return;
    }
    // A second SIGTERM or SIGINT gets the default action: whoever is impatient wins.
    boost::system::error_code ignored;
    set.remove(SIGTERM, ignored);
    set.remove(SIGINT, ignored);
    wait();
    if (handlers.on_terminate) std::exchange(handlers.on_terminate, nullptr)();
  }

  boost::asio::signal_set set;
  Handlers handlers;
};

SignalWatcher::SignalWatcher(Loop& loop, Handlers handlers)
    : impl_(std::make_shared<Impl>(loop, std::move(handlers))) {
  impl_->wait();
}
SignalWatcher::~SignalWatcher() {
  boost::system::error_code ignored;
  impl_->set.cancel(ignored);
}

}  // namespace cygnet::rt
