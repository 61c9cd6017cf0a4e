// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The Device Information Message as a value (draft section 6, A.3.1; docs/protocol.md section 3).
/// Pure; value types. The codec is dim_codec.h, the receiver's checks dim_check.h.

#include <optional>
#include <string>
#include <vector>

#include "cygnet/base/bytes.h"
#include "cygnet/crypto/identity.h"
#include "cygnet/crypto/ids.h"
#include "cygnet/proto/ids/ids.h"

namespace cygnet::proto {

/// Transform types (RFC 7296 section 3.3.2; 241 and 242 are private, protocol section 3).
enum class TransformType : std::uint8_t {
  kEncr = 1,
  kPrf = 2,
  kInteg = 3,
  kKe = 4,
  kSn = 5,
  kMode = 241,
  kReplay = 242,
};
inline constexpr ErrorCode kErrPolicyText{"proposal-text"};

enum class SequenceNumbers : std::uint8_t { k32Bit = 0, kEsn = 1 };
enum class Mode : std::uint8_t { kTunnel = 1, kTransport = 2, kBeet = 3, kAggfragTunnel = 4 };

/// One transform as it stands on the wire; type and attributes may be ones we do not know.
struct Transform {
  std::uint8_t type = 0;
  std::uint16_t id = 0;
  std::optional<std::uint16_t> key_bits;  ///< Key Length attribute
  Bytes other_attributes;                 ///< encoded attributes we do not know, kept as they came
  friend bool operator==(const Transform&, const Transform&) = default;
};

/// One ESP proposal: kept whole, even when unknown parts make it unusable.
struct Proposal {
  std::uint8_t number = 1;
  std::vector<Transform> transforms;
  friend bool operator==(const Proposal&, const Proposal&) = default;
};

/// What an usable proposal means.
struct IpsecPolicy {
  crypto::EspSuite suite;
  crypto::DhGroup group = crypto::DhGroup::kX25519;
  crypto::PrfId prf = crypto::PrfId::kHmacSha2_256;
  SequenceNumbers sn = SequenceNumbers::kEsn;
  Mode mode = Mode::kTunnel;
  friend bool operator==(const IpsecPolicy&, const IpsecPolicy&) = default;
};

/// nullopt when the proposal has an unknown transform or attribute: kept, never chosen.
[[nodiscard]] std::optional<IpsecPolicy> interpret(const Proposal& proposal);
/// The canonical proposal for a policy (transform order of protocol section 3; tunnel not encoded).
[[nodiscard]] Proposal make_proposal(std::uint8_t number, const IpsecPolicy& policy);

/// "aes256gcm16-x25519-sha256", "chacha20poly1305-ecp256-sha256", "aes256-sha256-x25519-sha256"
/// (CBC: cipher, integrity, group, PRF), with optional suffixes "-noesn", then "-transport",
/// "-beet" or "-aggfrag".
/// @retval kErrPolicyText  names the part that was not understood and what may stand there.
[[nodiscard]] Result<IpsecPolicy> policy_from_text(std::string_view text);
/// The same spelling back: policy_from_text(to_string(p)) == p.
[[nodiscard]] std::string to_string(const IpsecPolicy& policy);

struct DhPublic {
  std::uint16_t group = 0;  ///< IANA number; may be one we do not implement
  Bytes value;
  friend bool operator==(const DhPublic&, const DhPublic&) = default;
};

struct UnknownNotify {
  std::uint16_t type = 0;
  Bytes data;
  friend bool operator==(const UnknownNotify&, const UnknownNotify&) = default;
};

inline constexpr std::size_t kNonceLength = 32;
inline constexpr std::size_t kDimLengthMax = 8192;
inline constexpr std::size_t kProposalsMax = 16;
inline constexpr std::size_t kKesMax = 8;
inline constexpr std::uint16_t kLanesMax = 64;
inline constexpr std::size_t kPpksMax = 2;

struct Dim {
  DeviceName device;
  RekeyCounter counter;
  bool initial_contact = false;
  std::uint16_t lanes = 1;
  std::vector<Bytes> ppk_ids;  ///< type octet, then the id; at most two, in order of preference
  std::vector<UnknownNotify> unknown_notifies;
  std::vector<Proposal> proposals;
  std::vector<DhPublic> kes;
  Bytes nonce;
  crypto::Signature auth;
  friend bool operator==(const Dim& a, const Dim& b) {
    return a.device == b.device && a.counter == b.counter &&
           a.initial_contact == b.initial_contact && a.lanes == b.lanes && a.ppk_ids == b.ppk_ids &&
           a.unknown_notifies == b.unknown_notifies && a.proposals == b.proposals &&
           a.kes == b.kes && a.nonce == b.nonce && a.auth.algorithm == b.auth.algorithm &&
           a.auth.value == b.auth.value;
  }
};

}  // namespace cygnet::proto
