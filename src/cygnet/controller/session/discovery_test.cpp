// SPDX-License-Identifier: Apache-2.0
#include "cygnet/controller/session/discovery.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "cygnet/controller/session/discovery_codec.h"

namespace cygnet::controller {
namespace {

constexpr Duration kPatience = std::chrono::seconds(20);

Cookie cookie_of(std::uint8_t octet) {
  Cookie cookie;
  cookie.fill(octet);
  return cookie;
}

TEST(DiscoveryCodec, TheRequestHasTheOctetsOfTheDocument) {
  EXPECT_EQ(to_hex(encode_discovery_request(cookie_of(0xab))),
            "00000000"
            "43594744"
            "01"
            "abababababababababababababababab");
  EXPECT_EQ(decode_discovery_request(encode_discovery_request(cookie_of(0xab))), cookie_of(0xab));
}

TEST(DiscoveryCodec, TheAnswerHasTheOctetsOfTheDocument) {
  const DiscoveryAnswer v4{cookie_of(1), {203, 0, 113, 9}, 61000};
  EXPECT_EQ(to_hex(encode_discovery_answer(v4)),
            "00000000"
            "43594744"
            "01"
            "01010101010101010101010101010101"
            "04"
            "cb007109"
            "ee48");
  EXPECT_EQ(encode_discovery_answer({cookie_of(1), Bytes(16, 0x20), 1}).size(), 44U);
  const auto back = decode_discovery_answer(encode_discovery_answer(v4));
  ASSERT_TRUE(back);
  EXPECT_EQ(back->cookie, v4.cookie);
  EXPECT_EQ(back->address, v4.address);
  EXPECT_EQ(back->port, v4.port);
}

TEST(DiscoveryCodec, EveryOtherDatagramIsNone) {
  const Bytes good = encode_discovery_request(cookie_of(7));
  for (std::size_t length = 0; length < good.size(); ++length) {
    EXPECT_FALSE(decode_discovery_request(ByteView(good).first(length)));
  }
  Bytes longer = good;
  longer.push_back(0);
  EXPECT_FALSE(decode_discovery_request(longer));
  for (std::size_t at = 0; at < 9; ++at) {
    Bytes bent = good;
    bent[at] ^= 0x40;
    EXPECT_FALSE(decode_discovery_request(bent)) << at;
  }
  const Bytes answer = encode_discovery_answer({cookie_of(7), {1, 2, 3, 4}, 5});
  for (std::size_t length = 0; length < answer.size(); ++length) {
    EXPECT_FALSE(decode_discovery_answer(ByteView(answer).first(length)));
  }
  Bytes family = answer;
  family[kDiscoveryRequestLength] = 5;
  EXPECT_FALSE(decode_discovery_answer(family));
}

/// A UDP socket on loopback that waits for an answer on the loop.
class Asker {
 public:
  Asker(rt::Loop& loop, std::uint16_t port, int family = AF_INET)
      : loop_(loop), fd_(socket(family, SOCK_DGRAM | SOCK_NONBLOCK, 0)) {
    sockaddr_storage address{};
    socklen_t length = 0;
    if (family == AF_INET) {
      sockaddr_in v4{};
      v4.sin_family = AF_INET;
      v4.sin_port = htons(port);
      v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      std::memcpy(&address, &v4, sizeof v4);
      length = sizeof v4;
    } else {
      sockaddr_in6 v6{};
      v6.sin6_family = AF_INET6;
      v6.sin6_port = htons(port);
      v6.sin6_addr = in6addr_loopback;
      std::memcpy(&address, &v6, sizeof v6);
      length = sizeof v6;
    }
    EXPECT_EQ(connect(fd_, reinterpret_cast<const sockaddr*>(&address), length), 0);
  }
  ~Asker() { close(fd_); }
  Asker(const Asker&) = delete;
  Asker& operator=(const Asker&) = delete;

