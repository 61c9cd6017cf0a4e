// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <optional>

#include "build_time.h"
#include "commands.h"

namespace {

using namespace cygnet;

struct CommandLine {
  std::string config_file;
  std::optional<std::string> state, data_plane, tun, api_socket, key_log, log_level, log_format,
      ppk_file;
  std::optional<std::uint16_t> esp_port;
  std::optional<std::uint32_t> mtu;
  std::vector<std::string> endpoints, controllers;
  agent::JoinCommand join;
  bool check = false;
  bool print_effective = false;
  bool open = false;
};

Result<agent::AgentConfig> effective(const CommandLine& line) {
  agent::AgentConfig config;
  std::error_code ignored;
  if (!line.config_file.empty()) {
    CYGNET_TRY(config, agent::load_config(line.config_file));
  } else if (std::filesystem::exists(agent::kDefaultConfig, ignored)) {
    CYGNET_TRY(config, agent::load_config(agent::kDefaultConfig));
  }
  if (line.state) config.state = *line.state;
  if (line.data_plane) {
    CYGNET_TRY(config.data_plane_kind, agent::parse_data_plane(*line.data_plane));
  }
  if (line.tun) config.data_plane.tun_name = *line.tun;
  if (line.api_socket) config.api_socket = *line.api_socket;
  if (line.esp_port) config.data_plane.port = *line.esp_port;
  if (line.mtu) config.data_plane.inner_mtu = *line.mtu;
  if (line.ppk_file) config.ppk_file = line.ppk_file;
  if (!line.endpoints.empty()) config.endpoints = line.endpoints;
  if (!line.controllers.empty()) config.controllers = line.controllers;
  if (line.key_log) config.data_plane.key_export_path = *line.key_log;
  if (line.log_level) {
    CYGNET_TRY(config.log_level, rt::parse_log_level(*line.log_level));
  }
  if (line.log_format) {
    CYGNET_TRY(config.log_format, rt::parse_log_format(*line.log_format));
  }
  CYGNET_CHECK_OK(agent::check_config(config));
  return config;
}

int finish(const Status& status) {
  if (status) return 0;
  const Error& error = status.error();
  std::fprintf(stderr, "cygnet-agent: %s%s%s (%s)\n", error.where.c_str(),
               error.where.empty() ? "" : ": ", error.message.c_str(),
               std::string(error.code.name()).c_str());
  if (!error.cure.empty()) std::fprintf(stderr, "  what to do: %s\n", error.cure.c_str());
  return 1;
}

void common_options(CLI::App* command, CommandLine& line) {
  command->add_option("--state", line.state, "State directory (default /var/lib/cygnet)");
  command->add_option("--config", line.config_file,
                      "Configuration file (default /etc/cygnet/agent.yaml, if there)");
}

void run_options(CLI::App* command, CommandLine& line) {
  command->add_option("--data-plane", line.data_plane,
                      "Who encrypts packets: userspace (default) or kernel");
  command->add_option("--tun", line.tun, "Name of the tunnel device (default cygnet0)");
  command->add_option("--esp-port", line.esp_port, "UDP port for ESP (default 4500)");
  command->add_option("--endpoint", line.endpoints,
                      "Where peers reach the ESP port, as address:port; may be repeated");
  command->add_option("--controller", line.controllers,
                      "host:port of a controller instead of the one joined at; may be repeated");
  command->add_option("--api-socket", line.api_socket,
                      "Socket of the local interface (default /run/cygnet/agent.sock)");
  command->add_option("--mtu", line.mtu, "MTU inside the tunnel (default 1400)");
  command->add_option("--ppk-file", line.ppk_file, "File with post-quantum preshared keys");
  command->add_option("--log-level", line.log_level, "debug, info, warning, error or off");
  command->add_option("--log-format", line.log_format, "text or json");
#ifdef CYGNET_INSECURE_KEY_EXPORT
  command->add_option("--key-log", line.key_log, "INSECURE: append traffic keys to this file");
#endif
}

}  // namespace

int main(int argc, char** argv) {
  CommandLine line;
  CLI::App app{"The device side of Cygnet: joins a mesh, keeps its keys, carries its traffic."};
  app.name("cygnet-agent");
  app.set_version_flag("--version", "cygnet-agent " + agent::program_version());
  app.footer(
      "Examples:\n"
      "  cygnet-agent join cyg1:192.0.2.1:7443/corp/store-1/5d…/1f…\n"
      "  cygnet-agent run --endpoint 198.51.100.17:4500\n"
      "  cygnet-agent down --open\n");
  app.add_flag("--check", line.check, "Check configuration and state, then exit");
  app.add_flag("--print-effective", line.print_effective, "Print the settings in force, then exit");
  common_options(&app, line);

  CLI::App* join = app.add_subcommand("join", "Enrol this device with the line from a token");
  join->add_option("line", line.join.line, "The join line")->required();
  join->add_option("--name", line.join.name,
                   "Name of the device (default: the token's, else this host's)");
  common_options(join, line);

  CLI::App* run = app.add_subcommand("run", "Run the agent");
  run->add_flag("--check", line.check, "Check configuration and state, then exit");
  run->add_flag("--print-effective", line.print_effective,
                "Print the settings in force, then exit");
  common_options(run, line);
  run_options(run, line);

  CLI::App* down = app.add_subcommand("down", "Let traffic leave in clear again");
  down->add_flag("--open", line.open, "Remove the fail-closed routes")->required();
  common_options(down, line);
  down->add_option("--api-socket", line.api_socket, "Socket of an agent that runs");

  CLI::App* close = app.add_subcommand("close", "Install the fail-closed routes without an agent");
  common_options(close, line);
  app.require_subcommand(0, 1);
  CLI11_PARSE(app, argc, argv);

  const Result<agent::AgentConfig> config = effective(line);
  if (!config) return finish(fail(config.error()));
  if (line.print_effective) {
    std::fputs(agent::config_text(*config).c_str(), stdout);
    return 0;
  }
  if (line.check) return finish(agent::run_check(*config));
  if (join->parsed()) return finish(agent::run_join(*config, line.join));
  if (run->parsed()) return finish(agent::run_agent(*config));
  if (down->parsed()) return finish(agent::run_down_open(*config));
  if (close->parsed()) return finish(agent::run_close(*config));
  std::fputs(app.help().c_str(), stderr);
  return 2;
}
