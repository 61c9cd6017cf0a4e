// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/backend/xfrm/answers.h"

#include <libmnl/libmnl.h>
#include <linux/netlink.h>

#include <algorithm>
#include <cerrno>
#include <limits>

#include "cygnet/agent/backend/common/netlink.h"

namespace cygnet::agent::xfrm {

// Not mnl_nlmsg_ok(): it takes a length of 2^31 and more for a negative number, which fits
// anywhere.
bool each_message(ByteView datagram, const std::function<bool(const nlmsghdr*)>& visit) {
  while (datagram.size() >= sizeof(nlmsghdr)) {
    const auto* const message = reinterpret_cast<const nlmsghdr*>(datagram.data());
    const std::size_t length = message->nlmsg_len;
    if (length < sizeof(nlmsghdr) || length > datagram.size()) return true;
    if (!visit(message)) return false;
    datagram = datagram.subspan(std::min<std::size_t>(NLMSG_ALIGN(length), datagram.size()));
  }
  return true;
}

std::optional<ErrorAnswer> parse_error(const nlmsghdr* message) {
  if (message->nlmsg_type != NLMSG_ERROR) return std::nullopt;
  if (mnl_nlmsg_get_payload_len(message) < sizeof(nlmsgerr)) return std::nullopt;
  const int negative = static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(message))->error;
  ErrorAnswer out;
  out.error = negative == std::numeric_limits<int>::min() ? EINVAL : -negative;
  // With NETLINK_CAP_ACK only the header of the request is repeated before the attributes.
  const bool words = (message->nlmsg_flags & NLM_F_ACK_TLVS) != 0 &&
                     mnl_nlmsg_get_payload_len(message) > sizeof(nlmsgerr);
  if (words) {
    out.text =
        NetlinkAttributes(message, sizeof(nlmsgerr), NLMSGERR_ATTR_MAX).text(NLMSGERR_ATTR_MSG);
  }
  return out;
}

}  // namespace cygnet::agent::xfrm
