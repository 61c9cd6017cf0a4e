// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/backend/xfrm/spi_sampler.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include "cygnet/agent/backend/common/outer_address.h"

namespace cygnet::agent::xfrm {
namespace {

constexpr std::size_t kUdpHeader = 8;
constexpr std::size_t kEspHeader = 8;
constexpr std::size_t kHeadroom = 128;  // of a packet, as much as is looked at
constexpr int kBuffer = 64 * 1024;
constexpr std::size_t kTakenMax = 256;

}  // namespace

std::optional<SampledEsp> sampled_esp(ByteView packet, bool v6, std::uint16_t port) {
  if (!v6) {
    if (packet.size() < 20 || packet[0] >> 4 != 4) return std::nullopt;
    const std::size_t header = std::size_t{packet[0] & 0x0fU} * 4;
    // A later fragment has no ports.
    if (header < 20 || packet.size() < header || (load_be16(packet.data() + 6) & 0x1fffU) != 0) {
      return std::nullopt;
    }
    packet = packet.subspan(header);
  }
  if (packet.size() < kUdpHeader + kEspHeader || load_be16(packet.data() + 2) != port) {
    return std::nullopt;
  }
  const std::uint32_t spi = load_be32(packet.data() + kUdpHeader);
  if (spi == 0) return std::nullopt;  // the non-ESP marker
  return SampledEsp{spi, load_be16(packet.data())};
}

void SpiSampler::open() {
  for (const bool v6 : {false, true}) {
    Fd fd(::socket(v6 ? AF_INET6 : AF_INET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_UDP));
    // Without the family, or the right, unknown SPIs stay a number among the drops.
    if (!fd.is_open()) continue;
    setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUF, &kBuffer, sizeof kBuffer);
    sockets_[v6 ? 1 : 0] = std::move(fd);
  }
}

void SpiSampler::take() {
  std::array<std::uint8_t, kHeadroom> octets;
  for (const bool v6 : {false, true}) {
    const Fd& fd = sockets_[v6 ? 1 : 0];
    while (fd.is_open() && taken_.size() < kTakenMax) {
      OuterAddress source;
      socklen_t length = sizeof source;
      const ssize_t n = recvfrom(fd.get(), octets.data(), octets.size(), 0, &source.any, &length);
      if (n < 0) break;
      const auto esp = sampled_esp(ByteView(octets).first(static_cast<std::size_t>(n)), v6, port_);
      if (!esp) continue;
      UdpEndpoint endpoint = source.endpoint();
      endpoint.port = esp->source_port;
      taken_.emplace_back(esp->spi, endpoint);
    }
  }
}

std::vector<UnknownSpiReport> SpiSampler::look(std::uint64_t unknown_packets,
                                               const std::set<std::uint32_t>& known,
                                               Timestamp now) {
  for (const auto& [spi, source] : taken_) {
    if (!known.contains(spi)) unknown_.add(spi, source);
  }
  taken_.clear();
  const bool rises = last_ && unknown_packets > *last_;
  last_ = unknown_packets;
  if (rises && !sampling()) open();
  if (!rises) sockets_ = {};
  return unknown_.take(now);
}

}  // namespace cygnet::agent::xfrm
