// SPDX-License-Identifier: Apache-2.0
#pragma once

/// One ESP packet (RFC 4303 section 2), sealed and opened in place:
///
///   SPI 4 | sequence number 4 | IV | payload | TFC padding | 1, 2, 3… | pad length | next header |
///   ICV
///   '--------- header --------'    '---------------------- text ---------------------------'
///
/// Sequence numbers are 64-bit throughout; the wire carries the low half (section 2.2.1). Pure: the
/// IV comes from the caller. No allocation on seal_in_place and open_in_place. Not thread-safe: one
/// PacketCipher a thread.

#include <cstddef>
#include <cstdint>
#include <limits>
#include <tl/expected.hpp>

#include "cygnet/base/bytes.h"
#include "cygnet/base/result.h"
#include "cygnet/crypto/cipher.h"
#include "cygnet/crypto/ids.h"
#include "cygnet/esp/drop.h"

namespace cygnet::esp {

// Next headers that tunnel mode uses (RFC 4303 section 2.6).
inline constexpr std::uint8_t kNextHeaderIpv4 = 4;
inline constexpr std::uint8_t kNextHeaderIpv6 = 41;
inline constexpr std::uint8_t kNextHeaderDummy = 59;

inline constexpr std::size_t kFixedHeaderLength = 8;  ///< SPI and sequence number
inline constexpr std::size_t kTrailerLength = 2;      ///< pad length and next header
inline constexpr std::size_t kMaxIvLength = 16;
inline constexpr std::size_t kMaxIcvLength = 32;
/// What a buffer needs before and, with minimal padding, after a payload, whatever the suite.
inline constexpr std::size_t kMaxHeaderLength = kFixedHeaderLength + kMaxIvLength;
inline constexpr std::size_t kMaxTailLength = 15 + kTrailerLength + kMaxIcvLength;

/// Where things are in a packet of one suite: worked out once for an SA, used for each packet.
class EspFormat {
 public:
  EspFormat(const crypto::EspSuite& suite, bool esn)
      : iv_(static_cast<std::uint8_t>(suite.iv_length())),
        icv_(static_cast<std::uint8_t>(suite.icv_length())),
        block_(static_cast<std::uint8_t>(suite.block_length())),
        aead_(suite.is_aead()),
        esn_(esn) {}

  [[nodiscard]] std::size_t iv_length() const { return iv_; }
  [[nodiscard]] std::size_t icv_length() const { return icv_; }
  [[nodiscard]] std::size_t block_length() const { return block_; }
  [[nodiscard]] bool is_aead() const { return aead_; }
  [[nodiscard]] bool esn() const { return esn_; }
  /// Octets before the text.
  [[nodiscard]] std::size_t header_length() const { return kFixedHeaderLength + iv_; }
  /// The shortest packet this suite can make.
  [[nodiscard]] std::size_t min_packet_length() const { return header_length() + block_ + icv_; }
  /// Padding octets (RFC 4303 section 2.4): the fewest that fill the block.
  [[nodiscard]] std::size_t pad_length(std::size_t payload_length) const {
    const std::size_t used = (payload_length + kTrailerLength) % block_;
    return used == 0 ? 0 : block_ - used;
  }
  [[nodiscard]] std::size_t packet_length(std::size_t payload_length) const {
    return header_length() + payload_length + pad_length(payload_length) + kTrailerLength + icv_;
  }
  /// The last sequence number that may be sent: it must never wrap (RFC 4303 section 3.3.3).
  [[nodiscard]] std::uint64_t last_sequence() const {
    return esn_ ? std::numeric_limits<std::uint64_t>::max()
                : std::numeric_limits<std::uint32_t>::max();
  }

