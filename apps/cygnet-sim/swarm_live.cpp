// SPDX-License-Identifier: Apache-2.0
#include "swarm_live.h"

#include <cstdio>

#include "cygnet/load/enrol.h"
#include "cygnet/load/report.h"
#include "cygnet/rt/text.h"

namespace cygnet::apps {
namespace {

constexpr int kBad = 1;
constexpr int kCouldNot = 2;

int complain(const Error& error) {
  std::fprintf(stderr, "cygnet-sim: %s\n", error.to_string().c_str());
  return kCouldNot;
}

void duration(CLI::App& app, const char* name, Duration& value, const char* about) {
  app.add_option_function<std::string>(
         name,
         [&value](const std::string& text) {
           const auto parsed = rt::parse_duration(text);
           if (!parsed) throw CLI::ValidationError(parsed.error().to_string());
           value = *parsed;
         },
         about)
      ->default_str(rt::format_duration(value));
}

}  // namespace

SwarmLiveCommand::SwarmLiveCommand(CLI::App& app)
    : command_(app.add_subcommand("swarm-live", "simulated devices against a live controller")) {
  CLI::App& c = *command_;
  c.add_option("--controller", controller_, "HOST:PORT of cygnetd")->required();
  c.add_option("--devices", options_.devices, "how many")->required();
  c.add_option("--group", options_.group,
               "policy lets only so many neighbours by number hear each other; 0: all")
      ->capture_default_str();
  c.add_option("--identities", identities_,
               "file with the devices' keys and certificates; made and kept")
      ->required();
  c.add_option("--join", join_line_, "join line good for all devices that have no certificate yet");
  c.add_flag("--enrol-only", enrol_only_, "stop when everybody has a certificate");
  c.add_option("--scenario", options_.scenarios,
               "publish (one at a time), rekey (everybody), reconnect (everybody at once), slow "
               "(some stop reading); several in turn; joining is always first")
      ->delimiter(',')
      ->check(CLI::IsMember(load::scenario_names()));
  c.add_option("--publishes", options_.publishes, "of scenario publish")->capture_default_str();
  duration(c, "--within", options_.within, "rekey: spread everybody's publish over this");
  c.add_option("--rounds", options_.rounds, "of rekey and slow")->capture_default_str();
  c.add_option("--slow-percent", options_.slow_percent, "devices that stop reading")
      ->check(CLI::Range(1, 100))
      ->capture_default_str();
  c.add_option("--connecting", options_.connecting, "join: streams being opened at one time")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  duration(c, "--patience", options_.patience, "what has not settled after this is lost");
  c.add_option("--controller-pid", options_.controller_pid, "measure this process");
  c.add_option("--plant-loss", options_.lose,
               "planted fault: leave this delivery (from 1) out of the book");
  c.add_option("--json", json_, "write the figures here too");
}

int SwarmLiveCommand::run() {
  const auto controller = rt::parse_host_port(controller_);
  if (!controller) return complain(controller.error());
  const std::uint64_t files = load::raise_file_limit();
  if (files < options_.devices + 64) {
    return complain({load::kErrSwarm, "only " + std::to_string(files) + " files may be open",
                     "--devices", "raise the hard limit (ulimit -Hn)"});
  }
  auto fleet = load::load_fleet(identities_);
  if (!fleet) return complain(fleet.error());
  rt::Loop loop;
  if (fleet->members.size() < options_.devices && !join_line_.empty()) {
    const auto line = wire::parse_join_line(join_line_);
    if (!line) return complain(line.error());
    const Status enrolled = load::enrol(loop, *line, options_.devices, *fleet, [](std::uint32_t n) {
      if (n % 1000 == 0) std::printf("%u enrolled\n", n);
    });
    // What was enrolled is kept whatever came then: the controller will not enrol it again.
    if (!fleet->members.empty()) {
      if (const Status kept = load::store_fleet(identities_, *fleet); !kept) {
        return complain(kept.error());
      }
    }
    if (!enrolled) return complain(enrolled.error());
  }
  if (enrol_only_) {
    std::printf("%zu devices have certificates\n", fleet->members.size());
    return 0;
  }
  const auto report =
      load::run_swarm(loop, *controller, *fleet, options_, [&](const load::PhaseReport& phase) {
        std::fputs(load::to_text(phase, options_.devices).c_str(), stdout);
        std::fflush(stdout);
      });
  if (!report) return complain(report.error());
  if (!json_.empty()) {
    const Status written = rt::write_file_atomic(json_, load::to_json(*report, options_));
    if (!written) return complain(written.error());
  }
  std::fputs(load::conclusion(*report).c_str(), stdout);
  return report->good() ? 0 : kBad;
}

}  // namespace cygnet::apps
