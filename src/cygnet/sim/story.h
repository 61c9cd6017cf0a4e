// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The last things that happened, kept small, and a running hash of all of them: equal seeds give
/// equal hashes. Printed as a sequence diagram when a checker complains.

#include <array>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "cygnet/base/time.h"
#include "cygnet/proto/ids/ids.h"
#include "cygnet/sim/packet.h"

namespace cygnet::sim {

enum class Note : std::uint8_t {
  kDrawn,
  kErased,
  kInstallAsked,
  kInstalled,
  kInstallFailed,
  kRemovedIn,
  kRemovedOut,
  kChosen,
  kSent,
  kOpened,
  kNoSa,
  kBadIcv,
  kReplayed,
  kLost,
  kPublish,
  kAccepted,
  kRefused,
  kDim,
  kDimAccepted,
  kDimRefused,
  kMark,
  kWelcome,
  kUpdate,
  kLinkDown,
  kStopped,
  kStarted,
  kPeerRemoved,
  kFault,
  kHealed,
  kTimer,
  kController,
};

struct NoteEntry {
  Timestamp at{};
  Note note = Note::kTimer;
  DeviceId a = 0;
  DeviceId b = 0;
  proto::SaPairId pair;
  std::uint64_t detail = 0;
};

class Story {
 public:
  void add(const NoteEntry& entry);
  [[nodiscard]] std::uint64_t hash() const { return hash_; }
  [[nodiscard]] std::uint64_t count() const { return count_; }
  /// Of the last entries those that concern `who` (empty: anybody), at most `lines`.
  [[nodiscard]] std::string diagram(const std::set<DeviceId>& who, std::size_t lines) const;

 private:
  static constexpr std::size_t kKept = 8192;
  std::vector<NoteEntry> ring_;
  std::uint64_t hash_ = 0xcbf29ce484222325;
  std::uint64_t count_ = 0;
};

}  // namespace cygnet::sim
