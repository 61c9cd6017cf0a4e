// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The words with which every engine refuses a batch, so that they cannot differ. Internal.

#include "cygnet/controller/store/store.h"

namespace cygnet::controller::store {

[[nodiscard]] Error mesh_exists(const MeshId& mesh);
[[nodiscard]] Error mesh_unknown(const MeshId& mesh);
[[nodiscard]] Error device_unknown(const std::string& name);
[[nodiscard]] Error position_stale(std::uint64_t offered, std::uint64_t stored);
[[nodiscard]] Error counter_stale(const std::string& device, proto::RekeyCounter offered,
                                  proto::RekeyCounter stored);
[[nodiscard]] Error token_exists();
[[nodiscard]] Error token_unknown();
[[nodiscard]] Error token_expired();
[[nodiscard]] Error token_used();
[[nodiscard]] Error csr_unknown(const std::string& device);
[[nodiscard]] Error revocation_stale(std::uint64_t offered, std::uint64_t stored);
[[nodiscard]] Error policy_version_wrong(std::uint64_t offered, std::uint64_t stored);
[[nodiscard]] Error policy_unknown(std::uint64_t version);

}  // namespace cygnet::controller::store
