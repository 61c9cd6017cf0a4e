// SPDX-License-Identifier: Apache-2.0
#pragma once

/// One simulated device: a real stream with its own certificate, DIMs with a fresh Diffie-Hellman
/// value and nonce each, signed by its own key, an Ack for everything it hears. It installs no SA:
/// what it hears goes into the ledger. Loop thread only.

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "cygnet/agent/core/messages.h"
#include "cygnet/load/fleet_file.h"
#include "cygnet/load/ledger.h"
#include "cygnet/proto/dim/dim.h"
#include "cygnet/rt/framed_stream.h"
#include "cygnet/rt/loop.h"

namespace cygnet::load {

/// What all devices of a run saw together.
struct Traffic {
  std::uint64_t octets_in = 0;  ///< messages and their lengths
  std::uint64_t octets_out = 0;
  std::uint64_t messages_in = 0;
  std::uint64_t acks = 0;
  std::uint64_t marks = 0;
  std::uint64_t connects = 0;          ///< streams that were welcomed
  std::uint64_t tls_resumed = 0;       ///< of them with a ticket
  std::uint64_t cursors_honoured = 0;  ///< of them that got only what they missed
  std::uint64_t connects_failed = 0;   ///< attempts
  std::uint64_t streams_lost = 0;      ///< that nobody here closed
  std::uint64_t goaways = 0;
  std::uint64_t messages_broken = 0;
};

/// What the devices of a run share. Outlives them.
struct Surroundings {
  rt::Loop& loop;
  rt::HostPort controller;
  std::vector<crypto::Certificate> trust;
  crypto::MeshId mesh{};
  std::string mesh_name;
  Ledger& ledger;
  Traffic traffic;
  std::optional<Error> last_error;  ///< of a stream that failed
  std::size_t up = 0;               ///< devices that were welcomed and are still there
  std::uint64_t lose = 0;           ///< planted fault: this delivery (from 1) is not written down
};

class Device {
 public:
  Device(Surroundings& around, DeviceNumber number, const Member& member);
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  /// Tries, with an agent's delays, until the controller said Welcome; and again when the stream
  /// breaks.
  void connect();
  /// Closes without a word and stays away until connect().
  void drop();
  /// Makes, signs and publishes the next generation. Only while up and not publishing.
  [[nodiscard]] Status publish();
  void pause_reading(bool paused);

  [[nodiscard]] bool up() const { return state_ == State::kUp; }
  [[nodiscard]] bool publishing() const { return awaited_.has_value(); }
  [[nodiscard]] bool has_published() const { return !newest_dim_.empty(); }

 private:
  enum class State : std::uint8_t { kAway, kWaiting, kConnecting, kHello, kUp };
  void attempt();
  void connected(Result<rt::StreamPtr> stream);
  void lost(const Error& error, std::optional<Duration> told);
  void set_state(State state);
  void heard(Bytes octets);
  void heard_update(ByteView octets);
  void welcomed(const agent::Welcome& welcome);
  void result(const agent::PublishResult& result);
  void schedule_ack();
  void send(Bytes message);

  Surroundings& around_;
  DeviceNumber number_;
  Member member_;
  std::string full_name_;
  std::shared_ptr<rt::TlsClientContext> context_;
  std::unique_ptr<rt::PendingConnect> pending_;
  rt::StreamPtr stream_;
  rt::Timer retry_;
  Timestamp away_since_{};
  State state_ = State::kAway;
  std::vector<proto::Proposal> proposals_;
  std::optional<agent::Cursor> cursor_;
  proto::RekeyCounter counter_;
  bool initial_contact_ = true;
  Bytes newest_dim_;
  std::optional<std::uint64_t> awaited_;  ///< counter that has no PublishResult yet
  bool ack_due_ = false;
  bool paused_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace cygnet::load
