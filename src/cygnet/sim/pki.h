// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The mesh's CA and its devices' identities. Real keys and certificates, made once a process and
/// shared by all worlds: nothing observable in a run depends on their octets, and their lengths are
/// always the same.

#include <memory>
#include <string>
#include <vector>

#include "cygnet/crypto/identity.h"
#include "cygnet/proto/ids/ids.h"
#include "cygnet/sim/packet.h"

namespace cygnet::sim {

/// The wall clock shows this when virtual time begins.
inline constexpr ServerTime kEpoch{std::chrono::milliseconds(1'800'000'000'000)};
inline constexpr const char* kMeshName = "sim";

[[nodiscard]] crypto::MeshId mesh_id();
[[nodiscard]] std::string label_of(DeviceId device);       ///< "d00007"
[[nodiscard]] proto::DeviceName name_of(DeviceId device);  ///< "d00007.sim"
/// The device a full name stands for; nullopt for anything else.
[[nodiscard]] std::optional<DeviceId> device_of(std::string_view name);

struct Identity {
  crypto::IdentityKey key;
  crypto::Certificate certificate;
};

class Pki {
 public:
  /// At least `devices` identities, and one more for the liar. Any thread.
  [[nodiscard]] static std::shared_ptr<const Pki> of(std::uint32_t devices);

  [[nodiscard]] const Identity& device(DeviceId id) const { return identities_[id]; }
  /// A key nobody certified: what a liar signs with.
  [[nodiscard]] const crypto::IdentityKey& stranger() const { return *stranger_; }
  [[nodiscard]] const crypto::Certificate& ca() const { return *ca_; }

 private:
  explicit Pki(std::uint32_t devices);
  std::vector<Identity> identities_;
  std::optional<crypto::IdentityKey> stranger_;
  std::optional<crypto::Certificate> ca_;
};

}  // namespace cygnet::sim
