// SPDX-License-Identifier: Apache-2.0
#include "cygnet/rt/framed_stream.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>

#include "cygnet/rt/test_support.h"

namespace cygnet::rt {
namespace {

using namespace std::chrono_literals;
using test::Authority;
using test::kPatience;
using test::kToday;
using test::today;
using Role = Authority::Role;

/// One end and what it has been told.
struct End {
  StreamPtr stream;
  std::vector<std::string> messages;
  std::optional<Error> closed;
  int drained = 0;

  void start() {
    stream->start({[this](Bytes message) { messages.emplace_back(as_text(message)); },
                   [this](const Error& error) { closed = error; }, [this] { ++drained; }});
  }
  [[nodiscard]] Status say(std::string_view text) {
    const auto octets = as_bytes(text);
    return stream->send(Bytes(octets.begin(), octets.end()));
  }
};

class Streams : public testing::Test {
 protected:
  static const Authority& mesh() {
    static const Authority authority = Authority::make("corp CA");
    return authority;
  }
  static const Authority& stranger() {
    static const Authority authority = Authority::make("other CA");
    return authority;
  }

  void listen(StreamLimits limits = {}, bool offer_join = true, TlsIdentity* identity = nullptr) {
    server_context_ =
        TlsServerContext::create(
            {identity != nullptr ? *identity : mesh().issue(Role::kController, "ctl.corp"),
             {mesh().certificate},
             [this] { return server_now_; },
             offer_join})
            .value();
    auto listener =
        StreamListener::create(loop_, server_context_, {.bind = {"127.0.0.1", 0}, .limits = limits},
                               {[this](StreamPtr stream) {
                                  server_.stream = std::move(stream);
                                  if (start_server_) server_.start();
                                },
                                [this](const Error& error, const HostPort&) { refused_ = error; }});
    ASSERT_TRUE(listener) << listener.error().to_string();
    listener_ = std::move(*listener);
  }

  static std::shared_ptr<TlsClientContext> device(
      TlsIdentity identity, std::vector<crypto::Certificate> trust = {mesh().certificate},
      std::optional<std::string> expected = {}) {
    return TlsClientContext::create_device(
               {std::move(identity), std::move(trust), today, std::move(expected)})
        .value();
  }
  static std::shared_ptr<TlsClientContext> device() {
    return device(mesh().issue(Role::kDevice, "a.corp"));
  }
  static std::shared_ptr<TlsClientContext> join(const Authority& authority) {
    return TlsClientContext::create_join(
               {certificate_fingerprint(authority.certificate), today, {}})
        .value();
  }

  /// Connects and waits for the outcome.
  Status connect(const std::shared_ptr<TlsClientContext>& context, StreamLimits limits = {}) {
    std::optional<Result<StreamPtr>> outcome;
    pending_ =
        connect_stream(loop_, context, {.to = {"127.0.0.1", listener_->port()}, .limits = limits},
                       [&](Result<StreamPtr> result) { outcome = std::move(result); });
    EXPECT_TRUE(loop_.run_until([&] { return outcome.has_value(); }, kPatience));
    if (!*outcome) return fail(outcome->error());
    client_.stream = std::move(**outcome);
    client_.start();
    return {};
  }
  void connect_both(const std::shared_ptr<TlsClientContext>& context, StreamLimits limits = {}) {
    const Status connected = connect(context, limits);
    ASSERT_TRUE(connected) << connected.error().to_string();
    ASSERT_TRUE(loop_.run_until([&] { return server_.stream != nullptr; }, kPatience));
  }
  [[nodiscard]] bool wait(const std::function<bool()>& done) {
    return loop_.run_until(done, kPatience);
  }

