// SPDX-License-Identifier: Apache-2.0
#pragma once

/// SPIs, SKEYSEED, SK_d and KEYMAT of an SA pair (draft 5.2.1.3, 5.2.1.4, A.3.1;
/// docs/protocol.md section 5). Pure; uses crypto.
///
///   S        = prf+(Ni | Nr, "SPI generation" | SPNi | SPNr)
///   SPIs     = S cut into 4-octet values: SPIi[0], SPIr[0], SPIi[1], SPIr[1], …  (skip rule
///   AMB-06) SKEYSEED = prf(Ni | Nr, g^ir) SK_d'    = prf+(SKEYSEED, Ni | Nr | SPIi[0] | SPIr[0])
///   SK_d     = prf+(PPK, SK_d') with a PPK, else SK_d'
///   KEYMAT   = prf+(SK_d, Ni | Nr)

#include <optional>
#include <string_view>
#include <vector>

#include "cygnet/base/secret.h"
#include "cygnet/crypto/ids.h"
#include "cygnet/proto/ids/ids.h"
#include "cygnet/proto/negotiate/negotiate.h"

namespace cygnet::proto {

inline constexpr ErrorCode kErrNonceLength{"nonce"};
inline constexpr ErrorCode kErrLanes{"lanes"};

/// 16 to 256 octets (RFC 7296 section 3.9). `name` says whose it is.
/// @retval kErrNonceLength
[[nodiscard]] Status check_nonce(ByteView nonce, std::string_view name);

struct SpiPair {
  Spi i;  ///< inbound SPI of the device that gave Ni
  Spi r;
};

/// The draft's two forms of KEYMAT (AMB-03); the wire uses kLong.
enum class Kdf : std::uint8_t { kLong, kShort };

/// Inputs that need no DH: known as soon as both nonces are.
struct SpiInputs {
  crypto::PrfId prf;
  ByteView ni;
  ByteView nr;
  /// Proposal numbers; nullopt for the draft's bare form (debugging only).
  std::optional<std::pair<std::uint8_t, std::uint8_t>> spn;
  std::uint16_t lanes = 1;
};
/// One pair a lane. Deterministic skip rule: a value 0…255, or equal to an earlier SPI of the same
/// direction, is skipped and the next value of the stream taken.
[[nodiscard]] Result<std::vector<SpiPair>> derive_spis(const SpiInputs& inputs);

struct DirectionKeys {
  SecretBytes encr;   ///< with salt
  SecretBytes integ;  ///< empty for an AEAD
};
struct LaneKeys {
  SpiPair spi;
  DirectionKeys i_to_r;
  DirectionKeys r_to_i;
};
struct Keymat {
  SecretBytes skeyseed;
  SecretBytes sk_d_prime;  ///< empty with the short KDF
  SecretBytes sk_d;        ///< empty with the short KDF
  SecretBytes keymat;
  std::vector<LaneKeys> lanes;
};
/// @param ppk  empty when none. @retval kErrNonceLength, kErrLanes, kErrPpk (PPK with kShort)
[[nodiscard]] Result<Keymat> derive_keymat(const SpiInputs& inputs, const crypto::EspSuite& suite,
                                           ByteView g_ir, ByteView ppk, Kdf kdf = Kdf::kLong);

}  // namespace cygnet::proto
