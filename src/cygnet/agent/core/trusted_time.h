// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Time for certificate checks (docs/protocol.md section 6, "Time"): "now = max(local clock, last
/// server time on disk, build time)", so that a clock set back revives no expired certificate; and
/// the controller's clock as an offset to ours, in which acceptance times are told. Pure.

#include <algorithm>
#include <optional>

#include "cygnet/base/time.h"

namespace cygnet::agent {

/// Both clocks of the driver, read together.
struct Now {
  Timestamp mono{};
  ServerTime wall{};
};

class TrustedTime {
 public:
  TrustedTime() = default;
  TrustedTime(ServerTime build_time, ServerTime last_server_time)
      : floor_(std::max(build_time, last_server_time)), last_server_time_(last_server_time) {}

  /// From every Welcome.
  void take_server_time(ServerTime server, Timestamp mono) {
    offset_ = server.time_since_epoch() -
              std::chrono::duration_cast<std::chrono::milliseconds>(mono.time_since_epoch());
    last_server_time_ = std::max(last_server_time_, server);
    floor_ = std::max(floor_, server);
  }
  [[nodiscard]] ServerTime now(const Now& now) const { return std::max(now.wall, floor_); }
  [[nodiscard]] ServerTime last_server_time() const { return last_server_time_; }

  /// A point on the controller's clock, on ours. Until the controller told its time, our wall
  /// clock stands in for it.
  [[nodiscard]] Timestamp on_our_clock(ServerTime server, const Now& now) const {
    if (offset_) return Timestamp(Duration(server.time_since_epoch() - *offset_));
    return now.mono + Duration(server - now.wall);
  }

 private:
  ServerTime floor_{};
  ServerTime last_server_time_{};
  std::optional<std::chrono::milliseconds> offset_;
};

}  // namespace cygnet::agent
