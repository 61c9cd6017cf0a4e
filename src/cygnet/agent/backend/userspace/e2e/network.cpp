// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/backend/userspace/e2e/network.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "cygnet/agent/backend/api/ip_text.h"
#include "cygnet/agent/backend/common/outer_address.h"
#include "cygnet/base/assert.h"

namespace cygnet::agent::userspace::e2e {

Namespace::Namespace() {
  std::thread([this] {
    CYGNET_ASSERT(unshare(CLONE_NEWNET) == 0);
    fd_ = Fd(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
    CYGNET_ASSERT(fd_.is_open());
  }).join();
  shell("ip link set lo up");
}

void Namespace::run(const std::function<void()>& work) const {
  std::thread([&] {
    CYGNET_ASSERT(setns(fd_.get(), CLONE_NEWNET) == 0);
    work();
  }).join();
}

void Namespace::shell(const std::string& command) const {
  run([&] {
    const int status = std::system(command.c_str());  // NOLINT: a child keeps the namespace
    if (status != 0) std::fprintf(stderr, "failed: %s\n", command.c_str());
    CYGNET_ASSERT(status == 0);
  });
}

std::string Namespace::output(const std::string& command) const {
  std::string out;
  run([&] {
    FILE* const pipe = popen(command.c_str(), "r");  // NOLINT: a child keeps the namespace
    CYGNET_ASSERT(pipe != nullptr);
    std::array<char, 4096> buffer;
    while (const std::size_t n = fread(buffer.data(), 1, buffer.size(), pipe)) {
      out.append(buffer.data(), n);
    }
    pclose(pipe);
  });
  return out;
}

std::string Namespace::path() const {
  return "/proc/" + std::to_string(getpid()) + "/fd/" + std::to_string(fd_.get());
}

void connect(const Namespace& a, const std::string& name_a, const Namespace& b,
             const std::string& name_b) {
  a.shell("ip link add " + name_a + " type veth peer name " + name_b + " netns " + b.path());
  a.shell("ip link set " + name_a + " up");
  b.shell("ip link set " + name_b + " up");
}

Socket::Socket(const Namespace& ns, const std::string& address, std::uint16_t port,
               std::uint32_t mark) {
  const OuterAddress local(at(address, port));
  v6_ = local.is_v6();
  ns.run([&] {
    fd_ = Fd(socket(v6_ ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    CYGNET_ASSERT(fd_.is_open());
    const int one = 1;
    const int buffer = 8 << 20;
    setsockopt(fd_.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(fd_.get(), SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer);
    if (mark != 0) {
      CYGNET_ASSERT(setsockopt(fd_.get(), SOL_SOCKET, SO_MARK, &mark, sizeof mark) == 0);
    }
    CYGNET_ASSERT(bind(fd_.get(), &local.any, local.length()) == 0);
  });
}

int Socket::try_send(const std::string& address, std::uint16_t port, ByteView payload) {
  const OuterAddress to(at(address, port));
  for (;;) {
    if (sendto(fd_.get(), payload.data(), payload.size(), 0, &to.any, to.length()) >= 0) return 0;
    if (errno != EAGAIN) return errno;
    pollfd wait{fd_.get(), POLLOUT, 0};
    poll(&wait, 1, 1000);
  }
}

void Socket::send(const std::string& address, std::uint16_t port, ByteView payload) {
  CYGNET_ASSERT(try_send(address, port, payload) == 0);
}

std::optional<Bytes> Socket::receive(std::chrono::milliseconds deadline) {
  pollfd wait{fd_.get(), POLLIN, 0};
  if (poll(&wait, 1, static_cast<int>(deadline.count())) <= 0) return std::nullopt;
  Bytes buffer(65536);
  const ssize_t n = recv(fd_.get(), buffer.data(), buffer.size(), 0);
  if (n < 0) return std::nullopt;
  buffer.resize(static_cast<std::size_t>(n));
  return buffer;
}

void Socket::want_tos() {
  const int one = 1;
  CYGNET_ASSERT(setsockopt(fd_.get(), IPPROTO_IP, IP_RECVTOS, &one, sizeof one) == 0);
}

void Socket::set_tos(int value) {
  CYGNET_ASSERT(setsockopt(fd_.get(), IPPROTO_IP, IP_TOS, &value, sizeof value) == 0);
}

std::optional<std::pair<Bytes, std::uint8_t>> Socket::receive_with_tos() {
  pollfd wait{fd_.get(), POLLIN, 0};
  if (poll(&wait, 1, 5000) <= 0) return std::nullopt;
  std::pair<Bytes, std::uint8_t> out{Bytes(65536), 0};
  alignas(cmsghdr) std::array<char, 128> control;
  iovec vector{out.first.data(), out.first.size()};
  msghdr message{};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t n = recvmsg(fd_.get(), &message, 0);
  if (n < 0) return std::nullopt;
  out.first.resize(static_cast<std::size_t>(n));
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS) out.second = *CMSG_DATA(c);
  }
  return out;
}

bool eventually(const std::function<bool()>& condition, std::chrono::milliseconds deadline) {
  const auto end = std::chrono::steady_clock::now() + deadline;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    // Whoever changes the condition runs on another thread: give it the processor.
    poll(nullptr, 0, 5);
  }
  return true;
}

IpAddress ip(const std::string& text) {
  const auto address = parse_ip_address(text);
  CYGNET_ASSERT(address.has_value());
  return *address;
}
IpPrefix net(const std::string& text) {
  const auto prefix = parse_ip_prefix(text);
  CYGNET_ASSERT(prefix.has_value());
  return *prefix;
}
UdpEndpoint at(const std::string& address, std::uint16_t port, std::uint32_t scope_id) {
  return {ip(address), port, scope_id};
}

}  // namespace cygnet::agent::userspace::e2e
