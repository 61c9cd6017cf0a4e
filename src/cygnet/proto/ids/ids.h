// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Identifiers of the protocol, each its own type so that none can stand in for another.
/// Pure; value types.

#include <compare>
#include <cstdint>
#include <optional>
#include <string>

#include "cygnet/base/assert.h"
#include "cygnet/base/strong.h"

namespace cygnet::proto {

/// Security parameter index (RFC 4303 section 2.1). Cannot hold 0 or the reserved 1…255.
class Spi {
 public:
  [[nodiscard]] static constexpr std::optional<Spi> from(std::uint32_t value) {
    if (value < 256) return std::nullopt;
    return Spi(value);
  }
  [[nodiscard]] constexpr std::uint32_t value() const { return value_; }
  friend constexpr auto operator<=>(const Spi&, const Spi&) = default;

 private:
  constexpr explicit Spi(std::uint32_t value) : value_(value) {}
  std::uint32_t value_;
};

/// Rekey counter (draft A.3.2): boot count in the high 32 bits, sequence from 1 in the low. It also
/// names a device's generation: no two generations of a device ever share a counter.
class RekeyCounter {
 public:
  constexpr RekeyCounter() = default;
  constexpr RekeyCounter(std::uint32_t boot_count, std::uint32_t sequence)
      : value_((std::uint64_t{boot_count} << 32) | sequence) {}
  [[nodiscard]] static constexpr RekeyCounter from_wire(std::uint64_t v) {
    return RekeyCounter(static_cast<std::uint32_t>(v >> 32), static_cast<std::uint32_t>(v));
  }
  [[nodiscard]] constexpr std::uint64_t to_wire() const { return value_; }
  [[nodiscard]] constexpr std::uint32_t boot_count() const {
    return static_cast<std::uint32_t>(value_ >> 32);
  }
  [[nodiscard]] constexpr std::uint32_t sequence() const {
    return static_cast<std::uint32_t>(value_);
  }
  friend constexpr auto operator<=>(const RekeyCounter&, const RekeyCounter&) = default;

 private:
  std::uint64_t value_ = 0;
};

/// "3.17": boot count and sequence, as logs and the CLI print a counter.
[[nodiscard]] std::string to_string(RekeyCounter counter);

/// A peer inside one agent: a small handle the agent gives out, stable while it runs.
using PeerId = Strong<struct PeerIdTag, std::uint32_t>;

/// A device's name, `<name>.<mesh>`, as IDi carries it (type FQDN).
using DeviceName = Strong<struct DeviceNameTag, std::string>;

/// An SA pair (l, r): Rx(r-l) inbound and Tx(l-r) outbound, made from local generation l and remote
/// generation r.
struct SaPairId {
  RekeyCounter local;
  RekeyCounter remote;
  friend constexpr auto operator<=>(const SaPairId&, const SaPairId&) = default;
};

}  // namespace cygnet::proto
