// SPDX-License-Identifier: Apache-2.0
// cygnetd: enrols devices, holds policy, relays DIMs, answers operators.
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <string>

#include "config.h"
#include "cygnet/controller/driver/state_dir.h"
#include "cygnet/proto/ids/mesh_address.h"
#include "cygnet/rt/log.h"
#include "daemon.h"

namespace {

using cygnet::Error;
namespace apps = cygnet::apps;
namespace controller = cygnet::controller;
namespace rt = cygnet::rt;

constexpr int kExitError = 1;
constexpr int kExitUsage = 2;

int report(const Error& error) {
  std::cerr << "cygnetd: " << error.to_string() << "\n";
  return kExitError;
}

cygnet::ServerTime wall_now() {
  return cygnet::ServerTime(std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::system_clock::now().time_since_epoch()));
}

struct InitArguments {
  std::string state = "/var/lib/cygnet/controller";
  std::string mesh;
  std::string listen = "0.0.0.0:7443";
  std::string advertise;
  std::string device;
};

bool is_wildcard(const rt::HostPort& address) {
  return address.host == "0.0.0.0" || address.host == "::";
}

int init(const InitArguments& arguments) {
  controller::InitOptions options;
  options.directory = arguments.state;
  options.mesh = arguments.mesh;
  const auto listen = rt::parse_host_port(arguments.listen, controller::kDefaultPort);
  if (!listen) return report(listen.error());
  options.listen = *listen;
  if (!arguments.advertise.empty()) {
    const auto advertise = rt::parse_host_port(arguments.advertise, controller::kDefaultPort);
    if (!advertise) return report(advertise.error());
    options.advertise = *advertise;
  }
  if (is_wildcard(options.advertise.value_or(options.listen))) {
    return report(
        Error{controller::kErrState,
              "devices cannot reach " + options.advertise.value_or(options.listen).to_string(),
              "--advertise", "name an address of this host: --advertise 198.51.100.1"});
  }
  if (!arguments.device.empty()) options.device = arguments.device;
  const auto done = controller::init_state(options, wall_now());
  if (!done) return report(done.error());
  std::cout << (done->fresh ? "made mesh " : "mesh ") << done->mesh
            << (done->fresh ? " in " : " is already in ") << arguments.state << "\n"
            << "  mesh id         " << cygnet::proto::mesh_id_text(done->mesh_id) << "\n"
            << "  CA fingerprint  " << cygnet::to_hex(done->ca_fingerprint) << "\n"
            << "  listens on      " << done->listen << " (devices are told " << done->advertise
            << ")\n\n"
            << "start it:\n  cygnetd run --state " << arguments.state << "\n\n";
  if (done->join_line) {
    std::cout << "paste on a device (once, within 24 hours):\n  cygnet-agent join "
              << *done->join_line << "\n";
  } else {
    std::cout << "for a join line:\n  cygnet token create NAME\n";
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Cygnet's controller: enrols devices, holds policy, relays DIMs."};
  app.require_subcommand(1);
  app.set_version_flag("--version", "cygnetd 0.1.0");

  InitArguments init_arguments;
  auto* init_command = app.add_subcommand(
      "init", "Make a mesh: its id, identity CA, server certificate and first join line");
  init_command->add_option("--state", init_arguments.state, "State directory")
      ->capture_default_str();
  init_command->add_option("--mesh", init_arguments.mesh, "Name of the mesh, one DNS label")
      ->required();
  init_command->add_option("--listen", init_arguments.listen, "Address and port to serve on")
      ->capture_default_str();
  init_command->add_option("--advertise", init_arguments.advertise,
                           "Address and port that devices use, when it differs");
  init_command->add_option("--device", init_arguments.device,
                           "Bind the first join line to this device name");

  apps::DaemonConfig config;
  std::string config_path;
  std::string state;
  std::string listen;
  std::string advertise;
  std::string api_socket;
  std::string ca_mode;
  std::string log_level;
  std::string log_format;
  bool check = false;
  bool print_effective = false;
  bool test_verbs = false;
  auto* run_command = app.add_subcommand("run", "Serve a mesh");
  run_command->add_option("--config", config_path, "YAML file; options override it");
  run_command->add_option("--state", state, "State directory");
  run_command->add_option("--listen", listen, "Address and port to serve on");
  run_command->add_option("--advertise", advertise, "Address and port that join lines name");
  run_command->add_option("--api-socket", api_socket, "Unix socket of the operators' API");
  run_command->add_option("--ca-mode", ca_mode, "embedded or external");
  run_command->add_option("--log-level", log_level, "debug, info, warning, error or off");
  run_command->add_option("--log-format", log_format, "text or json");
  run_command->add_flag("--check", check, "Check the configuration and stop");
  run_command->add_flag("--print-effective", print_effective,
                        "Print the configuration in effect and stop");
  run_command->add_flag("--enable-test-verbs", test_verbs,
                        "Let the API hold the relay and kill this process (tests only)");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kExitUsage;
  }

  if (init_command->parsed()) return init(init_arguments);

  if (!config_path.empty()) {
    auto loaded = apps::load_config(config_path);
    if (!loaded) return report(loaded.error());
    config = std::move(*loaded);
  }
  if (!state.empty()) config.state = state;
  if (!listen.empty()) config.listen = listen;
  if (!advertise.empty()) config.advertise = advertise;
  if (!api_socket.empty()) config.api_socket = api_socket;
  if (!ca_mode.empty()) config.ca_mode = ca_mode;
  if (!log_level.empty()) config.log_level = log_level;
  if (!log_format.empty()) config.log_format = log_format;
  config.test_verbs = test_verbs;
  if (const auto good = apps::check_config(config); !good) return report(good.error());
  if (print_effective) {
    std::cout << apps::print_config(config);
    return 0;
  }
  if (check) {
    std::cout << "the configuration is good\n";
    return 0;
  }
  rt::configure_log(*rt::parse_log_level(config.log_level),
                    *rt::parse_log_format(config.log_format));
  if (const auto served = apps::run_daemon(config); !served) return report(served.error());
  return 0;
}
