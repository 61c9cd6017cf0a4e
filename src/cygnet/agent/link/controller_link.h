// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The device's stream to its controller (docs/protocol.md section 7): connects, says Hello, hands
/// up what comes, reconnects with backoff, renews the certificate from half of its life on. It
/// decides nothing about DIMs. Control thread only; every handler is called from the loop.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cygnet/agent/link/backoff.h"
#include "cygnet/agent/link/convert.h"
#include "cygnet/rt/framed_stream.h"
#include "cygnet/rt/loop.h"
#include "cygnet/rt/tls.h"

namespace cygnet::agent {

class ControllerLink {
 public:
  enum class State : std::uint8_t {
    kWaiting,  ///< for the next attempt
    kConnecting,
    kHello,  ///< stream open, no Welcome yet
    kUp,
    kStopped,
  };
  struct Options {
    std::vector<rt::HostPort> controllers;  ///< tried in turn
    rt::TlsIdentity identity;
    std::vector<crypto::Certificate> trust;
    rt::WallClock trusted_now;
    crypto::MeshId mesh{};
    std::string mesh_name;
    std::uint32_t firewall_mark = 0;
    Duration connect_deadline = std::chrono::seconds(5);
  };
  struct Handlers {
    /// What to say first, asked at each new stream.
    std::function<HelloMessage()> hello;
    std::function<void(const WelcomeMessage&)> on_welcome;  ///< the stream is up
    std::function<void(ControllerMessage)> on_message;      ///< any other message
    std::function<void()> on_down;                          ///< after on_welcome, once
    std::function<bool()> publish_waits;
    std::function<std::uint32_t()> random;
  };
  /// @retval rt::kErrTls, crypto::kErrKey, crypto::kErrCertificate
  [[nodiscard]] static Result<std::unique_ptr<ControllerLink>> create(rt::Loop& loop,
                                                                      Options options,
                                                                      Handlers handlers);
  ~ControllerLink();

  void start();
  /// Ends the stream after what is queued (at most `deadline`); no handler is called afterwards.
  void stop();
  /// Something waits for the controller now: shortens a long wait between attempts.
  void hurry();

  /// False when there is no stream that was welcomed: the caller says it again when there is.
  bool send(Bytes message);
  /// New certificate or trust for the next handshakes.
  [[nodiscard]] Status replace_identity(rt::TlsIdentity identity);
  void replace_trust(std::vector<crypto::Certificate> trust);

  [[nodiscard]] State state() const { return state_; }
  [[nodiscard]] Timestamp since() const { return since_; }
  /// Controller of the stream, or the one tried last.
  [[nodiscard]] const rt::HostPort& controller() const;
  /// Numeric address of the stream's other end; nullopt while there is none.
  [[nodiscard]] std::optional<rt::HostPort> remote_address() const;
  [[nodiscard]] const std::optional<Error>& last_error() const { return last_error_; }
  /// Messages that broke the form or came out of place, since the start; each ended its stream.
  [[nodiscard]] std::uint64_t messages_refused() const { return messages_refused_; }

 private:
  ControllerLink(rt::Loop& loop, Options options, Handlers handlers,
                 std::shared_ptr<rt::TlsClientContext> context);
  void set_state(State state);
  void connect();
  void connected(Result<rt::StreamPtr> stream);
  void message(Bytes octets);
  void refuse(const Error& error);
  void closed(const Error& error, std::optional<Duration> told = {});
  [[nodiscard]] Duration delay(bool publish_waits);
  void wait(Duration delay);

  rt::Loop& loop_;
  Options options_;
  Handlers handlers_;
  std::shared_ptr<rt::TlsClientContext> context_;
  State state_ = State::kWaiting;
  Timestamp since_{};
  std::size_t next_controller_ = 0;
  std::unique_ptr<rt::PendingConnect> pending_;
  rt::StreamPtr stream_;
  rt::Timer timer_;
  Timestamp away_since_{};
  std::optional<Error> last_error_;
  std::uint64_t messages_refused_ = 0;
};

[[nodiscard]] std::string_view to_string(ControllerLink::State state);

}  // namespace cygnet::agent
