// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Which updates are dealt with (docs/protocol.md section 7, Ack): "sent after everything up to it
/// is installed, refused, or pending; pending ones are named and do not count as acknowledged".
/// Two marks move through one queue of updates: *judged* (every DIM was accepted or refused, so the
/// peer table describes the cursor and may be stored with it) and *done* (installed too, so it may
/// be acknowledged). Pure; value type.

#include <deque>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "cygnet/agent/core/messages.h"

namespace cygnet::agent {

class AckTracker {
 public:
  using Item = std::pair<proto::PeerId, proto::RekeyCounter>;

  /// A new stream: nothing of the old one is acknowledged any more. `resumed` is the cursor the
  /// controller honoured, which waits for `items` (DIMs in the table, not installed yet).
  void start(const std::optional<Cursor>& resumed, const std::set<Item>& items);

  /// Changes of the update being read belong to it until close().
  void open();
  void wait_for_judgement(std::uint64_t ticket);
  void close(const std::optional<Cursor>& cursor);

  /// The DIM behind `ticket` was refused, or superseded before it was looked at.
  void judged(std::uint64_t ticket);
  /// … or accepted, and waits to be installed.
  void accepted(std::uint64_t ticket, Item item);
  /// Installed or refused by negotiation.
  void done(Item item);
  void pending(Item item);
  void peer_gone(proto::PeerId peer);

  /// Newest cursor whose changes are all judged, since the last call; for the stored table.
  [[nodiscard]] std::optional<Cursor> take_judged();
  struct Acknowledgement {
    Cursor cursor;
    std::vector<Item> pending;
  };
  /// What to send now; nullopt when nothing changed since the last one.
  [[nodiscard]] std::optional<Acknowledgement> take();

 private:
  struct Entry {
    std::optional<Cursor> cursor;
    std::set<std::uint64_t> unjudged;
    std::set<Item> waiting;
    bool open = false;
  };
  void advance();

  std::deque<Entry> entries_;
  std::size_t judged_entries_ = 0;  ///< leading entries whose DIMs are all judged
  std::set<Item> pending_;
  std::optional<Cursor> judged_cursor_;
  bool judged_changed_ = false;
  std::optional<Cursor> done_cursor_;
  bool changed_ = false;
};

}  // namespace cygnet::agent
