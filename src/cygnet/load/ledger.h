// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Who published what, and who got it: the book that says whether a relay lost, reordered, changed
/// or invented anything (docs/protocol.md section 7, "Order"), and how long things took.
///
/// Devices are numbered from 0 and stand in groups of `group`; a device hears every other one of
/// its group and nobody else. For each receiver and each of its peers:
///
///  - counters rise; the same one may come again only where that is said (after a reconnect);
///  - the octets are those the sender published under that counter;
///  - at the end the receiver holds the sender's newest accepted DIM.
///
/// A counter that a newer one overtook need not arrive ("reduced to the newest for each peer"):
/// such are counted as coalesced. What a device published before this run is only held to the
/// order. Pure; a value owned by one thread.

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "cygnet/base/bytes.h"
#include "cygnet/base/time.h"
#include "cygnet/load/histogram.h"

namespace cygnet::load {

using DeviceNumber = std::uint32_t;

/// What went wrong, counted; all zero in a good run.
struct Faults {
  std::uint64_t out_of_order = 0;  ///< a counter below the last one
  std::uint64_t repeated = 0;      ///< the same counter again without a reconnect between
  std::uint64_t altered = 0;       ///< octets that are not those published
  std::uint64_t invented = 0;      ///< a counter its sender never published
  std::uint64_t stranger = 0;      ///< a device that policy keeps from this receiver
  std::uint64_t refused = 0;       ///< publishes that the controller refused
  [[nodiscard]] std::uint64_t sum() const {
    return out_of_order + repeated + altered + invented + stranger + refused;
  }
};

struct Totals {
  std::uint64_t published = 0;
  std::uint64_t accepted = 0;
  std::uint64_t deliveries = 0;  ///< DIMs that came to somebody
  std::uint64_t coalesced = 0;   ///< accepted DIMs that a newer one overtook on the way to somebody
  std::uint64_t again = 0;       ///< the same DIM after a reconnect
  std::uint64_t from_before = 0;  ///< DIMs of an earlier run
};

/// One (receiver, sender) whose newest DIM has not arrived.
struct Missing {
  DeviceNumber receiver = 0;
  DeviceNumber sender = 0;
  std::uint64_t newest = 0;
  std::uint64_t held = 0;  ///< 0: none
};

class Ledger {
 public:
  Ledger(std::uint32_t devices, std::uint32_t group);

  [[nodiscard]] std::uint32_t devices() const { return devices_; }
  /// How many peers a device has.
  [[nodiscard]] std::uint32_t peers_of(DeviceNumber device) const;

  // ---- What happens.

  void published(DeviceNumber sender, std::uint64_t counter, Bytes octets, Timestamp at);
  /// The controller answered: durable.
  void accepted(DeviceNumber sender, std::uint64_t counter, Timestamp at);
  void refused(DeviceNumber sender, std::uint64_t counter);
  /// A DIM came to a receiver.
  void delivered(DeviceNumber receiver, DeviceNumber sender, std::uint64_t counter, ByteView octets,
                 Timestamp at);
  /// The receiver has a new stream: each peer's newest DIM may come to it once more.
  void reconnected(DeviceNumber receiver);
  /// What an excused receiver lacks does not count in complete_but_excused(), and how long things
  /// took to get there is not measured until start_measuring().
  void excuse(DeviceNumber receiver, bool excused);

  // ---- Where things stand.

  /// Everybody holds everybody's newest.
  [[nodiscard]] bool complete() const { return missing_ == 0; }
  [[nodiscard]] bool complete_but_excused() const { return missing_ == missing_excused_; }
  [[nodiscard]] std::uint64_t missing_count() const { return missing_; }
  /// Everybody holds this sender's newest.
  [[nodiscard]] bool complete(DeviceNumber sender) const { return senders_[sender].missing == 0; }
  [[nodiscard]] std::vector<Missing> missing(std::size_t most) const;
  [[nodiscard]] const Faults& faults() const { return faults_; }
  [[nodiscard]] const Totals& totals() const { return totals_; }

  // ---- What it took, since start_measuring().

  struct Times {
    Histogram delivered;  ///< published until at one receiver, excused ones left out
    Histogram accepted;   ///< published until the publisher was told that it is durable
    Histogram everybody;  ///< published until at the last receiver
    Timestamp first_published{};
    Timestamp last_delivered{};
  };
  /// Forgets times; DIMs published from now on count.
  void start_measuring(Timestamp now);
  [[nodiscard]] const Times& times() const { return times_; }

 private:
  struct Record {
    std::uint64_t counter = 0;
    Timestamp at;
    Bytes octets;
    bool accepted = false;
    bool refused = false;
  };
  struct Sender {
    std::deque<Record> records;  ///< counters rise
    std::uint64_t newest = 0;    ///< that receivers must come to hold; 0: none
    std::uint64_t before = 0;    ///< highest seen that this run did not publish
    std::uint32_t missing = 0;   ///< receivers without the newest
  };
  struct Held {
    std::uint64_t counter = 0;
    bool may_repeat = false;
  };

  [[nodiscard]] Held& held(DeviceNumber receiver, DeviceNumber sender);
  [[nodiscard]] const Held& held(DeviceNumber receiver, DeviceNumber sender) const;
  [[nodiscard]] DeviceNumber group_begin(DeviceNumber device) const;
  [[nodiscard]] DeviceNumber group_end(DeviceNumber device) const;
  [[nodiscard]] static const Record* find(const Sender& sender, std::uint64_t counter);
  void recount(DeviceNumber sender);
  void count_missing(DeviceNumber receiver, Sender& sender, int by);

  std::uint32_t devices_;
  std::uint32_t group_;
  std::vector<Sender> senders_;
  std::vector<std::vector<Held>> held_;  ///< by receiver, then by place in the group
  std::vector<bool> excused_;
  std::vector<bool> untimed_;  ///< was excused since start_measuring()
  std::uint64_t missing_ = 0;
  std::uint64_t missing_excused_ = 0;
  Timestamp measured_from_{};
  Faults faults_;
  Totals totals_;
  Times times_;
};

}  // namespace cygnet::load
