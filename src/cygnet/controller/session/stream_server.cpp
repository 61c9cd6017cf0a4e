// SPDX-License-Identifier: Apache-2.0
#include "cygnet/controller/session/stream_server.h"

#include <algorithm>

namespace cygnet::controller {
namespace {

/// Sessions served before the loop does something else, such as writing what they got: what a
/// publish to ten thousand makes wait in memory is what so many of them are told.
constexpr std::size_t kSessionsPerTurn = 64;
/// Octets of one message with many changes: two whole TLS records.
constexpr std::size_t kMessageOctets = 32768;

}  // namespace

StreamServer::StreamServer(rt::Loop& loop, const StreamServerLimits& limits, Handlers handlers)
    : loop_(loop), limits_(limits), handlers_(std::move(handlers)) {}

StreamServer::~StreamServer() {
  *alive_ = false;
  listener_.reset();
  for (auto& [id, session] : sessions_) session.stream->close();
  for (auto& [id, join] : joins_) join.stream->close();
}

Result<std::unique_ptr<StreamServer>> StreamServer::create(
    rt::Loop& loop, std::shared_ptr<rt::TlsServerContext> context, const rt::HostPort& bind,
    const StreamServerLimits& limits, Handlers handlers) {
  std::unique_ptr<StreamServer> server(new StreamServer(loop, limits, std::move(handlers)));
  StreamServer* self = server.get();
  CYGNET_TRY(server->listener_,
             rt::StreamListener::create(
                 loop, std::move(context), {bind, limits.stream, limits.handshakes_max, false},
                 {[self](rt::StreamPtr stream) { self->accepted(std::move(stream)); },
                  [self](const Error& error, const rt::HostPort& remote) {
                    self->handlers_.on_refused(error, remote.to_string());
                  }}));
  server->port_ = server->listener_->port();
  return server;
}

std::uint16_t StreamServer::port() const { return port_; }

void StreamServer::stop_accepting() { listener_.reset(); }

std::string StreamServer::remote_of(SessionId session) const {
  const auto it = sessions_.find(session);
  return it == sessions_.end() ? std::string() : it->second.stream->remote_address().to_string();
}

void StreamServer::accepted(rt::StreamPtr stream) {
  if (stream->alpn() == rt::kAlpnJoin) return accepted_join(std::move(stream));
  accepted_device(std::move(stream));
}

void StreamServer::accepted_device(rt::StreamPtr stream) {
  const SessionId id{next_++};
  const crypto::Certificate certificate = *stream->peer_certificate();
  Session& session = sessions_[id];
  session.stream = stream;
  session.deadline = std::make_unique<rt::Timer>(loop_);
  session.deadline->arm_after(limits_.first_message, [this, id] {
    const auto it = sessions_.find(id);
    if (it == sessions_.end()) return;
    it->second.stream->close();
    ended(id, Error{rt::kErrStreamTimeout, "no Hello came in time", {}, "say Hello at once"});
  });
  handlers_.on_connected(id, certificate);
  const auto it = sessions_.find(id);
  if (it == sessions_.end()) return;
  stream->start({[this, id](Bytes message) {
                   const auto found = sessions_.find(id);
                   if (found == sessions_.end()) return;
                   if (!found->second.closing) found->second.deadline.reset();
                   handlers_.on_message(id, std::move(message));
                 },
                 [this, id](const Error& error) { ended(id, error); }, [this, id] { flush(id); }});
}

void StreamServer::ended(SessionId id, const Error& error) {
  const auto it = sessions_.find(id);
  if (it == sessions_.end()) return;
  const std::string remote = it->second.stream->remote_address().to_string();
  const bool expected =
      it->second.closing || error.code == rt::kErrStreamClosed || error.code == rt::kErrStreamLocal;
  sessions_.erase(it);
  if (!expected) handlers_.on_refused(error, remote);
  handlers_.on_closed(id);
}

void StreamServer::flush(SessionId id) {
  const auto it = sessions_.find(id);
  if (it == sessions_.end() || it->second.due) return;
  it->second.due = true;
  due_.push_back(id);
  schedule_due();
}

void StreamServer::schedule_due() {
  if (due_scheduled_) return;
  due_scheduled_ = true;
  loop_.post([this, alive = alive_] {
    if (*alive) flush_due();
  });
}

void StreamServer::flush_due() {
  due_scheduled_ = false;
  for (std::size_t n = 0; n < kSessionsPerTurn && !due_.empty(); ++n) {
    const SessionId id = due_.front();
    due_.pop_front();
    const auto it = sessions_.find(id);
    if (it == sessions_.end()) continue;
    it->second.due = false;
    pull(id);
  }
  if (!due_.empty()) schedule_due();
}

void StreamServer::pull(SessionId id) {
  while (true) {
    // pull() and send() may end the session; look it up again each time.
    const auto it = sessions_.find(id);
    if (it == sessions_.end()) return;
    rt::FramedStream& stream = *it->second.stream;
    if (!it->second.closing && stream.queued_octets() >= limits_.high_water) return;
    const SharedOctets message = handlers_.pull(id, std::min(kMessageOctets, limits_.high_water));
    if (!message) return;
    if (const Status sent = stream.send(message); !sent) {
      stream.close();
      return ended(id, sent.error());
    }
  }
}

void StreamServer::close(SessionId id) {
  const auto it = sessions_.find(id);
  if (it == sessions_.end() || it->second.closing) return;
  it->second.closing = true;
  pull(id);
  const auto still = sessions_.find(id);
  if (still == sessions_.end()) return;
  still->second.deadline.reset();
  still->second.stream->close_after_flush(limits_.flush);
}

void StreamServer::accepted_join(rt::StreamPtr stream) {
  const RequestId id{next_++};
  if (joins_.size() >= limits_.joins_max) {
    handlers_.on_refused(
        Error{rt::kErrStreamBusy, "too many joins at one time", "limit joins_max", "try again"},
        stream->remote_address().to_string());
    stream->close();
    return;
  }
  Join& join = joins_[id];
  join.stream = stream;
  join.deadline = std::make_unique<rt::Timer>(loop_);
  join.deadline->arm_after(limits_.join, [this, id] {
    const auto it = joins_.find(id);
    if (it == joins_.end()) return;
    handlers_.on_refused(Error{rt::kErrStreamTimeout, "a join took too long"},
                         it->second.stream->remote_address().to_string());
    it->second.stream->close();
    joins_.erase(it);
  });
  stream->start({[this, id](Bytes message) {
                   const auto it = joins_.find(id);
                   if (it == joins_.end() || it->second.asked) return;  // one request a stream
                   it->second.asked = true;
                   handlers_.on_join(id, std::move(message));
                 },
                 [this, id](const Error&) { joins_.erase(id); },
                 {}});
}

void StreamServer::reply_join(RequestId request, Bytes reply) {
  const auto it = joins_.find(request);
  if (it == joins_.end()) return;
  if (const Status sent = it->second.stream->send(std::move(reply)); !sent) {
    it->second.stream->close();
    joins_.erase(it);
    return;
  }
  it->second.stream->close_after_flush(limits_.flush);
}

}  // namespace cygnet::controller
