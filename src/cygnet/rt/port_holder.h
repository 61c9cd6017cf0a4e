// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Who has a port that we want: for errors that name the culprit. Blocking (reads /proc); any
/// thread.

#include <cstdint>
#include <string>
#include <string_view>

namespace cygnet::rt {

/// "charon (process 812)" from the sockets of this network namespace; "another process" when it
/// cannot be told (no right to look into that process).
[[nodiscard]] std::string describe_port_holder(std::string_view protocol, std::uint16_t port);

}  // namespace cygnet::rt
