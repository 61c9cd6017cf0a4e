// SPDX-License-Identifier: Apache-2.0
#include "cygnet/sim/runner.h"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <mutex>
#include <thread>

#include "cygnet/proto/rekey/effect_text.h"
#include "cygnet/sim/faults.h"
#include "cygnet/sim/world.h"

namespace cygnet::sim {
namespace {

constexpr std::size_t kBrokenMax = 5;
constexpr std::size_t kStoryLines = 120;

/// Which rules and rows of the machines were at work.
class Probes final : public Observer {
 public:
  void on_observed(DeviceId, const proto::rekey::Observe& what) override {
    const auto kind = static_cast<std::size_t>(what.what);
    if (kind < kinds.size()) ++kinds[kind];
    if (what.row >= 'A' && what.row <= 'Z') ++rows[static_cast<std::size_t>(what.row - 'A')];
    if (what.cause) ++causes[static_cast<std::size_t>(*what.cause)];
  }
  std::array<std::uint64_t, 17> kinds{};
  std::array<std::uint64_t, 26> rows{};
  std::array<std::uint64_t, 10> causes{};
};

constexpr std::array<std::string_view, 17> kKinds = {"generation-started",
                                                     "generation-installed",
                                                     "generation-accepted",
                                                     "generation-redrawn",
                                                     "rekey-deferred",
                                                     "dh-erased",
                                                     "dim-taken",
                                                     "dim-complete",
                                                     "dim-pending",
                                                     "peer-restarted",
                                                     "live",
                                                     "confirmed",
                                                     "outbound-changed",
                                                     "pair-draining",
                                                     "pair-gone",
                                                     "dormant",
                                                     "awake"};

template <class Map>
void add(Map& sum, const Map& one) {
  for (const auto& [key, value] : one) sum[key] += value;
}

}  // namespace

RunReport run(const Scenario& scenario, std::uint64_t seed, const Plants& plants) {
  World world(scenario, seed, plants);
  Probes probes;
  world.watch(probes);
  world.run();

  RunReport report;
  report.scenario = scenario.name;
  report.seed = seed;
  report.hash = world.story().hash();
  report.events = world.queue.executed();
  report.violation = world.violation();
  if (report.violation) {
    const auto& who = report.violation->devices;
    report.story = world.story().diagram({who.begin(), who.end()}, kStoryLines);
  }
  report.traffic = world.traffic();
  report.faults = world.faults().done();
  report.counts = world.counts();
  for (const CheckerPtr& checker : world.checkers()) {
    report.looked[std::string(checker->name())] = checker->looked();
  }
  for (std::size_t i = 0; i < kKinds.size(); ++i) {
    report.observed[std::string(kKinds[i])] = probes.kinds[i];
  }
  for (std::size_t i = 0; i < probes.rows.size(); ++i) {
    if (probes.rows[i] != 0) {
      report.observed[std::string("row ") + static_cast<char>('A' + i)] = probes.rows[i];
    }
  }
  for (std::size_t i = 0; i < probes.causes.size(); ++i) {
    if (probes.causes[i] == 0) continue;
    const auto cause = static_cast<proto::rekey::RekeyCause>(i);
    report.observed["cause " + std::string(proto::rekey::to_string(cause))] = probes.causes[i];
  }
  for (DeviceId id = 0; id < world.device_count(); ++id) {
    const Device& device = world.device(id);
    report.publishes += device.publishes;
    report.dh_pairs += device.dh_pairs;
    report.installs += device.installs;
    report.messages_up += device.messages_up;
    report.octets_up += device.octets_up;
    report.messages_down += device.messages_down;
    report.octets_down += device.octets_down;
    if (!device.running()) continue;
    report.sa_pairs_per_peer_max = std::max(report.sa_pairs_per_peer_max,
                                            device.core().rekey().counts().sa_pairs_per_peer_max);
  }
  report.verified = world.proofs.verified();
  report.heap_max = world.queue.waiting_max();
  report.virtual_time = world.queue.now() - world.begin();
  return report;
}

SwarmReport swarm(const SwarmOptions& options) {
  SwarmReport sum;
  std::mutex mutex;
  std::atomic<std::uint64_t> next{options.first};
  std::atomic<bool> enough{false};
  const auto work = [&] {
    while (!enough) {
      const std::uint64_t seed = next++;
      if (seed > options.last) return;
      RunReport report = run(options.scenario, seed, options.plants);
      const std::scoped_lock lock(mutex);
      ++sum.runs;
      sum.events += report.events;
      sum.hash ^= mix64(report.hash + seed);  // whichever thread was first
      sum.traffic += report.traffic;
      for (std::size_t i = 0; i < kFaultCount; ++i) sum.faults[i] += report.faults[i];
      add(sum.looked, report.looked);
      add(sum.observed, report.observed);
      add(sum.counts, report.counts);
      if (report.violation) {
        sum.broken.push_back(std::move(report));
        if (options.stop_at_first) enough = true;
      }
    }
  };
  (void)Pki::of(options.scenario.devices);
  std::vector<std::thread> threads;
  for (unsigned i = 1; i < std::max(1U, options.threads); ++i) threads.emplace_back(work);
  work();
  for (std::thread& thread : threads) thread.join();

  std::sort(sum.broken.begin(), sum.broken.end(),
            [](const RunReport& a, const RunReport& b) { return a.seed < b.seed; });
  if (sum.broken.size() > kBrokenMax) sum.broken.resize(kBrokenMax);
  for (std::size_t i = 0; i < kFaultCount; ++i) {
    if (options.scenario.weight[i] != 0 && sum.faults[i] == 0) {
      sum.never.push_back("fault " + std::string(to_string(static_cast<Fault>(i))));
    }
  }
  for (const auto& [checker, looked] : sum.looked) {
    const auto weighs = [&](Fault fault) {
      return options.scenario.weight[static_cast<std::size_t>(fault)] != 0;
    };
    const bool expected = checker == "S5"   ? weighs(Fault::kForgedDim)
                          : checker == "L3" ? weighs(Fault::kCrash)
                                            : options.scenario.sample_state;
    if (looked == 0 && expected) sum.never.push_back("checker " + checker);
  }
  return sum;
}

std::string describe(const RunReport& report) {
  std::string text;
  if (report.violation) {
    const auto at = std::chrono::duration_cast<std::chrono::milliseconds>(
                        report.violation->at - Timestamp(std::chrono::hours(1)))
                        .count();
    char when[32];
    (void)std::snprintf(when, sizeof when, "%.3f s", static_cast<double>(at) / 1000.0);
    text += "BROKEN " + report.violation->checker + " after " + when + ": " +
            report.violation->text + "\n";
    text += "the last of what happened between them:\n" + report.story;
  }
  return text;
}

}  // namespace cygnet::sim
