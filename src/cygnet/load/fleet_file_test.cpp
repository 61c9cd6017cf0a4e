// SPDX-License-Identifier: Apache-2.0
#include "cygnet/load/fleet_file.h"

#include <gtest/gtest.h>

namespace cygnet::load {
namespace {

Fleet a_fleet() {
  auto ca = *crypto::IdentityKey::generate(crypto::KeyType::kEcdsaP256);
  crypto::CertificateSpec spec;
  spec.spki = ca.spki();
  spec.common_name = "CA";
  spec.not_before = ServerTime(std::chrono::hours(1));
  spec.not_after = ServerTime(std::chrono::hours(1'000'000));
  spec.is_ca = true;
  const auto anchor = *crypto::issue(spec, ca, std::nullopt);
  Fleet fleet;
  fleet.mesh_name = "corp";
  fleet.mesh.fill(0x5a);
  fleet.trust = {anchor};
  for (std::uint32_t i = 0; i < 2; ++i) {
    auto key = *crypto::IdentityKey::generate(crypto::KeyType::kEcdsaP256);
    spec.spki = key.spki();
    spec.common_name = member_name(i);
    spec.is_ca = false;
    fleet.members.push_back({member_name(i), key, *crypto::issue(spec, ca, anchor)});
  }
  return fleet;
}

TEST(FleetFile, WhatWasWrittenIsReadBack) {
  const Fleet fleet = a_fleet();
  const auto read = parse_fleet(to_text(fleet));
  ASSERT_TRUE(read) << read.error().to_string();
  EXPECT_EQ(read->mesh, fleet.mesh);
  EXPECT_EQ(read->mesh_name, "corp");
  ASSERT_EQ(read->trust.size(), 1U);
  EXPECT_EQ(read->trust[0].der(), fleet.trust[0].der());
  ASSERT_EQ(read->members.size(), 2U);
  EXPECT_EQ(read->members[1].name, "s00001");
  EXPECT_EQ(read->members[1].key.spki(), fleet.members[1].key.spki());
  EXPECT_EQ(read->members[1].certificate.der(), fleet.members[1].certificate.der());
}

TEST(FleetFile, ATornFileIsRefusedWithTheLineAndTheCure) {
  const std::string text = to_text(a_fleet());
  const auto read = parse_fleet(std::string_view(text).substr(0, text.size() - 40));
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, kErrFleet);
  EXPECT_EQ(read.error().where.substr(0, 5), "line ");
  EXPECT_FALSE(read.error().cure.empty());
  EXPECT_FALSE(parse_fleet(""));
  EXPECT_FALSE(parse_fleet("mesh corp\nid 12\n"));
}

TEST(FleetFile, NamesAreNumbersAndNothingElseIs) {
  EXPECT_EQ(member_name(42), "s00042");
  EXPECT_EQ(member_name(123456), "s123456");
  EXPECT_EQ(member_number("s00042.corp"), 42U);
  EXPECT_EQ(member_number("s123456.corp"), 123456U);
  for (const char* other : {"", "s", "hub.corp", "s1.corp", "s00042x.corp", "s-0001.corp"}) {
    EXPECT_FALSE(member_number(other)) << other;
  }
}

}  // namespace
}  // namespace cygnet::load
