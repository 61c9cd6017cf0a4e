// SPDX-License-Identifier: Apache-2.0
#include "cygnet/controller/session/discovery.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "cygnet/controller/session/discovery_codec.h"
#include "cygnet/rt/fd_watcher.h"
#include "cygnet/rt/framed_stream.h"

namespace cygnet::controller {
namespace {

/// Datagrams taken in one turn of the loop, so that a flood leaves room for everything else.
constexpr int kBurst = 64;

// The socket API's casts, in one place.
sockaddr* generic(sockaddr_storage& address) { return reinterpret_cast<sockaddr*>(&address); }

Endpoint endpoint_of(const sockaddr_storage& from) {
  Endpoint endpoint;
  endpoint.origin = EndpointOrigin::kDiscovered;
  if (from.ss_family == AF_INET) {
    sockaddr_in v4{};
    std::memcpy(&v4, &from, sizeof v4);
    endpoint.address.resize(4);
    std::memcpy(endpoint.address.data(), &v4.sin_addr, 4);
    endpoint.port = ntohs(v4.sin_port);
    return endpoint;
  }
  sockaddr_in6 v6{};
  std::memcpy(&v6, &from, sizeof v6);
  endpoint.address.resize(16);
  std::memcpy(endpoint.address.data(), &v6.sin6_addr, 16);
  endpoint.port = ntohs(v6.sin6_port);
  if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) {
    endpoint.address.erase(endpoint.address.begin(), endpoint.address.begin() + 12);
  }
  return endpoint;
}

class Responder final : public DiscoveryResponder {
 public:
  Responder(rt::Loop& loop, Handlers handlers) : loop_(loop), handlers_(std::move(handlers)) {}
  ~Responder() override {
    watcher_.reset();
    if (fd_ >= 0) close(fd_);
  }

  Status open(const rt::HostPort& bind_to) {
    sockaddr_storage address{};
    socklen_t length = 0;
    sockaddr_in v4{};
    sockaddr_in6 v6{};
    if (inet_pton(AF_INET, bind_to.host.c_str(), &v4.sin_addr) == 1) {
      v4.sin_family = AF_INET;
      v4.sin_port = htons(bind_to.port);
      std::memcpy(&address, &v4, sizeof v4);
      length = sizeof v4;
    } else if (inet_pton(AF_INET6, bind_to.host.c_str(), &v6.sin6_addr) == 1) {
      v6.sin6_family = AF_INET6;
      v6.sin6_port = htons(bind_to.port);
      std::memcpy(&address, &v6, sizeof v6);
      length = sizeof v6;
    } else {
      return fail(rt::kErrListen, "\"" + bind_to.host + "\" is no address to listen on", {},
                  "give an IPv4 or IPv6 address");
    }
    fd_ = socket(address.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd_ < 0) return refuse(bind_to, errno);
    const int on = 1;
    const int off = 0;
    // The answer must leave from the address that was asked, or no NAT lets it in.
    if (address.ss_family == AF_INET6) {
      setsockopt(fd_, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
      setsockopt(fd_, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on);
    } else {
      setsockopt(fd_, IPPROTO_IP, IP_PKTINFO, &on, sizeof on);
    }
    if (bind(fd_, generic(address), length) != 0) return refuse(bind_to, errno);
    sockaddr_storage bound{};
    socklen_t bound_length = sizeof bound;
    if (getsockname(fd_, generic(bound), &bound_length) != 0) return refuse(bind_to, errno);
    port_ = endpoint_of(bound).port;
    watcher_ = std::make_unique<rt::FdWatcher>(loop_, fd_, [this] { read(); });
    return {};
  }

  [[nodiscard]] std::uint16_t port() const override { return port_; }
  [[nodiscard]] std::uint64_t ignored() const override { return ignored_; }

 private:
  static Status refuse(const rt::HostPort& bind_to, int error) {
    return fail(rt::kErrListen,
                "cannot listen on UDP " + bind_to.to_string() + ": " + std::strerror(error), {},
                error == EADDRINUSE ? "stop what uses it (ss -lunp), or choose another port"
                                    : "check that the address is one of this host's (ip addr)");
  }

  void read() {
    for (int i = 0; i < kBurst; ++i) {
      std::array<std::uint8_t, 64> buffer{};  // longer datagrams are cut and so refused
      std::array<char, 128> control{};
      sockaddr_storage from{};
      iovec data{buffer.data(), buffer.size()};
      msghdr message{};
      message.msg_name = &from;
      message.msg_namelen = sizeof from;
      message.msg_iov = &data;
      message.msg_iovlen = 1;
      message.msg_control = control.data();
      message.msg_controllen = control.size();
      const ssize_t n = recvmsg(fd_, &message, 0);
      if (n < 0) return;
      const auto cookie = decode_discovery_request(
          ByteView(buffer).first(std::min(buffer.size(), static_cast<std::size_t>(n))));
      if (!cookie || !handlers_.known(*cookie)) {
        ++ignored_;
        continue;
      }
      Endpoint endpoint = endpoint_of(from);
      Bytes answer = encode_discovery_answer({*cookie, endpoint.address, endpoint.port});
      // The control message that came (the address asked) goes back as the source to use.
      iovec out{answer.data(), answer.size()};
      message.msg_iov = &out;
      message.msg_flags = 0;
      (void)sendmsg(fd_, &message, MSG_DONTWAIT);
      handlers_.on_discovered(*cookie, std::move(endpoint));
    }
  }

  rt::Loop& loop_;
  Handlers handlers_;
  int fd_ = -1;
  std::uint16_t port_ = 0;
  std::uint64_t ignored_ = 0;
  std::unique_ptr<rt::FdWatcher> watcher_;
};

}  // namespace

Result<std::unique_ptr<DiscoveryResponder>> DiscoveryResponder::create(rt::Loop& loop,
                                                                       const rt::HostPort& bind,
                                                                       Handlers handlers) {
  auto responder = std::make_unique<Responder>(loop, std::move(handlers));
  CYGNET_CHECK_OK(responder->open(bind));
  return std::unique_ptr<DiscoveryResponder>(std::move(responder));
}

}  // namespace cygnet::controller
