// SPDX-License-Identifier: Apache-2.0
#include "cygnet/esp/packet.h"

#include <algorithm>
#include <array>
#include <string>

namespace cygnet::esp {
namespace {

/// What the ICV covers beside the text (RFC 4106 section 5, RFC 7634 section 2, RFC 4303 section
/// 2.2.1): with an AEAD the ESN's high half stands inside the AAD, with a separate integrity
/// algorithm it follows the ciphertext.
struct Authenticated {
  std::array<std::uint8_t, 12> aad_octets{};
  std::array<std::uint8_t, 4> tail_octets{};
  std::size_t aad_length = kFixedHeaderLength;
  std::size_t tail_length = 0;

  Authenticated(const EspFormat& format, std::uint32_t spi, std::uint64_t sequence) {
    store_be32(aad_octets.data(), spi);
    if (format.esn() && format.is_aead()) {
      store_be64(aad_octets.data() + 4, sequence);
      aad_length = 12;
      return;
    }
    store_be32(aad_octets.data() + 4, static_cast<std::uint32_t>(sequence));
    if (format.esn()) {
      store_be32(tail_octets.data(), static_cast<std::uint32_t>(sequence >> 32));
      tail_length = tail_octets.size();
    }
  }
  [[nodiscard]] ByteView aad() const { return ByteView(aad_octets).first(aad_length); }
  [[nodiscard]] ByteView tail() const { return ByteView(tail_octets).first(tail_length); }
};

// RFC 4303 section 2.4: "the Padding bytes are initialized with a series of (unsigned, 1-byte)
// integer values. The first padding byte appended to the plaintext is numbered 1".
void write_padding(std::uint8_t* at, std::size_t length) {
  for (std::size_t i = 0; i < length; ++i) at[i] = static_cast<std::uint8_t>(i + 1);
}

tl::unexpected<Error> refusal(const EspFormat& format, EspDrop drop, std::size_t size) {
  std::string message = "its integrity check value is wrong";
  if (drop == EspDrop::kTooShort) {
    message = "has " + std::to_string(size) + " octets, fewer than the " +
              std::to_string(format.min_packet_length()) + " of the shortest";
  } else if (drop == EspDrop::kLength) {
    message =
        "its ciphertext is no multiple of " + std::to_string(format.block_length()) + " octets";
  } else if (drop == EspDrop::kPadding) {
    message = "its padding is not 1, 2, 3… within the payload";
  }
  return fail(ErrorCode(to_string(drop)), std::move(message), "ESP packet");
}

}  // namespace

tl::expected<std::size_t, EspDrop> seal_in_place(const EspFormat& format,
                                                 crypto::PacketCipher& cipher,
                                                 const SealParameters& parameters,
                                                 MutableByteView buffer,
                                                 std::size_t payload_length) {
  // RFC 4303 section 3.3.3: the first packet of an SA has sequence number 1, and "the transmitted
  // Sequence Number must never be allowed to cycle".
  if (parameters.sequence == 0 || parameters.sequence > format.last_sequence()) {
    return tl::make_unexpected(EspDrop::kSeqOverflow);
  }
  if (payload_length > buffer.size() || format.packet_length(payload_length) > buffer.size() ||
      parameters.iv.size() != format.iv_length()) {
    return tl::make_unexpected(EspDrop::kSealFailed);
  }
  const std::size_t pad = format.pad_length(payload_length);
  const std::size_t text_length = payload_length + pad + kTrailerLength;
  std::uint8_t* const text = buffer.data() + format.header_length();

  store_be32(buffer.data(), parameters.spi);
  store_be32(buffer.data() + 4, static_cast<std::uint32_t>(parameters.sequence));
  std::copy(parameters.iv.begin(), parameters.iv.end(), buffer.begin() + kFixedHeaderLength);
  write_padding(text + payload_length, pad);
  text[payload_length + pad] = static_cast<std::uint8_t>(pad);
  text[payload_length + pad + 1] = parameters.next_header;

  const Authenticated authenticated(format, parameters.spi, parameters.sequence);
  if (!cipher.seal(authenticated.aad(), buffer.subspan(kFixedHeaderLength, format.iv_length()),
                   {text, text_length}, authenticated.tail(),
                   {text + text_length, format.icv_length()})) {
    return tl::make_unexpected(EspDrop::kSealFailed);
  }
  return format.header_length() + text_length + format.icv_length();
}

tl::expected<ClearHeader, EspDrop> read_clear_header(const EspFormat& format, ByteView packet) {
  if (packet.size() < format.min_packet_length()) {
    return tl::make_unexpected(EspDrop::kTooShort);
  }
  // RFC 4303 section 2.4: the ciphertext ends on a block border, and on a 4-octet one always.
  if ((packet.size() - format.header_length() - format.icv_length()) % format.block_length() != 0) {
    return tl::make_unexpected(EspDrop::kLength);
  }
  return ClearHeader{load_be32(packet.data()), load_be32(packet.data() + 4)};
}

tl::expected<void, EspDrop> verify_in_place(const EspFormat& format, crypto::PacketCipher& cipher,
                                            std::uint64_t sequence, MutableByteView packet) {
  const auto header = read_clear_header(format, packet);
  if (!header) return tl::make_unexpected(header.error());
  const std::size_t text_length = packet.size() - format.header_length() - format.icv_length();
  // The low half is the packet's own, so that a caller cannot authenticate another number.
  const std::uint64_t whole = (sequence & ~std::uint64_t{0xffffffff}) | header->sequence_low;
  const Authenticated authenticated(format, header->spi, whole);
  if (!cipher.open(authenticated.aad(), packet.subspan(kFixedHeaderLength, format.iv_length()),
                   packet.subspan(format.header_length(), text_length), authenticated.tail(),
                   packet.subspan(format.header_length() + text_length, format.icv_length()))) {
    return tl::make_unexpected(EspDrop::kIcv);
  }
  return {};
}

tl::expected<Opened, EspDrop> read_trailer(const EspFormat& format, ByteView packet) {
  const std::size_t text_length = packet.size() - format.header_length() - format.icv_length();
  const std::uint8_t* const text = packet.data() + format.header_length();
  const std::size_t room = text_length - kTrailerLength;
  const std::size_t pad = text[text_length - 2];
  // RFC 4303 section 2.4: "the receiver SHOULD inspect the Padding field".
  if (pad > room) return tl::make_unexpected(EspDrop::kPadding);
  std::uint8_t difference = 0;
  for (std::size_t i = 0; i < pad; ++i) {
    difference = static_cast<std::uint8_t>(difference | (text[room - pad + i] ^ (i + 1)));
  }
  if (difference != 0) return tl::make_unexpected(EspDrop::kPadding);
  return Opened{format.header_length(), room - pad, text[text_length - 1],
                static_cast<std::uint8_t>(pad)};
}

tl::expected<Opened, EspDrop> open_in_place(const EspFormat& format, crypto::PacketCipher& cipher,
                                            std::uint64_t sequence, MutableByteView packet) {
  if (const auto verified = verify_in_place(format, cipher, sequence, packet); !verified) {
    return tl::make_unexpected(verified.error());
  }
  return read_trailer(format, packet);
}

Result<OpenedPacket> open_packet(const crypto::EspSuite& suite, const DirectionKeyViews& keys,
                                 bool esn, std::uint32_t sequence_high, ByteView packet) {
  CYGNET_TRY(const auto cipher, crypto::PacketCipher::create(suite, keys.encr, keys.integ));
  const EspFormat format(suite, esn);
  Bytes work(packet.begin(), packet.end());
  const std::uint64_t high = esn ? std::uint64_t{sequence_high} << 32 : 0;
  const auto opened = open_in_place(format, *cipher, high, work);
  if (!opened) return refusal(format, opened.error(), packet.size());
  OpenedPacket result;
  result.spi = load_be32(work.data());
  result.sequence = high | load_be32(work.data() + 4);
  result.next_header = opened->next_header;
  result.pad_length = opened->pad_length;
  const auto payload = ByteView(work).subspan(opened->payload_offset, opened->payload_length);
  result.payload.assign(payload.begin(), payload.end());
  return result;
}

Result<Bytes> seal_packet(const crypto::EspSuite& suite, const DirectionKeyViews& keys, bool esn,
                          std::uint32_t spi, std::uint64_t sequence, ByteView iv,
                          std::uint8_t next_header, ByteView payload) {
  CYGNET_TRY(const auto cipher, crypto::PacketCipher::create(suite, keys.encr, keys.integ));
  const EspFormat format(suite, esn);
  if (spi < 256) {
    return fail(kErrSpi, "SPI " + std::to_string(spi) + " is reserved", "spi",
                "use 256 or above (RFC 4303 section 2.1)");
  }
  if (iv.size() != format.iv_length()) {
    return fail(kErrIvLength,
                "IV has " + std::to_string(iv.size()) + " octets, the suite takes " +
                    std::to_string(format.iv_length()),
                "iv");
  }
  if (sequence == 0 || sequence > format.last_sequence()) {
    return fail(kErrSequence, "sequence number " + std::to_string(sequence) + " cannot be sent",
                "seq", esn ? "count from 1" : "count from 1 to 2^32 - 1, or use ESN");
  }
  Bytes buffer(format.packet_length(payload.size()));
  std::copy(payload.begin(), payload.end(),
            buffer.begin() + static_cast<std::ptrdiff_t>(format.header_length()));
  const auto length =
      seal_in_place(format, *cipher, {spi, sequence, iv, next_header}, buffer, payload.size());
  if (!length) {
    return fail(ErrorCode(to_string(length.error())), "the cipher refused to seal it",
                "ESP packet");
  }
  buffer.resize(*length);
  return buffer;
}

}  // namespace cygnet::esp
