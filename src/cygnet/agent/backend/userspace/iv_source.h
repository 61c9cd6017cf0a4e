// SPDX-License-Identifier: Apache-2.0
#pragma once

/// IVs for the packets of one SA. An AEAD takes the sequence number, unique under its key because
/// keys are per SA and direction (RFC 4106 section 3.1). CBC needs one that cannot be guessed (RFC
/// 3602 section 3): the sequence number under a second, random key (the construction of NIST SP
/// 800-38A appendix C, with AES-GCM's keystream as the block function). No allocation per packet.

#include <array>
#include <memory>

#include "cygnet/base/bytes.h"
#include "cygnet/base/result.h"
#include "cygnet/crypto/cipher.h"
#include "cygnet/esp/packet.h"

namespace cygnet::agent::userspace {

class IvSource {
 public:
  /// Octets of randomness create() takes.
  static constexpr std::size_t kSeedLength = 20;

  /// @param seed  kSeedLength random octets; looked at for CBC only.
  [[nodiscard]] static Result<IvSource> create(const crypto::EspSuite& suite, ByteView seed);

  /// The IV of this packet. Valid until the next call.
  [[nodiscard]] ByteView next(std::uint64_t sequence);

 private:
  std::unique_ptr<crypto::PacketCipher> masking_;  ///< null for an AEAD
  std::array<std::uint8_t, esp::kMaxIvLength> iv_{};
};

}  // namespace cygnet::agent::userspace
