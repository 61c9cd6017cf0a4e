// SPDX-License-Identifier: Apache-2.0
// Bulk TCP through two devices, whatever either kernel segments and joins: every octet arrives, in
// order, and nothing is lost on the way.

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <thread>

#include "cygnet/agent/backend/common/outer_address.h"
#include "cygnet/agent/backend/userspace/e2e/two_devices.h"

namespace cygnet::agent::userspace::e2e {
namespace {

constexpr std::size_t kOctets = 12U << 20;
constexpr int kDeadlineMs = 20000;

std::uint8_t octet_at(std::size_t i) { return static_cast<std::uint8_t>((i * 2654435761U) >> 13); }

Fd tcp_socket(const Namespace& ns, const OuterAddress& bound) {
  Fd fd;
  ns.run([&] {
    fd = Fd(::socket(bound.is_v6() ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(::bind(fd.get(), &bound.any, bound.length()), 0) << std::strerror(errno);
  });
  return fd;
}
bool ready(int fd, short events) {
  pollfd p{fd, events, 0};
  return ::poll(&p, 1, kDeadlineMs) == 1;
}

/// Octets of the pattern that arrived before the first wrong one, or the end.
std::size_t read_pattern(int fd) {
  Bytes buffer(65536);
  std::size_t total = 0;
  while (total < kOctets && ready(fd, POLLIN)) {
    const ssize_t n = ::recv(fd, buffer.data(), buffer.size(), 0);
    if (n <= 0) break;
    for (std::size_t i = 0; i < static_cast<std::size_t>(n); ++i, ++total) {
      if (buffer[i] != octet_at(total)) return total;
    }
  }
  return total;
}

struct Variant {
  const char* name;
  bool offload_left;
  bool offload_right;
  std::string underlay;  ///< a command at the left end
};
void PrintTo(const Variant& v, std::ostream* out) { *out << v.name; }

class Bulk : public TwoDevices, public testing::WithParamInterface<Variant> {
 protected:
  void transfer(bool v6) {
    const auto address = [&](std::size_t end, std::uint16_t port) {
      return OuterAddress(at(v6 ? kSites[end].lan6 : kSites[end].lan4, port));
    };
    const Fd listener = tcp_socket(ns_[1], address(1, 5000));
    ASSERT_EQ(::listen(listener.get(), 1), 0);
    const Fd client = tcp_socket(ns_[0], address(0, 0));
    std::size_t arrived = 0;
    std::thread reader([&] {
      if (!ready(listener.get(), POLLIN)) return;
      const Fd peer(::accept(listener.get(), nullptr, nullptr));
      arrived = read_pattern(peer.get());
    });
    const OuterAddress to = address(1, 5000);
    EXPECT_EQ(::connect(client.get(), &to.any, to.length()), 0) << std::strerror(errno);
    Bytes pattern(1U << 20);
    for (std::size_t sent = 0; sent < kOctets;) {
      const std::size_t n = std::min(pattern.size(), kOctets - sent);
      for (std::size_t i = 0; i < n; ++i) pattern[i] = octet_at(sent + i);
      std::size_t done = 0;
      while (done < n) {
        const ssize_t k = ::send(client.get(), pattern.data() + done, n - done, MSG_NOSIGNAL);
        if (k <= 0) break;
        done += static_cast<std::size_t>(k);
      }
      if (done < n) break;
      sent += n;
    }
    ::shutdown(client.get(), SHUT_WR);
    reader.join();
    EXPECT_EQ(arrived, kOctets);
  }
};

TEST_P(Bulk, EveryOctetArrives) {
  start([](int end, UserspaceConfig& config) {
    config.offload = end == 0 ? GetParam().offload_left : GetParam().offload_right;
  });
  introduce();
  const PairPlan plan;
  install(plan);
  choose_both(plan);
  if (!GetParam().underlay.empty()) ns_[0].shell(GetParam().underlay);
  for (const bool v6 : {false, true}) transfer(v6);
  expect_no_losses();
}

INSTANTIATE_TEST_SUITE_P(
    Offload, Bulk,
    testing::Values(Variant{"BothEnds", true, true, ""}, Variant{"NeitherEnd", false, false, ""},
                    Variant{"LeftEnd", true, false, ""}, Variant{"RightEnd", false, true, ""},
                    // Every segment is larger than the path: the kernel refuses to segment.
                    Variant{"NarrowPath", true, true, "ip link set u0 mtu 1300"},
                    // Datagrams go out one by one, after the socket.
                    Variant{"NoSegmentationOnTheWire", true, true,
                            "ethtool -K u0 tx-udp-segmentation off gso off"}),
    [](const auto& v) { return v.param.name; });

}  // namespace
}  // namespace cygnet::agent::userspace::e2e
