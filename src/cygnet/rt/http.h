// SPDX-License-Identifier: Apache-2.0
#pragma once

/// A small HTTP/1.1 server for local JSON interfaces (docs/api.md): on a Unix socket with the
/// peer's credentials, or on TCP. Size limits and deadlines hold before anything is parsed; errors
/// are problem documents (RFC 9457). Loop thread only.
///
///   server->on("GET", "/api/v1/devices/{name}", [](const HttpRequest& request, Responder reply) {
///     reply.json(body_of(request.param("name")));            // or keep `reply` and answer later
///   });

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "cygnet/base/result.h"
#include "cygnet/rt/loop.h"

namespace cygnet::rt {

// Codes that both the servers and the CLI know; status_of() maps them.
inline constexpr ErrorCode kErrBadRequest{"bad-request"};   ///< 400
inline constexpr ErrorCode kErrDenied{"denied"};            ///< 403
inline constexpr ErrorCode kErrNotFound{"not-found"};       ///< 404
inline constexpr ErrorCode kErrMethod{"method"};            ///< 405
inline constexpr ErrorCode kErrTimeout{"timeout"};          ///< 504
inline constexpr ErrorCode kErrConflict{"conflict"};        ///< 409
inline constexpr ErrorCode kErrTooLarge{"too-large"};       ///< 413
inline constexpr ErrorCode kErrUnavailable{"unavailable"};  ///< 503
inline constexpr ErrorCode kErrInternal{"internal"};        ///< 500
inline constexpr ErrorCode kErrUnreachable{"unreachable"};  ///< client: nobody listens

/// The HTTP status for an error's code; 422 (understood and refused) for codes not listed above.
[[nodiscard]] unsigned status_of(ErrorCode code);
/// application/problem+json: {"type":"urn:cygnet:error:<code>","title":…,"status":…,"detail":…,
/// "code":…,"where":…,"cure":…}; where and cure only when they are not empty.
[[nodiscard]] std::string problem_json(const Error& error, unsigned status);

struct PeerCredentials {
  uid_t uid = 0;
  gid_t gid = 0;
  pid_t pid = 0;
};

struct HttpRequest {
  std::string method;
  std::string path;                            ///< decoded, without the query
  std::map<std::string, std::string> params;   ///< {name} parts of the route
  std::map<std::string, std::string> query;    ///< decoded; the last of equal names wins
  std::map<std::string, std::string> headers;  ///< names in lower case
  std::string body;
  std::optional<PeerCredentials> peer;  ///< Unix sockets only

  [[nodiscard]] std::string param(const std::string& name) const;
  [[nodiscard]] std::string query_or(const std::string& name, std::string fallback) const;
};

/// A response that goes on (server-sent events). Loop thread only; shared handle semantics.
class BodyStream {
 public:
  virtual ~BodyStream() = default;
  /// Queues a piece. @return false once the client is gone or its backlog is above the limit (then
  /// the connection is closed).
  virtual bool write(std::string piece) = 0;
  [[nodiscard]] virtual bool open() const = 0;
  virtual void close() = 0;  ///< Ends the body properly.
};

/// Answers one request, once, now or later. Dropping it unanswered answers 500. Move-only.
class Responder {
 public:
  class Sink {
   public:
    virtual ~Sink() = default;
    virtual void reply(unsigned status, std::string content_type, std::string body) = 0;
    virtual std::shared_ptr<BodyStream> stream(std::string content_type) = 0;
  };
  explicit Responder(std::shared_ptr<Sink> sink) : sink_(std::move(sink)) {}
  Responder(Responder&&) noexcept = default;
  Responder& operator=(Responder&&) = delete;
  ~Responder();

  void json(std::string body, unsigned status = 200);
  void text(std::string body, std::string content_type = "text/plain; charset=utf-8",
            unsigned status = 200);
  void problem(const Error& error);
  void problem(const Error& error, unsigned status);
  void empty(unsigned status = 204);
  /// Starts a chunked 200 response.
  [[nodiscard]] std::shared_ptr<BodyStream> stream(std::string content_type);
  [[nodiscard]] bool answered() const { return sink_ == nullptr; }

 private:
  std::shared_ptr<Sink> sink_;
};

using HttpHandler = UniqueFunction<void(const HttpRequest&, Responder)>;

struct HttpLimits {
  std::size_t header_max = 16 * 1024;
  std::size_t body_max = std::size_t{8} << 20;
  std::size_t connections_max = 256;
  std::size_t stream_backlog_max = std::size_t{1} << 20;
  Duration read_deadline = std::chrono::seconds(10);   ///< for a whole request
  Duration idle_deadline = std::chrono::seconds(60);   ///< between requests
  Duration reply_deadline = std::chrono::seconds(60);  ///< a handler that never answers: 504
};

class HttpServer {
 public:
  /// Replaces a socket file nobody listens on; refuses when somebody does. `mode` of the file is
  /// who may connect. @retval kErrListen (framed_stream.h's code "listen")
  [[nodiscard]] static Result<std::unique_ptr<HttpServer>> listen_unix(Loop& loop,
                                                                       const std::string& path,
                                                                       mode_t mode = 0600,
                                                                       HttpLimits limits = {});
  [[nodiscard]] static Result<std::unique_ptr<HttpServer>> listen_tcp(Loop& loop,
                                                                      const std::string& address,
                                                                      std::uint16_t port,
                                                                      HttpLimits limits = {});
  virtual ~HttpServer() = default;  ///< Closes every connection; removes the socket file.

  /// `pattern`: literal parts and {name} parts. A longer literal match wins over {name}.
  virtual void on(std::string method, std::string pattern, HttpHandler handler) = 0;
  /// Called before a handler: return an error to refuse the request (authorisation by uid, …).
  virtual void set_gate(UniqueFunction<Status(const HttpRequest&)> gate) = 0;
  [[nodiscard]] virtual std::uint16_t port() const = 0;  ///< TCP only
};

}  // namespace cygnet::rt
