// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Device streams and joins over TLS, as handles and octets: what stands between rt's listener and
/// the core. Knows deadlines and water marks, and nothing of what messages say. Loop thread only.

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <unordered_map>

#include "cygnet/controller/core/values.h"
#include "cygnet/rt/framed_stream.h"

namespace cygnet::controller {

struct StreamServerLimits {
  rt::StreamLimits stream;
  std::size_t handshakes_max = 256;
  std::size_t joins_max = 256;                        ///< join streams at one time
  Duration first_message = std::chrono::seconds(10);  ///< Hello or EnrolRequest
  Duration join = std::chrono::seconds(30);           ///< a whole join
  Duration flush = std::chrono::seconds(5);           ///< a Goaway's way out
  std::size_t high_water = 65536;  ///< octets in a stream's queue above which nothing is pulled
};

class StreamServer {
 public:
  struct Handlers {
    rt::UniqueFunction<void(SessionId, const crypto::Certificate&)> on_connected;
    rt::UniqueFunction<void(SessionId, Bytes)> on_message;
    rt::UniqueFunction<void(SessionId)> on_closed;
    /// The next message of a session; null when there is none.
    rt::UniqueFunction<SharedOctets(SessionId, std::size_t size_max)> pull;
    rt::UniqueFunction<void(RequestId, Bytes)> on_join;
    /// Not even that far: failed handshakes, deadlines, oversized messages.
    rt::UniqueFunction<void(const Error&, const std::string& remote)> on_refused;
  };

  [[nodiscard]] static Result<std::unique_ptr<StreamServer>> create(
      rt::Loop& loop, std::shared_ptr<rt::TlsServerContext> context, const rt::HostPort& bind,
      const StreamServerLimits& limits, Handlers handlers);
  ~StreamServer();

  /// Writes what pull() gives while there is room: soon, and once for all calls until then, so that
  /// whatever else happens in this turn of the loop goes out in the same message.
  void flush(SessionId session);
  /// Writes what pull() still gives, then closes.
  void close(SessionId session);
  void reply_join(RequestId request, Bytes reply);
  /// No new connections; open ones go on.
  void stop_accepting();

  [[nodiscard]] std::uint16_t port() const;
  [[nodiscard]] std::size_t sessions() const { return sessions_.size(); }
  [[nodiscard]] std::string remote_of(SessionId session) const;

 private:
  struct Session {
    rt::StreamPtr stream;
    std::unique_ptr<rt::Timer> deadline;
    bool closing = false;
    bool due = false;  ///< stands in due_
  };
  struct Join {
    rt::StreamPtr stream;
    std::unique_ptr<rt::Timer> deadline;
    bool asked = false;
  };
  StreamServer(rt::Loop& loop, const StreamServerLimits& limits, Handlers handlers);
  void accepted(rt::StreamPtr stream);
  void accepted_device(rt::StreamPtr stream);
  void accepted_join(rt::StreamPtr stream);
  void ended(SessionId session, const Error& error);
  void schedule_due();
  void flush_due();
  void pull(SessionId session);

  rt::Loop& loop_;
  StreamServerLimits limits_;
  Handlers handlers_;
  std::unique_ptr<rt::StreamListener> listener_;
  std::uint16_t port_ = 0;
  std::unordered_map<SessionId, Session> sessions_;
  std::deque<SessionId> due_;  ///< to be flushed, oldest first
  bool due_scheduled_ = false;
  std::map<RequestId, Join> joins_;
  std::uint64_t next_ = 1;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace cygnet::controller
