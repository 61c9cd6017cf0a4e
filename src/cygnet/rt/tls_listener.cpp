// SPDX-License-Identifier: Apache-2.0
#include <sys/socket.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <unordered_set>
#include <utility>

#include "cygnet/rt/asio_loop.h"
#include "cygnet/rt/framed_stream.h"
#include "cygnet/rt/port_holder.h"
#include "cygnet/rt/tls_stream.h"

namespace cygnet::rt {
namespace {

using boost::asio::ip::tcp;

/// Pause after an accept that failed for lack of descriptors: the kernel keeps the queue meanwhile.
constexpr Duration kAcceptPause = std::chrono::milliseconds(100);
/// Connections that may wait in the kernel to be accepted. In a storm whoever waits there longer
/// than it has patience for (an agent: five seconds) has left when its turn comes, and so has
/// everybody behind it: all work is then done for nobody. So few wait, for a second or two at a few
/// hundred handshakes a second; the others' kernels knock again.
constexpr int kAcceptQueue = 512;

class Listening : public std::enable_shared_from_this<Listening> {
 public:
  Listening(Loop& loop, std::shared_ptr<TlsServerContext> context, StreamListener::Options options,
            StreamListener::Handlers handlers)
      : loop_(loop),
        context_(std::move(context)),
        options_(std::move(options)),
        handlers_(std::move(handlers)),
        acceptor_(io_context_of(loop)),
        pause_timer_(loop) {}

  Status open() {
    boost::system::error_code error;
    const auto address = boost::asio::ip::make_address(options_.bind.host, error);
    if (error) {
      return fail(kErrListen, "\"" + options_.bind.host + "\" is no address to listen on", {},
                  "give an IPv4 or IPv6 address, or 0.0.0.0 or :: for all");
    }
    const tcp::endpoint endpoint(address, options_.bind.port);
    acceptor_.open(endpoint.protocol(), error);
    if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error && address.is_v6()) {
      acceptor_.set_option(boost::asio::ip::v6_only(false), error);
    }
    if (!error && options_.reuse_port) {
      const int on = 1;
      setsockopt(acceptor_.native_handle(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    }
    if (!error) acceptor_.bind(endpoint, error);
    if (!error) acceptor_.listen(kAcceptQueue, error);
    if (error) return fail(why_not(error));
    port_ = acceptor_.local_endpoint(error).port();
    return {};
  }

  void accept() {
    if (accepting_ || paused_ || stopped_ || pause_timer_.armed() ||
        shaking_.size() >= options_.handshakes_max) {
      return;
    }
    accepting_ = true;
    acceptor_.async_accept(
        [weak = weak_from_this()](const boost::system::error_code& error, tcp::socket socket) {
          const auto self = weak.lock();
          if (!self || self->stopped_ || error == boost::asio::error::operation_aborted) return;
          self->accepting_ = false;
          self->accepted(error, std::move(socket));
        });
  }

  void stop() {
    stopped_ = true;
    boost::system::error_code ignored;
    acceptor_.close(ignored);
    pause_timer_.cancel();
    for (const auto& stream : std::exchange(shaking_, {})) stream->close();
  }

  void pause(bool paused) {
    paused_ = paused;
    accept();
  }
  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] std::size_t handshakes() const { return shaking_.size(); }

 private:
  Error why_not(const boost::system::error_code& error) const {
    Error out{kErrListen,
              "cannot listen on TCP " + options_.bind.to_string() + ": " + error.message()};
    if (error == boost::asio::error::address_in_use) {
      out.message = "TCP " + options_.bind.to_string() + " is in use by " +
                    describe_port_holder("tcp", options_.bind.port);
      out.cure = "stop it, or listen on another port";
    } else if (error == boost::asio::error::access_denied) {
      out.cure = "ports below 1024 need CAP_NET_BIND_SERVICE; choose a higher one";
    } else if (error.value() == EADDRNOTAVAIL) {
      out.cure = "that address is not one of this host's (ip addr)";
    }
    return out;
  }

  void accepted(const boost::system::error_code& error, tcp::socket socket) {
    if (error) {
      refused(Error{kErrStreamIo,
                    "cannot accept a connection: " + error.message(),
                    {},
                    "raise the limit of open files (LimitNOFILE=)"},
              {});
      pause_timer_.arm_after(kAcceptPause, [this] { accept(); });
      return;
    }
    auto stream = std::make_shared<TlsStream>(loop_, std::move(socket), options_.limits);
    if (const Status ready = stream->prepare_server(context_); !ready) {
      refused(ready.error(), stream->remote_address());
      accept();
      return;
    }
    shaking_.insert(stream);
    stream->handshake(options_.limits.handshake_deadline,
                      [weak = weak_from_this(), raw = stream.get()](std::optional<Error> failed) {
                        if (const auto self = weak.lock()) self->shaken(raw, std::move(failed));
                      });
    accept();
  }

  void shaken(TlsStream* raw, std::optional<Error> error) {
    const auto found = shaking_.find(std::static_pointer_cast<TlsStream>(raw->shared_from_this()));
    if (found == shaking_.end()) return;
    auto stream = *found;
    shaking_.erase(found);
    accept();
    if (error) {
      refused(*error, stream->remote_address());
      return;
    }
    handlers_.on_stream(TlsStream::hand_out(std::move(stream)));
  }

  void refused(const Error& error, const HostPort& remote) {
    if (handlers_.on_refused) handlers_.on_refused(error, remote);
  }

  Loop& loop_;
  std::shared_ptr<TlsServerContext> context_;
  StreamListener::Options options_;
  StreamListener::Handlers handlers_;
  tcp::acceptor acceptor_;
  Timer pause_timer_;
  std::unordered_set<std::shared_ptr<TlsStream>> shaking_;
  std::uint16_t port_ = 0;
  bool accepting_ = false;
  bool paused_ = false;
  bool stopped_ = false;
};

class ListenerHandle final : public StreamListener {
 public:
  explicit ListenerHandle(std::shared_ptr<Listening> listening)
      : listening_(std::move(listening)) {}
  ~ListenerHandle() override { listening_->stop(); }
  [[nodiscard]] std::uint16_t port() const override { return listening_->port(); }
  void pause(bool paused) override { listening_->pause(paused); }
  [[nodiscard]] std::size_t handshakes() const override { return listening_->handshakes(); }

 private:
  std::shared_ptr<Listening> listening_;
};

}  // namespace

Result<std::unique_ptr<StreamListener>> StreamListener::create(
    Loop& loop, std::shared_ptr<TlsServerContext> context, Options options, Handlers handlers) {
  auto listening = std::make_shared<Listening>(loop, std::move(context), std::move(options),
                                               std::move(handlers));
  CYGNET_CHECK_OK(listening->open());
  listening->accept();
  return std::unique_ptr<StreamListener>(std::make_unique<ListenerHandle>(std::move(listening)));
}

}  // namespace cygnet::rt
