// SPDX-License-Identifier: Apache-2.0
#pragma once

/// DeviceMachine: the device's own generations (docs/protocol.md section 6): their counters,
/// "install for every peer, then publish", Bounds, Forgetting, delivery marks, soft lifetime, own
/// DIM at the controller. One DH pair serves all peers, so there is one of these a device.
///
/// Pure value type. Only RekeyCore drives it, and does for it what concerns peers.

#include <cstdint>
#include <optional>
#include <vector>

#include "cygnet/base/time.h"
#include "cygnet/proto/ids/ids.h"
#include "cygnet/proto/rekey/effects.h"
#include "cygnet/proto/rekey/events.h"
#include "cygnet/proto/rekey/params.h"
#include "cygnet/proto/rekey/state_sink.h"
#include "cygnet/proto/rekey/status.h"

namespace cygnet::proto::rekey {

class DeviceMachine {
 public:
  [[nodiscard]] bool started() const { return started_; }
  [[nodiscard]] DeviceStatus status() const;
  [[nodiscard]] std::optional<Timestamp> next_deadline(const RekeyParams& params) const;
  [[nodiscard]] std::uint32_t private_alive() const;
  void describe(StateSink& sink) const;
  friend bool operator==(const DeviceMachine&, const DeviceMachine&) = default;

 private:
  friend class RekeyCore;

  [[nodiscard]] OwnGeneration* newest();
  [[nodiscard]] const OwnGeneration* newest() const;
  /// Bounds: may a generation be drawn now?
  [[nodiscard]] bool may_roll_over(const RekeyParams& params, Timestamp now) const;
  /// When, with two private values there, a third may come. The newest one is accepted.
  /// Two of our generations may be in use: the newest has replaced another one.
  [[nodiscard]] bool would_be_third(const RekeyParams& params) const;
  [[nodiscard]] Timestamp third_allowed(const RekeyParams& params) const;
  /// When the soft lifetime of the newest generation ends.
  [[nodiscard]] std::optional<Timestamp> soft_ends(const RekeyParams& params) const;
  /// When the private value of generation `index` is erased, needed or not.
  [[nodiscard]] std::optional<Timestamp> cap_of(const RekeyParams& params, std::size_t index) const;

  bool started_ = false;
  bool link_up_ = false;
  bool initial_contact_ = false;  ///< the next DIM says that SA state was lost
  std::uint32_t boot_count_ = 0;
  std::uint32_t last_sequence_ = 0;
  std::uint32_t redraws_ = 0;
  std::vector<OwnGeneration> own_;      ///< oldest first
  std::vector<RekeyCounter> given_up_;  ///< drawn in vain, GenerationReady still to come
  std::optional<RekeyCause> wanted_;
  std::optional<Timestamp> not_before_;     ///< pause after failures: no draw until then
  std::optional<Timestamp> publish_again_;  ///< the controller said "retry later"
};

}  // namespace cygnet::proto::rekey
