// SPDX-License-Identifier: Apache-2.0
#pragma once

/// DIM octets to value and back (docs/protocol.md section 3). Canonical: decode then encode gives
/// the same octets, and every accepted DIM has exactly one encoding. Pure.

#include "cygnet/proto/dim/dim.h"

namespace cygnet::proto {

inline constexpr ErrorCode kErrDimForm{"dim-form"};
inline constexpr ErrorCode kErrDimSize{"dim-size"};

/// @retval kErrDimSize, kErrDimForm with `where` = "<payload> payload at offset <n>".
[[nodiscard]] Result<Dim> decode_dim(ByteView octets);

/// The octets before AUTH (what AUTH signs, after the prefix): AUTH field ignored.
[[nodiscard]] Result<Bytes> encode_dim_unsigned(const Dim& dim);
/// The whole DIM. @retval kErrDimForm when the value breaks a limit or the canonical form.
[[nodiscard]] Result<Bytes> encode_dim(const Dim& dim);

/// Octets before AUTH inside an encoded DIM (for equivocation: a signature may differ).
/// Precondition: decode_dim(octets) succeeded.
[[nodiscard]] ByteView octets_before_auth(ByteView octets);

/// What AUTH signs: "cygnet-dim-v1" | 00 | mesh id | 35 | all octets before AUTH.
[[nodiscard]] Bytes auth_input(const crypto::MeshId& mesh, ByteView before_auth);

/// Encodes and signs: fills dim.auth and returns the octets.
[[nodiscard]] Result<Bytes> sign_dim(Dim& dim, const crypto::MeshId& mesh,
                                     const crypto::IdentityKey& key);
/// @retval crypto::kErrSignature
[[nodiscard]] Status verify_dim(const Dim& dim, ByteView octets, const crypto::MeshId& mesh,
                                const crypto::Certificate& certificate);

}  // namespace cygnet::proto
