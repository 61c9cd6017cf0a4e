// SPDX-License-Identifier: Apache-2.0
// Policy at fleet scale: parse, compile, one device's change, plan. Prints one line of JSON with
// the median of the rounds, in milliseconds of this thread's processor time.
//
//   policy_bench [DEVICES [RULES [ROUNDS]]]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cygnet/controller/policy/compiled.h"
#include "cygnet/controller/policy/parse.h"
#include "cygnet/controller/policy/plan.h"

namespace {

namespace policy = cygnet::controller::policy;

// Fifty labels: every device has one of each kind.
constexpr unsigned kRoles = 10;
constexpr unsigned kRegions = 40;

double thread_ms() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) * 1e3 + static_cast<double>(t.tv_nsec) / 1e6;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

double timed(const std::function<void()>& work) {
  const double begun = thread_ms();
  work();
  return thread_ms() - begun;
}

std::string device_line(unsigned i, unsigned role) {
  return "  - {name: s" + std::to_string(i) + ", labels: {role: r" + std::to_string(role) +
         ", region: g" + std::to_string(i / kRoles % kRegions) + "}, prefixes: [10." +
         std::to_string(i >> 8) + "." + std::to_string(i & 255) + ".0/24]}\n";
}

/// @param moved  this device has another role than the others of its number
std::string document(unsigned devices, unsigned rules, unsigned moved) {
  std::string text = "mesh: corp\ndevices:\n";
  for (unsigned i = 0; i < devices; ++i) {
    text += device_line(i, (i + (i == moved ? 1 : 0)) % kRoles);
  }
  text += "rules:\n";
  for (unsigned i = 0; i < rules; ++i) {
    text += "  - {from: role=r" + std::to_string(i % kRoles) + ", to: region=g" +
            std::to_string((i / kRoles * 2 + i % kRoles) % kRegions) + "}\n";
  }
  return text;
}

template <class T>
T must(cygnet::Result<T> result) {
  if (!result) {
    std::fprintf(stderr, "policy_bench: %s\n", result.error().to_string().c_str());
    std::exit(1);
  }
  return std::move(*result);
}

}  // namespace

int main(int argc, char** argv) {
  const auto number = [&](int at, unsigned otherwise) {
    return argc > at ? static_cast<unsigned>(std::strtoul(argv[at], nullptr, 10)) : otherwise;
  };
  const unsigned devices = number(1, 10000);
  const unsigned rules = number(2, 200);
  const unsigned rounds = number(3, 5);
  const std::string before_text = document(devices, rules, devices);
  const std::string after_text = document(devices, rules, devices / 2);
  std::vector<double> parse;
  std::vector<double> compile;
  std::vector<double> change;
  std::vector<double> plan;
  std::uint64_t pairs = 0;
  std::size_t moved_peers = 0;
  std::uint64_t pairs_changed = 0;
  for (unsigned round = 0; round < rounds; ++round) {
    const auto names = std::make_shared<policy::DeviceNames>();
    std::unique_ptr<policy::Document> read;
    parse.push_back(timed([&] {
      read = std::make_unique<policy::Document>(must(policy::parse(before_text, "mesh.yaml")));
    }));
    std::unique_ptr<policy::CompiledPolicy> before;
    compile.push_back(timed([&] {
      before = std::make_unique<policy::CompiledPolicy>(
          must(policy::CompiledPolicy::compile(*read, {}, names)));
    }));
    pairs = before->pair_count();
    const auto other = must(policy::parse(after_text, "mesh.yaml"));
    const auto after = must(policy::CompiledPolicy::compile(other, {}, names));
    plan.push_back(timed([&] {
      const policy::Plan made = policy::make_plan(before.get(), after);
      pairs_changed = made.pairs_added + made.pairs_removed;
    }));
    policy::DeviceSpec spec = other.devices[devices / 2];
    change.push_back(timed([&] {
      const auto delta = must(before->upsert_device(spec));
      moved_peers = delta.added.size() + delta.removed.size();
    }));
  }
  std::printf(
      "{\"devices\":%u,\"rules\":%u,\"labels\":%u,\"pairs\":%llu,\"parse_ms\":%.2f,"
      "\"compile_ms\":%.2f,\"change_ms\":%.3f,\"change_pairs\":%zu,\"plan_ms\":%.2f,"
      "\"plan_pairs\":%llu}\n",
      devices, rules, kRoles + kRegions, static_cast<unsigned long long>(pairs), median(parse),
      median(compile), median(change), moved_peers, median(plan),
      static_cast<unsigned long long>(pairs_changed));
  return 0;
}