 private:
  std::uint8_t iv_;
  std::uint8_t icv_;
  std::uint8_t block_;
  bool aead_;
  bool esn_;
};

struct SealParameters {
  std::uint32_t spi = 0;
  std::uint64_t sequence = 0;
  /// format.iv_length() octets. For an AEAD never twice under one key; for CBC unpredictable.
  ByteView iv;
  std::uint8_t next_header = kNextHeaderIpv4;
};

/// Seals the payload that stands at buffer[format.header_length()], `payload_length` octets long
/// (TFC padding, if any, is part of it: zero octets behind the inner packet, section 2.7).
///
/// @return the packet's length; the packet begins at buffer[0].
/// @retval kSealFailed   the buffer is too small for packet_length(), or the cipher refuses.
/// @retval kSeqOverflow  the sequence number is 0 or beyond last_sequence().
[[nodiscard]] tl::expected<std::size_t, EspDrop> seal_in_place(const EspFormat& format,
                                                               crypto::PacketCipher& cipher,
                                                               const SealParameters& parameters,
                                                               MutableByteView buffer,
                                                               std::size_t payload_length);

/// Where the payload lies in an opened packet.
struct Opened {
  std::size_t payload_offset = 0;
  std::size_t payload_length = 0;  ///< TFC padding included
  std::uint8_t next_header = 0;
  std::uint8_t pad_length = 0;
};

/// SPI and low half of the sequence number, before any check.
struct ClearHeader {
  std::uint32_t spi = 0;
  std::uint32_t sequence_low = 0;
};
/// @retval kTooShort, kLength  so that neither window nor cipher sees what cannot be a packet.
[[nodiscard]] tl::expected<ClearHeader, EspDrop> read_clear_header(const EspFormat& format,
                                                                   ByteView packet);

/// Verifies the ICV and decrypts in place; the packet is destroyed on kIcv. `sequence` is the
/// whole number, as ReplayWindow::infer made it of the low half on the wire. Says nothing about
/// padding, so that the caller can update its replay window between the two.
/// @retval kTooShort, kLength, kIcv
[[nodiscard]] tl::expected<void, EspDrop> verify_in_place(const EspFormat& format,
                                                          crypto::PacketCipher& cipher,
                                                          std::uint64_t sequence,
                                                          MutableByteView packet);
/// Takes the trailer off a packet that verify_in_place has passed.
/// @retval kPadding
[[nodiscard]] tl::expected<Opened, EspDrop> read_trailer(const EspFormat& format, ByteView packet);

/// verify_in_place, then read_trailer.
[[nodiscard]] tl::expected<Opened, EspDrop> open_in_place(const EspFormat& format,
                                                          crypto::PacketCipher& cipher,
                                                          std::uint64_t sequence,
                                                          MutableByteView packet);

// For tools and tests: whole packets, with allocation.

inline constexpr ErrorCode kErrIvLength{"iv-length"};
inline constexpr ErrorCode kErrSpi{"spi"};
inline constexpr ErrorCode kErrSequence{"seq-overflow"};

/// Keys of one direction, as KEYMAT gives them: the encryption key with its salt at the end.
struct DirectionKeyViews {
  ByteView encr;
  ByteView integ;  ///< empty for an AEAD
};
struct OpenedPacket {
  std::uint32_t spi = 0;
  std::uint64_t sequence = 0;  ///< with the high half given by the caller
  std::uint8_t next_header = 0;
  std::uint8_t pad_length = 0;
  Bytes payload;
};
/// @param sequence_high  high half of the sequence number; only with `esn`.
/// @return the packet's content; an Error whose code is the drop's name ("icv", "too-short",
///         "length", "padding"), or crypto::kErrKeyLength.
[[nodiscard]] Result<OpenedPacket> open_packet(const crypto::EspSuite& suite,
                                               const DirectionKeyViews& keys, bool esn,
                                               std::uint32_t sequence_high, ByteView packet);
/// Minimal padding 1, 2, 3….
/// @retval crypto::kErrKeyLength, kErrIvLength, kErrSpi (0…255), kErrSequence
[[nodiscard]] Result<Bytes> seal_packet(const crypto::EspSuite& suite,
                                        const DirectionKeyViews& keys, bool esn, std::uint32_t spi,
                                        std::uint64_t sequence, ByteView iv,
                                        std::uint8_t next_header, ByteView payload);

}  // namespace cygnet::esp
