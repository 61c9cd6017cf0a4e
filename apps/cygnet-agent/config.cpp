// SPDX-License-Identifier: Apache-2.0
#include "config.h"

#include "cygnet/agent/driver/address_text.h"
#include "cygnet/rt/config.h"
#include "cygnet/rt/text.h"

namespace cygnet::agent {
namespace {

void read(rt::ConfigMap& root, AgentConfig& config) {
  config.state = root.string("state", config.state);
  config.api_socket = root.string("api_socket", config.api_socket);
  config.controllers = root.strings("controllers");
  config.endpoints = root.strings("endpoints");
  config.ppk_file = root.optional_string("ppk_file");
  config.workers = static_cast<std::size_t>(root.integer("workers", 0, 256, 0));
  config.lanes_max = static_cast<std::uint16_t>(root.integer("lanes_max", 1, 64, 64));

  rt::ConfigMap log = root.map("log");
  const std::string level = log.word("level", {"debug", "info", "warning", "error", "off"}, "info");
  if (const auto parsed = rt::parse_log_level(level)) config.log_level = *parsed;
  const std::string format = log.word("format", {"text", "json"}, "text");
  if (const auto parsed = rt::parse_log_format(format)) config.log_format = *parsed;

  const std::string kind = root.word("data_plane", {"userspace", "kernel"}, "userspace");
  if (const auto parsed = parse_data_plane(kind)) config.data_plane_kind = *parsed;
  userspace::UserspaceConfig& plane = config.data_plane;
  plane.tun_name = root.string("tun", plane.tun_name);
  plane.port = static_cast<std::uint16_t>(root.integer("esp_port", 1, 65535, plane.port));
  plane.inner_mtu =
      static_cast<std::uint32_t>(root.integer("inner_mtu", 1280, 65535, plane.inner_mtu));
  plane.path_mtu_raise = root.duration("path_mtu_raise", plane.path_mtu_raise);
  plane.copy_dscp = root.boolean("copy_dscp", plane.copy_dscp);
  plane.clamp_mss = root.boolean("clamp_mss", plane.clamp_mss);
  plane.offload = root.boolean("offload", plane.offload);
  plane.keepalive = root.duration("keepalive", plane.keepalive);

  rt::ConfigMap routing = root.map("routing");
  constexpr std::int64_t kU32 = 0xffffffff;
  plane.routing.table =
      static_cast<std::uint32_t>(routing.integer("table", 1, kU32, plane.routing.table));
  plane.routing.rule_priority = static_cast<std::uint32_t>(
      routing.integer("rule_priority", 1, 32765, plane.routing.rule_priority));
  plane.routing.fwmark =
      static_cast<std::uint32_t>(routing.integer("mark", 1, kU32, plane.routing.fwmark));
  plane.routing.override_conflicts =
      routing.boolean("override_conflicts", plane.routing.override_conflicts);
}

const char* level_name(rt::LogLevel level) {
  switch (level) {
    case rt::LogLevel::kDebug:
      return "debug";
    case rt::LogLevel::kInfo:
      return "info";
    case rt::LogLevel::kWarning:
      return "warning";
    case rt::LogLevel::kError:
      return "error";
    case rt::LogLevel::kOff:
      break;
  }
  return "off";
}

std::string list_text(const std::vector<std::string>& items) {
  std::string text = "[";
  for (const std::string& item : items) text += (text.size() > 1 ? ", \"" : "\"") + item + "\"";
  return text + "]";
}

}  // namespace

Result<AgentConfig> parse_config(std::string_view yaml, const std::string& source) {
  CYGNET_TRY(const rt::ConfigDocument document, rt::ConfigDocument::parse(yaml, source));
  rt::ConfigProblems problems;
  AgentConfig config;
  {
    rt::ConfigMap root = document.root(problems);
    read(root, config);
  }
  CYGNET_CHECK_OK(problems.to_status(source));
  Status checked = check_config(config);
  if (!checked) return fail(std::move(checked).error().within(source));
  return config;
}

Result<AgentConfig> load_config(const std::string& path) {
  CYGNET_TRY(const std::string yaml, rt::read_text_file(path));
  return parse_config(yaml, path);
}

xfrm::XfrmConfig kernel_config(const AgentConfig& config) {
  const userspace::UserspaceConfig& plane = config.data_plane;
  xfrm::XfrmConfig out;
  out.tun_name = plane.tun_name;
  out.port = plane.port;
  out.inner_mtu = plane.inner_mtu;
  out.keepalive = plane.keepalive;
  out.routing = plane.routing;
  for (const std::string& text : config.endpoints) {
    // What is no endpoint check_config refuses.
    if (const auto endpoint = endpoint_from_text(text)) {
      out.local_addresses.push_back(endpoint->address);
    }
  }
  return out;
}

Result<DataPlaneKind> parse_data_plane(std::string_view text) {
  if (text == "userspace") return DataPlaneKind::kUserspace;
  if (text == "kernel") return DataPlaneKind::kKernel;
  return fail(rt::kErrConfig, "no data plane is called " + std::string(text), "data_plane",
              "use userspace or kernel");
}

const char* to_string(DataPlaneKind kind) {
  return kind == DataPlaneKind::kKernel ? "kernel" : "userspace";
}

Status check_config(const AgentConfig& config) {
  for (const std::string& controller : config.controllers) {
    CYGNET_TRY(const rt::HostPort parsed, rt::parse_host_port(controller));
    static_cast<void>(parsed);
  }
  for (const std::string& endpoint : config.endpoints) {
    CYGNET_TRY(const UdpEndpoint parsed, endpoint_from_text(endpoint));
    static_cast<void>(parsed);
  }
  if (config.state.empty()) return fail(rt::kErrConfig, "the state directory is empty", "state");
  return {};
}

std::string config_text(const AgentConfig& config) {
  const userspace::UserspaceConfig& plane = config.data_plane;
  std::string text;
  const auto line = [&text](const std::string& key, const std::string& value) {
    text += key + ": " + value + "\n";
  };
  const auto boolean = [](bool value) { return std::string(value ? "true" : "false"); };
  line("state", config.state);
  line("api_socket", config.api_socket);
  line("controllers", list_text(config.controllers));
  line("endpoints", list_text(config.endpoints));
  if (config.ppk_file) line("ppk_file", *config.ppk_file);
  line("workers", std::to_string(config.workers));
  line("lanes_max", std::to_string(config.lanes_max));
  line("data_plane", to_string(config.data_plane_kind));
  line("tun", plane.tun_name);
  line("esp_port", std::to_string(plane.port));
  line("inner_mtu", std::to_string(plane.inner_mtu));
  line("path_mtu_raise", rt::format_duration(plane.path_mtu_raise));
  line("copy_dscp", boolean(plane.copy_dscp));
  line("clamp_mss", boolean(plane.clamp_mss));
  line("offload", boolean(plane.offload));
  line("keepalive", rt::format_duration(plane.keepalive));
  line("log", "{level: " + std::string(level_name(config.log_level)) + ", format: " +
                  (config.log_format == rt::LogFormat::kJson ? "json" : "text") + "}");
  line("routing", "{table: " + std::to_string(plane.routing.table) +
                      ", rule_priority: " + std::to_string(plane.routing.rule_priority) +
                      ", mark: " + std::to_string(plane.routing.fwmark) +
                      ", override_conflicts: " + boolean(plane.routing.override_conflicts) + "}");
  return text;
}

}  // namespace cygnet::agent