  void send(const Bytes& datagram) {
    EXPECT_EQ(::send(fd_, datagram.data(), datagram.size(), 0),
              static_cast<ssize_t>(datagram.size()));
  }
  std::optional<Bytes> receive() {
    std::array<std::uint8_t, 128> buffer{};
    const ssize_t n = recv(fd_, buffer.data(), buffer.size(), 0);
    if (n < 0) return std::nullopt;
    return Bytes(buffer.begin(), buffer.begin() + n);
  }
  std::optional<Bytes> await() {
    std::optional<Bytes> got;
    (void)loop_.run_until([&] { return (got = receive()).has_value(); }, kPatience);
    return got;
  }
  std::uint16_t own_port() const {
    sockaddr_in6 own{};
    socklen_t length = sizeof own;
    EXPECT_EQ(getsockname(fd_, reinterpret_cast<sockaddr*>(&own), &length), 0);
    return ntohs(own.sin6_port);  // at the same place in sockaddr_in
  }

 private:
  rt::Loop& loop_;
  int fd_;
};

struct World {
  explicit World(const std::string& bind) {
    auto made = DiscoveryResponder::create(
        loop, {bind, 0},
        {[](const Cookie& cookie) { return cookie == cookie_of(1); },
         [this](const Cookie&, Endpoint endpoint) { seen.push_back(std::move(endpoint)); }});
    EXPECT_TRUE(made) << made.error().to_string();
    responder = std::move(*made);
  }
  rt::Loop loop;
  std::vector<Endpoint> seen;
  std::unique_ptr<DiscoveryResponder> responder;
};

TEST(Discovery, AKnownCookieLearnsItsAddressAndPort) {
  World world("127.0.0.1");
  Asker asker(world.loop, world.responder->port());
  asker.send(encode_discovery_request(cookie_of(1)));
  const auto octets = asker.await();
  ASSERT_TRUE(octets);
  const auto answer = decode_discovery_answer(*octets);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->cookie, cookie_of(1));
  EXPECT_EQ(answer->address, (Bytes{127, 0, 0, 1}));
  EXPECT_EQ(answer->port, asker.own_port());
  ASSERT_EQ(world.seen.size(), 1U);
  EXPECT_EQ(world.seen[0].port, asker.own_port());
  EXPECT_EQ(world.seen[0].origin, EndpointOrigin::kDiscovered);
}

TEST(Discovery, AnIpv6SocketTellsIpv4AsIpv4) {
  World world("::");
  Asker v4(world.loop, world.responder->port());
  v4.send(encode_discovery_request(cookie_of(1)));
  auto octets = v4.await();
  ASSERT_TRUE(octets);
  EXPECT_EQ(decode_discovery_answer(*octets)->address, (Bytes{127, 0, 0, 1}));
  Asker v6(world.loop, world.responder->port(), AF_INET6);
  v6.send(encode_discovery_request(cookie_of(1)));
  octets = v6.await();
  ASSERT_TRUE(octets);
  EXPECT_EQ(decode_discovery_answer(*octets)->address.size(), 16U);
}

TEST(Discovery, StrangersGetNoAnswerAndAreCounted) {
  World world("127.0.0.1");
  Asker asker(world.loop, world.responder->port());
  asker.send(encode_discovery_request(cookie_of(2)));
  asker.send(Bytes(2000, 0));
  asker.send(Bytes{1});
  asker.send(encode_discovery_request(cookie_of(1)));
  const auto octets = asker.await();  // the last one's: the others were looked at before
  ASSERT_TRUE(octets);
  EXPECT_EQ(decode_discovery_answer(*octets)->cookie, cookie_of(1));
  EXPECT_EQ(world.responder->ignored(), 3U);
  EXPECT_EQ(world.seen.size(), 1U);
  EXPECT_FALSE(asker.receive());
}

TEST(Discovery, APortInUseIsRefusedWithACure) {
  World world("127.0.0.1");
  const auto second =
      DiscoveryResponder::create(world.loop, {"127.0.0.1", world.responder->port()}, {});
  ASSERT_FALSE(second);
  EXPECT_FALSE(second.error().cure.empty());
}

}  // namespace
}  // namespace cygnet::controller