  Loop loop_;
  ServerTime server_now_ = kToday;
  bool start_server_ = true;
  std::shared_ptr<TlsServerContext> server_context_;
  End server_;
  End client_;
  std::optional<Error> refused_;
  std::unique_ptr<StreamListener> listener_;
  std::unique_ptr<PendingConnect> pending_;
};

TEST_F(Streams, MessagesGoBothWaysAndEndsKnowEachOther) {
  listen();
  connect_both(device());
  ASSERT_TRUE(client_.say("hello"));
  ASSERT_TRUE(client_.say(""));
  ASSERT_TRUE(server_.say("welcome"));
  ASSERT_TRUE(wait([&] { return server_.messages.size() == 2 && client_.messages.size() == 1; }));
  EXPECT_EQ(server_.messages, (std::vector<std::string>{"hello", ""}));
  EXPECT_EQ(client_.messages[0], "welcome");
  EXPECT_EQ(server_.stream->peer_certificate()->dns_san(), "a.corp");
  EXPECT_EQ(client_.stream->peer_certificate()->dns_san(), "ctl.corp");
  EXPECT_EQ(server_.stream->alpn(), "cygnet/1");
  EXPECT_EQ(client_.stream->remote_address().port, listener_->port());
  EXPECT_EQ(server_.stream->remote_address().to_string(),
            client_.stream->local_address().to_string());
}

TEST_F(Streams, EveryKeyTypeOfADeviceIsTaken) {
  for (const auto type :
       {crypto::KeyType::kEcdsaP256, crypto::KeyType::kEcdsaP384, crypto::KeyType::kEd25519}) {
    listen();
    connect_both(device(mesh().issue(Role::kDevice, "a.corp", kToday + 24h, type)));
    EXPECT_EQ(server_.stream->peer_certificate()->dns_san(), "a.corp");
    server_ = {};
    client_ = {};
  }
}

TEST_F(Streams, ManyMessagesSentInOneTurnShareRecords) {
  listen();
  connect_both(device());
  const auto shared = std::make_shared<const Bytes>(Bytes(300, 7));
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(server_.stream->send(shared));
  EXPECT_EQ(server_.stream->queued_octets(), 304000U);
  EXPECT_EQ(shared.use_count(), 1001);
  ASSERT_TRUE(wait([&] { return client_.messages.size() == 1000; }));
  EXPECT_EQ(shared.use_count(), 1);
  const auto totals = server_.stream->totals();
  EXPECT_EQ(totals.messages_out, 1000U);
  EXPECT_EQ(totals.octets_out, 304000U);
  EXPECT_EQ(totals.records_out, (304000U + 16383U) / 16384U);
}

TEST_F(Streams, AMessageLargerThanARecordArrivesWhole) {
  listen();
  connect_both(device());
  std::string large(900'000, 'x');
  for (std::size_t i = 0; i < large.size(); i += 97) large[i] = static_cast<char>('a' + i % 26);
  ASSERT_TRUE(client_.say(large));
  ASSERT_TRUE(wait([&] { return server_.messages.size() == 1; }));
  EXPECT_EQ(server_.messages[0], large);
}

TEST_F(Streams, ASlowReaderFillsTheQueueAndDrainsLater) {
  listen();
  connect_both(device(), {.queued_max = 32U << 20});
  server_.stream->pause_reading(true);
  const auto chunk = std::make_shared<const Bytes>(Bytes(64 * 1024));
  Status last;
  std::size_t sent = 0;
  while ((last = client_.stream->send(chunk))) ++sent;
  EXPECT_EQ(last.error().code, kErrStreamOverflow);
  // The kernel takes its share and no more.
  std::size_t queued = client_.stream->queued_octets();
  ASSERT_TRUE(wait([&] {
    const bool moved = client_.stream->queued_octets() != queued;
    queued = client_.stream->queued_octets();
    return !moved && queued < 32U << 20;
  }));
  EXPECT_GT(queued, 1U << 20);
  EXPECT_EQ(client_.drained, 0);
  server_.stream->pause_reading(false);
  ASSERT_TRUE(wait([&] { return client_.drained == 1; }));
  ASSERT_TRUE(wait([&] { return server_.messages.size() == sent; }));
}

TEST_F(Streams, PausedReadingDeliversWhatHadArrivedOnlyAfterResume) {
  listen();
  connect_both(device());
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(client_.say(std::to_string(i)));
  server_.stream->pause_reading(true);
  ASSERT_TRUE(wait([&] { return client_.stream->queued_octets() == 0; }));
  EXPECT_TRUE(server_.messages.empty());
  server_.stream->pause_reading(false);
  ASSERT_TRUE(wait([&] { return server_.messages.size() == 100; }));
  EXPECT_EQ(server_.messages[99], "99");
}

TEST_F(Streams, AnOversizeAnnouncementEndsTheStreamAtOnce) {
  listen({.message_max = 1000});
  connect_both(device());
  ASSERT_TRUE(client_.say(std::string(1001, 'x')));
  ASSERT_TRUE(wait([&] { return server_.closed.has_value(); }));
  EXPECT_EQ(server_.closed->code, kErrStreamOversize);
  EXPECT_TRUE(server_.messages.empty());
  ASSERT_TRUE(wait([&] { return client_.closed.has_value(); }));
  EXPECT_EQ(client_.closed->code, kErrStreamClosed);
}

TEST_F(Streams, AnOversizeMessageIsNotQueued) {
  listen();
  connect_both(device(), {.message_max = 10});
  EXPECT_EQ(client_.say(std::string(11, 'x')).error().code, kErrStreamOversize);
  EXPECT_EQ(client_.stream->queued_octets(), 0U);
}

TEST_F(Streams, ClosingAfterFlushDeliversEverythingFirst) {
  listen();
  connect_both(device());
  for (int i = 0; i < 500; ++i) ASSERT_TRUE(server_.say(std::string(1000, 'g')));
  server_.stream->close_after_flush(kPatience);
  EXPECT_EQ(server_.say("late").error().code, kErrStreamClosed);
  ASSERT_TRUE(wait([&] { return client_.closed.has_value() && server_.closed.has_value(); }));
  EXPECT_EQ(client_.messages.size(), 500U);
  EXPECT_EQ(client_.closed->code, kErrStreamClosed);
  EXPECT_EQ(server_.closed->code, kErrStreamLocal);
}

TEST_F(Streams, AStreamDroppedWhileFlushingStillFlushes) {
  listen();
  connect_both(device());
  for (int i = 0; i < 500; ++i) ASSERT_TRUE(server_.say(std::string(1000, 'g')));
  server_.stream->close_after_flush(kPatience);
  server_.stream.reset();
  ASSERT_TRUE(wait([&] { return client_.closed.has_value(); }));
  EXPECT_EQ(client_.messages.size(), 500U);
  EXPECT_FALSE(server_.closed.has_value());
}

TEST_F(Streams, DroppingAStreamInsideItsOwnCallbackEndsCallbacks) {
  start_server_ = false;
  listen();
  connect_both(device());
  int calls = 0;
  server_.stream->start({[&](Bytes) {
                           ++calls;
                           server_.stream.reset();
                         },
                         [&](const Error&) { ++calls; }, nullptr});
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(client_.say("x"));
  ASSERT_TRUE(wait([&] { return client_.closed.has_value(); }));
  EXPECT_EQ(calls, 1);
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-6
//= type=test
//# the controller protocol MUST provide a strong authentication between the device and the
//# controller
TEST_F(Streams, ADeviceOfAnotherCaIsRefusedOnBothEndsWithReasons) {
  listen();
  const auto context = device(stranger().issue(Role::kDevice, "a.corp"));
  ASSERT_TRUE(connect(context));
  ASSERT_TRUE(wait([&] { return refused_.has_value() && client_.closed.has_value(); }));
  EXPECT_EQ(refused_->code, crypto::kErrCertificateChain);
  EXPECT_NE(refused_->where.find("a.corp"), std::string::npos) << refused_->to_string();
  EXPECT_EQ(client_.closed->code, kErrTlsRefused);
  EXPECT_NE(client_.closed->message.find("CA is not trusted"), std::string::npos);
  EXPECT_EQ(server_.stream, nullptr);
}

TEST_F(Streams, ARefusedDeviceLearnsTheReasonEvenWhenItHasSpokenAlready) {
  listen();
  ASSERT_TRUE(connect(device(stranger().issue(Role::kDevice, "a.corp"))));
  ASSERT_TRUE(client_.say(std::string(100'000, 'h')));
  ASSERT_TRUE(wait([&] { return client_.closed.has_value(); }));
  EXPECT_EQ(client_.closed->code, kErrTlsRefused) << client_.closed->to_string();
}

TEST_F(Streams, AnExpiredDeviceIsRefusedOnBothEndsWithReasons) {
  listen();
  ASSERT_TRUE(connect(device(mesh().issue(Role::kDevice, "a.corp", kToday - 1h))));
  ASSERT_TRUE(wait([&] { return refused_.has_value() && client_.closed.has_value(); }));
  EXPECT_EQ(refused_->code, crypto::kErrCertificateExpired);
  EXPECT_EQ(client_.closed->code, kErrTlsRefused);
  EXPECT_NE(client_.closed->message.find("expired"), std::string::npos);
}

TEST_F(Streams, AnExpiredControllerIsRefusedByTheDevice) {
  auto identity = mesh().issue(Role::kController, "ctl.corp", kToday - 1h);
  listen({}, true, &identity);
  const Status refused = connect(device());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, crypto::kErrCertificateExpired);
  EXPECT_NE(refused.error().where.find("127.0.0.1"), std::string::npos);
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-6
//= type=test
//# the controller protocol MUST provide a strong authentication between the device and the
//# controller
TEST_F(Streams, AControllerOfAnotherCaIsRefusedByTheDevice) {
  listen();
  const Status refused =
      connect(device(mesh().issue(Role::kDevice, "a.corp"), {stranger().certificate}));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, crypto::kErrCertificateChain);
}

TEST_F(Streams, ADeviceCannotPlayTheController) {
  auto identity = mesh().issue(Role::kDevice, "ctl.corp");
  listen({}, true, &identity);
  const Status refused = connect(device());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, kErrTlsName);
}

TEST_F(Streams, AControllerCertificateIsNoDevice) {
  listen();
  ASSERT_TRUE(connect(device(mesh().issue(Role::kController, "a.corp"))));
  ASSERT_TRUE(wait([&] { return refused_.has_value(); }));
  EXPECT_EQ(refused_->code, kErrTlsName);
}

TEST_F(Streams, AControllerOfAnotherNameIsRefused) {
  listen();
  const Status refused =
      connect(device(mesh().issue(Role::kDevice, "a.corp"), {mesh().certificate}, "other.corp"));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, kErrTlsName);
}

TEST_F(Streams, TheTrustBundleIsAListThatCanChange) {
  listen();
  connect_both(device());
  server_context_->replace_trust({stranger().certificate, mesh().certificate});
  server_ = {};
  connect_both(device(stranger().issue(Role::kDevice, "b.corp")));
  EXPECT_EQ(server_.stream->peer_certificate()->dns_san(), "b.corp");
}

TEST_F(Streams, JoiningNeedsNoCertificateAndPinsTheCa) {
  listen();
  connect_both(join(mesh()));
  EXPECT_EQ(server_.stream->alpn(), "cygnet-join/1");
  EXPECT_FALSE(server_.stream->peer_certificate().has_value());
  ASSERT_TRUE(client_.stream->pinned_ca().has_value());
  EXPECT_EQ(client_.stream->pinned_ca()->der(), mesh().certificate.der());
}

TEST_F(Streams, JoiningUnderAnotherFingerprintIsRefused) {
  listen();
  const Status refused = connect(join(stranger()));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, kErrTlsPin);
  EXPECT_FALSE(refused.error().cure.empty());
  ASSERT_TRUE(wait([&] { return refused_.has_value(); }));
  EXPECT_EQ(server_.stream, nullptr);
}

TEST_F(Streams, AServerThatOffersNoJoinRefusesTheProtocol) {
  listen({}, false);
  const Status refused = connect(join(mesh()));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, kErrTlsAlpn);
  ASSERT_TRUE(wait([&] { return refused_.has_value(); }));
  EXPECT_EQ(refused_->code, kErrTlsAlpn);
}

TEST_F(Streams, ReconnectsResumeAndAreVerifiedAgain) {
  listen();
  const auto context = device();
  connect_both(context);
  EXPECT_FALSE(client_.stream->resumed());
  ASSERT_TRUE(server_.say("x"));  // the ticket comes before it
  ASSERT_TRUE(wait([&] { return client_.messages.size() == 1; }));
  client_ = {};
  server_ = {};
  connect_both(context);
  EXPECT_TRUE(client_.stream->resumed());
  EXPECT_TRUE(server_.stream->resumed());
  EXPECT_EQ(server_.stream->peer_certificate()->dns_san(), "a.corp");

  ASSERT_TRUE(server_.say("x"));
  ASSERT_TRUE(wait([&] { return client_.messages.size() == 1; }));
  client_ = {};
  server_ = {};
  // The certificate in the ticket has run out meanwhile.
  server_now_ = kToday + 24h * 365;
  ASSERT_TRUE(connect(context));
  ASSERT_TRUE(wait([&] { return refused_.has_value() && client_.closed.has_value(); }));
  EXPECT_EQ(refused_->code, crypto::kErrCertificateExpired);
  EXPECT_EQ(server_.stream, nullptr);
}

TEST_F(Streams, ARenewedIdentityDoesNotResumeTheOldOne) {
  listen();
  const auto context = device();
  connect_both(context);
  ASSERT_TRUE(server_.say("x"));
  ASSERT_TRUE(wait([&] { return client_.messages.size() == 1; }));
  ASSERT_TRUE(context->replace_identity(mesh().issue(Role::kDevice, "renewed.corp")));
  client_ = {};
  server_ = {};
  connect_both(context);
  EXPECT_FALSE(client_.stream->resumed());
  EXPECT_EQ(server_.stream->peer_certificate()->dns_san(), "renewed.corp");
}

TEST_F(Streams, AKeyThatDoesNotFitItsCertificateIsRefusedAtOnce) {
  auto one = mesh().issue(Role::kDevice, "a.corp");
  auto other = mesh().issue(Role::kDevice, "a.corp");
  const auto refused = TlsClientContext::create_device(
      {{one.key, other.chain}, {mesh().certificate}, today, std::nullopt});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, crypto::kErrCertificate);
}

// ---- What is no Cygnet at all on the other end ----

int plain_connect(std::uint16_t port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  return fd;
}

TEST_F(Streams, SomethingThatIsNoTlsIsRefused) {
  listen();
  const int fd = plain_connect(listener_->port());
  ASSERT_EQ(write(fd, "GET / HTTP/1.1\r\n\r\n", 18), 18);
  ASSERT_TRUE(wait([&] { return refused_.has_value(); }));
  EXPECT_EQ(refused_->code, kErrTls);
  EXPECT_NE(refused_->message.find("does not speak TLS 1.3"), std::string::npos);
  close(fd);
}

TEST_F(Streams, ASilentConnectionIsCutAtTheDeadline) {
  listen({.handshake_deadline = 10ms});
  const int fd = plain_connect(listener_->port());
  ASSERT_TRUE(wait([&] { return refused_.has_value(); }));
  EXPECT_EQ(refused_->code, kErrStreamTimeout);
  EXPECT_EQ(listener_->handshakes(), 0U);
  close(fd);
}

TEST_F(Streams, AnAbruptEndIsToldApartFromAGoodbye) {
  listen();
  connect_both(device());
  // The kernel closes without close_notify when the process dies; here: the socket under it.
  ASSERT_EQ(shutdown(
                [&] {
                  for (int fd = 3; fd < 1024; ++fd) {
                    sockaddr_in name{};
                    socklen_t size = sizeof name;
                    if (getsockname(fd, reinterpret_cast<sockaddr*>(&name), &size) == 0 &&
                        name.sin_family == AF_INET &&
                        ntohs(name.sin_port) == client_.stream->local_address().port) {
                      return fd;
                    }
                  }
                  return -1;
                }(),
                SHUT_RDWR),
            0);
  ASSERT_TRUE(wait([&] { return server_.closed.has_value(); }));
  EXPECT_EQ(server_.closed->code, kErrStreamIo) << server_.closed->to_string();
}

TEST_F(Streams, NobodyListeningIsSaidWithTheAddress) {
  listen();
  const std::uint16_t port = listener_->port();
  listener_.reset();
  std::optional<Error> refused;
  const auto pending =
      connect_stream(loop_, device(), {.to = {"127.0.0.1", port}}, [&](Result<StreamPtr> result) {
        ASSERT_FALSE(result);
        refused = result.error();
      });
  ASSERT_TRUE(wait([&] { return refused.has_value(); }));
  EXPECT_EQ(refused->code, kErrStreamIo);
  EXPECT_NE(refused->message.find("127.0.0.1:" + std::to_string(port)), std::string::npos);
}

TEST_F(Streams, ANameWithoutAddressIsSaid) {
  std::optional<Error> refused;
  const auto pending = connect_stream(loop_, device(), {.to = {"no-such-host.invalid", 1}},
                                      [&](Result<StreamPtr> result) {
                                        ASSERT_FALSE(result);
                                        refused = result.error();
                                      });
  ASSERT_TRUE(wait([&] { return refused.has_value(); }));
  EXPECT_EQ(refused->code, kErrStreamResolve) << refused->to_string();
}

TEST_F(Streams, ACancelledConnectIsNeverAnswered) {
  listen();
  bool called = false;
  auto pending = connect_stream(loop_, device(), {.to = {"127.0.0.1", listener_->port()}},
                                [&](Result<StreamPtr>) { called = true; });
  pending.reset();
  bool turned = false;
  loop_.post([&] { loop_.post([&] { turned = true; }); });
  ASSERT_TRUE(wait([&] { return turned; }));
  EXPECT_FALSE(called);
}

TEST_F(Streams, APortInUseNamesItsHolder) {
  listen();
  const auto second = StreamListener::create(loop_, server_context_,
                                             {.bind = {"127.0.0.1", listener_->port()}}, {});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, kErrListen);
  EXPECT_NE(second.error().message.find("process " + std::to_string(getpid())), std::string::npos)
      << second.error().to_string();
}

