// SPDX-License-Identifier: Apache-2.0
#pragma once

/// A blocking HTTP/1.1 client for Unix sockets, for the CLI: one request, one connection. Any
/// thread.

#include <functional>
#include <string>
#include <string_view>

#include "cygnet/base/result.h"
#include "cygnet/base/time.h"
#include "cygnet/rt/http.h"

namespace cygnet::rt {

struct HttpReply {
  unsigned status = 0;
  std::string content_type;
  std::string body = {};
};

struct HttpCall {
  std::string socket_path = {};
  std::string method = "GET";
  std::string target = {};  ///< path and query, already percent-encoded
  std::string body = {};
  Duration timeout = std::chrono::seconds(30);
  std::size_t reply_max = std::size_t{256} << 20;
};

/// @retval kErrUnreachable (no socket, nobody listens), kErrDenied (no permission on the socket),
///         kErrTimeout, kErrInternal (the reply is no HTTP)
[[nodiscard]] Result<HttpReply> http_call(const HttpCall& call);
/// The same for a streamed body: `on_piece` gets the body as it comes; returning false ends it.
[[nodiscard]] Result<HttpReply> http_call_streaming(
    const HttpCall& call, const std::function<bool(std::string_view)>& on_piece);

/// Percent-encodes one path segment or query value.
[[nodiscard]] std::string percent_encode(std::string_view text);
/// @retval kErrBadRequest
[[nodiscard]] Result<std::string> percent_decode(std::string_view text, bool plus_is_space = false);

}  // namespace cygnet::rt
