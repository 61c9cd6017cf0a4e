// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The skip rule of derived SPIs (docs/protocol.md section 5, "SPIs"; AMB-06), apart from where the
/// values come from, so that it can be tested with streams no hash would give. Pure.

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "cygnet/proto/keymat/keymat.h"

namespace cygnet::proto {

/// The next 4-octet value of the stream; nullopt when it has ended.
using SpiSource = std::function<std::optional<std::uint32_t>()>;

/// Fills SPIi[0], SPIr[0], SPIi[1], SPIr[1], … in this order. A value 0…255, or equal to an earlier
/// SPI of the same direction, is skipped and the next one taken.
/// @retval kErrLanes  the stream ended first
[[nodiscard]] Result<std::vector<SpiPair>> select_spis(const SpiSource& next, std::uint16_t lanes);

}  // namespace cygnet::proto
