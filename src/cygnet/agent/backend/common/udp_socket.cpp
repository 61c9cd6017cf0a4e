// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/backend/common/udp_socket.h"

#include <netinet/ip.h>
#include <netinet/udp.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "cygnet/agent/backend/common/tun.h"
#include "cygnet/rt/port_holder.h"

namespace cygnet::agent {
namespace {

bool set_option(int fd, int level, int name, int value) {
  return setsockopt(fd, level, name, &value, sizeof value) == 0;
}

tl::unexpected<Error> socket_error(const std::string& what) {
  return fail(kErrSocket, what + ": " + std::strerror(errno), "ESP socket");
}

/// The FORCE variants pass the system's limit; without the right to, take what it allows.
void set_buffer(int fd, int force, int plain, std::uint32_t octets) {
  if (octets == 0) return;
  const int value = static_cast<int>(octets);
  if (!set_option(fd, SOL_SOCKET, force, value)) set_option(fd, SOL_SOCKET, plain, value);
}

// The PROBE variants set DF and look at the interface only, not at what ICMP said of the path.
bool set_fragments_forbidden(int fd, bool v6, bool forbidden) {
  return v6 ? set_option(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER,
                         forbidden ? IPV6_PMTUDISC_PROBE : IPV6_PMTUDISC_DONT)
            : set_option(fd, IPPROTO_IP, IP_MTU_DISCOVER,
                         forbidden ? IP_PMTUDISC_PROBE : IP_PMTUDISC_DONT);
}

}  // namespace

UdpSocket::UdpSocket(Fd fd, bool v6, UdpOffloads offloads)
    : fd_(std::move(fd)),
      v6_(v6),
      offloads_(offloads),
      buffers_(kBatch),
      headers_(kBatch),
      vectors_(kBatch),
      controls_(kBatch),
      datagrams_(kBatch) {}

Result<UdpOffloads> UdpSocket::prepare(int fd, bool v6, const Options& options) {
  if (!set_option(fd, SOL_SOCKET, SO_MARK, static_cast<int>(options.mark))) {
    return fail(kErrPrivilege, "marking the ESP socket needs CAP_NET_ADMIN", "ESP socket",
                "start the agent as root or with AmbientCapabilities=CAP_NET_ADMIN");
  }
  set_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF, options.buffer);
  set_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF, options.buffer);
  set_option(fd, SOL_SOCKET, SO_RXQ_OVFL, 1);
  UdpOffloads offloads;
  if (options.offload) {
    offloads.segmentation = set_option(fd, IPPROTO_UDP, UDP_SEGMENT, 0);
    offloads.coalescing = set_option(fd, IPPROTO_UDP, UDP_GRO, 1);
  }
  set_fragments_forbidden(fd, v6, false);
  if (v6) {
    set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    set_option(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
  } else {
    set_option(fd, IPPROTO_IP, IP_RECVTOS, 1);
    // RFC 3948 section 2.1: "the Checksum SHOULD be transmitted as a zero value". The kernel
    // segments only datagrams that have one; the card computes it then.
    if (!offloads.segmentation) set_option(fd, SOL_SOCKET, SO_NO_CHECK, 1);
  }
  return offloads;
}

Result<std::unique_ptr<UdpSocket>> UdpSocket::adopt(Fd& fd, bool v6, const Options& options) {
  OuterAddress bound;
  socklen_t length = sizeof bound;
  int kind = 0;
  socklen_t kind_length = sizeof kind;
  const bool known = getsockname(fd.get(), &bound.any, &length) == 0 &&
                     getsockopt(fd.get(), SOL_SOCKET, SO_TYPE, &kind, &kind_length) == 0 &&
                     kind == SOCK_DGRAM && bound.any.sa_family == (v6 ? AF_INET6 : AF_INET) &&
                     bound.endpoint().port == options.port;
  if (!known) return std::unique_ptr<UdpSocket>();
  CYGNET_TRY(const UdpOffloads offloads, prepare(fd.get(), v6, options));
  return std::unique_ptr<UdpSocket>(new UdpSocket(std::move(fd), v6, offloads));
}

Result<std::unique_ptr<UdpSocket>> UdpSocket::open(bool v6, const Options& options) {
  Fd fd(::socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.is_open()) {
    if (errno == EAFNOSUPPORT) {
      return fail(kErrNoFamily, v6 ? "this host has no IPv6" : "this host has no IPv4",
                  "ESP socket");
    }
    return socket_error("cannot make a UDP socket");
  }
  CYGNET_TRY(const UdpOffloads offloads, prepare(fd.get(), v6, options));
  UdpEndpoint any;
  any.address.is_v6 = v6;
  any.port = options.port;
  const OuterAddress address(any);
  if (bind(fd.get(), &address.any, address.length()) != 0) {
    const std::string port = "UDP port " + std::to_string(options.port);
    if (errno == EADDRINUSE) {
      return fail(kErrPortInUse,
                  port + " is held by " + rt::describe_port_holder("udp", options.port), port,
                  "stop it, or choose another port for ESP (esp_port)");
    }
    if (errno == EACCES) {
      return fail(kErrPrivilege, "no right to bind " + port, port,
                  "choose a port from 1024 up, or give the agent CAP_NET_BIND_SERVICE");
    }
    return socket_error("cannot bind " + port);
  }
  return std::unique_ptr<UdpSocket>(new UdpSocket(std::move(fd), v6, offloads));
}

