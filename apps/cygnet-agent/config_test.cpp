// SPDX-License-Identifier: Apache-2.0
#include "config.h"

#include <gtest/gtest.h>

#include "cygnet/rt/config.h"

namespace cygnet::agent {
namespace {

TEST(AgentConfiguration, AnEmptyFileMeansTheDefaults) {
  const auto config = parse_config("{}", "agent.yaml");
  ASSERT_TRUE(config) << config.error().to_string();
  EXPECT_EQ(config->state, kDefaultState);
  EXPECT_EQ(config->data_plane.port, 4500);
  EXPECT_EQ(config->data_plane.tun_name, "cygnet0");
}

TEST(AgentConfiguration, WhatItPrintsItReadsBack) {
  const auto config = parse_config(
      "state: /srv/x\nendpoints: [\"192.0.2.1:4500\", \"[2001:db8::1]:4500\"]\nesp_port: 4600\n"
      "log: {level: debug, format: json}\nrouting: {table: 100, mark: 7}\nkeepalive: 15s\n",
      "agent.yaml");
  ASSERT_TRUE(config) << config.error().to_string();
  const auto again = parse_config(config_text(*config), "printed");
  ASSERT_TRUE(again) << again.error().to_string();
  EXPECT_EQ(config_text(*again), config_text(*config));
  EXPECT_EQ(again->data_plane.port, 4600);
  EXPECT_EQ(again->data_plane.routing.table, 100U);
  EXPECT_EQ(again->endpoints.size(), 2U);
}

TEST(AgentConfiguration, AnUnknownKeyIsRefusedWithTheNearestKnownOne) {
  const auto config = parse_config("state: /x\nesp_prot: 4500\n", "agent.yaml");
  ASSERT_FALSE(config);
  EXPECT_EQ(config.error().code, rt::kErrConfig);
  EXPECT_NE(config.error().to_string().find("esp_port"), std::string::npos);
  EXPECT_NE(config.error().to_string().find("agent.yaml:2"), std::string::npos);
}

TEST(AgentConfiguration, AnEndpointWithoutAPortIsRefusedByName) {
  const auto config = parse_config("endpoints: [\"192.0.2.1\"]\n", "agent.yaml");
  ASSERT_FALSE(config);
  EXPECT_NE(config.error().to_string().find("192.0.2.1"), std::string::npos);
}

TEST(AgentConfiguration, AQuantityWithoutItsUnitIsRefused) {
  EXPECT_FALSE(parse_config("keepalive: 20\n", "agent.yaml"));
  EXPECT_FALSE(parse_config("esp_port: 70000\n", "agent.yaml"));
  EXPECT_FALSE(parse_config("log: {level: chatty}\n", "agent.yaml"));
}

}  // namespace
}  // namespace cygnet::agent
