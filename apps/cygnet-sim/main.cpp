// SPDX-License-Identifier: Apache-2.0
// cygnet-sim: the protocol's production code under a virtual clock. docs/simulator.md.
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>

#include "cygnet/sim/plan.h"
#include "cygnet/sim/runner.h"
#include "cygnet/sim/seed_file.h"
#include "heap.h"
#include "swarm_live.h"

namespace sim = cygnet::sim;

namespace {

double seconds(cygnet::Duration d) { return std::chrono::duration<double>(d).count(); }

void print(const std::map<std::string, std::uint64_t>& counts, const char* title) {
  std::printf("%s\n", title);
  for (const auto& [name, count] : counts) {
    std::printf("  %-28s %12llu\n", name.c_str(), static_cast<unsigned long long>(count));
  }
}

void print(const sim::TrafficCounts& t) {
  const auto n = [](std::uint64_t v) { return static_cast<unsigned long long>(v); };
  std::printf(
      "user packets: %llu sent, %llu delivered; dropped: %llu peer not known, %llu held, %llu no "
      "SA "
      "chosen, %llu by the network, %llu no such SA, %llu ICV, %llu replay, %llu sender down\n",
      n(t.sent), n(t.delivered), n(t.not_known), n(t.held_dropped), n(t.no_choice), n(t.network),
      n(t.no_sa), n(t.bad_icv), n(t.replay), n(t.sender_down));
}

int complain(const cygnet::Error& error) {
  std::fprintf(stderr, "cygnet-sim: %s\n", error.to_string().c_str());
  return 2;
}

/// What the command line says about a run, beside its seed.
struct Chosen {
  sim::SeedFile file;
  sim::Replay run;
  bool verbose = false;
};

sim::RunReport run_one(const Chosen& chosen) {
  const sim::Scenario& scenario = chosen.run.scenario;
  const std::uint64_t seed = chosen.file.seed;
  constexpr std::uint32_t kLarge = 256;
  if (scenario.devices >= kLarge) cygnet::apps::heap_in_huge_pages();
  const auto began = std::chrono::steady_clock::now();
  sim::RunReport report = sim::run(scenario, seed, chosen.run.plants);
  const double took =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  std::printf("scenario %s, seed %llu: %llu events in %.1f virtual s, %.2f s; hash %016llx\n",
              scenario.name.c_str(), static_cast<unsigned long long>(seed),
              static_cast<unsigned long long>(report.events), seconds(report.virtual_time), took,
              static_cast<unsigned long long>(report.hash));
  print(report.traffic);
  std::printf(
      "%llu publishes, %llu DH pairs, %llu installs; up %llu messages, %llu octets; down "
      "%llu messages, %llu octets; at most %u SA pairs a peer\n",
      static_cast<unsigned long long>(report.publishes),
      static_cast<unsigned long long>(report.dh_pairs),
      static_cast<unsigned long long>(report.installs),
      static_cast<unsigned long long>(report.messages_up),
      static_cast<unsigned long long>(report.octets_up),
      static_cast<unsigned long long>(report.messages_down),
      static_cast<unsigned long long>(report.octets_down), report.sa_pairs_per_peer_max);
  if (chosen.verbose) {
    print(report.looked, "checkers looked");
    print(report.observed, "rules at work");
    print(report.counts, "alarms, refusals, notes");
  }
  std::fputs(sim::describe(report).c_str(), stdout);
  return report;
}

/// Writes down how to have this run again, and says so.
int save(const sim::SeedFile& file, const sim::RunReport& report, const std::string& path) {
  sim::SeedFile out = file;
  out.seed = report.seed;
  out.checker = report.violation ? report.violation->checker : "";
  out.hash = report.hash;
  std::ofstream stream(path);
  stream << sim::to_text(out);
  stream.close();
  if (!stream) return complain({cygnet::ErrorCode("sim-write"), "cannot write", path, ""});
  std::printf("written down: cygnet-sim replay %s\n", path.c_str());
  return 0;
}

int command_run(const Chosen& chosen, const std::string& path) {
  const sim::RunReport report = run_one(chosen);
  if (!report.violation) return path.empty() ? 0 : save(chosen.file, report, path);
  std::printf("again: %s\n", sim::command_line(chosen.file).c_str());
  if (!path.empty()) (void)save(chosen.file, report, path);
  return 1;
}

int command_replay(const std::string& path, bool verbose) {
  std::ifstream stream(path);
  std::stringstream text;
  text << stream.rdbuf();
  if (!stream) return complain({cygnet::ErrorCode("sim-read"), "cannot read", path, ""});
  auto file = sim::parse_seed_file(text.str());
  if (!file) return complain(std::move(file).error().within(path));
  auto prepared = sim::prepare(*file);
  if (!prepared) return complain(std::move(prepared).error().within(path));
  const sim::RunReport report = run_one({*file, std::move(*prepared), verbose});
  if (file->hash != 0) {
    std::printf(report.hash == file->hash
                    ? "the same run as the one written down\n"
                    : "not the run that was written down: the code changed\n");
  }
  if (!file->checker.empty() && !report.violation) {
    std::printf("%s complained when this was written down; nothing does now\n",
                file->checker.c_str());
  }
  return report.violation ? 1 : 0;
}

int command_swarm(const sim::SwarmOptions& options, const Chosen& chosen, const std::string& dir) {
  const auto began = std::chrono::steady_clock::now();
  const sim::SwarmReport report = sim::swarm(options);
  const double took =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  std::printf("scenario %s, seeds %llu..%llu: %llu runs, %llu events, %.1f s; hash %016llx\n",
              options.scenario.name.c_str(), static_cast<unsigned long long>(options.first),
              static_cast<unsigned long long>(options.last),
              static_cast<unsigned long long>(report.runs),
              static_cast<unsigned long long>(report.events), took,
              static_cast<unsigned long long>(report.hash));
  print(report.traffic);
  if (chosen.verbose) {
    print(report.looked, "checkers looked");
    print(report.observed, "rules at work");
    print(report.counts, "alarms, refusals, notes");
    std::printf("faults\n");
    for (std::size_t i = 0; i < sim::kFaultCount; ++i) {
      std::printf("  %-28s %12llu\n", std::string(to_string(static_cast<sim::Fault>(i))).c_str(),
                  static_cast<unsigned long long>(report.faults[i]));
    }
  }
  for (const sim::RunReport& broken : report.broken) {
    std::fputs(sim::describe(broken).c_str(), stdout);
    sim::SeedFile file = chosen.file;
    file.seed = broken.seed;
    std::printf("again: %s\n", sim::command_line(file).c_str());
    if (!dir.empty()) {
      const std::string name = file.scenario + "-" + std::to_string(file.seed) + ".seed";
      (void)save(file, broken, dir + "/" + name);
    }
  }
  for (const std::string& never : report.never) {
    std::printf("NEVER EXERCISED %s\n", never.c_str());
  }
  return report.broken.empty() && report.never.empty() ? 0 : 1;
}

int command_plan(const sim::PlanQuestion& question, const std::string& svg) {
  const auto answer = sim::plan(question);
  if (!answer) return complain(answer.error());
  std::fputs(sim::table(*answer).c_str(), stdout);
  if (svg.empty()) return 0;
  std::ofstream stream(svg);
  stream << sim::svg(*answer);
  stream.close();
  if (!stream) return complain({cygnet::ErrorCode("sim-write"), "cannot write", svg, ""});
  return 0;
}

/// Figures on the command line are in the unit their option names.
template <class Unit>
void duration_option(CLI::App& sub, const char* name, cygnet::Duration& value, const char* about) {
  sub.add_option_function<std::int64_t>(
         name, [&value](std::int64_t count) { value = Unit(count); }, about)
      ->check(CLI::Range(std::int64_t{0}, std::int64_t{1'000'000'000}));
}

/// "A..B".
bool parse_range(const std::string& text, std::uint64_t& first, std::uint64_t& last) {
  const std::size_t dots = text.find("..");
  if (dots == std::string::npos) return false;
  char* end = nullptr;
  first = std::strtoull(text.c_str(), &end, 10);
  if (end != text.c_str() + dots) return false;
  last = std::strtoull(text.c_str() + dots + 2, &end, 10);
  return *end == '\0' && first <= last;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(
      "The protocol's production code under a virtual clock: thousands of devices, faults, "
      "seeds");
  app.require_subcommand(1);
  Chosen chosen;
  chosen.file.scenario = "mixed";
  chosen.file.seed = 1;
  std::string seeds = "1..100";
  std::string path;
  unsigned threads = 2;
  bool first_only = false;
  const auto common = [&](CLI::App* sub) {
    sub->add_option("--scenario", chosen.file.scenario, "see `cygnet-sim scenarios`");
    sub->add_option("--devices", chosen.file.devices, "another number of devices");
    sub->add_option("--minutes", chosen.file.minutes, "another length, in virtual minutes");
    sub->add_option("--plant", chosen.file.plant, "plant this fault, see `cygnet-sim plants`");
    sub->add_flag("--real-crypto", chosen.file.real_crypto, "Diffie-Hellman and derivations too");
    sub->add_flag("-v,--verbose", chosen.verbose, "what was exercised");
  };
  CLI::App* const run = app.add_subcommand("run", "one seed");
  common(run);
  run->add_option("--seed", chosen.file.seed, "what the run is drawn from");
  run->add_option("--save", path, "write down how to have it again");
  CLI::App* const swarm = app.add_subcommand("swarm", "many seeds");
  common(swarm);
  swarm->add_option("--seeds", seeds, "A..B");
  swarm->add_option("--threads", threads, "cores to use");
  swarm->add_option("--save", path, "directory: write down how to have each broken seed again");
  swarm->add_flag("--first", first_only, "stop at the first broken seed");
  CLI::App* const replay = app.add_subcommand("replay", "what was written down");
  replay->add_option("FILE", path)->required();
  replay->add_flag("-v,--verbose", chosen.verbose, "what was exercised");
  CLI::App* const plan = app.add_subcommand("plan", "what a fleet would cost");
  sim::PlanQuestion question;
  std::uint64_t mbit = 1000;
  plan->add_option("--devices", question.devices, "of the fleet")->capture_default_str();
  plan->add_option("--peers", question.peers, "of each device")->capture_default_str();
  duration_option<std::chrono::minutes>(*plan, "--rekey-minutes", question.rekey_every,
                                        "a rekey's period (60)");
  duration_option<std::chrono::milliseconds>(*plan, "--leg-ms", question.leg,
                                             "device to controller, one way (20)");
  duration_option<std::chrono::milliseconds>(*plan, "--path-ms", question.path,
                                             "device to device, one way (20)");
  duration_option<std::chrono::milliseconds>(*plan, "--store-ms", question.store,
                                             "until a batch is durable (2)");
  duration_option<std::chrono::microseconds>(*plan, "--derive-us", question.derive,
                                             "one SA pair on a device's worker (100)");
  duration_option<std::chrono::microseconds>(*plan, "--verify-us", question.verify,
                                             "one publish on a core of the controller (200)");
  plan->add_option("--cores", question.cores, "of the controller")->capture_default_str();
  plan->add_option("--link-mbit", mbit, "of the controller, out")->capture_default_str();
  plan->add_option("--svg", path, "plot into this file");
  cygnet::apps::SwarmLiveCommand swarm_live(app);
  CLI::App* const scenarios = app.add_subcommand("scenarios", "list them");
  CLI::App* const plants = app.add_subcommand("plants", "list the faults that can be planted");
  CLI11_PARSE(app, argc, argv);

  if (scenarios->parsed()) {
    for (const sim::Scenario& s : sim::all_scenarios()) {
      std::printf("%-14s %s\n", s.name.c_str(), s.about.c_str());
    }
    return 0;
  }
  if (plants->parsed()) {
    for (const sim::PlantedFault& p : sim::planted_faults()) {
      std::printf("%-26s %s\n", p.name.c_str(), p.about.c_str());
    }
    return 0;
  }
  if (plan->parsed()) {
    question.link_octets = mbit * 125'000;
    return command_plan(question, path);
  }
  if (swarm_live.parsed()) return swarm_live.run();
  if (replay->parsed()) return command_replay(path, chosen.verbose);
  auto prepared = sim::prepare(chosen.file);
  if (!prepared) return complain(prepared.error());
  chosen.run = std::move(*prepared);
  if (run->parsed()) return command_run(chosen, path);
  sim::SwarmOptions options{chosen.run.scenario, 1, 1, threads, chosen.run.plants, first_only};
  if (!parse_range(seeds, options.first, options.last)) {
    return complain(
        {cygnet::ErrorCode("usage"), "--seeds wants A..B", seeds, "for example 1..1000"});
  }
  return command_swarm(options, chosen, path);
}
