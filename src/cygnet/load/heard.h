// SPDX-License-Identifier: Apache-2.0
#pragma once

/// An Update read where it lies (proto/cygnet/device/v1/device.proto), without a copy or an
/// allocation: a process that stands for thousands of devices has to do this millions of times.
/// Only what the load tool looks at is taken out. Pure; views live as long as the octets.

#include <cstdint>
#include <optional>
#include <string_view>

#include "cygnet/base/bytes.h"
#include "cygnet/base/result.h"

namespace cygnet::load {

inline constexpr ErrorCode kErrHeard{"controller-message"};

struct HeardChange {
  std::string_view device;  ///< "<name>.<mesh>"
  bool removed = false;
  ByteView dim;  ///< empty: no news about the DIM
};

/// Takes the changes of one Update in turn, then the cursor.
class HeardUpdate {
 public:
  /// Whether a FromController message is an Update; anything else is for the real decoder.
  [[nodiscard]] static bool is_update(ByteView message);
  /// @param message  for which is_update() holds
  explicit HeardUpdate(ByteView message);

  /// The next change; nullopt at the end or where the message breaks the form (see broken()).
  [[nodiscard]] std::optional<HeardChange> next();
  // After the last change:
  [[nodiscard]] bool broken() const { return broken_; }
  [[nodiscard]] ByteView epoch() const { return epoch_; }
  [[nodiscard]] std::uint64_t position() const { return position_; }
  [[nodiscard]] bool snapshot_end() const { return snapshot_end_; }

 private:
  ByteView rest_;
  ByteView epoch_;
  std::uint64_t position_ = 0;
  bool snapshot_end_ = false;
  bool broken_ = false;
};

/// The rekey counter of an encoded DIM, from its second payload; nullopt where there is none.
[[nodiscard]] std::optional<std::uint64_t> counter_of_dim(ByteView dim);

}  // namespace cygnet::load