TEST_F(Streams, AnAddressThatIsNotOursIsRefused) {
  listen();
  const auto refused =
      StreamListener::create(loop_, server_context_, {.bind = {"192.0.2.1", 1}}, {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, kErrListen);
  EXPECT_FALSE(StreamListener::create(loop_, server_context_, {.bind = {"a.name", 1}}, {}));
}

TEST_F(Streams, HundredsOfSessionsShareOneLoop) {
  listen();
  std::vector<StreamPtr> accepted;
  listener_ = StreamListener::create(loop_, server_context_, {.bind = {"127.0.0.1", 0}},
                                     {[&](StreamPtr stream) {
                                        stream->start({[](Bytes) {}, [](const Error&) {}, nullptr});
                                        accepted.push_back(std::move(stream));
                                      },
                                      nullptr})
                  .value();
  const auto context = device();
  std::vector<std::unique_ptr<PendingConnect>> pending;
  std::vector<StreamPtr> clients;
  std::size_t received = 0;
  for (int i = 0; i < 200; ++i) {
    pending.push_back(connect_stream(
        loop_, context, {.to = {"127.0.0.1", listener_->port()}, .deadline = kPatience},
        [&](Result<StreamPtr> result) {
          ASSERT_TRUE(result) << result.error().to_string();
          (*result)->start({[&](Bytes) { ++received; }, [](const Error&) {}, nullptr});
          clients.push_back(std::move(*result));
        }));
  }
  ASSERT_TRUE(wait([&] { return accepted.size() == 200 && clients.size() == 200; }));
  const auto update = std::make_shared<const Bytes>(Bytes(500, 1));
  for (const auto& stream : accepted) ASSERT_TRUE(stream->send(update));
  ASSERT_TRUE(wait([&] { return received == 200; }));
}

}  // namespace
}  // namespace cygnet::rt
