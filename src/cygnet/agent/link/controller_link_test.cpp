// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/link/controller_link.h"

#include <gmock/gmock.h>

#include "cygnet/agent/link/fake_controller.h"

namespace cygnet::agent::testing {
namespace {

constexpr Duration kLimit = std::chrono::seconds(20);

class LinkTest : public ::testing::Test {
 protected:
  void SetUp() override { controller.start(); }

  void make_link(const crypto::Certificate& certificate, const crypto::IdentityKey& identity) {
    ControllerLink::Options options{
        .controllers = {{"127.0.0.1", controller.port()}},
        .identity = {identity, {certificate}},
        .trust = {ca.certificate()},
        .trusted_now = [this] { return loop.wall_now(); },
        .mesh = test_mesh(),
        .mesh_name = "m",
    };
    ControllerLink::Handlers handlers;
    handlers.hello = [] { return HelloMessage{}; };
    handlers.on_welcome = [this](const WelcomeMessage&) { ++welcomes; };
    handlers.on_message = [this](ControllerMessage message) {
      messages.push_back(std::move(message));
    };
    handlers.on_down = [this] { ++downs; };
    handlers.publish_waits = [this] { return publish_waits; };
    handlers.random = [] { return 0U; };
    auto made = ControllerLink::create(loop, std::move(options), std::move(handlers));
    ASSERT_TRUE(made) << made.error().to_string();
    link = std::move(*made);
  }
  void make_link() { make_link(ca.device("a", key), key); }
  template <class F>
  [[nodiscard]] bool until(F done) {
    return loop.run_until(done, kLimit);
  }

