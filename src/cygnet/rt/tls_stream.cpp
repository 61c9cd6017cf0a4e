// SPDX-License-Identifier: Apache-2.0
#include "cygnet/rt/tls_stream.h"

#include <netinet/tcp.h>
#include <openssl/err.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "cygnet/base/assert.h"
#include "cygnet/rt/asio_loop.h"

namespace cygnet::rt {
namespace {

constexpr std::size_t kRecordMax = 16384;  // RFC 8446 section 5.1
constexpr std::size_t kLengthOctets = 4;
constexpr int kSmallRecord = 8192;
/// Records handled before other work of the loop gets a turn.
constexpr int kRecordsPerTurn = 16;
constexpr Duration kLingerMax = std::chrono::seconds(2);
constexpr std::size_t kLingerOctetsMax = 256 * 1024;
/// Above this many at once a socket is closed without ceremony: politeness must not cost
/// descriptors.
constexpr std::size_t kLingerersMax = 256;

/// One record's room for all streams of a thread: nothing of it outlives the call that fills it.
MutableByteView scratch() {
  thread_local std::array<std::uint8_t, kRecordMax> room;
  return room;
}

void set_option(int fd, int level, int name, int value) {
  setsockopt(fd, level, name, &value, sizeof value);
}

/// Keeps a socket open for a moment after we are done with it and swallows what still comes:
/// closing at once with unread octets makes the kernel send a reset, which overtakes the alert that
/// tells the other side why.
class Linger : public std::enable_shared_from_this<Linger> {
 public:
  Linger(Loop& loop, TlsStream::Socket socket) : socket_(std::move(socket)), timer_(loop) {
    ++alive();
  }
  ~Linger() { --alive(); }
  static std::size_t& alive() {
    thread_local std::size_t count = 0;
    return count;
  }
  void begin() {
    timer_.arm_after(kLingerMax, [this] {
      boost::system::error_code ignored;
      socket_.close(ignored);  // ends the wait, and with it the last reference
    });
    wait();
  }

 private:
  void wait() {
    socket_.async_wait(TlsStream::Socket::wait_read,
                       [self = shared_from_this()](const boost::system::error_code& error) {
                         if (error || !self->swallow()) {
                           self->timer_.cancel();
                           return;
                         }
                         self->wait();
                       });
  }
  bool swallow() {
    const auto room = scratch();
    for (int i = 0; i < kRecordsPerTurn; ++i) {
      const ssize_t n = recv(socket_.native_handle(), room.data(), room.size(), MSG_DONTWAIT);
      if (n < 0) return errno == EAGAIN || errno == EINTR;
      if (n == 0) return false;
      swallowed_ += static_cast<std::size_t>(n);
      if (swallowed_ > kLingerOctetsMax) return false;
    }
    return true;
  }
  TlsStream::Socket socket_;
  Timer timer_;
  std::size_t swallowed_ = 0;
};

}  // namespace

HostPort host_port_of(const boost::asio::ip::tcp::endpoint& endpoint) {
  auto address = endpoint.address();
  if (address.is_v6() && address.to_v6().is_v4_mapped()) {
    address = boost::asio::ip::make_address_v4(boost::asio::ip::v4_mapped, address.to_v6());
  }
  return {address.to_string(), endpoint.port()};
}

TlsStream::TlsStream(Loop& loop, Socket socket, StreamLimits limits)
    : loop_(loop), socket_(std::move(socket)), limits_(limits), timer_(loop) {
  boost::system::error_code ignored;
  socket_.non_blocking(true, ignored);
  remote_ = host_port_of(socket_.remote_endpoint(ignored));
  local_ = host_port_of(socket_.local_endpoint(ignored));
  const int fd = socket_.native_handle();
  set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  // A peer that vanished without a word is noticed within a minute even when nothing is sent.
  set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, 30);
  set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, 10);
  set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, 3);
  // Keepalives rest while something sent waits to be acknowledged, as when a host lost its address:
  // without this the kernel would go on for a quarter of an hour.
  set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 15000);
}

TlsStream::~TlsStream() {
  if (state_ == State::kOpen || state_ == State::kFlushing) say_goodbye();
}

Status TlsStream::prepare_server(std::shared_ptr<TlsServerContext> context) {
  server_ = std::move(context);
  CYGNET_TRY(ssl_, new_server_ssl(*server_, socket_.native_handle(), peer_));
  return {};
}

Status TlsStream::prepare_client(std::shared_ptr<TlsClientContext> context,
                                 std::string session_key) {
  client_ = std::move(context);
  peer_.session_key = std::move(session_key);
  CYGNET_TRY(ssl_, new_client_ssl(*client_, socket_.native_handle(), peer_));
  return {};
}

// ---- Handshake ----

