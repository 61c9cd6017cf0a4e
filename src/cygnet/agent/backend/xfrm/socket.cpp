// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/backend/xfrm/socket.h"

#include <libmnl/libmnl.h>
#include <linux/netlink.h>
#include <linux/xfrm.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "cygnet/agent/backend/common/netlink.h"
#include "cygnet/agent/backend/common/tun.h"
#include "cygnet/base/secret.h"

namespace cygnet::agent::xfrm {
namespace {

constexpr int kReceiveBuffer = 4 << 20;
constexpr timeval kAnswerLimit{10, 0};

Result<Fd> open_netlink(std::uint32_t groups, int flags) {
  Fd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | flags, NETLINK_XFRM));
  if (!fd.is_open()) {
    return fail(kErrKernelIpsec,
                std::string("the kernel has no IPsec to talk to (") + std::strerror(errno) + ")",
                "NETLINK_XFRM",
                "load the module (modprobe xfrm_user), or set data_plane: userspace");
  }
  // The plain variant when we may not pass the system's limit.
  if (setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, &kReceiveBuffer, sizeof kReceiveBuffer) !=
      0) {
    setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUF, &kReceiveBuffer, sizeof kReceiveBuffer);
  }
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = groups;
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return fail(netlink_error("listen to the kernel's IPsec", errno));
  }
  return fd;
}

constexpr std::uint32_t group(int number) { return 1U << (number - 1); }

/// The words of an error answer (NLMSGERR_ATTR_MSG).
std::string words(const nlmsghdr* message) {
  if ((message->nlmsg_flags & NLM_F_ACK_TLVS) == 0) return {};
  // With NETLINK_CAP_ACK only the header of the request is repeated before the attributes.
  const std::size_t before = sizeof(nlmsgerr);
  if (mnl_nlmsg_get_payload_len(message) <= before) return {};
  return NetlinkAttributes(message, before, NLMSGERR_ATTR_MAX).text(NLMSGERR_ATTR_MSG);
}

}  // namespace

Result<XfrmSocket> XfrmSocket::open() {
  CYGNET_TRY(Fd fd, open_netlink(0, 0));
  const int on = 1;
  setsockopt(fd.get(), SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
  setsockopt(fd.get(), SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
  setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &kAnswerLimit, sizeof kAnswerLimit);
  return XfrmSocket(std::move(fd));
}

int XfrmSocket::receive() {
  for (;;) {
    ++system_calls_;
    const ssize_t n = recv(fd_.get(), buffer_.data(), buffer_.size() * sizeof buffer_[0], 0);
    if (n >= 0) return static_cast<int>(n);
    if (errno != EINTR) return -errno;
  }
}

// Only the last message asks for an acknowledgement: the kernel works through the batch in order
// before the call returns, and a refusal is told in any case.
Result<std::vector<Refusal>> XfrmSocket::send(MessageBatch& batch, const Visit& visit) {
  std::vector<Refusal> refusals;
  if (batch.empty()) return refusals;
  const std::uint32_t first = sequence_ + 1;
  for (std::size_t i = 0; i < batch.size(); ++i) batch.message(i)->nlmsg_seq = ++sequence_;
  nlmsghdr* const last = batch.message(batch.size() - 1);
  last->nlmsg_flags = static_cast<std::uint16_t>(last->nlmsg_flags | NLM_F_ACK);
  ++system_calls_;
  const ssize_t sent = ::send(fd_.get(), batch.octets().data(), batch.octets().size(), 0);
  const int send_error = errno;
  batch.clear();
  if (sent < 0) return fail(netlink_error("talk to the kernel's IPsec", send_error));
  for (;;) {
    const int received = receive();
    if (received < 0) {
      return fail(kErrKernelAnswer,
                  std::string("no answer of the kernel's IPsec: ") + std::strerror(-received),
                  "NETLINK_XFRM");
    }
    int left = received;
    for (const auto* message = reinterpret_cast<const nlmsghdr*>(buffer_.data());
         mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
      // What is left of a request that was given up on.
      if (message->nlmsg_seq - first > sequence_ - first) continue;
      if (message->nlmsg_type != NLMSG_ERROR) {
        if (visit) visit(message);
        continue;
      }
      if (mnl_nlmsg_get_payload_len(message) < sizeof(nlmsgerr)) continue;
      const auto* const answer = static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(message));
      if (answer->error != 0) {
        refusals.push_back({message->nlmsg_seq - first, -answer->error, words(message)});
      }
      if (message->nlmsg_seq == sequence_) return refusals;
    }
  }
}

Status XfrmSocket::list(MessageBatch& batch, const Visit& visit) {
  // Lists of SAs carry their keys.
  const auto wiped = [this](Status status) {
    secure_zero(buffer_.data(), buffer_.size() * sizeof buffer_[0]);
    return status;
  };
  nlmsghdr* const request = batch.message(0);
  request->nlmsg_seq = ++sequence_;
  ++system_calls_;
  const ssize_t sent = ::send(fd_.get(), batch.octets().data(), batch.octets().size(), 0);
  const int send_error = errno;
  batch.clear();
  if (sent < 0) return fail(netlink_error("list what the kernel's IPsec holds", send_error));
  for (;;) {
    const int received = receive();
    if (received < 0) {
      return wiped(fail(kErrKernelAnswer,
                        std::string("no list from the kernel's IPsec: ") + std::strerror(-received),
                        "NETLINK_XFRM"));
    }
    int left = received;
    for (const auto* message = reinterpret_cast<const nlmsghdr*>(buffer_.data());
         mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
      if (message->nlmsg_seq != sequence_) continue;
      if (message->nlmsg_type == NLMSG_DONE) return wiped({});
      if (message->nlmsg_type == NLMSG_ERROR) {
        const auto* const answer = static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(message));
        return wiped(fail(netlink_error("list what the kernel's IPsec holds", -answer->error)));
      }
      visit(message);
    }
  }
}

Result<XfrmEvents> XfrmEvents::open() {
  CYGNET_TRY(Fd fd, open_netlink(group(XFRMNLGRP_ACQUIRE) | group(XFRMNLGRP_EXPIRE) |
                                     group(XFRMNLGRP_AEVENTS) | group(XFRMNLGRP_MAPPING),
                                 SOCK_NONBLOCK));
  return XfrmEvents(std::move(fd));
}

bool XfrmEvents::receive(const XfrmSocket::Visit& visit) {
  bool complete = true;
  for (;;) {
    sockaddr_nl from{};
    socklen_t length = sizeof from;
    const ssize_t n = recvfrom(fd_.get(), buffer_.data(), buffer_.size() * sizeof buffer_[0], 0,
                               reinterpret_cast<sockaddr*>(&from), &length);
    if (n < 0) {
      if (errno == EINTR) continue;
      if (errno != ENOBUFS) return complete;
      complete = false;
      continue;
    }
    if (from.nl_pid != 0) continue;  // the kernel only
    int left = static_cast<int>(n);
    for (const auto* message = reinterpret_cast<const nlmsghdr*>(buffer_.data());
         mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
      visit(message);
    }
  }
}

}  // namespace cygnet::agent::xfrm
