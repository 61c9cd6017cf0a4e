// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/link/controller_link.h"

#include <algorithm>

#include "cygnet/rt/log.h"
#include "cygnet/wire/join_line.h"

namespace cygnet::agent {

std::string_view to_string(ControllerLink::State state) {
  switch (state) {
    case ControllerLink::State::kWaiting:
      return "waiting";
    case ControllerLink::State::kConnecting:
      return "connecting";
    case ControllerLink::State::kHello:
      return "hello";
    case ControllerLink::State::kUp:
      return "up";
    case ControllerLink::State::kStopped:
      return "stopped";
  }
  return "unknown";
}

Result<std::unique_ptr<ControllerLink>> ControllerLink::create(rt::Loop& loop, Options options,
                                                               Handlers handlers) {
  rt::TlsClientContext::DeviceOptions tls{options.identity, options.trust, options.trusted_now,
                                          wire::controller_name(options.mesh_name)};
  CYGNET_TRY(auto context, rt::TlsClientContext::create_device(std::move(tls)));
  return std::unique_ptr<ControllerLink>(
      new ControllerLink(loop, std::move(options), std::move(handlers), std::move(context)));
}

ControllerLink::ControllerLink(rt::Loop& loop, Options options, Handlers handlers,
                               std::shared_ptr<rt::TlsClientContext> context)
    : loop_(loop),
      options_(std::move(options)),
      handlers_(std::move(handlers)),
      context_(std::move(context)),
      since_(loop.now()),
      timer_(loop) {}

ControllerLink::~ControllerLink() {
  if (stream_) stream_->close();
}

void ControllerLink::start() {
  away_since_ = loop_.now();
  connect();
}

void ControllerLink::stop() {
  timer_.cancel();
  pending_.reset();
  if (stream_) stream_->close();
  stream_.reset();
  set_state(State::kStopped);
}

void ControllerLink::hurry() {
  if (state_ != State::kWaiting || !timer_.armed()) return;
  wait(delay(true));
}

bool ControllerLink::send(Bytes message) {
  if (state_ != State::kUp || !stream_) return false;
  const Status status = stream_->send(std::move(message));
  if (!status) rt::log_warning("cannot send to the controller", status.error());
  return status.has_value();
}

Status ControllerLink::replace_identity(rt::TlsIdentity identity) {
  return context_->replace_identity(std::move(identity));
}

void ControllerLink::replace_trust(std::vector<crypto::Certificate> trust) {
  context_->replace_trust(std::move(trust));
}

const rt::HostPort& ControllerLink::controller() const {
  return options_.controllers[next_controller_ % options_.controllers.size()];
}

std::optional<rt::HostPort> ControllerLink::remote_address() const {
  if (!stream_) return std::nullopt;
  return stream_->remote_address();
}

void ControllerLink::set_state(State state) {
  if (state_ == state) return;
  state_ = state;
  since_ = loop_.now();
}

void ControllerLink::connect() {
  set_state(State::kConnecting);
  rt::ConnectOptions options;
  options.to = controller();
  options.deadline = options_.connect_deadline;
  options.limits.message_max = std::size_t{16} << 20;
  options.firewall_mark = options_.firewall_mark;
  pending_ =
      rt::connect_stream(loop_, context_, std::move(options),
                         [this](Result<rt::StreamPtr> stream) { connected(std::move(stream)); });
}

void ControllerLink::connected(Result<rt::StreamPtr> stream) {
  pending_.reset();
  if (!stream) {
    closed(stream.error());
    return;
  }
  stream_ = std::move(*stream);
  set_state(State::kHello);
  rt::FramedStream::Handlers handlers;
  handlers.on_message = [this](Bytes octets) { message(std::move(octets)); };
  handlers.on_closed = [this](const Error& error) { closed(error); };
  stream_->start(std::move(handlers));
  if (const Status sent = stream_->send(encode_hello(handlers_.hello())); !sent) {
    closed(sent.error());
  }
}

void ControllerLink::message(Bytes octets) {
  Result<ControllerMessage> decoded = decode_controller_message(octets);
  if (!decoded) return refuse(decoded.error());
  if (const auto* goaway = std::get_if<GoawayMessage>(&*decoded)) {
    closed(Error{rt::kErrStreamClosed, "the controller asks to come back later: " + goaway->reason},
           goaway->reconnect_after);
    return;
  }
  if (const auto* welcome = std::get_if<WelcomeMessage>(&*decoded)) {
    if (state_ != State::kHello || welcome->mesh != options_.mesh) {
      return refuse(Error{kErrMessage, "a Welcome out of place or of another mesh", "controller",
                          "check which controller the device was enrolled at"});
    }
    last_error_.reset();
    set_state(State::kUp);
    rt::log_info("connected to the controller",
                 {{"controller", controller().to_string()}, {"resumed", welcome->welcome.resumed}});
    handlers_.on_welcome(*welcome);
    return;
  }
  if (state_ != State::kUp) {
    return refuse(Error{kErrMessage, "the first message is no Welcome", "controller",
                        "check that the address is that of a cygnetd of this mesh"});
  }
  handlers_.on_message(std::move(*decoded));
}

void ControllerLink::refuse(const Error& error) {
  ++messages_refused_;
  closed(error);
}

void ControllerLink::closed(const Error& error, std::optional<Duration> told) {
  const bool was_up = state_ == State::kUp;
  if (stream_) stream_->close();
  // The stream may be in the middle of a callback into this object: let it end first.
  loop_.post([stream = std::exchange(stream_, nullptr)] {});
  const bool news = !last_error_ || last_error_->message != error.message;
  last_error_ = error;
  if (was_up || news) {
    rt::log_warning(
        was_up ? "lost the controller: SAs stay, rekeys wait" : "cannot reach the controller",
        error, {{"controller", controller().to_string()}});
  }
  ++next_controller_;
  set_state(State::kWaiting);
  if (was_up) {
    away_since_ = loop_.now();
    handlers_.on_down();
  }
  if (state_ != State::kWaiting) return;  // stopped by the handler
  const Duration own = delay(handlers_.publish_waits());
  wait(told ? std::max(*told, own) : own);
}

Duration ControllerLink::delay(bool publish_waits) {
  return reconnect_delay(loop_.now() - away_since_, publish_waits, handlers_.random());
}

void ControllerLink::wait(Duration delay) {
  timer_.arm_after(delay, [this] { connect(); });
}

}  // namespace cygnet::agent
