// SPDX-License-Identifier: Apache-2.0
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <cerrno>
#include <cstring>
#include <unordered_set>
#include <utility>

#include "cygnet/rt/asio_loop.h"
#include "cygnet/rt/framed_stream.h"
#include "cygnet/rt/http.h"
#include "cygnet/rt/http_message.h"
#include "cygnet/rt/log.h"
#include "cygnet/rt/port_holder.h"

namespace cygnet::rt {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using Protocol = asio::generic::stream_protocol;
using boost::system::error_code;

class Session;

/// What sessions and the server share; outlives the HttpServer while a handler runs.
struct Core {
  Core(Loop& given_loop, HttpLimits given_limits) : loop(given_loop), limits(given_limits) {}
  Loop& loop;
  HttpLimits limits;
  Router router;
  UniqueFunction<Status(const HttpRequest&)> gate;
  std::unordered_set<std::shared_ptr<Session>> sessions;
  UniqueFunction<void()> on_session_end;
  bool closed = false;
};

std::string format_head(unsigned status, const std::string& content_type, bool keep_alive) {
  http::response<http::empty_body> head;
  head.version(11);
  head.result(status);
  head.set(http::field::server, "cygnet");
  head.set(http::field::cache_control, "no-store");
  if (!content_type.empty()) head.set(http::field::content_type, content_type);
  if (!keep_alive) head.set(http::field::connection, "close");
  std::string out =
      "HTTP/1.1 " + std::to_string(status) + " " + std::string(head.reason()) + "\r\n";
  for (const auto& field : head) {
    out += std::string(field.name_string()) + ": " + std::string(field.value()) + "\r\n";
  }
  return out;
}

class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(std::shared_ptr<Core> core, Protocol::socket socket, std::optional<PeerCredentials> peer)
      : core_(std::move(core)), socket_(std::move(socket)), peer_(peer), timer_(core_->loop) {}

  void read_next();
  void close();

  // Of one request, which `turn` numbers: late answers to an old one fall flat.
  void reply(std::uint64_t turn, unsigned status, const std::string& content_type,
             std::string body);
  bool open_stream(std::uint64_t turn, const std::string& content_type);
  bool write_piece(std::uint64_t turn, const std::string& piece);
  void end_stream(std::uint64_t turn);
  [[nodiscard]] bool streaming(std::uint64_t turn) const {
    return turn == turn_ && streaming_ && !closed_;
  }

 private:
  void read_request();
  void got_request(const error_code& error);
  void dispatch();
  void refuse(const Error& error, unsigned status);
  void write(std::string octets);
  void write_more();
  void wait_for_hang_up();
  [[nodiscard]] bool nothing_to_read();
  [[nodiscard]] HttpRequest take_request(Target target);

  std::shared_ptr<Core> core_;
  Protocol::socket socket_;
  std::optional<PeerCredentials> peer_;
  Timer timer_;
  boost::beast::flat_buffer buffer_;
  std::optional<http::request_parser<http::string_body>> parser_;
  std::uint64_t turn_ = 0;
  std::string out_;      ///< being written
  std::string backlog_;  ///< waits for out_
  bool writing_ = false;
  bool answered_ = true;
  bool streaming_ = false;
  bool head_only_ = false;
  bool keep_alive_ = true;
  bool closed_ = false;
};

class SessionSink final : public Responder::Sink {
 public:
  SessionSink(std::weak_ptr<Session> session, std::uint64_t turn)
      : session_(std::move(session)), turn_(turn) {}
  void reply(unsigned status, std::string content_type, std::string body) override {
    if (const auto session = session_.lock()) {
      session->reply(turn_, status, content_type, std::move(body));
    }
  }
  std::shared_ptr<BodyStream> stream(std::string content_type) override;

 private:
  std::weak_ptr<Session> session_;
  std::uint64_t turn_;
};

class SessionBody final : public BodyStream {
 public:
  SessionBody(std::weak_ptr<Session> session, std::uint64_t turn)
      : session_(std::move(session)), turn_(turn) {}
  ~SessionBody() override { SessionBody::close(); }
  bool write(std::string piece) override {
    const auto session = session_.lock();
    return session && session->write_piece(turn_, piece);
  }
  [[nodiscard]] bool open() const override {
    const auto session = session_.lock();
    return session && session->streaming(turn_);
  }
  void close() override {
    if (const auto session = session_.lock()) session->end_stream(turn_);
  }

 private:
  std::weak_ptr<Session> session_;
  std::uint64_t turn_;
};

std::shared_ptr<BodyStream> SessionSink::stream(std::string content_type) {
  if (const auto session = session_.lock()) session->open_stream(turn_, content_type);
  return std::make_shared<SessionBody>(session_, turn_);
}

