// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Lets something pass at once and then at most once an interval. Pure: time comes in.

#include <optional>

#include "cygnet/base/time.h"

namespace cygnet::agent {

class RateGate {
 public:
  [[nodiscard]] bool pass(Timestamp now, Duration interval) {
    if (last_ && now - *last_ < interval) return false;
    last_ = now;
    return true;
  }

 private:
  std::optional<Timestamp> last_;
};

/// At most `limit` in a window of `interval`.
class RateBudget {
 public:
  RateBudget(unsigned limit, Duration interval) : limit_(limit), interval_(interval) {}
  [[nodiscard]] bool pass(Timestamp now) {
    if (!start_ || now - *start_ >= interval_) {
      start_ = now;
      used_ = 0;
    }
    if (used_ >= limit_) return false;
    ++used_;
    return true;
  }

 private:
  unsigned limit_;
  Duration interval_;
  unsigned used_ = 0;
  std::optional<Timestamp> start_;
};

}  // namespace cygnet::agent
