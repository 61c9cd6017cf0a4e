// SPDX-License-Identifier: Apache-2.0
#pragma once

/// SHA-256, for identifiers (mesh addresses, key pins, DIM digests). Thread-safe.

#include <array>
#include <initializer_list>

#include "cygnet/base/bytes.h"

namespace cygnet::crypto {

using Sha256 = std::array<std::uint8_t, 32>;
[[nodiscard]] Sha256 sha256(std::initializer_list<ByteView> parts);

}  // namespace cygnet::crypto
