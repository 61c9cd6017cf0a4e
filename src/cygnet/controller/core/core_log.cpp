// SPDX-License-Identifier: Apache-2.0
// The change log's commit queue, sessions' outboxes, effects, time.
#include <algorithm>

#include "cygnet/base/assert.h"
#include "cygnet/controller/core/core.h"
#include "cygnet/controller/core/messages.h"

namespace cygnet::controller {

store::WriteBatch Core::batch() const { return store::WriteBatch{mesh_.id, {}}; }

void Core::commit(const std::function<void(store::WriteBatch&, Position)>& fill, Then then) {
  const Position position = next_position_++;
  const Ticket ticket{next_ticket_++};
  Persist persist{ticket, batch()};
  fill(persist.batch, position);
  commits_.push_back({position, ticket, false, {}, std::move(then)});
  effects_.emplace_back(std::move(persist));
}

void Core::commit_in_memory(std::function<void(Position, Times)> apply, Times now) {
  commits_.push_back(
      {next_position_++,
       std::nullopt,
       true,
       {},
       [apply = std::move(apply)](const Status&, Position at, Times when) { apply(at, when); }});
  drain(now);
}

void Core::persisted(Ticket ticket, const Status& status, Times now) {
  const auto it = std::find_if(commits_.begin(), commits_.end(),
                               [&](const Commit& c) { return c.ticket == ticket; });
  CYGNET_ASSERT(it != commits_.end());
  it->done = true;
  it->status = status;
  if (!status) counters_.add("store-failed." + std::string(status.error().code.name()));
  drain(now);
  finish(now);
}

void Core::drain(Times now) {
  if (draining_) return;  // what a continuation adds is taken by the loop below
  draining_ = true;
  while (!commits_.empty() && commits_.front().done) {
    Commit commit = std::move(commits_.front());
    commits_.pop_front();
    commit.then(commit.status, commit.position, now);
  }
  draining_ = false;
}

void Core::finish(Times now) {
  wake_relay();
  for (auto& [device, mark] : relay_->marks().take_due(now.mono)) {
    const auto session = relay_->session_of(device);
    if (!session) continue;
    counters_.add("publish-status");
    std::size_t done = 0;
    do {
      // A mark for thousands of peers is cut into several; the counts stand in each.
      const std::size_t n =
          std::min(mark.acknowledged.size() - done, setup_.limits.acknowledged_names_max);
      std::vector<std::string> names;
      names.reserve(n);
      for (std::size_t i = 0; i < n; ++i) names.push_back(full_name(mark.acknowledged[done + i]));
      send(*session,
           encode_status(mark.counter, names, mark.attached_missing, mark.unattached_missing));
      done += n;
    } while (done < mark.acknowledged.size());
  }
}

void Core::wake_relay() {
  for (const DeviceIndex device : relay_->take_woken()) {
    const auto session = relay_->session_of(device);
    if (session && !held_) effects_.emplace_back(Wake{*session});
  }
}

void Core::tick(Times now) {
  if (now.mono >= sweep_at_) sweep(now);
  finish(now);
}

std::optional<Timestamp> Core::next_deadline() const {
  const auto mark = relay_->marks().next_due();
  return mark ? std::min(*mark, sweep_at_) : sweep_at_;
}

/// "Removal is a tombstone in the log, kept at least hard lifetime + certificate lifetime"
void Core::sweep(Times now) {
  sweep_at_ = now.mono + setup_.limits.sweep_interval;
  const auto hard = policy_ ? policy_->document().lifetime : setup_.defaults.lifetime;
  const ServerTime before = now.wall - hard - setup_.limits.certificate_lifetime;
  if (relay_->drop_tombstones(before) > 0) counters_.add("tombstones-dropped");
  const ServerTime tokens_before = now.wall - setup_.limits.token_kept;
  std::vector<store::Sha256> old;
  for (const auto& token : tokens_) {
    if (token.expires_at < tokens_before) old.push_back(token.hash);
  }
  commit(
      [&](store::WriteBatch& batch, Position) {
        batch.add(store::DropTombstones{before});
        for (const auto& hash : old) batch.add(store::RemoveToken{hash});
      },
      [this, old](const Status& status, Position, Times) {
        if (!status) return;
        std::erase_if(tokens_, [&](const auto& token) {
          return std::find(old.begin(), old.end(), token.hash) != old.end();
        });
      });
}

Effects Core::take_effects() {
  Effects out;
  out.swap(effects_);
  return out;
}

// ---- Outboxes.

void Core::send(SessionId id, SharedOctets message) {
  const auto it = sessions_.find(id);
  if (it == sessions_.end() || it->second.closing) return;
  Session& session = it->second;
  if (session.direct.size() >= setup_.limits.direct_messages_max) {
    // It publishes or asks without reading the answers; updates are bounded, answers are not.
    session.direct.clear();
    go_away(id,
            Error{kErrBacklog, "too many answers wait to be read", "limit direct_messages_max",
                  "read the stream while writing to it"},
            1000);
    return;
  }
  session.direct.push_back(std::move(message));
  effects_.emplace_back(Wake{id});
}

void Core::send(SessionId id, Bytes message) {
  send(id, std::make_shared<const Bytes>(std::move(message)));
}

void Core::send_after_updates(SessionId id, Bytes message) {
  const auto it = sessions_.find(id);
  if (it == sessions_.end() || it->second.closing) return;
  if (it->second.after_updates.size() >= setup_.limits.direct_messages_max) return;
  it->second.after_updates.push_back(std::make_shared<const Bytes>(std::move(message)));
  effects_.emplace_back(Wake{id});
}

void Core::go_away(SessionId id, const Error& error, std::uint32_t reconnect_after_ms) {
  const auto it = sessions_.find(id);
  if (it == sessions_.end() || it->second.closing) return;
  it->second.direct.push_back(
      std::make_shared<const Bytes>(encode_goaway(goaway_reason(error), reconnect_after_ms)));
  it->second.closing = true;
  counters_.add("goaway." + std::string(error.code.name()));
  effects_.emplace_back(Wake{id});
  effects_.emplace_back(Close{id});
}

SharedOctets Core::next_message(SessionId id, std::size_t size_max) {
  const auto it = sessions_.find(id);
  if (it == sessions_.end()) return nullptr;
  Session& session = it->second;
  if (!session.direct.empty()) {
    SharedOctets message = std::move(session.direct.front());
    session.direct.pop_front();
    return message;
  }
  if (session.closing || held_ || relay_->session_of(session.device) != id) return nullptr;
  if (SharedOctets update = relay_->next_update(session.device, size_max)) return update;
  if (session.after_updates.empty()) return nullptr;
  SharedOctets message = std::move(session.after_updates.front());
  session.after_updates.pop_front();
  return message;
}

void Core::send_all_away(const Error& error, std::uint32_t reconnect_after_ms) {
  std::vector<SessionId> ids;
  ids.reserve(sessions_.size());
  for (const auto& [id, session] : sessions_) ids.push_back(id);
  for (const SessionId id : ids) go_away(id, error, reconnect_after_ms);
}

void Core::shut_down(std::uint32_t reconnect_after_ms, Times now) {
  send_all_away(Error{kErrShutdown, "the controller stops", {}, "connect again later"},
                reconnect_after_ms);
  finish(now);
}

void Core::note(Event::Level level, std::string kind, std::string device, std::string text,
                std::string peer) {
  effects_.emplace_back(
      Event{level, std::move(kind), std::move(device), std::move(peer), std::move(text)});
}

store::AuditRecord Core::audit(const std::string& who, std::string action, std::string object,
                               std::string before, std::string after, Times now) const {
  return store::AuditRecord{
      0, now.wall, who, std::move(action), std::move(object), std::move(before), std::move(after)};
}

void Core::operator_done(RequestId request, Status status) {
  effects_.emplace_back(OperatorDone{request, std::move(status)});
}

// ---- Test verbs.

void Core::hold_relay(std::size_t publishes) {
  held_ = true;
  held_publishes_ = 0;
  held_until_publishes_ = publishes;
}

void Core::release_relay() {
  held_ = false;
  held_until_publishes_ = 0;
  for (const auto& [id, session] : sessions_) {
    if (relay_->has_update(session.device) || !session.after_updates.empty()) {
      effects_.emplace_back(Wake{id});
    }
  }
}

}  // namespace cygnet::controller
