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
#include "cygnet/agent/backend/xfrm/answers.h"
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

ByteView XfrmSocket::datagram(int received) const {
  const auto* const octets = reinterpret_cast<const std::uint8_t*>(buffer_.data());
  return {octets, static_cast<std::size_t>(received)};
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
    const bool more = each_message(datagram(received), [&](const nlmsghdr* message) {
      // What is left of a request that was given up on.
      if (message->nlmsg_seq - first > sequence_ - first) return true;
      if (message->nlmsg_type != NLMSG_ERROR) {
        if (visit) visit(message);
        return true;
      }
      auto answer = parse_error(message);
      if (!answer) return true;
      if (answer->error != 0) {
        refusals.push_back({message->nlmsg_seq - first, answer->error, std::move(answer->text)});
      }
      return message->nlmsg_seq != sequence_;
    });
    if (!more) return refusals;
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
    std::optional<int> error;
    const bool more = each_message(datagram(received), [&](const nlmsghdr* message) {
      if (message->nlmsg_seq != sequence_) return true;
      if (message->nlmsg_type == NLMSG_DONE) return false;
      if (const auto answer = parse_error(message)) {
        error = answer->error;
        return false;
      }
      visit(message);
      return true;
    });
    if (error) return wiped(fail(netlink_error("list what the kernel's IPsec holds", *error)));
    if (!more) return wiped({});
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
    const auto* const octets = reinterpret_cast<const std::uint8_t*>(buffer_.data());
    each_message({octets, static_cast<std::size_t>(n)}, [&](const nlmsghdr* message) {
      visit(message);
      return true;
    });
  }
}

}  // namespace cygnet::agent::xfrm
