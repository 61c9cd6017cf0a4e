// SPDX-License-Identifier: Apache-2.0
#pragma once

/// A datagram of the kernel (netlink(7)) taken apart. Pure: no socket. Nothing outside the datagram
/// is read, whatever its lengths claim.

#include <functional>
#include <optional>
#include <string>

#include "cygnet/base/bytes.h"

struct nlmsghdr;

namespace cygnet::agent::xfrm {

/// Hands every whole message to `visit`, until it returns false or the datagram ends.
/// @param datagram  begins at an address divisible by four
/// @return false when `visit` ended it
bool each_message(ByteView datagram, const std::function<bool(const nlmsghdr*)>& visit);

/// NLMSG_ERROR: an acknowledgement, or a refusal.
struct ErrorAnswer {
  int error = 0;     ///< errno; 0: done
  std::string text;  ///< the kernel's own words (NLMSGERR_ATTR_MSG), when it has any
};
/// nullopt for a message of another type, or too short.
[[nodiscard]] std::optional<ErrorAnswer> parse_error(const nlmsghdr* message);

}  // namespace cygnet::agent::xfrm
