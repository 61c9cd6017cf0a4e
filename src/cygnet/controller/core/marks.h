// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Delivery marks: when a device is told which peers hold its newest DIM (protocol section 7,
/// `PublishStatus`).
///
///   "delivery mark: counter, peers that acknowledged since the last one, numbers of attached and
///   of
///    unattached peers without it; the first at once, and at once when no attached peer is missing;
///    else <= 10/s for 2 s, then <= 1/s"
///
/// This is the arithmetic of that sentence: counts, and when the next mark is due. Who acknowledged
/// what is the relay's business. Pure; a value owned by one thread.

#include <cstdint>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

#include "cygnet/controller/core/values.h"
#include "cygnet/proto/ids/ids.h"

namespace cygnet::controller {

struct MarkLimits {
  Duration fast_interval = std::chrono::milliseconds(100);
  Duration fast_phase = std::chrono::seconds(2);
  Duration slow_interval = std::chrono::seconds(1);
};

struct Mark {
  proto::RekeyCounter counter;
  std::vector<DeviceIndex> acknowledged;  ///< since the last mark
  std::uint32_t attached_missing = 0;
  std::uint32_t unattached_missing = 0;
};

class Marks {
 public:
  explicit Marks(MarkLimits limits = {}) : limits_(limits) {}

  /// A new newest generation: nobody has it yet.
  void begin(DeviceIndex device, proto::RekeyCounter counter, std::uint32_t attached_missing,
             std::uint32_t unattached_missing, Timestamp now);
  void end(DeviceIndex device);  ///< the device has no DIM any more

  void acknowledged(DeviceIndex device, DeviceIndex by, bool by_attached, Timestamp now);
  /// A peer that lacks it came (+1) or went (-1), attached or not.
  void missing_changed(DeviceIndex device, int attached, int unattached, Timestamp now);

  /// The device (not a peer) has a session: marks are worth sending. The mark that brings it up to
  /// date is due at once.
  void listener_attached(DeviceIndex device, std::vector<DeviceIndex> acknowledged, Timestamp now);
  void listener_detached(DeviceIndex device);

  [[nodiscard]] std::optional<Timestamp> next_due() const;
  /// Devices whose mark is due, with the mark; counts as sent.
  [[nodiscard]] std::vector<std::pair<DeviceIndex, Mark>> take_due(Timestamp now);

  /// For views: the counts as they stand.
  [[nodiscard]] std::optional<std::pair<std::uint32_t, std::uint32_t>> missing(
      DeviceIndex device) const;

 private:
  struct State {
    Mark mark;
    Timestamp began;
    std::optional<Timestamp> last_sent;  ///< any mark of this generation in this session
    bool first_told = false;             ///< one with an acknowledgement in it was among them
    bool has_dim = false;
    bool listening = false;
    bool dirty = false;
    bool complete_told = false;  ///< "no attached peer is missing" has been told
    std::optional<Timestamp> due;
  };
  void schedule(DeviceIndex device, State& state, Timestamp now);
  void set_due(DeviceIndex device, State& state, std::optional<Timestamp> due);

  MarkLimits limits_;
  std::unordered_map<DeviceIndex, State> states_;
  std::set<std::pair<Timestamp, DeviceIndex>> due_;
};

}  // namespace cygnet::controller
