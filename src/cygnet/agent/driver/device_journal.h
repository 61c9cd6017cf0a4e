// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Boot count, sequence and own DIMs, on disk before they are used (docs/protocol.md section 6,
/// "Restart": "+1, fsynced before use"). Every call is durable when it returns. Thread-safe: the
/// control thread raises the boot count while a worker stores a DIM, and neither undoes the other.

#include <mutex>

#include "cygnet/agent/driver/state_dir.h"

namespace cygnet::agent {

inline constexpr std::size_t kOwnDimsKept = 4;
inline constexpr ErrorCode kErrBootCount{"boot-count"};

class DeviceJournal {
 public:
  DeviceJournal(const StateDir& directory, DeviceRecord record)
      : directory_(directory), record_(std::move(record)) {}

  /// SA state was lost: one more than ever before. @retval kErrBootCount when there is none left
  [[nodiscard]] Status raise_boot_count();
  /// The controller knows a higher one.
  [[nodiscard]] Status set_boot_count(std::uint32_t boot_count);
  /// A signed DIM, before it is published.
  [[nodiscard]] Status add_own_dim(proto::RekeyCounter counter, ByteView octets);
  [[nodiscard]] DeviceRecord record() const;

 private:
  const StateDir& directory_;
  mutable std::mutex mutex_;
  DeviceRecord record_;
};

}  // namespace cygnet::agent