std::span<Datagram> UdpSocket::receive() {
  for (std::uint32_t i = 0; i < kBatch; ++i) {
    const MutableByteView buffer = buffers_[i];
    vectors_[i] = {buffer.data(), buffer.size()};
    msghdr& header = headers_[i].msg_hdr;
    header = {};
    header.msg_name = &datagrams_[i].source;
    header.msg_namelen = sizeof(OuterAddress);
    header.msg_iov = &vectors_[i];
    header.msg_iovlen = 1;
    header.msg_control = controls_[i].octets.data();
    header.msg_controllen = kControlSize;
  }
  int n = 0;
  do {
    n = recvmmsg(fd_.get(), headers_.data(), kBatch, MSG_DONTWAIT, nullptr);
    // Anything but EINTR and EAGAIN is a pending error of an earlier send: it costs no datagram.
  } while (n < 0 && errno == EINTR);
  if (n <= 0) return {};
  for (std::size_t i = 0; i < static_cast<std::size_t>(n); ++i) {
    Datagram& datagram = datagrams_[i];
    datagram.octets = {static_cast<std::uint8_t*>(vectors_[i].iov_base), headers_[i].msg_len};
    datagram.truncated = (headers_[i].msg_hdr.msg_flags & MSG_TRUNC) != 0;
    datagram.tos = 0;
    datagram.segment = 0;
    read_control(headers_[i].msg_hdr, datagram);
  }
  return {datagrams_.data(), static_cast<std::size_t>(n)};
}

void UdpSocket::read_control(const msghdr& header, Datagram& datagram) {
  // CMSG_NXTHDR takes a pointer to a header it does not change.
  auto* const message = const_cast<msghdr*>(&header);
  for (cmsghdr* c = CMSG_FIRSTHDR(message); c != nullptr; c = CMSG_NXTHDR(message, c)) {
    if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS) {
      datagram.tos = *CMSG_DATA(c);
    } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_TCLASS) {
      int value = 0;
      std::memcpy(&value, CMSG_DATA(c), sizeof value);
      datagram.tos = static_cast<std::uint8_t>(value);
    } else if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) {
      int value = 0;
      std::memcpy(&value, CMSG_DATA(c), sizeof value);
      if (value > 0) datagram.segment = static_cast<std::size_t>(value);
    } else if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_RXQ_OVFL) {
      std::uint32_t total = 0;
      std::memcpy(&total, CMSG_DATA(c), sizeof total);
      overflow_pending_ += total - overflow_seen_;
      overflow_seen_ = total;
    }
  }
}

std::uint32_t UdpSocket::take_overflow() { return std::exchange(overflow_pending_, 0); }

void UdpSocket::write_control(const Outgoing& out, Control& control, msghdr& header) const {
  if (out.tos == 0 && out.segment == 0) return;
  header.msg_control = control.octets.data();
  header.msg_controllen = kControlSize;
  std::size_t used = 0;
  cmsghdr* c = CMSG_FIRSTHDR(&header);
  const auto add = [&](int level, int type, const auto& value) {
    c->cmsg_level = level;
    c->cmsg_type = type;
    c->cmsg_len = CMSG_LEN(sizeof value);
    std::memcpy(CMSG_DATA(c), &value, sizeof value);
    used += CMSG_SPACE(sizeof value);
    c = reinterpret_cast<cmsghdr*>(control.octets.data() + used);
  };
  if (out.tos != 0) {
    const int tos = out.tos;
    v6_ ? add(IPPROTO_IPV6, IPV6_TCLASS, tos) : add(IPPROTO_IP, IP_TOS, tos);
  }
  if (out.segment != 0) add(IPPROTO_UDP, UDP_SEGMENT, static_cast<std::uint16_t>(out.segment));
  header.msg_controllen = used;
}

// The setting is the socket's, not the message's; nobody else sends on it meanwhile.
void UdpSocket::forbid_fragments(bool forbid) {
  if (forbid == fragments_forbidden_) return;
  if (set_fragments_forbidden(fd_.get(), v6_, forbid)) fragments_forbidden_ = forbid;
}

UdpSocket::Sent UdpSocket::send(std::span<const Outgoing> datagrams, bool in_one_piece) {
  forbid_fragments(in_one_piece);
  const std::size_t n = std::min(datagrams.size(), kBatch);
  std::array<mmsghdr, kBatch> headers;
  std::array<iovec, kBatch> vectors;
  std::array<Control, kBatch> controls;
  for (std::size_t i = 0; i < n; ++i) {
    const Outgoing& out = datagrams[i];
    vectors[i] = {const_cast<std::uint8_t*>(out.octets.data()), out.octets.size()};
    msghdr& header = headers[i].msg_hdr;
    header = {};
    header.msg_name = const_cast<OuterAddress*>(out.to);
    header.msg_namelen = out.to->length();
    header.msg_iov = &vectors[i];
    header.msg_iovlen = 1;
    write_control(out, controls[i], header);
  }
  int sent = 0;
  do {
    sent = sendmmsg(fd_.get(), headers.data(), static_cast<unsigned>(n), MSG_DONTWAIT);
  } while (sent < 0 && errno == EINTR);
  if (sent < 0) return {0, errno};
  return {static_cast<std::size_t>(sent), 0};
}

}  // namespace cygnet::agent
