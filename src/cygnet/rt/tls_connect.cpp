// SPDX-License-Identifier: Apache-2.0
// connect_stream: name, TCP, TLS, one deadline over all of it.
#include <sys/socket.h>

#include <boost/asio/ip/tcp.hpp>
#include <utility>
#include <vector>

#include "cygnet/rt/asio_loop.h"
#include "cygnet/rt/framed_stream.h"
#include "cygnet/rt/tls_stream.h"

namespace cygnet::rt {
namespace {

using boost::asio::ip::tcp;

class Connecting : public std::enable_shared_from_this<Connecting> {
 public:
  using Done = UniqueFunction<void(Result<StreamPtr>)>;

  Connecting(Loop& loop, std::shared_ptr<TlsClientContext> context, ConnectOptions options,
             Done done)
      : loop_(loop),
        context_(std::move(context)),
        options_(std::move(options)),
        done_(std::move(done)),
        resolver_(io_context_of(loop)),
        socket_(io_context_of(loop)),
        timer_(loop) {}

  void begin() {
    ends_at_ = loop_.now() + options_.deadline;
    last_error_ = Error{kErrStreamTimeout,
                        "no connection to " + options_.to.to_string() + " within " +
                            format_duration(options_.deadline),
                        {},
                        "check that cygnetd runs there and that nothing between drops packets"};
    boost::system::error_code no_address;
    const auto address = boost::asio::ip::make_address(options_.to.host, no_address);
    if (!no_address) {
      candidates_.emplace_back(address, options_.to.port);
      // Not from inside connect_stream(): the caller does not hold the handle yet.
      loop_.post([weak = weak_from_this()] {
        if (const auto self = weak.lock()) self->try_next();
      });
      return;
    }
    timer_.arm_at(ends_at_, [this] { finish(fail(last_error_)); });
    resolver_.async_resolve(
        options_.to.host, std::to_string(options_.to.port),
        [weak = weak_from_this()](const boost::system::error_code& error, const auto& results) {
          const auto self = weak.lock();
          if (!self || !self->done_) return;
          if (error) {
            self->finish(fail(kErrStreamResolve,
                              "no address for " + self->options_.to.host + ": " + error.message(),
                              {}, "check the name and the resolver, or give an address"));
            return;
          }
          for (const auto& result : results) self->candidates_.push_back(result.endpoint());
          self->try_next();
        });
  }

  void cancel() {
    done_ = nullptr;
    timer_.cancel();
    boost::system::error_code ignored;
    resolver_.cancel();
    socket_.close(ignored);
    if (stream_) std::exchange(stream_, nullptr)->close();
  }

 private:
  void try_next() {
    if (!done_) return;
    if (next_ >= candidates_.size() || loop_.now() >= ends_at_) {
      finish(fail(last_error_));
      return;
    }
    const tcp::endpoint to = candidates_[next_++];
    // An address that swallows packets must not use up the time of the others.
    const auto left = static_cast<Duration::rep>(candidates_.size() - next_ + 1);
    timer_.arm_after((ends_at_ - loop_.now()) / left, [this, to] {
      failed(Error{kErrStreamTimeout,
                   "no answer from " + host_port_of(to).to_string(),
                   {},
                   "check that cygnetd runs there and that nothing between drops packets"});
    });
    boost::system::error_code error;
    socket_ = tcp::socket(io_context_of(loop_));
    socket_.open(to.protocol(), error);
    if (!error && options_.firewall_mark != 0 &&
        setsockopt(socket_.native_handle(), SOL_SOCKET, SO_MARK, &options_.firewall_mark,
                   sizeof options_.firewall_mark) != 0) {
      error.assign(errno, boost::system::system_category());
    }
    if (error) {
      failed(Error{kErrStreamIo,
                   "cannot open a socket: " + error.message(),
                   {},
                   options_.firewall_mark != 0 ? "a firewall mark needs CAP_NET_ADMIN" : ""});
      return;
    }
    socket_.async_connect(
        to, [weak = weak_from_this(), to](const boost::system::error_code& refused) {
          const auto self = weak.lock();
          if (!self || !self->done_ || refused == boost::asio::error::operation_aborted) return;
          if (refused) {
            self->failed(Error{
                kErrStreamIo,
                "cannot connect to " + host_port_of(to).to_string() + ": " + refused.message(),
                {},
                "check that cygnetd runs there and that address and port are right"});
            return;
          }
          self->shake_hands();
        });
  }

  void shake_hands() {
    timer_.cancel();
    stream_ = std::make_shared<TlsStream>(loop_, std::move(socket_), options_.limits);
    const Status ready = stream_->prepare_client(context_, options_.to.to_string());
    if (!ready) {
      finish(fail(ready.error()));
      return;
    }
    stream_->handshake(
        ends_at_ - loop_.now(), [weak = weak_from_this()](std::optional<Error> error) {
          const auto self = weak.lock();
          if (!self || !self->done_) return;
          auto stream = std::exchange(self->stream_, nullptr);
          if (error) {
            self->failed(std::move(*error).within(stream->remote_address().to_string()));
            return;
          }
          self->finish(TlsStream::hand_out(std::move(stream)));
        });
  }

  void failed(Error error) {
    last_error_ = std::move(error);
    boost::system::error_code ignored;
    socket_.close(ignored);
    try_next();
  }

  void finish(Result<StreamPtr> result) {
    timer_.cancel();
    const auto keep = shared_from_this();
    auto done = std::exchange(done_, nullptr);
    if (done) done(std::move(result));
  }

  Loop& loop_;
  std::shared_ptr<TlsClientContext> context_;
  ConnectOptions options_;
  Done done_;
  tcp::resolver resolver_;
  tcp::socket socket_;
  Timer timer_;
  Timestamp ends_at_{};
  std::vector<tcp::endpoint> candidates_;
  std::size_t next_ = 0;
  Error last_error_{kErrStreamIo, ""};
  std::shared_ptr<TlsStream> stream_;
};

class Handle final : public PendingConnect {
 public:
  explicit Handle(std::shared_ptr<Connecting> connecting) : connecting_(std::move(connecting)) {}
  ~Handle() override { connecting_->cancel(); }

 private:
  std::shared_ptr<Connecting> connecting_;
};

}  // namespace

std::unique_ptr<PendingConnect> connect_stream(Loop& loop,
                                               std::shared_ptr<TlsClientContext> context,
                                               ConnectOptions options,
                                               UniqueFunction<void(Result<StreamPtr>)> done) {
  auto connecting =
      std::make_shared<Connecting>(loop, std::move(context), std::move(options), std::move(done));
  connecting->begin();
  return std::make_unique<Handle>(std::move(connecting));
}

}  // namespace cygnet::rt
