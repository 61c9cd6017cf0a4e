// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Packet protection with one ESP suite and one direction's keys: AEADs (RFC 4106, RFC 7634) and
/// AES-CBC with HMAC (RFC 3602, RFC 4868) behind one interface, with contexts that are made once
/// and reused. OpenSSL does every suite on any machine; libipsec-mb does AEADs faster where it is.
/// Not thread-safe: one object a thread.

#include <memory>

#include "cygnet/base/bytes.h"
#include "cygnet/base/result.h"
#include "cygnet/base/secret.h"
#include "cygnet/crypto/ids.h"

namespace cygnet::crypto {

inline constexpr ErrorCode kErrKeyLength{"key-length"};

/// Who does the work. All of them make the same octets.
enum class CipherProvider : std::uint8_t { kAny, kOpenssl, kIpsecMb };

class PacketCipher {
 public:
  /// Whether `provider` has this suite on this machine.
  [[nodiscard]] static bool has(CipherProvider provider, const EspSuite& suite);
  /// @param encr_key   key with its salt at the end; @param integ_key empty for an AEAD.
  /// @retval kErrKeyLength when either has not the suite's length.
  [[nodiscard]] static Result<std::unique_ptr<PacketCipher>> create(const EspSuite& suite,
                                                                    ByteView encr_key,
                                                                    ByteView integ_key) {
    return create(CipherProvider::kAny, suite, encr_key, integ_key);
  }
  /// By this provider, which has() the suite; kAny takes the fastest that has it.
  [[nodiscard]] static Result<std::unique_ptr<PacketCipher>> create(CipherProvider provider,
                                                                    const EspSuite& suite,
                                                                    ByteView encr_key,
                                                                    ByteView integ_key);
  virtual ~PacketCipher() = default;

  /// Encrypts `text` in place and writes the ICV. No allocation (OpenSSL's HMAC, for AES-CBC,
  /// makes two small ones). False, with nothing promised about `text`, when a length is not the
  /// suite's.
  ///
  /// @param aad   for an AEAD exactly what RFC 4106/7634 authenticate beside the text; for CBC+HMAC
  ///              the ESP header octets (SPI | Seq); the IV and the ciphertext are added here.
  /// @param tail  octets authenticated after the ciphertext (high ESN half, RFC 4303 section
  ///              2.2.1) with a separate integrity algorithm; must be empty for an AEAD.
  virtual bool seal(ByteView aad, ByteView iv, MutableByteView text, ByteView tail,
                    MutableByteView icv) = 0;
  /// Verifies, then decrypts in place; false leaves no plaintext behind: `text` is zeroes then, so
  /// a packet that is to be tried under several keys must be copied first. No allocation (as
  /// above).
  virtual bool open(ByteView aad, ByteView iv, MutableByteView text, ByteView tail,
                    ByteView icv) = 0;
};

}  // namespace cygnet::crypto
