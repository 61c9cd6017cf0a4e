// SPDX-License-Identifier: Apache-2.0
#pragma once

/// From an SPI back to the pair of generations it belongs to (protocol section 5: SPIs are a
/// function of two nonces, so whoever knows both DIMs knows them). Pure.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "cygnet/proto/dim/dim.h"

namespace cygnet::controller {

/// Derivations one report may cost.
inline constexpr std::size_t kSpiDerivationsMax = 20'000;

/// Indices into the lists given to find_inbound_spi.
struct SpiMatch {
  std::size_t local = 0;
  std::size_t remote = 0;
};

/// Which pair (local, remote) has `spi` as an inbound SPI of the local device, in any lane. Takes
/// one from `budget` for each derivation and stops at 0.
[[nodiscard]] std::optional<SpiMatch> find_inbound_spi(std::uint32_t spi,
                                                       std::span<const proto::Dim* const> locals,
                                                       std::span<const proto::Dim* const> remotes,
                                                       std::size_t& budget);

}  // namespace cygnet::controller
