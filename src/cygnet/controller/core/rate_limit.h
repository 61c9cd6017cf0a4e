// SPDX-License-Identifier: Apache-2.0
#pragma once

/// A named limit on how often something may happen: a bucket that fills evenly and holds a minute's
/// worth, so that a short burst (a mesh that comes up) is no offence. Pure; value type.

#include <algorithm>
#include <cstdint>

#include "cygnet/base/time.h"

namespace cygnet::controller {

class RateLimit {
 public:
  explicit RateLimit(std::uint32_t per_minute) : per_minute_(per_minute), tokens_(per_minute) {}

  /// Takes one; false when the minute's worth is used up.
  [[nodiscard]] bool take(Timestamp now) {
    if (started_ && now > last_) {
      const double minutes = std::chrono::duration<double, std::ratio<60>>(now - last_).count();
      tokens_ = std::min<double>(per_minute_, tokens_ + minutes * per_minute_);
    }
    if (!started_ || now > last_) last_ = now;
    started_ = true;
    if (tokens_ < 1) return false;
    tokens_ -= 1;
    return true;
  }

 private:
  std::uint32_t per_minute_;
  double tokens_;
  Timestamp last_{};
  bool started_ = false;
};

}  // namespace cygnet::controller
