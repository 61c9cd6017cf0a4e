// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/core/ack_tracker.h"

#include "cygnet/base/assert.h"

namespace cygnet::agent {
namespace {

/// Erases what is of this peer and older. One entry may wait for every peer there is, so only the
/// peer's own stretch is looked at. @return whether there was anything
bool erase_before(std::set<AckTracker::Item>& items, proto::PeerId peer,
                  proto::RekeyCounter counter) {
  const auto first = items.lower_bound({peer, proto::RekeyCounter()});
  const auto last = items.lower_bound({peer, counter});
  if (first == last) return false;
  items.erase(first, last);
  return true;
}

bool erase_all(std::set<AckTracker::Item>& items, proto::PeerId peer) {
  const auto first = items.lower_bound({peer, proto::RekeyCounter()});
  auto last = first;
  while (last != items.end() && last->first == peer) ++last;
  if (first == last) return false;
  items.erase(first, last);
  return true;
}

}  // namespace

void AckTracker::start(const std::optional<Cursor>& resumed, const std::set<Item>& items) {
  *this = AckTracker();
  if (!resumed) return;
  Entry entry;
  entry.cursor = resumed;
  entry.waiting = items;
  entries_.push_back(std::move(entry));
  advance();
  judged_changed_ = false;  // the table is stored with it already
}

void AckTracker::open() {
  entries_.emplace_back();
  entries_.back().open = true;
}

void AckTracker::wait_for_judgement(std::uint64_t ticket) {
  CYGNET_ASSERT(!entries_.empty() && entries_.back().open);
  entries_.back().unjudged.insert(ticket);
}

void AckTracker::close(const std::optional<Cursor>& cursor) {
  CYGNET_ASSERT(!entries_.empty() && entries_.back().open);
  entries_.back().open = false;
  entries_.back().cursor = cursor;
  advance();
}

void AckTracker::judged(std::uint64_t ticket) {
  for (Entry& entry : entries_) {
    if (entry.unjudged.erase(ticket) != 0) break;
  }
  advance();
}

void AckTracker::accepted(std::uint64_t ticket, Item item) {
  for (Entry& entry : entries_) {
    if (entry.unjudged.erase(ticket) == 0) continue;
    entry.waiting.insert(item);
    break;
  }
  // An older DIM of the same peer that still waits will never be completed: this one replaced it.
  for (Entry& entry : entries_) erase_before(entry.waiting, item.first, item.second);
  if (erase_before(pending_, item.first, item.second)) changed_ = true;
  advance();
}

void AckTracker::done(Item item) {
  for (Entry& entry : entries_) entry.waiting.erase(item);
  if (pending_.erase(item) != 0) changed_ = true;
  advance();
}

void AckTracker::pending(Item item) {
  for (Entry& entry : entries_) entry.waiting.erase(item);
  if (pending_.insert(item).second) changed_ = true;
  advance();
}

void AckTracker::peer_gone(proto::PeerId peer) {
  for (Entry& entry : entries_) erase_all(entry.waiting, peer);
  if (erase_all(pending_, peer)) changed_ = true;
  advance();
}

void AckTracker::advance() {
  while (judged_entries_ < entries_.size()) {
    const Entry& entry = entries_[judged_entries_];
    if (entry.open || !entry.unjudged.empty()) break;
    if (entry.cursor) {
      judged_cursor_ = entry.cursor;
      judged_changed_ = true;
    }
    ++judged_entries_;
  }
  while (judged_entries_ > 0 && entries_.front().waiting.empty()) {
    if (entries_.front().cursor) {
      done_cursor_ = entries_.front().cursor;
      changed_ = true;
    }
    entries_.pop_front();
    --judged_entries_;
  }
}

std::optional<Cursor> AckTracker::take_judged() {
  if (!judged_changed_) return std::nullopt;
  judged_changed_ = false;
  return judged_cursor_;
}

std::optional<AckTracker::Acknowledgement> AckTracker::take() {
  if (!changed_ || !done_cursor_) return std::nullopt;
  changed_ = false;
  return Acknowledgement{*done_cursor_, {pending_.begin(), pending_.end()}};
}

}  // namespace cygnet::agent
