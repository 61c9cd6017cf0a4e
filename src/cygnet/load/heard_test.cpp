// SPDX-License-Identifier: Apache-2.0
#include "cygnet/load/heard.h"

#include <gtest/gtest.h>

#include "cygnet/crypto/identity.h"
#include "cygnet/device/v1/device.pb.h"
#include "cygnet/proto/dim/dim_codec.h"

namespace cygnet::load {
namespace {

namespace pb = cygnet::device::v1;

Bytes octets_of(const pb::FromController& message) {
  Bytes out(message.ByteSizeLong());
  message.SerializeToArray(out.data(), static_cast<int>(out.size()));
  return out;
}

pb::FromController an_update() {
  pb::FromController message;
  auto& update = *message.mutable_update();
  auto& first = *update.add_changes();
  first.set_device("s00001.corp");
  first.mutable_dim()->set_dim(std::string(400, 'd'));
  first.mutable_dim()->set_certificate_der(std::string(500, 'c'));
  first.mutable_dim()->set_accepted_at_ms(1'700'000'000'000);
  first.mutable_endpoints()->add_items()->set_port(4500);
  first.mutable_policy()->set_via("hub");
  auto& second = *update.add_changes();
  second.set_device("s00002.corp");
  second.set_removed(true);
  update.mutable_cursor()->set_epoch("epoch-of-the-log");
  update.mutable_cursor()->set_position(123456789);
  update.set_snapshot_begin(true);
  update.set_snapshot_end(true);
  update.mutable_settings()->add_proposals("aes256gcm16-x25519-sha256");
  return message;
}

TEST(HeardUpdate, SaysWhatTheGeneratedCodeEncoded) {
  const Bytes octets = octets_of(an_update());
  ASSERT_TRUE(HeardUpdate::is_update(octets));
  HeardUpdate update(octets);
  const auto first = update.next();
  ASSERT_TRUE(first);
  EXPECT_EQ(first->device, "s00001.corp");
  EXPECT_EQ(as_text(first->dim), std::string(400, 'd'));
  EXPECT_FALSE(first->removed);
  const auto second = update.next();
  ASSERT_TRUE(second);
  EXPECT_EQ(second->device, "s00002.corp");
  EXPECT_TRUE(second->removed);
  EXPECT_TRUE(second->dim.empty());
  EXPECT_FALSE(update.next());
  EXPECT_FALSE(update.broken());
  EXPECT_EQ(as_text(update.epoch()), "epoch-of-the-log");
  EXPECT_EQ(update.position(), 123456789U);
  EXPECT_TRUE(update.snapshot_end());
}

TEST(HeardUpdate, LeavesOtherMessagesToTheRealDecoder) {
  pb::FromController message;
  message.mutable_welcome()->set_version(1);
  EXPECT_FALSE(HeardUpdate::is_update(octets_of(message)));
  EXPECT_FALSE(HeardUpdate::is_update({}));
}

TEST(HeardUpdate, AMessageCutShortAnywhereIsBroken) {
  const Bytes octets = octets_of(an_update());
  for (std::size_t size = 1; size < octets.size(); ++size) {
    HeardUpdate update(ByteView(octets).first(size));
    while (update.next()) {
    }
    EXPECT_TRUE(update.broken()) << size;
  }
}

TEST(CounterOfDim, IsWhatTheRealDecoderReads) {
  auto key = crypto::IdentityKey::generate(crypto::KeyType::kEd25519);
  ASSERT_TRUE(key);
  proto::Dim dim;
  dim.device = proto::DeviceName("s00001.corp");
  dim.counter = proto::RekeyCounter(7, 1234);
  dim.proposals = {proto::make_proposal(1, *proto::policy_from_text("aes256gcm16-x25519-sha256"))};
  dim.kes = {{31, Bytes(32, 9)}};
  dim.nonce = Bytes(proto::kNonceLength, 3);
  const auto octets = proto::sign_dim(dim, {}, *key);
  ASSERT_TRUE(octets) << octets.error().to_string();
  EXPECT_EQ(counter_of_dim(*octets), dim.counter.to_wire());
  EXPECT_FALSE(counter_of_dim(ByteView(*octets).first(20)));
  EXPECT_FALSE(counter_of_dim({}));
}

}  // namespace
}  // namespace cygnet::load
