// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The grammar of device names (docs/protocol.md section 2): `<name>.<mesh>`, two single
/// lower-case DNS labels. Pure.

#include <string>
#include <string_view>

#include "cygnet/base/result.h"
#include "cygnet/proto/ids/ids.h"

namespace cygnet::proto {

inline constexpr ErrorCode kErrDeviceName{"device-name"};
inline constexpr std::size_t kDnsLabelLengthMax = 63;

/// 1 to 63 of a-z, 0-9 and '-', no '-' at either end.
[[nodiscard]] bool is_dns_label(std::string_view text);

/// @retval kErrDeviceName  names the label at fault.
[[nodiscard]] Result<DeviceName> make_device_name(std::string_view name, std::string_view mesh);
/// From "<name>.<mesh>". @retval kErrDeviceName
[[nodiscard]] Result<DeviceName> parse_device_name(std::string_view text);

// The two labels. Precondition: the name came from one of the functions above or from a DIM.
[[nodiscard]] std::string_view name_label(const DeviceName& device);
[[nodiscard]] std::string_view mesh_label(const DeviceName& device);

}  // namespace cygnet::proto
