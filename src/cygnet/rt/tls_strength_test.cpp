// SPDX-License-Identifier: Apache-2.0
// What a stream promises of its octets on the way: nobody reads or changes them, and no weaker
// algorithm can be talked into it. A tap in the middle looks, and meddles.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <mutex>
#include <string>
#include <thread>

#include "cygnet/rt/framed_stream.h"
#include "cygnet/rt/test_support.h"

namespace cygnet::rt {
namespace {

using test::Authority;
using test::kPatience;
using test::kToday;
using test::today;

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

int connected(std::uint16_t port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_in to = loopback(port);
  EXPECT_EQ(connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to), 0);
  return fd;
}

/// Carries one connection to `port`, keeps what passes, and flips a bit of the client's octets once
/// told to.
class Tap {
 public:
  explicit Tap(std::uint16_t port) : listener_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in here = loopback(0);
    socklen_t size = sizeof here;
    EXPECT_EQ(bind(listener_, reinterpret_cast<const sockaddr*>(&here), size), 0);
    EXPECT_EQ(listen(listener_, 1), 0);
    EXPECT_EQ(getsockname(listener_, reinterpret_cast<sockaddr*>(&here), &size), 0);
    port_ = ntohs(here.sin_port);
    upward_ = std::thread([this, port] {
      client_ = accept(listener_, nullptr, nullptr);
      if (client_ < 0) return;
      server_ = connected(port);
      downward_ = std::thread([this] { carry(server_, client_, false); });
      carry(client_, server_, true);
    });
  }
  Tap(const Tap&) = delete;
  Tap& operator=(const Tap&) = delete;
  ~Tap() {
    for (const int fd : {listener_, client_.load(), server_.load()}) shutdown(fd, SHUT_RDWR);
    upward_.join();
    if (downward_.joinable()) downward_.join();
    for (const int fd : {listener_, client_.load(), server_.load()}) {
      if (fd >= 0) close(fd);
    }
  }

  [[nodiscard]] std::uint16_t port() const { return port_; }
  void meddle() { meddles_ = true; }
  [[nodiscard]] bool saw(std::string_view words) {
    const std::lock_guard lock(mutex_);
    return seen_.find(words) != std::string::npos;
  }
  [[nodiscard]] std::size_t octets() {
    const std::lock_guard lock(mutex_);
    return seen_.size();
  }

 private:
  void carry(int from, int to, bool up) {
    std::array<char, 4096> buffer{};
    for (;;) {
      const ssize_t n = read(from, buffer.data(), buffer.size());
      if (n <= 0) break;
      {
        const std::lock_guard lock(mutex_);
        seen_.append(buffer.data(), static_cast<std::size_t>(n));
      }
      // The last octet of what came is ciphertext or tag, never the record's header.
      char& last = buffer[static_cast<std::size_t>(n) - 1];
      if (up && meddles_) last = static_cast<char>(last ^ 1);
      if (write(to, buffer.data(), static_cast<std::size_t>(n)) != n) break;
    }
    shutdown(to, SHUT_WR);
  }

  int listener_;
  std::atomic<int> client_ = -1, server_ = -1;
  std::uint16_t port_ = 0;
  std::atomic<bool> meddles_ = false;
  std::mutex mutex_;
  std::string seen_;
  std::thread upward_, downward_;
};

class TlsStrength : public testing::Test {
 protected:
  void SetUp() override {
    const TlsServerContext::Options options{
        mesh_.issue(Authority::Role::kController, "ctl.corp"), {mesh_.certificate}, today, false};
    auto listener = StreamListener::create(
        loop_, TlsServerContext::create(options).value(), {.bind = {"127.0.0.1", 0}},
        {[this](StreamPtr stream) {
           server_ = std::move(stream);
           server_->start({[this](Bytes message) { heard_.emplace_back(as_text(message)); },
                           [this](const Error& error) { server_closed_ = error; }, [] {}});
         },
         [this](const Error& error, const HostPort&) { refused_ = error; }});
    ASSERT_TRUE(listener) << listener.error().to_string();
    listener_ = std::move(*listener);
  }

  void connect_through(const Tap& tap) {
    bool done = false;
    const auto context =
        TlsClientContext::create_device({mesh_.issue(Authority::Role::kDevice, "a.corp"),
                                         {mesh_.certificate},
                                         today,
                                         std::nullopt})
            .value();
    const auto pending = connect_stream(
        loop_, context, {.to = {"127.0.0.1", tap.port()}}, [&](Result<StreamPtr> result) {
          ASSERT_TRUE(result) << result.error().to_string();
          client_ = std::move(*result);
          client_->start({[](const Bytes&) {}, [](const Error&) {}, [] {}});
          done = true;
        });
    ASSERT_TRUE(wait([&] { return done && server_ != nullptr; }));
  }
  void say(std::string_view words) {
    const auto octets = as_bytes(words);
    ASSERT_TRUE(client_->send(Bytes(octets.begin(), octets.end())));
  }
  template <class F>
  [[nodiscard]] bool wait(F done) {
    return loop_.run_until(done, kPatience);
  }