void TlsStream::handshake(Duration deadline, HandshakeDone done) {
  CYGNET_ASSERT(state_ == State::kNew && ssl_);
  state_ = State::kHandshake;
  handshake_done_ = std::move(done);
  timer_.arm_after(deadline, [this] {
    finish_handshake(Error{kErrStreamTimeout,
                           "TLS handshake took too long",
                           {},
                           "check that the other end is a Cygnet program and not overloaded"});
  });
  loop_.post([weak = weak_from_this()] {
    if (const auto stream = weak.lock()) stream->step_handshake();
  });
}

TlsStream::Want TlsStream::want_of(int result) {
  switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_NONE:
      return Want::kNothing;
    case SSL_ERROR_WANT_READ:
      return Want::kRead;
    case SSL_ERROR_WANT_WRITE:
      return Want::kWrite;
    default:
      return Want::kFailed;
  }
}

void TlsStream::step_handshake() {
  if (state_ != State::kHandshake) return;
  ERR_clear_error();
  errno = 0;
  const int result = SSL_do_handshake(ssl_.get());
  const int problem = errno;
  switch (want_of(result)) {
    case Want::kRead:
      wait_read();
      return;
    case Want::kWrite:
      wait_write();
      return;
    case Want::kFailed:
      finish_handshake(tls_failure(ssl_.get(), result, problem, peer_));
      return;
    case Want::kNothing:
      break;
  }
  const Status status = server_ ? finish_server_handshake(*server_, ssl_.get(), peer_)
                                : finish_client_handshake(*client_, ssl_.get(), peer_);
  if (!status) {
    finish_handshake(status.error());
    return;
  }
  alpn_ = alpn_of(ssl_.get());
  resumed_ = SSL_session_reused(ssl_.get()) == 1;
  finish_handshake(std::nullopt);
}

void TlsStream::finish_handshake(std::optional<Error> error) {
  if (state_ != State::kHandshake) return;
  timer_.cancel();
  if (error) {
    state_ = State::kClosed;
    if (client_) forget_session(*client_, peer_);
    linger();
  } else {
    state_ = State::kOpen;
  }
  auto done = std::move(handshake_done_);
  handshake_done_ = nullptr;
  done(std::move(error));
}

// ---- Reading ----

void TlsStream::start(Handlers handlers) {
  CYGNET_ASSERT(!started_);
  started_ = true;
  handlers_ = std::make_shared<Handlers>(std::move(handlers));
  schedule_read();  // OpenSSL may hold octets that came with the handshake
}

void TlsStream::pause_reading(bool paused) {
  if (paused_ == paused) return;
  paused_ = paused;
  if (!paused_) schedule_read();
}

void TlsStream::schedule_read() {
  if (read_scheduled_ || !started_ || paused_ || state_ != State::kOpen) return;
  read_scheduled_ = true;
  loop_.post([weak = weak_from_this()] {
    const auto stream = weak.lock();
    if (!stream) return;
    stream->read_scheduled_ = false;
    stream->read_some();
  });
}

void TlsStream::wait_read() {
  if (waiting_read_) return;
  waiting_read_ = true;
  socket_.async_wait(Socket::wait_read,
                     [weak = weak_from_this()](const boost::system::error_code& error) {
                       const auto stream = weak.lock();
                       if (!stream || error) return;
                       stream->waiting_read_ = false;
                       if (stream->state_ == State::kHandshake) {
                         stream->step_handshake();
                         return;
                       }
                       if (stream->write_wants_read_) {
                         stream->write_wants_read_ = false;
                         stream->flush();
                       }
                       stream->read_some();
                     });
}

void TlsStream::read_some() {
  if (state_ != State::kOpen || paused_ || !started_) return;
  if (!take_octets({})) return;  // what was left when reading was paused
  const auto room = scratch();
  for (int i = 0; i < kRecordsPerTurn; ++i) {
    if (state_ != State::kOpen || paused_ || !started_) return;
    ERR_clear_error();
    errno = 0;
    const int n = SSL_read(ssl_.get(), room.data(), static_cast<int>(room.size()));
    const int problem = errno;
    if (n > 0) {
      totals_.octets_in += static_cast<std::uint64_t>(n);
      if (!take_octets(room.first(static_cast<std::size_t>(n)))) return;
      if (n < kSmallRecord && state_ == State::kOpen && SSL_has_pending(ssl_.get()) == 0) {
        // A lone small message, as most are: to read again would only say that there is no more.
        // The wait looks at the socket anew.
        return wait_read();
      }
      continue;
    }
    switch (want_of(n)) {
      case Want::kWrite:
        read_wants_write_ = true;
        wait_write();
        return;
      case Want::kNothing:
      case Want::kRead:
        wait_read();
        return;
      case Want::kFailed:
        fail_with(tls_failure(ssl_.get(), n, problem, peer_));
        return;
    }
  }
  schedule_read();
}

