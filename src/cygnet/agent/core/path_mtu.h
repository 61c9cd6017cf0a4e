// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The largest packet that reaches one peer whole: packetization layer path MTU discovery (RFC
/// 8899) with probes inside the tunnel, for paths that send no ICMP, or one nobody may believe. The
/// states are those of RFC 8899 section 5.2, the names of constants those of section 5.1.
///
/// Sizes are octets of the packet inside the tunnel. One probe is under way at a time. A size is
/// taken for too large when kMaxProbes probes of it stay unanswered *and* a small one is answered
/// then: a path that is dead for a while, or a peer of an earlier version, says nothing about
/// sizes.
///
/// Nothing begins but by on_traffic, and a deadline exists only while a probe is under way: a pair
/// without user packets costs nothing (RFC 8899 section 3 lets a sender leave probes out while it
/// sends no data).
///
/// Pure: time is an argument.

#include <cstdint>
#include <optional>

#include "cygnet/base/time.h"

namespace cygnet::agent {

enum class PathMtuState : std::uint8_t {
  kDisabled,        ///< nothing is known: the interface's own bound is assumed
  kBase,            ///< is BASE_PLPMTU carried?
  kSearching,       ///< for more
  kSearchComplete,  ///< found; confirmed again while there is traffic
  kError,           ///< not even BASE_PLPMTU passes whole
};
/// For operators: "assumed", "searching" (from the base on), "found", "too-small".
[[nodiscard]] const char* to_string(PathMtuState state);

/// What the data plane is to do about it.
struct PathMtuLimit {
  /// The largest inner packet for this peer.
  std::uint32_t inner = 0;
  /// False: packets of that size are not known to pass whole, or known not to.
  bool whole = true;
  friend bool operator==(const PathMtuLimit&, const PathMtuLimit&) = default;
};

class PathMtu {
 public:
  /// BASE_PLPMTU and MIN_PLPMTU: every IPv6 link carries so much (RFC 8200 section 5), so no tunnel
  /// may offer less.
  static constexpr std::uint32_t kFloor = 1280;
  static constexpr unsigned kMaxProbes = 3;
  /// PROBE_TIMER: three times the round trip measured last, within these. RFC 8899 section 5.1.1
  /// forbids less than a second.
  static constexpr Duration kProbeTimerMin = std::chrono::seconds(1);
  static constexpr Duration kProbeTimerMax = std::chrono::seconds(15);
  /// CONFIRMATION_TIMER.
  static constexpr Duration kConfirm = std::chrono::seconds(10);
  /// PMTU_RAISE_TIMER.
  static constexpr Duration kRaise = std::chrono::seconds(600);
  /// The search ends when so few octets are open: an ESP payload grows in steps of four.
  static constexpr std::uint32_t kResolution = 4;

  struct Settings {
    std::uint32_t bound = 0;  ///< MAX_PLPMTU, kFloor at least: what the tunnel device takes
    Duration raise = kRaise;
  };
  struct Probe {
    std::uint64_t number = 0;  ///< never used twice
    std::uint32_t size = 0;    ///< 0: as small as a probe can be
    friend bool operator==(const Probe&, const Probe&) = default;
  };

  explicit PathMtu(const Settings& settings);

  // Each returns the probe to send now, if any.
  /// User packets went in or out.
  [[nodiscard]] std::optional<Probe> on_traffic(Timestamp now);
  /// @param received  what the peer says it received, in octets of the inner packet
  [[nodiscard]] std::optional<Probe> on_answer(std::uint64_t number, std::uint32_t received,
                                               Timestamp now);
  /// This host would not send a probe of that size: its own interface is too small.
  [[nodiscard]] std::optional<Probe> on_too_large(std::uint32_t size, Timestamp now);
  [[nodiscard]] std::optional<Probe> on_time(Timestamp now);
  /// The peer is somewhere else now: what was found holds no more. The next traffic begins anew.
  void on_path_changed();

  [[nodiscard]] std::optional<Timestamp> next_deadline() const;
  [[nodiscard]] PathMtuState state() const { return state_; }
  [[nodiscard]] PathMtuLimit limit() const;
  /// How often a size that had been confirmed was not carried any more.
  [[nodiscard]] std::uint32_t black_holes() const { return black_holes_; }

 private:
  struct Outstanding {
    std::uint32_t size = 0;          ///< 0: the small one
    std::uint32_t verdict = 0;       ///< small ones only: the size that was lost before it
    std::uint64_t first_number = 0;  ///< of its first attempt
    unsigned attempts = 1;
    Timestamp sent{};
  };
  [[nodiscard]] Probe send(std::uint32_t size, std::uint32_t verdict, Timestamp now);
  [[nodiscard]] Probe again(Timestamp now);
  [[nodiscard]] std::optional<Probe> carried(std::uint32_t size, Timestamp now);
  [[nodiscard]] std::optional<Probe> too_large(std::uint32_t size, Timestamp now);
  [[nodiscard]] std::optional<Probe> search(Timestamp now);
  void silent(Timestamp now);
  void put_off(Timestamp now);

  Settings settings_;
  PathMtuState state_ = PathMtuState::kDisabled;
  bool assumed_ = true;        ///< the bound is used although nothing has proved it
  bool lost_ = false;          ///< a probe with padding was lost meanwhile
  std::uint32_t carried_ = 0;  ///< the PLPMTU; 0: none is confirmed
  std::uint32_t failed_ = 0;   ///< the smallest size that this search saw fail; bound + 1: none
  std::optional<Outstanding> outstanding_;
  std::uint64_t last_number_ = 0;
  Duration round_trip_{};
  Timestamp retry_at_{};    ///< kDisabled, kError: not before
  Timestamp confirm_at_{};  ///< kSearchComplete
  Timestamp raise_at_{};    ///< kSearchComplete
  Duration back_off_ = kConfirm;
  std::uint32_t black_holes_ = 0;
};

}  // namespace cygnet::agent
