// SPDX-License-Identifier: Apache-2.0
#include "cygnet/rt/http_client.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <boost/beast/http.hpp>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <system_error>

#include "cygnet/rt/text.h"

namespace cygnet::rt {
namespace {

namespace http = boost::beast::http;
using Clock = std::chrono::steady_clock;

class Connection {
 public:
  explicit Connection(const HttpCall& call)
      : call_(call),
        ends_at_(Clock::now() + std::chrono::duration_cast<Clock::duration>(call.timeout)) {}
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection() {
    if (fd_ >= 0) close(fd_);
  }

  Status open() {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (call_.socket_path.empty() || call_.socket_path.size() >= sizeof address.sun_path) {
      return fail(kErrUnreachable,
                  "socket path \"" + call_.socket_path + "\" is empty or longer than 107 octets");
    }
    std::memcpy(address.sun_path, call_.socket_path.data(), call_.socket_path.size());
    fd_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd_ < 0) return broken("cannot open a socket", errno);
    for (;;) {
      if (connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return {};
      const int problem = errno;
      if (problem != EAGAIN) return refused(problem);
      // The daemon's queue is full; a Unix socket cannot be polled for that.
      if (Clock::now() >= ends_at_) return timed_out();
      poll(nullptr, 0, 10);
    }
  }

  Status write_all(std::string_view octets) {
    while (!octets.empty()) {
      const ssize_t n = send(fd_, octets.data(), octets.size(), MSG_NOSIGNAL);
      if (n >= 0) {
        octets.remove_prefix(static_cast<std::size_t>(n));
      } else if (errno == EAGAIN) {
        CYGNET_CHECK_OK(wait(POLLOUT));
      } else if (errno == EPIPE || errno == ECONNRESET) {
        return {};  // it may have answered before it hung up (413): read that
      } else if (errno != EINTR) {
        return broken("cannot write to " + call_.socket_path, errno);
      }
    }
    return {};
  }

  /// 0 at the end.
  Result<std::size_t> read_some(char* room, std::size_t size) {
    for (;;) {
      const ssize_t n = recv(fd_, room, size, 0);
      if (n >= 0) return static_cast<std::size_t>(n);
      if (errno == ECONNRESET) return std::size_t{0};
      if (errno != EAGAIN && errno != EINTR) {
        return broken("cannot read from " + call_.socket_path, errno);
      }
      if (errno == EAGAIN) CYGNET_CHECK_OK(wait(POLLIN));
    }
  }

 private:
  Status wait(short events) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(ends_at_ - Clock::now()).count();
    pollfd entry{fd_, events, 0};
    if (left <= 0 ||
        poll(&entry, 1, static_cast<int>(std::min<long long>(left + 1, 1 << 30))) == 0) {
      return timed_out();
    }
    return {};
  }
  tl::unexpected<Error> timed_out() const {
    return fail(kErrTimeout,
                "no answer on " + call_.socket_path + " within " + format_duration(call_.timeout),
                {},
                "the daemon may be overloaded or stopped: see its log, or allow more --timeout");
  }
  static tl::unexpected<Error> broken(const std::string& what, int problem) {
    return fail(kErrUnreachable, what + ": " + std::generic_category().message(problem));
  }
  tl::unexpected<Error> refused(int problem) const {
    switch (problem) {
      case ENOENT:
        return fail(kErrUnreachable, "there is no socket at " + call_.socket_path, {},
                    "start the daemon, or say where its socket is");
      case ECONNREFUSED:
        return fail(kErrUnreachable, "nobody listens on " + call_.socket_path, {},
                    "the daemon is not running: start it");
      case EACCES:
      case EPERM:
        return fail(
            kErrDenied, "no permission to use " + call_.socket_path, {},
            "run as root, or as a user of the socket's group (ls -l " + call_.socket_path + ")");
      default:
        return broken("cannot connect to " + call_.socket_path, problem);
    }
  }

  const HttpCall& call_;
  Clock::time_point ends_at_;
  int fd_ = -1;
};

std::string request_of(const HttpCall& call) {
  std::string out = call.method + " " + call.target + " HTTP/1.1\r\nHost: localhost\r\n" +
                    "User-Agent: cygnet\r\nConnection: close\r\n";
  if (!call.body.empty() || call.method != "GET") {
    out += "Content-Type: application/json\r\nContent-Length: " + std::to_string(call.body.size()) +
           "\r\n";
  }
  return out + "\r\n" + call.body;
}

Result<HttpReply> run(const HttpCall& call, const std::function<bool(std::string_view)>* on_piece) {
  Connection connection(call);
  CYGNET_CHECK_OK(connection.open());
  CYGNET_CHECK_OK(connection.write_all(request_of(call)));
  http::response_parser<http::string_body> parser;
  parser.eager(true);
  parser.body_limit(call.reply_max);
  std::string pending;
  std::array<char, 65536> room{};
  HttpReply reply;
  const auto no_http = [&](const std::string& why) {
    return fail(kErrInternal, "the answer from " + call.socket_path + " is not usable: " + why, {},
                "check that the socket belongs to a Cygnet daemon of this version");
  };
  while (!parser.is_done()) {
    CYGNET_TRY(const std::size_t n, connection.read_some(room.data(), room.size()));
    boost::system::error_code error;
    if (n == 0) {
      if (!parser.got_some()) return no_http("it hung up without one");
      parser.put_eof(error);
      if (error) return no_http("it ends too early");
      break;
    }
    pending.append(room.data(), n);
    while (!pending.empty() && !parser.is_done()) {
      const std::size_t used = parser.put(boost::asio::buffer(pending), error);
      pending.erase(0, used);
      if (error == http::error::need_more) break;
      if (error) return no_http(error.message());
      if (used == 0) break;
    }
    if (on_piece != nullptr && parser.is_header_done() && parser.get().result_int() < 300) {
      const std::string piece = std::exchange(parser.get().body(), {});
      if (!piece.empty() && !(*on_piece)(piece)) break;
    }
  }
  reply.status = parser.get().result_int();
  reply.content_type = std::string(parser.get()[http::field::content_type]);
  reply.body = std::move(parser.get().body());
  return reply;
}

}  // namespace

Result<HttpReply> http_call(const HttpCall& call) { return run(call, nullptr); }

Result<HttpReply> http_call_streaming(const HttpCall& call,
                                      const std::function<bool(std::string_view)>& on_piece) {
  return run(call, &on_piece);
}

}  // namespace cygnet::rt
