// SPDX-License-Identifier: Apache-2.0
// cygnet-traffic: measuring endpoint and the arithmetic over what it wrote.
//
//   cygnet-traffic run --self 1 --peer 2=10.77.2.1,10.77.1.1 … --log d1.log [--summary d1.json]
//   cygnet-traffic figures --phases phases.json d1.log d2.log …
//   cygnet-traffic capture --file underlay.pcap --inner 10.77.0.0/16 … --control-port 7443
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "traffic/analyse.h"
#include "traffic/capture.h"
#include "traffic/log.h"
#include "traffic/run.h"

namespace {

using nlohmann::json;
namespace traffic = cygnet::traffic;

int usage(const std::string& why) {
  std::cerr << "cygnet-traffic: " << why
            << "\nusage: cygnet-traffic run|figures|capture … (see tools/traffic/main.cpp)\n";
  return 2;
}

int run_command(const std::vector<std::string>& args) {
  traffic::RunOptions options;
  for (std::size_t i = 0; i + 1 < args.size(); i += 2) {
    const std::string& flag = args[i];
    const std::string& value = args[i + 1];
    if (flag == "--self") {
      options.self = static_cast<std::uint8_t>(std::stoi(value));
    } else if (flag == "--peer") {
      const std::size_t equals = value.find('=');
      const std::size_t comma = value.find(',');
      if (equals == std::string::npos || comma == std::string::npos) {
        return usage("--peer wants NUMBER=REMOTE,LOCAL, got " + value);
      }
      options.peers.push_back({static_cast<std::uint8_t>(std::stoi(value.substr(0, equals))),
                               value.substr(equals + 1, comma - equals - 1),
                               value.substr(comma + 1)});
    } else if (flag == "--rate") {
      options.rate = std::stod(value);
    } else if (flag == "--port") {
      options.port = static_cast<std::uint16_t>(std::stoi(value));
    } else if (flag == "--payload") {
      options.payload = static_cast<std::size_t>(std::stoul(value));
    } else if (flag == "--tcp-mbit") {
      options.tcp_mbit = std::stod(value);
    } else if (flag == "--log") {
      options.log_path = value;
    } else if (flag == "--summary") {
      options.summary_path = value;
    } else {
      return usage("unknown option " + flag);
    }
  }
  if (options.log_path.empty() || options.self == 0) return usage("run needs --self and --log");
  return traffic::run(options);
}

int figures_command(const std::vector<std::string>& args) {
  std::vector<traffic::Log> logs;
  json phases;
  for (std::size_t i = 0; i < args.size(); ++i) {
    if (args[i] == "--phases" && i + 1 < args.size()) {
      phases = json::parse(std::ifstream(args[++i]), nullptr, false);
      continue;
    }
    auto log = traffic::read_log(args[i]);
    if (!log) return usage("not a traffic log: " + args[i]);
    logs.push_back(std::move(*log));
  }
  if (!phases.is_array()) return usage("--phases wants a JSON array");
  json out = json::object();
  for (const json& p : phases) {
    traffic::Phase phase;
    phase.name = p.at("name").get<std::string>();
    phase.start_ns = p.at("start_ns").get<std::uint64_t>();
    phase.end_ns = p.at("end_ns").get<std::uint64_t>();
    phase.from_first_received = p.value("from_first_received", false);
    phase.mark_ns = p.value("mark_ns", std::uint64_t{0});
    phase.quiet_after_ns = p.value("quiet_after_ns", std::uint64_t{0});
    json directions = json::array();
    for (const traffic::Direction& d : traffic::analyse(logs, phase)) {
      json row = {{"from", d.from},
                  {"to", d.to},
                  {"sent", d.sent},
                  {"received", d.received},
                  {"lost", d.lost},
                  {"duplicated", d.duplicated},
                  {"ever_received", d.ever_received},
                  {"before_first", d.before_first},
                  {"gap_max_ms", static_cast<double>(d.gap_max_ns) / 1e6},
                  {"received_after_quiet", d.received_after_quiet}};
      row["recovered_after_ms"] = d.recovered_after_ns == UINT64_MAX
                                      ? json(nullptr)
                                      : json(static_cast<double>(d.recovered_after_ns) / 1e6);
      directions.push_back(std::move(row));
    }
    out[phase.name] = std::move(directions);
  }
  std::cout << out.dump() << "\n";
  return 0;
}

int capture_command(const std::vector<std::string>& args) {
  traffic::CaptureOptions options;
  std::string file;
  for (std::size_t i = 0; i + 1 < args.size(); i += 2) {
    if (args[i] == "--file") {
      file = args[i + 1];
    } else if (args[i] == "--inner") {
      const auto prefix = traffic::parse_prefix(args[i + 1]);
      if (!prefix) return usage("not a prefix: " + args[i + 1]);
      options.inner.push_back(*prefix);
    } else if (args[i] == "--esp-port") {
      options.esp_port = static_cast<std::uint16_t>(std::stoi(args[i + 1]));
    } else if (args[i] == "--control-port") {
      options.control_ports.push_back(static_cast<std::uint16_t>(std::stoi(args[i + 1])));
    } else {
      return usage("unknown option " + args[i]);
    }
  }
  const auto figures = traffic::analyse_capture(file, options);
  if (!figures) return usage("not a capture file this reads: " + file);
  json out = {{"packets", figures->packets},
              {"esp_packets", figures->esp},
              {"cleartext_packets", figures->cleartext},
              {"iv_repeats", figures->iv_repeats},
              {"by_kind", figures->by_kind},
              {"examples", figures->examples}};
  std::cout << out.dump() << "\n";
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return usage("no command");
  const std::string command = argv[1];
  const std::vector<std::string> args(argv + 2, argv + argc);
  try {
    if (command == "run") return run_command(args);
    if (command == "figures") return figures_command(args);
    if (command == "capture") return capture_command(args);
  } catch (const std::exception& error) {
    return usage(error.what());
  }
  return usage("unknown command " + command);
}
