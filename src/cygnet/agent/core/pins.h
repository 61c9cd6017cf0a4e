// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Peers' keys as first seen (docs/protocol.md section 2, "Pinning"): "a device pins every peer's
/// public key (SPKI hash) on first sight, on disk. A DIM under another key is refused unless … an
/// operator confirmed the change on the device or by a policy entry (`rekeyed: [name]`)".
/// A policy entry allows one change a policy version, so that a name left in the list does not let
/// the key go back and forth. Pure; value type.

#include <cstdint>
#include <functional>
#include <map>
#include <optional>

#include "cygnet/agent/core/messages.h"
#include "cygnet/crypto/hash.h"
#include "cygnet/proto/dim/dim_check.h"
#include "cygnet/proto/ids/ids.h"

namespace cygnet::agent {

struct Pin {
  crypto::Sha256 spki_sha256{};
  std::uint64_t changed_at_version = 0;       ///< policy version when it was pinned or changed
  std::optional<crypto::Sha256> confirmed{};  ///< another key an operator confirmed on this device
  friend bool operator==(const Pin&, const Pin&) = default;
};

class Pins {
 public:
  Pins() = default;
  explicit Pins(std::map<proto::DeviceName, Pin> entries) : entries_(std::move(entries)) {}

  /// What check_dim is told about a device that shows the key `shown`.
  [[nodiscard]] std::optional<proto::KeyPin> judge(const proto::DeviceName& device,
                                                   const crypto::Sha256& shown,
                                                   const MeshSettings& settings) const {
    return judge_later(device, settings)(shown);
  }
  /// The same for a key that is not known yet, as of now; a value that any thread may call.
  [[nodiscard]] std::function<std::optional<proto::KeyPin>(const crypto::Sha256& shown)>
  judge_later(const proto::DeviceName& device, const MeshSettings& settings) const;
  enum class Change : std::uint8_t { kNone, kFirst, kReplaced };
  /// A DIM under `key` was accepted: pin it.
  Change take(const proto::DeviceName& device, const crypto::Sha256& key,
              const MeshSettings& settings);
  /// An operator on this device confirms that `device` now signs with `key`.
  void confirm(const proto::DeviceName& device, const crypto::Sha256& key);

  [[nodiscard]] const std::map<proto::DeviceName, Pin>& entries() const { return entries_; }

 private:
  std::map<proto::DeviceName, Pin> entries_;
};

}  // namespace cygnet::agent