  /// A client that offers just this: the name of the cipher suite agreed upon, or nothing.
  std::string shake_hands(const char* suites, int version) {
    std::string agreed;
    std::atomic<bool> done = false;
    std::thread client([&, port = listener_->port()] {
      const std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context(
          SSL_CTX_new(TLS_client_method()), SSL_CTX_free);
      SSL_CTX_set_max_proto_version(context.get(), version);
      SSL_CTX_set_ciphersuites(context.get(), suites);
      const std::unique_ptr<SSL, decltype(&SSL_free)> ssl(SSL_new(context.get()), SSL_free);
      constexpr std::string_view alpn =
          "\x08"
          "cygnet/1";
      SSL_set_alpn_protos(ssl.get(), as_bytes(alpn).data(), alpn.size());
      const int fd = connected(port);
      SSL_set_fd(ssl.get(), fd);
      if (SSL_connect(ssl.get()) == 1) agreed = SSL_get_cipher_name(ssl.get());
      close(fd);
      done = true;
    });
    EXPECT_TRUE(wait([&] { return done.load(); }));
    client.join();
    return agreed;
  }

  Loop loop_;
  Authority mesh_ = Authority::make("corp CA");
  std::unique_ptr<StreamListener> listener_;
  StreamPtr server_, client_;
  std::vector<std::string> heard_;
  std::optional<Error> server_closed_, refused_;
};

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-6
//= type=test
//# Confidentiality of the messages SHOULD also be provided.
TEST_F(TlsStrength, NobodyOnTheWayReadsAMessage) {
  Tap tap(listener_->port());
  connect_through(tap);
  const std::string words = "a message that nobody on the way should read";
  say(words);
  ASSERT_TRUE(wait([&] { return heard_.size() == 1; }));
  EXPECT_EQ(heard_[0], words);
  EXPECT_GT(tap.octets(), words.size());
  EXPECT_FALSE(tap.saw(words.substr(0, 8)));
  EXPECT_FALSE(tap.saw("a.corp")) << "nor who the device is";
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-6
//= type=test
//# integrity of the messages MUST be provided
TEST_F(TlsStrength, AMessageChangedOnTheWayEndsTheStreamAndReachesNobody) {
  Tap tap(listener_->port());
  connect_through(tap);
  say("whole");
  ASSERT_TRUE(wait([&] { return heard_.size() == 1; }));
  tap.meddle();
  say("changed by one bit");
  ASSERT_TRUE(wait([&] { return server_closed_.has_value(); }));
  EXPECT_EQ(heard_, std::vector<std::string>{"whole"});
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-6
//= type=test
//# It is important that the controller protocol be protected with algorithms that are at least as
//# strong as the algorithms used to protect the IPsec packets.
TEST_F(TlsStrength, OnlyCiphersWithKeysAsLongAsTheLongestOfAnEspSuiteAreAgreedUpon) {
  EXPECT_EQ(shake_hands("TLS_AES_256_GCM_SHA384", TLS1_3_VERSION), "TLS_AES_256_GCM_SHA384");
  EXPECT_EQ(shake_hands("TLS_CHACHA20_POLY1305_SHA256", TLS1_3_VERSION),
            "TLS_CHACHA20_POLY1305_SHA256");
  EXPECT_EQ(shake_hands("TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384", TLS1_3_VERSION),
            "TLS_AES_256_GCM_SHA384");
  EXPECT_EQ(shake_hands("TLS_AES_128_GCM_SHA256", TLS1_3_VERSION), "");
  ASSERT_TRUE(wait([&] { return refused_.has_value(); }));
  EXPECT_EQ(refused_->code, kErrTls);
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-6
//= type=test
//# the controller protocol MUST provide a strong authentication between the device and the
//# controller
TEST_F(TlsStrength, AnOlderTlsIsNotSpokenAndWhoShowsNoCertificateGetsNoStream) {
  EXPECT_EQ(shake_hands("TLS_AES_256_GCM_SHA384", TLS1_2_VERSION), "");
  ASSERT_TRUE(wait([&] { return refused_.has_value(); }));
  refused_.reset();
  // In TLS 1.3 the client is through before the server has seen that no certificate comes.
  static_cast<void>(shake_hands("TLS_AES_256_GCM_SHA384", TLS1_3_VERSION));
  ASSERT_TRUE(wait([&] { return refused_.has_value(); }));
  EXPECT_EQ(server_, nullptr);
}

}  // namespace
}  // namespace cygnet::rt
