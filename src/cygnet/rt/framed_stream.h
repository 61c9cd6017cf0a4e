// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Messages behind a 4-octet big-endian length on TLS 1.3 over TCP (docs/protocol.md section 7).
///
/// Everything here is loop thread only and returns at once; what happens is told by callbacks, from
/// the loop, never from inside the call that caused it. Built for 10,000 sessions a process: queued
/// messages are shared octets (one encoded DIM in many queues), writes are gathered into whole
/// 16 KiB TLS records in a buffer that all streams share, and an idle stream keeps no buffer.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cygnet/base/bytes.h"
#include "cygnet/base/result.h"
#include "cygnet/rt/loop.h"
#include "cygnet/rt/text.h"
#include "cygnet/rt/tls.h"

namespace cygnet::rt {

inline constexpr ErrorCode kErrStreamClosed{"stream-closed"};      ///< the other side ended it
inline constexpr ErrorCode kErrStreamLocal{"stream-local"};        ///< closed by us
inline constexpr ErrorCode kErrStreamIo{"stream-io"};              ///< reset, unreachable, …
inline constexpr ErrorCode kErrStreamTimeout{"stream-timeout"};    ///< connect, handshake or write
inline constexpr ErrorCode kErrStreamResolve{"stream-resolve"};    ///< no address for the name
inline constexpr ErrorCode kErrStreamOversize{"stream-oversize"};  ///< length above message_max
inline constexpr ErrorCode kErrStreamOverflow{"stream-overflow"};  ///< queue above queued_max
inline constexpr ErrorCode kErrStreamBusy{"stream-busy"};  ///< too many unfinished handshakes
inline constexpr ErrorCode kErrListen{"listen"};           ///< port in use, not our address, …

struct StreamLimits {
  std::size_t message_max = std::size_t{1} << 20;  ///< octets of one message, both directions
  std::size_t queued_max = std::size_t{64} << 20;  ///< octets that may wait to be written
  std::size_t drained_below = 16384;  ///< on_drained when the queue falls below this again
  Duration handshake_deadline = std::chrono::seconds(10);
  /// The stream is closed when it has octets to write and none could be written for this long.
  Duration write_stall = std::chrono::seconds(60);
};

using SharedBytes = std::shared_ptr<const Bytes>;

class FramedStream {
 public:
  struct Handlers {
    /// One message, without its length.
    UniqueFunction<void(Bytes)> on_message;
    /// Exactly once, last of all. Not called when close() was called or the stream destroyed.
    UniqueFunction<void(const Error&)> on_closed;
    /// The queue fell below drained_below after having been at or above it. May be empty.
    UniqueFunction<void()> on_drained;
  };

  virtual ~FramedStream() = default;

  /// Begins to read. Call once; nothing is read before. A message that arrives before is kept.
  virtual void start(Handlers handlers) = 0;

  /// Queues one message. The octets are shared, not copied, and must not change.
  /// @retval kErrStreamOversize, kErrStreamOverflow (nothing queued), kErrStreamClosed
  [[nodiscard]] virtual Status send(SharedBytes message) = 0;
  [[nodiscard]] Status send(Bytes message) {
    return send(std::make_shared<const Bytes>(std::move(message)));
  }

  /// Octets that wait to be written, lengths included.
  [[nodiscard]] virtual std::size_t queued_octets() const = 0;
  /// Stops and resumes reading (back-pressure towards the other side).
  virtual void pause_reading(bool paused) = 0;

  /// Ends it now; what is queued is dropped. No callback runs afterwards.
  virtual void close() = 0;
  /// Ends it once what is queued has been written or `deadline` has passed; then on_closed with
  /// kErrStreamLocal. Nothing more is read. Dropping the stream meanwhile does not cut it short; it
  /// only drops the callbacks.
  virtual void close_after_flush(Duration deadline) = 0;

  /// The verified leaf of the other side; nullopt on the server end of "cygnet-join/1".
  [[nodiscard]] virtual const std::optional<crypto::Certificate>& peer_certificate() const = 0;
  /// The trust anchor that a join client found by its fingerprint; nullopt elsewhere.
  [[nodiscard]] virtual const std::optional<crypto::Certificate>& pinned_ca() const = 0;
  [[nodiscard]] virtual const std::string& alpn() const = 0;
  [[nodiscard]] virtual bool resumed() const = 0;
  [[nodiscard]] virtual const HostPort& remote_address() const = 0;
  [[nodiscard]] virtual const HostPort& local_address() const = 0;

  struct Totals {
    std::uint64_t octets_in = 0, octets_out = 0, messages_in = 0, messages_out = 0;
    std::uint64_t records_out = 0;
  };
  [[nodiscard]] virtual Totals totals() const = 0;

 protected:
  FramedStream() = default;
};

/// Dropping the last one closes the stream; no callback runs afterwards, not even when it is
/// dropped inside one.
using StreamPtr = std::shared_ptr<FramedStream>;

/// A connection under way. Destroying it cancels: `done` is not called.
class PendingConnect {
 public:
  virtual ~PendingConnect() = default;
};

struct ConnectOptions {
  HostPort to;  ///< name or address; every address of a name is tried in turn
  Duration deadline = std::chrono::seconds(10);  ///< for name, TCP and TLS together
  StreamLimits limits = {};
  /// SO_MARK, so that a route for a peer's prefix never catches the way to the controller. 0: none.
  std::uint32_t firewall_mark = 0;
};
/// Connects, shakes hands, verifies, then calls `done` once.
///
/// In TLS 1.3 a client is done before the server has looked at its certificate: a refusal comes as
/// on_closed with kErrTlsRefused, before any message.
[[nodiscard]] std::unique_ptr<PendingConnect> connect_stream(
    Loop& loop, std::shared_ptr<TlsClientContext> context, ConnectOptions options,
    UniqueFunction<void(Result<StreamPtr>)> done);

class StreamListener {
 public:
  struct Options {
    HostPort bind;  ///< an address, not a name; port 0 takes a free one
    StreamLimits limits = {};
    std::size_t handshakes_max = 256;  ///< unfinished ones; more wait in the kernel's queue
    bool reuse_port = false;           ///< several loops may listen on one port
  };
  struct Handlers {
    /// Shaken hands and verified; call start() on it.
    UniqueFunction<void(StreamPtr)> on_stream;
    /// A connection that did not get that far, and why. May be empty.
    UniqueFunction<void(const Error&, const HostPort& remote)> on_refused;
  };
  /// @retval kErrListen naming the address, who holds the port when that can be told, and the cure
  [[nodiscard]] static Result<std::unique_ptr<StreamListener>> create(
      Loop& loop, std::shared_ptr<TlsServerContext> context, Options options, Handlers handlers);
  virtual ~StreamListener() = default;  ///< Stops accepting; accepted streams go on.
  [[nodiscard]] virtual std::uint16_t port() const = 0;
  /// Stops and resumes accepting (admission in a storm).
  virtual void pause(bool paused) = 0;
  /// Handshakes under way.
  [[nodiscard]] virtual std::size_t handshakes() const = 0;
};

}  // namespace cygnet::rt
