// SPDX-License-Identifier: Apache-2.0
#pragma once

/// TlsStream: the FramedStream over a TCP socket, driving OpenSSL on the descriptor itself.
///
/// Asio's own ssl::stream keeps four 17 KB buffers a session; here an idle session has none.
/// Include in rt/tls*.cpp only.

#include <boost/asio/ip/tcp.hpp>
#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "cygnet/rt/framed_stream.h"
#include "cygnet/rt/tls_context.h"

namespace cygnet::rt {

class TlsStream final : public FramedStream, public std::enable_shared_from_this<TlsStream> {
 public:
  using Socket = boost::asio::ip::tcp::socket;
  /// Called once, from the loop: nullopt when hands are shaken.
  using HandshakeDone = UniqueFunction<void(std::optional<Error>)>;

  TlsStream(Loop& loop, Socket socket, StreamLimits limits);
  ~TlsStream() override;

  [[nodiscard]] Status prepare_server(std::shared_ptr<TlsServerContext> context);
  [[nodiscard]] Status prepare_client(std::shared_ptr<TlsClientContext> context,
                                      std::string session_key);
  void handshake(Duration deadline, HandshakeDone done);
  /// What users hold: dropping the last copy abandons the stream.
  [[nodiscard]] static StreamPtr hand_out(std::shared_ptr<TlsStream> stream);

  void start(Handlers handlers) override;
  using FramedStream::send;
  [[nodiscard]] Status send(SharedBytes message) override;
  [[nodiscard]] std::size_t queued_octets() const override { return queued_; }
  void pause_reading(bool paused) override;
  void close() override;
  void close_after_flush(Duration deadline) override;
  [[nodiscard]] const std::optional<crypto::Certificate>& peer_certificate() const override {
    return peer_.leaf;
  }
  [[nodiscard]] const std::optional<crypto::Certificate>& pinned_ca() const override {
    return peer_.pinned_ca;
  }
  [[nodiscard]] const std::string& alpn() const override { return alpn_; }
  [[nodiscard]] bool resumed() const override { return resumed_; }
  [[nodiscard]] const HostPort& remote_address() const override { return remote_; }
  [[nodiscard]] const HostPort& local_address() const override { return local_; }
  [[nodiscard]] Totals totals() const override { return totals_; }

 private:
  enum class State : std::uint8_t { kNew, kHandshake, kOpen, kFlushing, kClosed };
  /// What an SSL call that could not go on waits for.
  enum class Want : std::uint8_t { kNothing, kRead, kWrite, kFailed };

  [[nodiscard]] Want want_of(int result);
  void step_handshake();
  void finish_handshake(std::optional<Error> error);

  void wait_read();
  void wait_write();
  void schedule_read();
  void schedule_flush();
  void read_some();
  [[nodiscard]] bool take_octets(ByteView octets);
  void flush();
  [[nodiscard]] std::size_t gather(MutableByteView record) const;
  void consume(std::size_t octets);
  void finish_flush();
  /// Ends with on_closed, once, from the loop.
  void fail_with(Error error);
  void abandon();
  void drop_queue();
  void say_goodbye();
  void linger();

  Loop& loop_;
  Socket socket_;
  StreamLimits limits_;
  TlsPeer peer_;
  std::shared_ptr<TlsServerContext> server_;
  std::shared_ptr<TlsClientContext> client_;
  SslPtr ssl_;
  HandshakeDone handshake_done_;
  std::shared_ptr<Handlers> handlers_;  ///< callers hold a copy: a callback may drop ours
  std::shared_ptr<TlsStream> keep_;     ///< while an abandoned stream flushes
  Timer timer_;                         ///< handshake, then write stall or flush deadline

  std::deque<SharedBytes> queue_;
  std::size_t head_offset_ = 0;  ///< octets of the first message's frame already written
  std::size_t queued_ = 0;
  Bytes partial_;  ///< a frame of which some octets have come

  std::string alpn_;
  HostPort remote_;
  HostPort local_;
  Totals totals_;
  State state_ = State::kNew;
  bool resumed_ = false;
  bool started_ = false;
  bool paused_ = false;
  bool above_ = false;  ///< queue has been at or above drained_below
  bool waiting_read_ = false;
  bool waiting_write_ = false;
  bool read_scheduled_ = false;
  bool flush_scheduled_ = false;
  bool read_wants_write_ = false;
  bool write_wants_read_ = false;
};

[[nodiscard]] HostPort host_port_of(const boost::asio::ip::tcp::endpoint& endpoint);

}  // namespace cygnet::rt
