// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Inbound SAs by SPI. SPIs are derived, not chosen, so two peers can give one device the same one
/// (docs/protocol.md section 5, "Collisions"): an SPI leads to a short list. Data-plane thread
/// only; lookups take no lock and allocate nothing.

#include <cstddef>
#include <cstdint>
#include <unordered_map>

#include "cygnet/agent/backend/userspace/sa.h"

namespace cygnet::agent::userspace {

class Sad {
 public:
  /// How many SAs may share an SPI. By chance it is never more than two or three; each costs an
  /// attempt to decrypt.
  static constexpr std::size_t kMaxSameSpi = 8;

  /// @return false when kMaxSameSpi SAs have this SPI already.
  [[nodiscard]] bool add(InboundSa& sa);
  void remove(InboundSa& sa);
  /// The first of the list; follow next_same_spi.
  [[nodiscard]] InboundSa* find(std::uint32_t spi) const {
    const auto it = by_spi_.find(spi);
    return it == by_spi_.end() ? nullptr : it->second;
  }

 private:
  std::unordered_map<std::uint32_t, InboundSa*> by_spi_;
};

}  // namespace cygnet::agent::userspace
