// SPDX-License-Identifier: Apache-2.0
#include "cygnet/sim/seed_file.h"

#include <charconv>
#include <cstdio>

namespace cygnet::sim {
namespace {

template <class Number>
bool read_number(std::string_view text, Number& out, int base = 10) {
  const auto read = std::from_chars(text.data(), text.data() + text.size(), out, base);
  return read.ec == std::errc() && read.ptr == text.data() + text.size();
}

bool take(SeedFile& file, std::string_view key, std::string_view value) {
  if (key == "scenario") return file.scenario = value, !value.empty();
  if (key == "seed") return read_number(value, file.seed);
  if (key == "devices") return read_number(value, file.devices);
  if (key == "minutes") return read_number(value, file.minutes);
  if (key == "crypto") return file.real_crypto = value == "real", file.real_crypto;
  if (key == "plant") return file.plant = value, !value.empty();
  if (key == "checker") return file.checker = value, !value.empty();
  if (key == "hash") return read_number(value, file.hash, 16);
  return false;
}

}  // namespace

std::string to_text(const SeedFile& file) {
  std::string text = "# cygnet-sim replay FILE\n";
  text += "scenario " + file.scenario + "\nseed " + std::to_string(file.seed) + "\n";
  if (file.devices != 0) text += "devices " + std::to_string(file.devices) + "\n";
  if (file.minutes != 0) text += "minutes " + std::to_string(file.minutes) + "\n";
  if (file.real_crypto) text += "crypto real\n";
  if (!file.plant.empty()) text += "plant " + file.plant + "\n";
  if (!file.checker.empty()) text += "checker " + file.checker + "\n";
  if (file.hash != 0) {
    char hash[24];
    (void)std::snprintf(hash, sizeof hash, "%016llx", static_cast<unsigned long long>(file.hash));
    text += std::string("hash ") + hash + "\n";
  }
  return text;
}

std::string command_line(const SeedFile& file) {
  std::string text =
      "cygnet-sim run --scenario " + file.scenario + " --seed " + std::to_string(file.seed);
  if (file.devices != 0) text += " --devices " + std::to_string(file.devices);
  if (file.minutes != 0) text += " --minutes " + std::to_string(file.minutes);
  if (file.real_crypto) text += " --real-crypto";
  if (!file.plant.empty()) text += " --plant " + file.plant;
  return text;
}

Result<SeedFile> parse_seed_file(std::string_view text) {
  SeedFile file;
  std::size_t number = 0;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    ++number;
    if (line.empty() || line.front() == '#') continue;
    const std::size_t space = line.find(' ');
    if (space == std::string_view::npos ||
        !take(file, line.substr(0, space), line.substr(space + 1))) {
      return fail(kErrSeedFile, "not understood: " + std::string(line),
                  "line " + std::to_string(number),
                  "a line is one of scenario, seed, devices, minutes, crypto real, plant, checker, "
                  "hash");
    }
  }
  if (file.scenario.empty()) {
    return fail(kErrSeedFile, "names no scenario", "", "add a line: scenario mixed");
  }
  return file;
}

Result<Replay> prepare(const SeedFile& file) {
  Replay replay;
  CYGNET_TRY(replay.scenario, scenario_named(file.scenario));
  if (file.devices != 0) replay.scenario.devices = file.devices;
  if (file.minutes != 0) {
    Scenario& s = replay.scenario;
    const Duration before = s.calm + s.trouble;
    const Duration whole = std::chrono::minutes(file.minutes);
    if (whole <= before) {
      return fail(kErrScenario, "scenario " + s.name + " has not healed by then", "--minutes",
                  "give more than " + std::to_string(before / std::chrono::minutes(1)));
    }
    s.heal = whole - before;
  }
  if (file.real_crypto) replay.scenario.real_crypto = true;
  if (!file.plant.empty()) {
    CYGNET_TRY(const PlantedFault fault, planted_fault_named(file.plant));
    replay.plants = fault.plants;
  }
  return replay;
}

}  // namespace cygnet::sim