// ---- Reading ----

void Session::read_next() {
  if (closed_) return;
  if (buffer_.size() > 0) {
    read_request();
    return;
  }
  timer_.arm_after(core_->limits.idle_deadline, [this] { close(); });
  socket_.async_wait(Protocol::socket::wait_read,
                     [self = shared_from_this()](const error_code& error) {
                       if (error) {
                         self->close();
                       } else if (!self->closed_ && self->nothing_to_read()) {
                         self->read_next();
                       } else {
                         self->read_request();
                       }
                     });
}

void Session::read_request() {
  if (closed_) return;
  ++turn_;
  answered_ = false;
  streaming_ = false;
  parser_.emplace();
  parser_->header_limit(static_cast<std::uint32_t>(core_->limits.header_max));
  parser_->body_limit(core_->limits.body_max);
  timer_.arm_after(core_->limits.read_deadline, [this] {
    refuse(Error{kErrTimeout, "the request did not arrive in time"}, 408);
  });
  http::async_read(socket_, buffer_, *parser_,
                   [self = shared_from_this()](const error_code& error, std::size_t) {
                     self->got_request(error);
                   });
}

void Session::got_request(const error_code& error) {
  if (closed_ || answered_) return;
  if (error == http::error::header_limit) {
    refuse(Error{kErrTooLarge, "the request's header is larger than " +
                                   std::to_string(core_->limits.header_max) + " octets"},
           431);
  } else if (error == http::error::body_limit) {
    refuse(Error{kErrTooLarge, "the request's body is larger than " +
                                   std::to_string(core_->limits.body_max) + " octets"},
           413);
  } else if (error.category() == http::make_error_code(http::error::bad_method).category() &&
             error != http::error::end_of_stream && error != http::error::partial_message) {
    refuse(Error{kErrBadRequest, "this is no HTTP/1.1 request: " + error.message()}, 400);
  } else if (error) {
    close();
  } else {
    dispatch();
  }
}

HttpRequest Session::take_request(Target target) {
  auto message = parser_->release();
  HttpRequest request;
  request.method = std::string(message.method_string());
  request.path = std::move(target.path);
  request.query = std::move(target.query);
  for (const auto& field : message) {
    std::string name(field.name_string());
    std::transform(name.begin(), name.end(), name.begin(), [](char c) {
      return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    });
    request.headers[name] = std::string(field.value());
  }
  request.body = std::move(message.body());
  request.peer = peer_;
  return request;
}

void Session::dispatch() {
  keep_alive_ = parser_->keep_alive();
  auto target = parse_target(std::string_view(parser_->get().target()));
  if (!target) {
    refuse(target.error(), 400);
    return;
  }
  const auto core = core_;
  auto segments = target->segments;
  HttpRequest request = take_request(std::move(*target));
  parser_.reset();
  head_only_ = request.method == "HEAD";
  auto match = core->router.find(head_only_ ? "GET" : request.method, segments);
  timer_.arm_after(core->limits.reply_deadline, [this, turn = turn_] {
    const Error error{kErrTimeout, "the daemon did not answer in time", {}, "see the daemon's log"};
    reply(turn, 504, "application/problem+json", problem_json(error, 504));
  });
  Responder responder(std::make_shared<SessionSink>(weak_from_this(), turn_));
  if (core->gate) {
    if (const Status allowed = core->gate(request); !allowed) {
      responder.problem(allowed.error());
      return;
    }
  }
  if (match.handler == nullptr) {
    if (match.allow.empty()) {
      responder.problem(Error{kErrNotFound, "there is nothing at " + request.path});
    } else {
      responder.problem(Error{kErrMethod,
                              request.method + " is not possible on " + request.path,
                              {},
                              "use " + match.allow});
    }
    return;
  }
  request.params = std::move(match.params);
  (*match.handler)(request, std::move(responder));
}

// ---- Answering ----

void Session::refuse(const Error& error, unsigned status) {
  keep_alive_ = false;
  answered_ = false;
  reply(turn_, status, "application/problem+json", problem_json(error, status));
}

void Session::reply(std::uint64_t turn, unsigned status, const std::string& content_type,
                    std::string body) {
  if (closed_ || turn != turn_ || answered_) return;
  answered_ = true;
  std::string octets = format_head(status, content_type, keep_alive_);
  if (status != 204) octets += "Content-Length: " + std::to_string(body.size()) + "\r\n";
  octets += "\r\n";
  if (!head_only_) octets += body;
  head_only_ = false;
  timer_.arm_after(core_->limits.reply_deadline, [this] { close(); });
  write(std::move(octets));
}