bool TlsStream::take_octets(ByteView octets) {
  // Copy first: a callback may use the shared scratch room (a flush, another stream).
  partial_.insert(partial_.end(), octets.begin(), octets.end());
  std::size_t at = 0;
  while (partial_.size() - at >= kLengthOctets) {
    const std::size_t length = load_be32(partial_.data() + at);
    if (length > limits_.message_max) {
      fail_with(Error{kErrStreamOversize,
                      "the other side announces a message of " + std::to_string(length) +
                          " octets; the limit is " + std::to_string(limits_.message_max),
                      {},
                      "check that both ends run matching versions"});
      return false;
    }
    if (partial_.size() - at - kLengthOctets < length) break;
    const auto* begin = partial_.data() + at + kLengthOctets;
    Bytes message(begin, begin + length);
    at += kLengthOctets + length;
    ++totals_.messages_in;
    const auto handlers = handlers_;  // alive through the callback, whatever it does
    handlers->on_message(std::move(message));
    if (state_ != State::kOpen) return false;
    if (paused_) break;
  }
  partial_.erase(partial_.begin(), partial_.begin() + static_cast<std::ptrdiff_t>(at));
  if (partial_.empty()) Bytes().swap(partial_);
  return !paused_;
}

// ---- Writing ----

Status TlsStream::send(SharedBytes message) {
  if (state_ != State::kOpen) {
    return fail(kErrStreamClosed, "the stream to " + remote_.to_string() + " is closed");
  }
  if (message->size() > limits_.message_max) {
    return fail(kErrStreamOversize, "message of " + std::to_string(message->size()) +
                                        " octets is above the limit of " +
                                        std::to_string(limits_.message_max));
  }
  const std::size_t size = message->size() + kLengthOctets;
  if (queued_ + size > limits_.queued_max) {
    return fail(kErrStreamOverflow, std::to_string(queued_) + " octets wait for " +
                                        remote_.to_string() + " already; the limit is " +
                                        std::to_string(limits_.queued_max));
  }
  queue_.push_back(std::move(message));
  queued_ += size;
  if (queued_ >= limits_.drained_below) above_ = true;
  if (!waiting_write_ && !write_wants_read_) schedule_flush();
  return {};
}

void TlsStream::schedule_flush() {
  // Once a turn of the loop: everything sent in it goes out in as few records as it fits.
  if (flush_scheduled_) return;
  flush_scheduled_ = true;
  loop_.post([weak = weak_from_this()] {
    const auto stream = weak.lock();
    if (!stream) return;
    stream->flush_scheduled_ = false;
    if (!stream->waiting_write_ && !stream->write_wants_read_) stream->flush();
  });
}

std::size_t TlsStream::gather(MutableByteView record) const {
  std::size_t filled = 0;
  std::size_t skip = head_offset_;
  for (const auto& message : queue_) {
    std::array<std::uint8_t, kLengthOctets> length{};
    store_be32(length.data(), static_cast<std::uint32_t>(message->size()));
    for (const ByteView part : {ByteView(length), ByteView(*message)}) {
      if (skip >= part.size()) {
        skip -= part.size();
        continue;
      }
      const std::size_t n = std::min(part.size() - skip, record.size() - filled);
      std::memcpy(record.data() + filled, part.data() + skip, n);
      filled += n;
      skip = 0;
      if (filled == record.size()) return filled;
    }
  }
  return filled;
}

void TlsStream::consume(std::size_t octets) {
  queued_ -= octets;
  head_offset_ += octets;
  while (!queue_.empty() && head_offset_ >= queue_.front()->size() + kLengthOctets) {
    head_offset_ -= queue_.front()->size() + kLengthOctets;
    queue_.pop_front();
    ++totals_.messages_out;
  }
}

