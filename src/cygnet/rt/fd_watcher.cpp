// SPDX-License-Identifier: Apache-2.0
#include "cygnet/rt/fd_watcher.h"

#include <boost/asio/posix/stream_descriptor.hpp>

#include "cygnet/rt/asio_loop.h"

namespace cygnet::rt {

struct FdWatcher::Impl : std::enable_shared_from_this<FdWatcher::Impl> {
  Impl(Loop& loop, int fd, UniqueFunction<void()> on_readable)
      : descriptor(io_context_of(loop), fd), callback(std::move(on_readable)) {}
  ~Impl() { stop(); }

  void wait() {
    descriptor.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                          [self = weak_from_this()](const boost::system::error_code& error) {
                            const auto impl = self.lock();
                            if (!impl || impl->stopped || error) return;
                            impl->callback();
                            if (!impl->stopped) impl->wait();
                          });
  }
  void stop() {
    if (stopped) return;
    stopped = true;
    descriptor.release();  // cancels the wait and leaves the descriptor to its owner
  }

  boost::asio::posix::stream_descriptor descriptor;
  UniqueFunction<void()> callback;
  bool stopped = false;
};

FdWatcher::FdWatcher(Loop& loop, int fd, UniqueFunction<void()> on_readable)
    : impl_(std::make_shared<Impl>(loop, fd, std::move(on_readable))) {
  impl_->wait();
}
FdWatcher::~FdWatcher() { impl_->stop(); }

}  // namespace cygnet::rt
