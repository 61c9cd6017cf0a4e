// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The probe: a UDP datagram between two mesh addresses, port 4501, that proves an SA pair works
/// when no user packet does (docs/protocol.md section 6, "Probe"; AMB-02). Codec only. Pure.
///
///   version 1 | type 1 | reserved 2 | cookie 8 | TLVs (type 2 | length 2 | value)

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "cygnet/base/bytes.h"
#include "cygnet/base/result.h"

namespace cygnet::proto {

inline constexpr ErrorCode kErrProbe{"probe"};
inline constexpr std::uint16_t kProbePort = 4501;
inline constexpr std::uint8_t kProbeVersion = 1;
inline constexpr std::size_t kProbeHeaderLength = 12;

enum class ProbeType : std::uint8_t {
  kRequest = 1,
  kReply = 2,  ///< copies the request's cookie
  kDim = 3,
  kDimAck = 4,
  kPmtu = 5,
};
/// "REQUEST", "REPLY", "DIM", "DIM-ACK", "PMTU".
[[nodiscard]] std::string_view to_string(ProbeType type);

/// TLVs of a PMTU datagram (docs/protocol.md section 6.6): what fills a probe up, any octets; and
/// what makes a datagram the answer to one, how many octets the inner packet of the probe had (2).
inline constexpr std::uint16_t kTlvPadding = 1;
inline constexpr std::uint16_t kTlvReceived = 2;

using ProbeCookie = std::array<std::uint8_t, 8>;

struct ProbeTlv {
  std::uint16_t type = 0;
  Bytes value;
  friend bool operator==(const ProbeTlv&, const ProbeTlv&) = default;
};

struct Probe {
  ProbeType type = ProbeType::kRequest;
  ProbeCookie cookie{};
  /// As they came; whoever reads them skips the types it does not know.
  std::vector<ProbeTlv> tlvs;
  friend bool operator==(const Probe&, const Probe&) = default;

  /// The first TLV of a type; nullptr when there is none.
  [[nodiscard]] const ProbeTlv* find(std::uint16_t tlv_type) const;
};

/// The UDP payload. Reserved octets are ignored, as a later version may use them.
/// @retval kErrProbe  too short, another version, an unknown type, a TLV that does not fit
[[nodiscard]] Result<Probe> decode_probe(ByteView datagram);
/// @retval kErrProbe  a TLV value longer than 65535 octets
[[nodiscard]] Result<Bytes> encode_probe(const Probe& probe);
/// The answer every REQUEST gets once.
[[nodiscard]] Probe reply_to(const Probe& request);

}  // namespace cygnet::proto
