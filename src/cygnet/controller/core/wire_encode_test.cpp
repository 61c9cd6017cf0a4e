// SPDX-License-Identifier: Apache-2.0
#include "cygnet/controller/core/wire_encode.h"

#include <gtest/gtest.h>

#include "cygnet/device/v1/device.pb.h"

namespace cygnet::controller {
namespace {

namespace pb = cygnet::device::v1;

SharedOctets octets(std::string_view text) {
  const ByteView view = as_bytes(text);
  return std::make_shared<const Bytes>(view.begin(), view.end());
}

pb::Update parse(const Bytes& message) {
  pb::FromController out;
  EXPECT_TRUE(out.ParseFromArray(message.data(), static_cast<int>(message.size())));
  EXPECT_EQ(out.message_case(), pb::FromController::kUpdate);
  return out.update();
}

TEST(WireEncode, WhatIsWrittenByHandIsWhatTheGeneratedCodeReads) {
  const RelayedDim dim{octets("dim octets"), octets("certificate"),
                       ServerTime{} + std::chrono::milliseconds(1795261672925)};
  const std::vector<Endpoint> endpoints = {
      {{192, 0, 2, 1}, 4500, EndpointOrigin::kConfigured, {}},
      {Bytes(16, 0x20), 65535, EndpointOrigin::kDiscovered, "eth0"}};
  std::vector<policy::PrefixSpec> prefixes(1);
  prefixes[0].net = *policy::parse_prefix("10.4.17.0/24");
  prefixes[0].priority = 20;
  const PairPolicyValue pair{true, "hub-1.corp"};
  const std::vector<SharedOctets> changes = {
      std::make_shared<const Bytes>(encode_change("a.corp", &dim, &endpoints, &prefixes, &pair)),
      std::make_shared<const Bytes>(encode_removal("b.corp")),
      std::make_shared<const Bytes>(encode_change("c.corp", nullptr, nullptr, nullptr, nullptr))};
  const Bytes epoch(16, 7);
  UpdateTail tail;
  tail.epoch = epoch;
  tail.position = 4294967297;
  tail.snapshot_end = true;

  const pb::Update update = parse(encode_update(changes, tail));
  ASSERT_EQ(update.changes_size(), 3);
  const auto& a = update.changes(0);
  EXPECT_EQ(a.device(), "a.corp");
  EXPECT_FALSE(a.removed());
  EXPECT_EQ(a.dim().dim(), "dim octets");
  EXPECT_EQ(a.dim().certificate_der(), "certificate");
  EXPECT_EQ(a.dim().accepted_at_ms(), 1795261672925U);
  ASSERT_EQ(a.endpoints().items_size(), 2);
  EXPECT_EQ(a.endpoints().items(0).address(), std::string("\xc0\x00\x02\x01", 4));
  EXPECT_EQ(a.endpoints().items(0).port(), 4500U);
  EXPECT_EQ(a.endpoints().items(1).origin(), pb::Endpoint::DISCOVERED);
  EXPECT_TRUE(a.endpoints().items(1).interface().empty()) << "a scope is nobody else's business";
  ASSERT_EQ(a.prefixes().items_size(), 1);
  EXPECT_EQ(a.prefixes().items(0).length(), 24U);
  EXPECT_EQ(a.prefixes().items(0).priority(), 20U);
  EXPECT_EQ(a.policy().mode(), pb::PairPolicy::ON_DEMAND);
  EXPECT_EQ(a.policy().via(), "hub-1.corp");
  EXPECT_TRUE(update.changes(1).removed());
  EXPECT_FALSE(update.changes(1).has_dim());
  EXPECT_EQ(update.changes(2).device(), "c.corp");
  EXPECT_FALSE(update.changes(2).has_endpoints());
  EXPECT_EQ(update.cursor().position(), 4294967297U);
  EXPECT_EQ(update.cursor().epoch(), std::string(16, '\x07'));
  EXPECT_FALSE(update.snapshot_begin());
  EXPECT_TRUE(update.snapshot_end());
  EXPECT_FALSE(update.has_settings());
}

TEST(WireEncode, AnEmptyListIsNewsAndAnAbsentOneIsNot) {
  const std::vector<Endpoint> none;
  const std::vector<SharedOctets> changes = {
      std::make_shared<const Bytes>(encode_change("a.corp", nullptr, &none, nullptr, nullptr))};
  const pb::Update update = parse(encode_update(changes, {}));
  EXPECT_TRUE(update.changes(0).has_endpoints());
  EXPECT_EQ(update.changes(0).endpoints().items_size(), 0);
  EXPECT_FALSE(update.changes(0).has_prefixes());
  EXPECT_TRUE(update.has_cursor());
}

TEST(WireEncode, EveryLengthOfVarintIsReadBack) {
  for (unsigned bits = 0; bits < 64; ++bits) {
    UpdateTail tail;
    tail.position = std::uint64_t{1} << bits;
    EXPECT_EQ(parse(encode_update({}, tail)).cursor().position(), tail.position);
  }
}

}  // namespace
}  // namespace cygnet::controller
