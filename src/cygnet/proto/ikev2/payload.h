// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Generic IKEv2 payload chain (RFC 7296 section 3.2), the frame a DIM travels in
/// (draft A.2, A.3.1; docs/protocol.md section 3). Strict: lengths exact, the critical bit and the
/// reserved bits zero, nothing after the last payload. Pure; views refer to the caller's octets.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "cygnet/base/bytes.h"
#include "cygnet/base/result.h"

namespace cygnet::proto::ikev2 {

/// Payload types a DIM is made of (RFC 7296 section 3.2).
namespace payload {
inline constexpr std::uint8_t kNone = 0;
inline constexpr std::uint8_t kSa = 33;
inline constexpr std::uint8_t kKe = 34;
inline constexpr std::uint8_t kIdi = 35;
inline constexpr std::uint8_t kAuth = 39;
inline constexpr std::uint8_t kNonce = 40;
inline constexpr std::uint8_t kNotify = 41;
}  // namespace payload

inline constexpr std::size_t kPayloadHeaderLength = 4;

/// "IDi", "SA", "KE", "Ni", "AUTH", "Notify", else "type <n>".
[[nodiscard]] std::string payload_name(std::uint8_t type);
/// "KE payload at offset 132": the `where` of every refusal.
[[nodiscard]] std::string payload_at(std::uint8_t type, std::size_t offset);

struct Payload {
  std::uint8_t type = 0;
  std::size_t offset = 0;  ///< of the payload header in the whole message
  ByteView body;           ///< what follows the four header octets
};

/// Cuts a chain that begins with a payload of type `first` and must fill `octets` exactly.
/// @param code  the error code refusals carry; `where` names payload and offset.
[[nodiscard]] Result<std::vector<Payload>> split_chain(std::uint8_t first, ByteView octets,
                                                       ErrorCode code);

/// Writes a chain; each payload's Next Payload field is filled in when the next one is added.
class ChainWriter {
 public:
  /// Precondition: body.size() + 4 fits 16 bits.
  void add(std::uint8_t type, ByteView body);
  /// Sets the Next Payload field of the last payload without adding one (AUTH signs this form).
  void announce(std::uint8_t type);
  [[nodiscard]] std::size_t size() const { return out_.size(); }
  [[nodiscard]] Bytes take() { return std::move(out_); }

 private:
  Bytes out_;
  std::size_t last_ = 0;  // offset of the last payload's header
};

}  // namespace cygnet::proto::ikev2
