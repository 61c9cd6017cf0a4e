// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Finds out which SPIs nobody has. The kernel only counts such packets, so while its counter
/// rises, and no longer, copies of what arrives on the ESP port are looked at: a sample, bounded by
/// a small socket buffer whatever arrives. Watcher's thread only.

#include <array>
#include <cstdint>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "cygnet/agent/backend/common/fd.h"
#include "cygnet/agent/backend/common/unknown_spis.h"

namespace cygnet::agent::xfrm {

/// ESP in UDP to `port` in an IPv4 packet, or (v6) in a UDP datagram: its SPI and source port.
struct SampledEsp {
  std::uint32_t spi = 0;
  std::uint16_t source_port = 0;
};
[[nodiscard]] std::optional<SampledEsp> sampled_esp(ByteView packet, bool v6, std::uint16_t port);

class SpiSampler {
 public:
  explicit SpiSampler(std::uint16_t port) : port_(port) {}

  /// @param unknown_packets  the kernel's counter (XfrmInNoStates)
  /// @param known            every inbound SPI there is, read after what is judged now arrived
  /// What is to be told now, rate-limited.
  [[nodiscard]] std::vector<UnknownSpiReport> look(std::uint64_t unknown_packets,
                                                   const std::set<std::uint32_t>& known,
                                                   Timestamp now);
  [[nodiscard]] bool sampling() const { return sockets_[0].is_open() || sockets_[1].is_open(); }
  /// Takes what waits in the sockets; before `known` is read.
  void take();

 private:
  void open();

  std::uint16_t port_;
  std::optional<std::uint64_t> last_;
  std::array<Fd, 2> sockets_;  ///< IPv4, IPv6
  std::vector<std::pair<std::uint32_t, UdpEndpoint>> taken_;
  UnknownSpis unknown_;
};

}  // namespace cygnet::agent::xfrm
