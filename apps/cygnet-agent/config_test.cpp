// SPDX-License-Identifier: Apache-2.0
#include "config.h"

#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <sstream>

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

TEST(AgentConfiguration, TheKernelsDataPlaneTakesTheSameSettings) {
  const auto config = parse_config(
      "data_plane: kernel\nendpoints: [\"192.0.2.1:4500\"]\nesp_port: 4600\ntun: cygnet7\n"
      "inner_mtu: 1380\nrouting: {table: 100, mark: 7}\nkeepalive: 15s\n",
      "agent.yaml");
  ASSERT_TRUE(config) << config.error().to_string();
  EXPECT_EQ(config->data_plane_kind, DataPlaneKind::kKernel);
  const xfrm::XfrmConfig kernel = kernel_config(*config);
  EXPECT_EQ(kernel.port, 4600);
  EXPECT_EQ(kernel.tun_name, "cygnet7");
  EXPECT_EQ(kernel.inner_mtu, 1380U);
  EXPECT_EQ(kernel.routing.table, 100U);
  EXPECT_EQ(kernel.routing.fwmark, 7U);
  EXPECT_EQ(kernel.keepalive, std::chrono::seconds(15));
  ASSERT_EQ(kernel.local_addresses.size(), 1U);
  EXPECT_EQ(kernel.local_addresses[0].octets[3], 1);
  EXPECT_FALSE(parse_config("data_plane: card\n", "agent.yaml"));
}

TEST(AgentConfiguration, PathsAreProbedUnlessSetOtherwise) {
  EXPECT_EQ(AgentConfig().data_plane.path_mtu_raise, std::chrono::minutes(10));
  const auto config = parse_config("path_mtu_raise: 0s\n", "agent.yaml");
  ASSERT_TRUE(config) << config.error().to_string();
  EXPECT_EQ(config->data_plane.path_mtu_raise, Duration::zero());
  EXPECT_NE(config_text(*config).find("path_mtu_raise: 0s\n"), std::string::npos);
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

/// Without what stands around a word in a table: blanks and backquotes.
std::string plain(const std::string& cell) {
  const auto first = cell.find_first_not_of(" `");
  if (first == std::string::npos) return {};
  return cell.substr(first, cell.find_last_not_of(" `") - first + 1);
}

/// Key and default of every row of the table in docs/agent.md, "Configuration".
std::map<std::string, std::string> documented() {
  std::ifstream file("docs/agent.md");
  EXPECT_TRUE(file.is_open());
  std::map<std::string, std::string> rows;
  bool inside = false;
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("## ", 0) == 0) inside = line == "## Configuration";
    if (!inside || line.rfind("| `", 0) != 0) continue;
    std::istringstream cells(line);
    std::string cell, key, value;  // before the first bar is nothing
    std::getline(cells, cell, '|');
    std::getline(cells, key, '|');
    std::getline(cells, value, '|');
    rows[plain(key)] = plain(value);
  }
  return rows;
}

/// `config_text` with the keys of maps written as in the document: "log.level".
std::map<std::string, std::string> printed(const AgentConfig& config) {
  std::map<std::string, std::string> rows;
  std::istringstream text(config_text(config));
  for (std::string line; std::getline(text, line);) {
    const auto colon = line.find(": ");
    const std::string key = line.substr(0, colon);
    const std::string value = line.substr(colon + 2);
    if (value.front() != '{') {
      rows[key] = value;
      continue;
    }
    std::istringstream entries(value.substr(1, value.size() - 2));
    for (std::string entry; std::getline(entries, entry, ',');) {
      const auto middle = entry.find(": ");
      rows[key + "." + plain(entry.substr(0, middle))] = plain(entry.substr(middle + 2));
    }
  }
  return rows;
}

TEST(AgentConfiguration, TheDocumentNamesEveryKeyWithItsDefault) {
  auto rows = documented();
  EXPECT_EQ(rows["ppk_file"], "none");
  rows.erase("ppk_file");  // not printed while there is none
  EXPECT_EQ(rows, printed(AgentConfig{}));
}

TEST(AgentConfiguration, EveryDocumentedKeyIsReadWithItsDefault) {
  for (const auto& [key, value] : documented()) {
    const auto dot = key.find('.');
    const std::string text = value == "none" ? "/root/ppk" : value;
    const std::string yaml = dot == std::string::npos ? key + ": " + text
                                                      : key.substr(0, dot) + ": {" +
                                                            key.substr(dot + 1) + ": " + text + "}";
    const auto config = parse_config(yaml, "agent.yaml");
    EXPECT_TRUE(config) << yaml << ": " << config.error().to_string();
    if (!config || value == "none") continue;
    EXPECT_EQ(config_text(*config), config_text(AgentConfig{})) << yaml;
  }
}

}  // namespace
}  // namespace cygnet::agent
