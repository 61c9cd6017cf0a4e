// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/link/convert.h"

#include <gtest/gtest.h>

#include <functional>

#include "cygnet/device/v1/device.pb.h"
#include "cygnet/proto/dim/dim.h"

namespace cygnet::agent {
namespace {

namespace pb = ::cygnet::device::v1;

template <class Message>
Bytes octets_of(const Message& message) {
  const std::string text = message.SerializeAsString();
  return {text.begin(), text.end()};
}
Result<ControllerMessage> decode(const pb::FromController& message) {
  return decode_controller_message(octets_of(message));
}

pb::FromController good_welcome() {
  pb::FromController message;
  pb::Welcome& welcome = *message.mutable_welcome();
  welcome.set_version(1);
  welcome.set_mesh_id(std::string(16, 'm'));
  welcome.set_server_time_ms(5000);
  welcome.mutable_settings()->add_proposals("aes256gcm16-x25519-sha256");
  welcome.mutable_discovery()->set_udp_port(7443);
  welcome.mutable_discovery()->set_cookie(std::string(16, 'c'));
  return message;
}

pb::FromController good_update() {
  pb::FromController message;
  pb::PeerChange& change = *message.mutable_update()->add_changes();
  change.set_device("b.m");
  change.mutable_dim()->set_dim("octets");
  auto* endpoint = change.mutable_endpoints()->add_items();
  endpoint->set_address(std::string(4, '\x01'));
  endpoint->set_port(4500);
  auto* prefix = change.mutable_prefixes()->add_items();
  prefix->set_address(std::string("\x0a\x01\x02\x03", 4));
  prefix->set_length(16);
  message.mutable_update()->mutable_cursor()->set_epoch("e");
  message.mutable_update()->mutable_cursor()->set_position(4);
  return message;
}

TEST(FromController, AWelcomeWithoutSettingsGetsTheDefaults) {
  const auto decoded = decode(good_welcome());
  ASSERT_TRUE(decoded) << decoded.error().to_string();
  const auto& welcome = std::get<WelcomeMessage>(*decoded);
  EXPECT_EQ(welcome.welcome.settings.rekey_every, std::chrono::hours(1));
  EXPECT_EQ(welcome.welcome.settings.lifetime_hard, std::chrono::hours(24));
  EXPECT_EQ(welcome.welcome.settings.replay_window, 1024U);
  EXPECT_EQ(welcome.welcome.settings.lanes, 1);
  EXPECT_EQ(welcome.discovery->udp_port, 7443);
  EXPECT_EQ(welcome.welcome.server_time.time_since_epoch().count(), 5000);
}

TEST(FromController, AnUpdateKeepsWhatIsNewsApartFromWhatIsNot) {
  const auto decoded = decode(good_update());
  ASSERT_TRUE(decoded) << decoded.error().to_string();
  const auto& update = std::get<Update>(*decoded);
  ASSERT_EQ(update.changes.size(), 1U);
  const PeerChange& change = update.changes[0];
  EXPECT_TRUE(change.dim && change.endpoints && change.prefixes);
  EXPECT_FALSE(change.policy) << "no news";
  EXPECT_EQ((*change.prefixes)[0].address.octets[2], 0) << "bits behind the prefix are cleared";
  EXPECT_EQ(update.cursor->position, 4U);
}

TEST(FromController, WhatBreaksTheFormIsRefusedWhole) {
  using Change = std::function<void(pb::FromController&)>;
  const std::vector<std::pair<const char*, Change>> welcomes{
      {"version", [](auto& m) { m.mutable_welcome()->set_version(2); }},
      {"mesh id", [](auto& m) { m.mutable_welcome()->set_mesh_id("short"); }},
      {"cookie", [](auto& m) { m.mutable_welcome()->mutable_discovery()->set_cookie("x"); }},
      {"port", [](auto& m) { m.mutable_welcome()->mutable_discovery()->set_udp_port(70000); }},
      {"lanes", [](auto& m) { m.mutable_welcome()->mutable_settings()->set_lanes(65); }},
      {"window",
       [](auto& m) { m.mutable_welcome()->mutable_settings()->set_replay_window(65537); }},
      {"jitter",
       [](auto& m) { m.mutable_welcome()->mutable_settings()->set_rekey_jitter_permille(900); }},
      {"lifetime",
       [](auto& m) { m.mutable_welcome()->mutable_settings()->set_lifetime_hard_ms(~0ULL); }},
      {"revoked key",
       [](auto& m) { m.mutable_welcome()->mutable_revocations()->add_spki_sha256("x"); }},
      {"own DIM", [](auto& m) { m.mutable_welcome()->mutable_own_dim(); }},
  };
  for (const auto& [name, change] : welcomes) {
    pb::FromController message = good_welcome();
    change(message);
    const auto decoded = decode(message);
    ASSERT_FALSE(decoded) << name;
    EXPECT_EQ(decoded.error().code, kErrMessage) << name;
  }
  const auto first = [](pb::FromController& m) -> pb::PeerChange& {
    return *m.mutable_update()->mutable_changes(0);
  };
  const std::vector<std::pair<const char*, Change>> updates{
      {"name", [&](auto& m) { first(m).set_device("B.m"); }},
      {"name without mesh", [&](auto& m) { first(m).set_device("b"); }},
      {"address",
       [&](auto& m) { first(m).mutable_endpoints()->mutable_items(0)->set_address("123"); }},
      {"port 0", [&](auto& m) { first(m).mutable_endpoints()->mutable_items(0)->set_port(0); }},
      {"prefix length",
       [&](auto& m) { first(m).mutable_prefixes()->mutable_items(0)->set_length(33); }},
      {"epoch", [&](auto& m) { m.mutable_update()->mutable_cursor()->set_epoch(""); }},
  };
  for (const auto& [name, change] : updates) {
    pb::FromController message = good_update();
    change(message);
    EXPECT_FALSE(decode(message)) << name;
  }
  EXPECT_FALSE(decode_controller_message(Bytes{0xff, 0xff, 0xff}));
}

TEST(FromController, ADimTooLargeIsForTheChecksToRefuseAndTheOthersOfItsUpdateAreHeard) {
  pb::FromController message = good_update();
  message.mutable_update()->mutable_changes(0)->mutable_dim()->set_dim(
      std::string(proto::kDimLengthMax + 1, 'x'));
  const auto decoded = decode(message);
  ASSERT_TRUE(decoded);
  const auto& update = std::get<Update>(*decoded);
  ASSERT_TRUE(update.changes.front().dim);
  EXPECT_EQ(update.changes.front().dim->dim.size(), proto::kDimLengthMax + 1);
}

TEST(FromController, CutAnywhereItIsRefusedOrAnotherMessageButNeverHarmful) {
  const Bytes whole = octets_of(good_update());
  for (std::size_t length = 0; length < whole.size(); ++length) {
    static_cast<void>(decode_controller_message(ByteView(whole).first(length)));
  }
}

TEST(ToController, AcksNameWhatIsPending) {
  const Bytes octets =
      encode_ack({Cursor{{1, 2}, 9}, {{proto::DeviceName("b.m"), proto::RekeyCounter(1, 2)}}});
  pb::FromDevice message;
  ASSERT_TRUE(message.ParseFromArray(octets.data(), static_cast<int>(octets.size())));
  EXPECT_EQ(message.ack().cursor().position(), 9U);
  ASSERT_EQ(message.ack().pending_size(), 1);
  EXPECT_EQ(message.ack().pending(0).device(), "b.m");
  EXPECT_EQ(message.ack().pending(0).counter(), (std::uint64_t{1} << 32) | 2);
}

TEST(ToController, HelloSaysFromWhereToResume) {
  HelloMessage hello;
  hello.resume = Cursor{{7}, 8};
  hello.revocation_number = 3;
  UdpEndpoint endpoint;
  endpoint.port = 4500;
  hello.endpoints = {endpoint};
  const Bytes octets = encode_hello(hello);
  pb::FromDevice message;
  ASSERT_TRUE(message.ParseFromArray(octets.data(), static_cast<int>(octets.size())));
  EXPECT_EQ(message.hello().resume().position(), 8U);
  EXPECT_EQ(message.hello().revocation_number(), 3U);
  EXPECT_EQ(message.hello().endpoints(0).port(), 4500U);
  EXPECT_EQ(message.hello().version_max(), 1U);
}

TEST(Enrolment, RefusalsKeepTheControllersWords) {
  pb::EnrolReply reply;
  reply.set_outcome(pb::EnrolReply::REFUSED);
  reply.mutable_refusal()->set_code("token-spent");
  reply.mutable_refusal()->set_message("the token was used before");
  reply.mutable_refusal()->set_cure("make a new one");
  const auto decoded = decode_enrol_reply(octets_of(reply));
  ASSERT_TRUE(decoded);
  const Error& error = std::get<EnrolRefused>(*decoded).error;
  EXPECT_EQ(error.code, ErrorCode("token-spent"));
  EXPECT_EQ(error.cure, "make a new one");
}

TEST(Enrolment, AnAnswerWithoutOutcomeOrMeshIsRefused) {
  pb::EnrolReply reply;
  EXPECT_FALSE(decode_enrol_reply(octets_of(reply)));
  reply.set_outcome(pb::EnrolReply::ISSUED);
  reply.set_mesh_id("short");
  EXPECT_FALSE(decode_enrol_reply(octets_of(reply)));
  reply.set_outcome(pb::EnrolReply::QUEUED);
  const auto queued = decode_enrol_reply(octets_of(reply));
  ASSERT_TRUE(queued);
  EXPECT_GE(std::get<EnrolQueued>(*queued).retry_after, std::chrono::seconds(1));
}

}  // namespace
}  // namespace cygnet::agent