  rt::Loop loop{test_clock()};
  TestCa ca;
  FakeController controller{loop, ca};
  crypto::IdentityKey key = *crypto::IdentityKey::generate(crypto::KeyType::kEcdsaP256);
  std::unique_ptr<ControllerLink> link;
  int welcomes = 0;
  int downs = 0;
  bool publish_waits = false;
  std::vector<ControllerMessage> messages;
};

TEST_F(LinkTest, ComesUpAndSendsOnlyThen) {
  make_link();
  EXPECT_FALSE(link->send(encode_want(device_name("b"))));
  link->start();
  ASSERT_TRUE(until([&] { return welcomes == 1; }));
  EXPECT_EQ(link->state(), ControllerLink::State::kUp);
  EXPECT_TRUE(link->send(encode_want(device_name("b"))));
  EXPECT_TRUE(link->remote_address().has_value());
}

TEST_F(LinkTest, AControllerThatDiesAndComesBackIsFoundAgain) {
  make_link();
  link->start();
  ASSERT_TRUE(until([&] { return welcomes == 1; }));
  controller.stop();
  ASSERT_TRUE(until([&] { return downs == 1; }));
  EXPECT_NE(link->state(), ControllerLink::State::kUp);
  EXPECT_TRUE(link->last_error().has_value());
  controller.start();
  ASSERT_TRUE(until([&] { return welcomes == 2; }));
  EXPECT_FALSE(link->last_error().has_value());
  EXPECT_EQ(downs, 1);
}

TEST_F(LinkTest, AControllerThatIsNotThereYetIsWaitedFor) {
  controller.stop();
  make_link();
  link->start();
  ASSERT_TRUE(until([&] { return link->last_error().has_value(); }));
  EXPECT_EQ(downs, 0) << "it was never up";
  controller.start();
  ASSERT_TRUE(until([&] { return welcomes == 1; }));
}

TEST_F(LinkTest, AGoawayIsObeyedForAsLongAsItSays) {
  make_link();
  link->start();
  ASSERT_TRUE(until([&] { return welcomes == 1; }));
  controller.say_goaway("a.m", 400);
  ASSERT_TRUE(until([&] { return downs == 1; }));
  const Timestamp down = loop.now();
  ASSERT_TRUE(until([&] { return welcomes == 2; }));
  EXPECT_GE(loop.now() - down, std::chrono::milliseconds(400));
}

TEST_F(LinkTest, AWelcomeOfAnotherMeshIsNoWelcome) {
  controller.mesh[0] ^= 1;
  make_link();
  link->start();
  ASSERT_TRUE(until([&] { return link->last_error().has_value(); }));
  EXPECT_EQ(welcomes, 0);
  EXPECT_EQ(link->last_error()->code, kErrMessage);
}

TEST_F(LinkTest, AMessageBeforeTheWelcomeEndsTheStream) {
  pb::FromController early;
  early.mutable_update();
  controller.instead_of_welcome = early;
  make_link();
  link->start();
  ASSERT_TRUE(until([&] { return link->last_error().has_value(); }));
  EXPECT_EQ(welcomes, 0);
  EXPECT_TRUE(messages.empty());
}

TEST_F(LinkTest, AMessageThatBreaksTheFormEndsTheStreamAndReachesNobody) {
  make_link();
  link->start();
  ASSERT_TRUE(until([&] { return messages.size() == 1; }));  // the snapshot
  pb::FromController bad;
  bad.mutable_update()->add_changes()->set_device("no name at all");
  controller.send("a.m", bad);
  ASSERT_TRUE(until([&] { return downs == 1; }));
  EXPECT_EQ(messages.size(), 1U);
  ASSERT_TRUE(until([&] { return welcomes == 2; })) << "and it is tried again";
}

TEST_F(LinkTest, AMessageOfAKindFromTheFutureIsIgnored) {
  make_link();
  link->start();
  ASSERT_TRUE(until([&] { return welcomes == 1; }));
  controller.send("a.m", pb::FromController{});
  controller.order_rekey("a.m");
  ASSERT_TRUE(until([&] { return messages.size() == 2 + 1U; }));  // snapshot, unknown, command
  EXPECT_TRUE(std::holds_alternative<RekeyCommand>(messages.back()));
}

TEST_F(LinkTest, ADeviceOfTheMeshCannotPoseAsItsController) {
  controller.stop();
  controller.server_name = "b.m";  // a certificate of the same CA, for a device
  controller.start();
  make_link();
  link->start();
  ASSERT_TRUE(until([&] { return link->last_error().has_value(); }));
  EXPECT_EQ(link->last_error()->code, rt::kErrTlsName);
  EXPECT_EQ(controller.devices.size(), 0U);
}

TEST_F(LinkTest, ADeviceWithAnExpiredCertificateHearsWhyItIsRefused) {
  make_link(ca.device("a", key, kStart - std::chrono::minutes(1)), key);
  link->start();
  ASSERT_TRUE(until([&] { return link->last_error().has_value(); }));
  EXPECT_EQ(welcomes, 0);
  EXPECT_EQ(link->last_error()->code, rt::kErrTlsRefused);
}

TEST_F(LinkTest, StoppedItStaysStopped) {
  make_link();
  link->start();
  ASSERT_TRUE(until([&] { return welcomes == 1; }));
  link->stop();
  EXPECT_EQ(link->state(), ControllerLink::State::kStopped);
  EXPECT_FALSE(link->send(encode_want(device_name("b"))));
  EXPECT_EQ(downs, 0);
}

TEST(ReconnectDelay, GrowsWithTheOutageUpToThirtySeconds) {
  using std::chrono::milliseconds;
  using std::chrono::minutes;
  using std::chrono::seconds;
  EXPECT_EQ(reconnect_delay(Duration(0), false, 0), milliseconds(50));
  EXPECT_LE(reconnect_delay(seconds(30), false, 0xffffffff), milliseconds(3750));
  EXPECT_GE(reconnect_delay(seconds(30), false, 0), milliseconds(1875));
  EXPECT_LE(reconnect_delay(minutes(60), false, 0xffffffff), kReconnectMax);
  EXPECT_GE(reconnect_delay(minutes(60), false, 0), kReconnectMax / 2);
}

TEST(ReconnectDelay, IsAtMostTwoSecondsWhileAPublishWaits) {
  EXPECT_LE(reconnect_delay(std::chrono::hours(5), true, 0xffffffff), kReconnectMaxUrgent);
}

/// 198.51.100.7 port 4500, as an answer carries it.
constexpr std::array<std::uint8_t, 7> kMapping{4, 198, 51, 100, 7, 0x11, 0x94};

TEST(Discovery, AsksAndReadsTheAnswer) {
  DiscoveryCookie cookie{};
  cookie.fill(9);
  const Bytes question = encode_discovery(cookie);
  EXPECT_EQ(question.size(), 21U);
  Bytes answer = question;
  answer.insert(answer.end(), kMapping.begin(), kMapping.end());
  const auto decoded = decode_discovery_answer(answer);
  ASSERT_TRUE(decoded);
  EXPECT_EQ(decoded->cookie, cookie);
  EXPECT_EQ(decoded->seen.port, 4500);
  EXPECT_FALSE(decoded->seen.address.is_v6);
}

TEST(Discovery, RefusesEverythingElse) {
  DiscoveryCookie cookie{};
  Bytes answer = encode_discovery(cookie);
  answer.insert(answer.end(), kMapping.begin(), kMapping.end());
  for (std::size_t length = 0; length < answer.size(); ++length) {
    EXPECT_FALSE(decode_discovery_answer(ByteView(answer).first(length))) << length;
  }
  Bytes longer = answer;
  longer.push_back(0);
  EXPECT_FALSE(decode_discovery_answer(longer));
  for (const std::size_t at : {0U, 4U, 21U}) {
    Bytes wrong = answer;
    wrong[at] ^= 0x55;
    EXPECT_FALSE(decode_discovery_answer(wrong)) << at;
  }
}

}  // namespace
}  // namespace cygnet::agent::testing
