// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Counts ESP for SPIs nobody has, so that it can be told in small numbers (RFC 9061 sadb-bad-spi;
/// docs/protocol.md section 6, "Bad SPI"). Anybody can send such packets: memory and reports are
/// bounded, whatever arrives. Pure: time comes in.

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "cygnet/agent/backend/api/backend.h"
#include "cygnet/base/time.h"

namespace cygnet::agent {

struct UnknownSpiReport {
  std::uint32_t spi = 0;
  UdpEndpoint source;  ///< of the latest packet
  std::uint64_t count = 0;
};

class UnknownSpis {
 public:
  static constexpr std::size_t kMaxTracked = 16;  ///< others share the count of the last place
  static constexpr Duration kInterval = std::chrono::seconds(1);

  void add(std::uint32_t spi, const UdpEndpoint& source);
  /// What to tell now: the first at once, then at most kMaxTracked an interval.
  [[nodiscard]] std::vector<UnknownSpiReport> take(Timestamp now);
  [[nodiscard]] bool pending() const { return used_ != 0; }

 private:
  std::array<UnknownSpiReport, kMaxTracked> entries_{};
  std::size_t used_ = 0;
  Timestamp next_{};
};

}  // namespace cygnet::agent