bool Session::open_stream(std::uint64_t turn, const std::string& content_type) {
  if (closed_ || turn != turn_ || answered_) return false;
  answered_ = true;
  streaming_ = true;
  timer_.cancel();
  write(format_head(200, content_type, keep_alive_) + "Transfer-Encoding: chunked\r\n\r\n");
  wait_for_hang_up();
  return true;
}

bool Session::write_piece(std::uint64_t turn, const std::string& piece) {
  if (!streaming(turn)) return false;
  if (piece.empty()) return true;  // an empty chunk would end the body
  if (out_.size() + backlog_.size() + piece.size() > core_->limits.stream_backlog_max) {
    close();
    return false;
  }
  char size[24];
  std::snprintf(size, sizeof size, "%zx\r\n", piece.size());
  write(size + piece + "\r\n");
  return true;
}

void Session::end_stream(std::uint64_t turn) {
  if (!streaming(turn)) return;
  streaming_ = false;
  keep_alive_ = false;  // the wait for a hang-up is still pending; a new request would race with it
  timer_.arm_after(core_->limits.reply_deadline, [this] { close(); });
  write("0\r\n\r\n");
}

void Session::wait_for_hang_up() {
  socket_.async_wait(Protocol::socket::wait_read,
                     [self = shared_from_this()](const error_code& error) {
                       if (error || self->closed_ || !self->streaming_) return;
                       if (self->nothing_to_read()) {
                         self->wait_for_hang_up();
                       } else {
                         // A client that listens to events has nothing to say but goodbye.
                         self->close();
                       }
                     });
}

