// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Why a packet was not passed on: one enumerator a cause, each with a stable name that counters,
/// audit lines, `cygnet status` and `cygnet debug esp` use (RFC 4301 section 4.4.2.1 "auditable
/// events", RFC 4303 section 4). Pure; value types.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace cygnet::esp {

/// In the order in which a packet meets the checks: the ESP layer, the packet inside on its way
/// in, then what a packet on its way out can meet.
enum class EspDrop : std::uint8_t {
  // Inbound, before the ICV is known to be good: anybody can cause these.
  kTooShort,        ///< shorter than SPI, sequence number, IV, one block and ICV
  kLength,          ///< ciphertext is no multiple of the block
  kUnknownSpi,      ///< no inbound SA has this SPI
  kKeysPending,     ///< for a pair whose keys were not derived in time, or more than is held
  kReplay,          ///< seen before, or left of the replay window
  kIcv,             ///< the integrity check failed: forged, damaged, or under another key
  kControlRate,     ///< a datagram with the non-ESP marker beyond what control takes in a second
  kSocketOverflow,  ///< the outer socket's receive buffer was full
  // Inbound, after the ICV: only the peer that holds the key can cause these.
  kPadding,           ///< pad length beyond the payload, or octets other than 1, 2, 3…
  kNextHeader,        ///< neither IPv4, IPv6 nor dummy
  kDummy,             ///< RFC 4303 section 2.6 dummy packet: discarded by design, no loss
  kInnerVersion,      ///< version nibble contradicts the next header
  kInnerLength,       ///< inner header or total length beyond the payload
  kInnerSource,       ///< inner source is not the peer's (most specific prefix decides)
  kInnerDestination,  ///< inner destination is not ours
  kInnerIcmp,         ///< ICMP error about a packet we never sent to this peer
  kProbe,             ///< malformed probe datagram
  kProbeRate,         ///< probes beyond what control takes from one peer in a second
  kEcn,               ///< congestion experienced outside, inner sender not ECN-capable (RFC 6040)
  kTunWrite,          ///< the kernel refused the packet on the TUN device
  // Outbound.
  kNotIp,           ///< neither IPv4 nor IPv6, or shorter than its header says
  kLinkScope,       ///< link-local chatter of the own kernel, never meant for a peer: no loss
  kNoRoute,         ///< no peer owns the destination
  kOutboundSource,  ///< the source is not ours, so the peer would refuse it
  kTooBig,          ///< over the inner MTU and not to be fragmented; the sender was told
  kHeldDropped,     ///< held for an outbound SA too long, before anything was sent to this peer
  kNoSa,            ///< held for an outbound SA too long or pushed out by newer packets
  kNoEndpoint,      ///< an SA, but no outer address to send to
  kProbeNoSa,       ///< probe for a pair that has gone: no user traffic, no loss
  kProbeSend,       ///< the kernel refused a probe or keepalive to one of many addresses: no loss
  kSeqOverflow,     ///< the SA has used its last sequence number
  kSealFailed,      ///< the cipher refused to encrypt
  kOuterSend,       ///< the kernel refused the datagram
  kQueueFull,       ///< no buffer left behind a full outer socket
  kTunQueue,        ///< the kernel's queue towards the TUN device was full
};
inline constexpr std::size_t kEspDropCount = static_cast<std::size_t>(EspDrop::kTunQueue) + 1;

/// Stable name in kebab-case ("replay", "inner-source"). Documented in docs/drops.md.
[[nodiscard]] std::string_view to_string(EspDrop drop);

/// False for what is discarded by design and was never anybody's traffic.
[[nodiscard]] constexpr bool is_loss(EspDrop drop) {
  return drop != EspDrop::kDummy && drop != EspDrop::kLinkScope && drop != EspDrop::kProbeNoSa &&
         drop != EspDrop::kProbeSend;
}

/// One counter a cause. Not thread-safe: it belongs to the thread that drops.
class DropCounters {
 public:
  void add(EspDrop drop, std::uint64_t n = 1) { counts_[static_cast<std::size_t>(drop)] += n; }
  [[nodiscard]] std::uint64_t count(EspDrop drop) const {
    return counts_[static_cast<std::size_t>(drop)];
  }

 private:
  std::array<std::uint64_t, kEspDropCount> counts_{};
};

}  // namespace cygnet::esp
