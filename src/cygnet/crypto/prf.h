// SPDX-License-Identifier: Apache-2.0
#pragma once

/// prf and prf+ of IKEv2 (RFC 7296 section 2.13). Thread-safe free functions.

#include "cygnet/base/bytes.h"
#include "cygnet/base/result.h"
#include "cygnet/base/secret.h"
#include "cygnet/crypto/ids.h"

namespace cygnet::crypto {

[[nodiscard]] SecretBytes prf(PrfId id, ByteView key, ByteView data);

/// The first `length` octets of prf+(key, seed); at most 255 blocks.
/// Asserts length <= 255 * prf_length(id): callers bound lanes before asking.
[[nodiscard]] SecretBytes prf_plus(PrfId id, ByteView key, ByteView seed, std::size_t length);

}  // namespace cygnet::crypto