/// Readiness can be told for nothing (edge-triggered epoll).
bool Session::nothing_to_read() {
  char octet = 0;
  return recv(socket_.native_handle(), &octet, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
         (errno == EAGAIN || errno == EINTR);
}

void Session::write(std::string octets) {
  backlog_ += octets;
  if (!writing_) write_more();
}

void Session::write_more() {
  out_ = std::exchange(backlog_, {});
  writing_ = true;
  asio::async_write(socket_, asio::buffer(out_),
                    [self = shared_from_this()](const error_code& error, std::size_t) {
                      self->writing_ = false;
                      if (error) {
                        self->close();
                      } else if (!self->backlog_.empty()) {
                        self->write_more();
                      } else if (self->streaming_) {
                        self->out_.clear();
                      } else if (!self->keep_alive_) {
                        self->close();
                      } else {
                        std::string().swap(self->out_);
                        self->read_next();
                      }
                    });
}

void Session::close() {
  if (closed_) return;
  closed_ = true;
  timer_.cancel();
  error_code ignored;
  socket_.shutdown(Protocol::socket::shutdown_both, ignored);
  socket_.close(ignored);
  const auto keep = shared_from_this();
  core_->sessions.erase(keep);
  if (!core_->closed && core_->on_session_end) core_->on_session_end();
}

// ---- The server ----

class Server final : public HttpServer {
 public:
  Server(Loop& loop, HttpLimits limits)
      : core_(std::make_shared<Core>(loop, limits)),
        unix_(io_context_of(loop)),
        tcp_(io_context_of(loop)),
        pause_timer_(loop) {
    core_->on_session_end = [this] { accept(); };
  }

  ~Server() override {
    core_->closed = true;
    *alive_ = false;
    error_code ignored;
    unix_.close(ignored);
    tcp_.close(ignored);
    for (const auto& session : std::exchange(core_->sessions, {})) session->close();
    if (!path_.empty()) unlink(path_.c_str());
  }

  Status open_unix(const std::string& path, mode_t mode) {
    const auto cannot = [&](const std::string& why, std::string cure) {
      return fail(kErrListen, "cannot listen on " + path + ": " + why, {}, std::move(cure));
    };
    if (path.size() >= sizeof(sockaddr_un::sun_path)) {
      return cannot("the path is longer than 107 octets", "choose a shorter one");
    }
    CYGNET_CHECK_OK(clear_stale(path));
    error_code error;
    unix_.open(asio::local::stream_protocol(), error);
    // Made with no rights at all, then given `mode`: nobody gets in between the two calls.
    const mode_t old = umask(0777);
    if (!error) unix_.bind(asio::local::stream_protocol::endpoint(path), error);
    umask(old);
    if (!error && chmod(path.c_str(), mode) != 0) {
      error.assign(errno, boost::system::system_category());
    }
    if (!error) unix_.listen(128, error);
    if (error == boost::system::errc::no_such_file_or_directory) {
      return cannot("its directory does not exist", "make the directory first");
    }
    if (error) return cannot(error.message(), "check the directory's owner and mode");
    path_ = path;
    accept();
    return {};
  }

  Status open_tcp(const std::string& address, std::uint16_t port) {
    error_code error;
    const auto ip = asio::ip::make_address(address, error);
    if (error) return fail(kErrListen, "\"" + address + "\" is no address to listen on");
    const asio::ip::tcp::endpoint endpoint(ip, port);
    tcp_.open(endpoint.protocol(), error);
    if (!error) tcp_.set_option(asio::ip::tcp::acceptor::reuse_address(true), error);
    if (!error) tcp_.bind(endpoint, error);
    if (!error) tcp_.listen(128, error);
    const std::string name = HostPort{address, port}.to_string();
    if (error == asio::error::address_in_use) {
      return fail(kErrListen, "TCP " + name + " is in use by " + describe_port_holder("tcp", port),
                  {}, "stop it, or listen on another port");
    }
    if (error) return fail(kErrListen, "cannot listen on TCP " + name + ": " + error.message());
    port_ = tcp_.local_endpoint(error).port();
    accept();
    return {};
  }

  void on(std::string method, std::string pattern, HttpHandler handler) override {
    core_->router.add(std::move(method), pattern, std::move(handler));
  }
  void set_gate(UniqueFunction<Status(const HttpRequest&)> gate) override {
    core_->gate = std::move(gate);
  }
  [[nodiscard]] std::uint16_t port() const override { return port_; }

 private:
  /// Removes a socket file that nobody listens on; a live one is an error.
  static Status clear_stale(const std::string& path) {
    struct stat status {};
    if (lstat(path.c_str(), &status) != 0) return {};
    if (!S_ISSOCK(status.st_mode)) {
      return fail(kErrListen, path + " exists and is no socket", {}, "move it away");
    }
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), path.size());
    const bool dead =
        connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 &&
        errno == ECONNREFUSED;
    ::close(fd);
    if (!dead) {
      return fail(kErrListen, "another process listens on " + path + " already", {},
                  "stop it first, or choose another socket path");
    }
    unlink(path.c_str());
    return {};
  }

  void accept() {
    if (accepting_ || core_->closed || pause_timer_.armed() ||
        core_->sessions.size() >= core_->limits.connections_max) {
      return;
    }
    accepting_ = true;
    if (!path_.empty()) {
      unix_.async_accept([this, alive = alive_](const error_code& error, auto socket) {
        if (*alive) accepted(error, std::move(socket));
      });
    } else {
      tcp_.async_accept([this, alive = alive_](const error_code& error, auto socket) {
        if (*alive) accepted(error, std::move(socket));
      });
    }
  }

  template <class Socket>
  void accepted(const error_code& error, Socket socket) {
    accepting_ = false;
    if (error) {
      if (error == asio::error::operation_aborted) return;
      log_warning("cannot accept a connection", {{"reason", error.message()}});
      pause_timer_.arm_after(std::chrono::milliseconds(100), [this] { accept(); });
      return;
    }
    std::optional<PeerCredentials> peer;
    ucred credentials{};
    socklen_t size = sizeof credentials;
    if (!path_.empty() &&
        getsockopt(socket.native_handle(), SOL_SOCKET, SO_PEERCRED, &credentials, &size) == 0) {
      peer = PeerCredentials{credentials.uid, credentials.gid, credentials.pid};
    }
    auto session = std::make_shared<Session>(core_, Protocol::socket(std::move(socket)), peer);
    core_->sessions.insert(session);
    session->read_next();
    accept();
  }

  std::shared_ptr<Core> core_;
  asio::local::stream_protocol::acceptor unix_;
  asio::ip::tcp::acceptor tcp_;
  Timer pause_timer_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::string path_;
  std::uint16_t port_ = 0;
  bool accepting_ = false;
};

}  // namespace

Result<std::unique_ptr<HttpServer>> HttpServer::listen_unix(Loop& loop, const std::string& path,
                                                            mode_t mode, HttpLimits limits) {
  auto server = std::make_unique<Server>(loop, limits);
  CYGNET_CHECK_OK(server->open_unix(path, mode));
  return std::unique_ptr<HttpServer>(std::move(server));
}

Result<std::unique_ptr<HttpServer>> HttpServer::listen_tcp(Loop& loop, const std::string& address,
                                                           std::uint16_t port, HttpLimits limits) {
  auto server = std::make_unique<Server>(loop, limits);
  CYGNET_CHECK_OK(server->open_tcp(address, port));
  return std::unique_ptr<HttpServer>(std::move(server));
}

}  // namespace cygnet::rt
