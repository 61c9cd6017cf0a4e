// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Checks that compiling and updating share. Internal; the public one is check() of compiled.h.
/// Pure.

#include <optional>

#include "cygnet/controller/policy/compiled.h"

namespace cygnet::controller::policy {

/// What is wrong with one device by itself: name, labels, prefixes claimed twice or of the mesh.
[[nodiscard]] std::optional<Error> device_error(const Document& document, const DeviceSpec& spec,
                                                const std::optional<IpPrefix>& mesh_network);

/// Two devices claim one prefix with one priority: names both places.
[[nodiscard]] Error overlap_error(const Document& document, const DeviceSpec& device,
                                  const PrefixSpec& prefix, const DeviceSpec& other);

}  // namespace cygnet::controller::policy