void TlsStream::flush() {
  if (state_ != State::kOpen && state_ != State::kFlushing) return;
  const auto room = scratch();
  for (int i = 0; i < kRecordsPerTurn && queued_ > 0; ++i) {
    const std::size_t size = gather(room);
    // OpenSSL drops its room for a record with the last one, not after each.
    if (size < queued_) {
      SSL_clear_mode(ssl_.get(), SSL_MODE_RELEASE_BUFFERS);
    } else {
      SSL_set_mode(ssl_.get(), SSL_MODE_RELEASE_BUFFERS);
    }
    ERR_clear_error();
    errno = 0;
    const int n = SSL_write(ssl_.get(), room.data(), static_cast<int>(size));
    const int problem = errno;
    if (n > 0) {
      totals_.octets_out += static_cast<std::uint64_t>(n);
      ++totals_.records_out;
      consume(static_cast<std::size_t>(n));
      if (state_ == State::kOpen) timer_.cancel();
      continue;
    }
    const Want want = want_of(n);
    if (want == Want::kFailed) {
      Error error = tls_failure(ssl_.get(), n, problem, peer_);
      // The reason may be waiting to be read: a server that refuses us says so and closes.
      if (error.code == kErrStreamIo && state_ == State::kOpen) {
        ERR_clear_error();
        const int r = SSL_read(ssl_.get(), room.data(), static_cast<int>(room.size()));
        if (r <= 0) {
          Error told = tls_failure(ssl_.get(), r, 0, peer_);
          if (told.code == kErrTlsRefused) error = std::move(told);
        }
      }
      fail_with(std::move(error));
      return;
    }
    if (state_ == State::kOpen && !timer_.armed()) {
      timer_.arm_after(limits_.write_stall, [this] {
        fail_with(Error{kErrStreamTimeout,
                        "the other side takes nothing: " + std::to_string(queued_) +
                            " octets have waited for " + format_duration(limits_.write_stall)});
      });
    }
    if (want == Want::kRead) {
      write_wants_read_ = true;
      wait_read();
    } else {
      wait_write();
    }
    break;
  }
  if (queued_ > 0) {
    if (!waiting_write_ && !write_wants_read_) schedule_flush();
  } else if (state_ == State::kFlushing) {
    finish_flush();
    return;
  }
  if (above_ && queued_ < limits_.drained_below && state_ == State::kOpen) {
    above_ = false;
    const auto handlers = handlers_;
    if (handlers && handlers->on_drained) handlers->on_drained();
  }
}

void TlsStream::wait_write() {
  if (waiting_write_) return;
  waiting_write_ = true;
  socket_.async_wait(Socket::wait_write,
                     [weak = weak_from_this()](const boost::system::error_code& error) {
                       const auto stream = weak.lock();
                       if (!stream || error) return;
                       stream->waiting_write_ = false;
                       if (stream->state_ == State::kHandshake) {
                         stream->step_handshake();
                         return;
                       }
                       stream->flush();
                       if (stream->read_wants_write_) {
                         stream->read_wants_write_ = false;
                         stream->read_some();
                       }
                     });
}

// ---- Ends ----

StreamPtr TlsStream::hand_out(std::shared_ptr<TlsStream> stream) {
  TlsStream* raw = stream.get();
  return StreamPtr(raw, [stream = std::move(stream)](FramedStream*) { stream->abandon(); });
}

void TlsStream::abandon() {
  if (state_ == State::kFlushing) {
    handlers_.reset();
    keep_ = shared_from_this();
    return;
  }
  close();
}

void TlsStream::say_goodbye() {
  ERR_clear_error();
  if (ssl_) SSL_shutdown(ssl_.get());
  ERR_clear_error();
}

void TlsStream::linger() {
  boost::system::error_code ignored;
  socket_.shutdown(Socket::shutdown_send, ignored);
  socket_.cancel(ignored);
  if (Linger::alive() >= kLingerersMax) {
    socket_.close(ignored);
    return;
  }
  std::make_shared<Linger>(loop_, std::move(socket_))->begin();
}

void TlsStream::drop_queue() {
  timer_.cancel();
  queue_.clear();
  queued_ = 0;
  Bytes().swap(partial_);
}

void TlsStream::fail_with(Error error) {
  if (state_ == State::kClosed) return;
  // A resumed session that was cut off before it said anything may be why.
  if (client_ && totals_.messages_in == 0) forget_session(*client_, peer_);
  state_ = State::kClosed;
  say_goodbye();
  linger();
  drop_queue();
  const auto alive = std::exchange(keep_, nullptr);
  loop_.post([weak = weak_from_this(), error = std::move(error)] {
    const auto stream = weak.lock();
    if (!stream) return;
    const auto handlers = std::exchange(stream->handlers_, nullptr);
    if (handlers && handlers->on_closed) handlers->on_closed(error);
  });
}

void TlsStream::close() {
  handlers_.reset();
  handshake_done_ = nullptr;
  if (state_ == State::kClosed) return;
  const bool spoken = state_ == State::kOpen || state_ == State::kFlushing;
  state_ = State::kClosed;
  if (spoken) {
    say_goodbye();
    linger();
  } else {
    boost::system::error_code ignored;
    socket_.close(ignored);
  }
  drop_queue();
  const auto alive = std::exchange(keep_, nullptr);
}

void TlsStream::close_after_flush(Duration deadline) {
  if (state_ != State::kOpen) return;
  state_ = State::kFlushing;
  timer_.arm_after(deadline, [this] {
    fail_with(Error{
        kErrStreamTimeout,
        std::to_string(queued_) + " octets could not be written before the stream was closed"});
  });
  schedule_flush();
}

void TlsStream::finish_flush() { fail_with(Error{kErrStreamLocal, "closed by this side"}); }

}  // namespace cygnet::rt
