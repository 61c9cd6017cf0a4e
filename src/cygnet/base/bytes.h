// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Octet strings: owning and viewing types, network byte order reading and writing, hex.
/// Pure; value types.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cygnet/base/result.h"

namespace cygnet {

using Bytes = std::vector<std::uint8_t>;
using ByteView = std::span<const std::uint8_t>;
using MutableByteView = std::span<std::uint8_t>;

inline constexpr ErrorCode kErrHex{"hex"};

/// Lower-case hex.
[[nodiscard]] std::string to_hex(ByteView octets);
/// @retval kErrHex on an odd length or a character that is no hex digit (names its position).
[[nodiscard]] Result<Bytes> from_hex(std::string_view text);

[[nodiscard]] inline ByteView as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}
[[nodiscard]] inline std::string_view as_text(ByteView octets) {
  return {reinterpret_cast<const char*>(octets.data()), octets.size()};
}
[[nodiscard]] Bytes concat(std::initializer_list<ByteView> parts);
/// Lexicographic, octet by octet; a prefix is the lower (RFC 7296 section 2.8.1).
[[nodiscard]] int compare(ByteView a, ByteView b);
[[nodiscard]] inline bool equal(ByteView a, ByteView b) { return compare(a, b) == 0; }
/// Takes the same time wherever the first difference is; lengths are public.
[[nodiscard]] bool equal_constant_time(ByteView a, ByteView b);

// Big-endian loads and stores; the caller guarantees the room.
[[nodiscard]] constexpr std::uint16_t load_be16(const std::uint8_t* p) {
  return static_cast<std::uint16_t>((p[0] << 8) | p[1]);
}
[[nodiscard]] constexpr std::uint32_t load_be32(const std::uint8_t* p) {
  return (std::uint32_t{p[0]} << 24) | (std::uint32_t{p[1]} << 16) | (std::uint32_t{p[2]} << 8) |
         std::uint32_t{p[3]};
}
[[nodiscard]] constexpr std::uint64_t load_be64(const std::uint8_t* p) {
  return (std::uint64_t{load_be32(p)} << 32) | load_be32(p + 4);
}
constexpr void store_be16(std::uint8_t* p, std::uint16_t v) {
  p[0] = static_cast<std::uint8_t>(v >> 8);
  p[1] = static_cast<std::uint8_t>(v);
}
constexpr void store_be32(std::uint8_t* p, std::uint32_t v) {
  store_be16(p, static_cast<std::uint16_t>(v >> 16));
  store_be16(p + 2, static_cast<std::uint16_t>(v));
}
constexpr void store_be64(std::uint8_t* p, std::uint64_t v) {
  store_be32(p, static_cast<std::uint32_t>(v >> 32));
  store_be32(p + 4, static_cast<std::uint32_t>(v));
}

/// Appends network-order integers and octets to an owned buffer.
class ByteWriter {
 public:
  void u8(std::uint8_t v) { out_.push_back(v); }
  void u16(std::uint16_t v);
  void u32(std::uint32_t v);
  void u64(std::uint64_t v);
  void octets(ByteView v) { out_.insert(out_.end(), v.begin(), v.end()); }
  /// Overwrites two octets written earlier (for lengths known only at the end).
  void patch_u16(std::size_t at, std::uint16_t v) { store_be16(out_.data() + at, v); }
  [[nodiscard]] std::size_t size() const { return out_.size(); }
  [[nodiscard]] const Bytes& view() const { return out_; }
  [[nodiscard]] Bytes take() { return std::move(out_); }

 private:
  Bytes out_;
};

}  // namespace cygnet
