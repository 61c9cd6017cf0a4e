// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Security associations as the data plane holds them (RFC 4301 section 4.4.2): keys in their
/// ciphers, counters, replay windows. Made on the control thread, used on the data-plane thread
/// only once handed over; destroying one zeroes its keys.

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "cygnet/agent/backend/api/backend.h"
#include "cygnet/agent/backend/common/rate_gate.h"
#include "cygnet/agent/backend/userspace/iv_source.h"
#include "cygnet/agent/backend/userspace/key_wait.h"
#include "cygnet/base/result.h"
#include "cygnet/crypto/cipher.h"
#include "cygnet/crypto/random.h"
#include "cygnet/esp/packet.h"
#include "cygnet/esp/replay_window.h"

namespace cygnet::agent::userspace {

inline constexpr ErrorCode kErrReplayWindow{"replay-window"};
inline constexpr ErrorCode kErrSaLanes{"lanes"};

struct Peer;
struct SaPair;

struct InboundSa {
  proto::Spi spi;
  SaPair* pair;
  esp::EspFormat format;
  std::unique_ptr<crypto::PacketCipher> cipher;  ///< null while the pair is claimed
  esp::ReplayWindow window;
  esp::EsnResync resync;
  SaCounters counters;
  InboundSa* next_same_spi = nullptr;  ///< the SAD's short list of equal SPIs
};

struct OutboundSa {
  proto::Spi spi;
  esp::EspFormat format;
  std::unique_ptr<crypto::PacketCipher> cipher;
  IvSource iv;
  std::uint64_t last_sequence = 0;  ///< of the newest packet sent; never goes back
  SaCounters counters;
};

/// The next sequence number, which is used up by asking; nullopt when the SA has sent its last
/// (RFC 4303 section 3.3.3: the counter must never be allowed to cycle).
[[nodiscard]] inline std::optional<std::uint64_t> take_sequence(OutboundSa& sa) {
  if (sa.last_sequence >= sa.format.last_sequence()) return std::nullopt;
  return ++sa.last_sequence;
}

/// One SA pair (l, r) with all its lanes. Either direction may be gone (drained, removed). A
/// claimed one has its SPIs and no keys: nothing can be opened or sealed with it.
struct SaPair {
  Peer* peer = nullptr;
  proto::SaPairId id;
  std::vector<std::unique_ptr<InboundSa>> inbound;      ///< by lane; stable addresses for the SAD
  std::vector<std::unique_ptr<OutboundSa>> outbound;    ///< by lane
  std::array<RateGate, 3> evidence{};                   ///< by EvidenceKind
  std::vector<std::pair<proto::Spi, proto::Spi>> spis;  ///< inbound, outbound, by lane
  bool soft_limit_reported = false;
  bool claimed = false;
  bool keys_wanted = false;        ///< control was told
  bool outbound_removed = false;   ///< of a claimed pair: its keys must not bring it back
  std::unique_ptr<KeyWait> waits;  ///< for the keys; null while nothing does

  [[nodiscard]] bool has_outbound() const {
    return claimed ? !outbound_removed : !outbound.empty();
  }
  [[nodiscard]] bool empty() const { return inbound.empty() && !has_outbound(); }
};

/// Expands the keys of `spec`, which is wiped. @retval crypto::kErrKeyLength, kErrReplayWindow,
/// kErrSaLanes
[[nodiscard]] Result<std::unique_ptr<SaPair>> make_sa_pair(SaPairSpec spec, crypto::Random& random);

/// @retval kErrSaLanes
[[nodiscard]] Result<std::unique_ptr<SaPair>> make_claimed_pair(const SaPairClaim& claim);

/// Gives a claimed pair the keys of `keyed`, which is the same pair made by make_sa_pair. Only what
/// is left of the pair gets them.
/// @return false, and nothing is changed, when it is not claimed or its SPIs are others.
[[nodiscard]] bool complete(SaPair& pair, SaPair& keyed);

/// A sequence number at which an SA should be replaced, whatever the settings: well before its
/// last one (RFC 4303 section 3.3.3).
[[nodiscard]] constexpr std::uint64_t rekey_sequence(std::uint64_t last) { return last / 4 * 3; }

}  // namespace cygnet::agent::userspace
