// SPDX-License-Identifier: Apache-2.0
#include "cygnet/sim/scenario.h"

#include <algorithm>
#include <initializer_list>

namespace cygnet::sim {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

void weigh(Scenario& s, std::initializer_list<Fault> faults, std::uint8_t weight = 4) {
  for (const Fault fault : faults) s.weight[static_cast<std::size_t>(fault)] = weight;
}

constexpr std::initializer_list<Fault> kHitsEverybody = {
    Fault::kReconnectStorm, Fault::kControllerRestart, Fault::kOutage,
    Fault::kFailover,       Fault::kDiskFull,          Fault::kRekeyStorm};

Scenario base(std::string name, std::string about) {
  Scenario s;
  s.name = std::move(name);
  s.about = std::move(about);
  s.calm = minutes(2);
  s.trouble = minutes(60);
  s.heal = minutes(26);
  s.packet_every = seconds(4);
  s.work_max = milliseconds(20);
  return s;
}

void bad_networks(Scenario& s) {
  s.loss_ppm = 10'000;
  s.duplicate_ppm = 5'000;
  s.reorder_ppm = 5'000;
  weigh(s, {Fault::kLossBurst, Fault::kOneWay, Fault::kJitter});
}
void bad_controllers(Scenario& s) {
  weigh(s, {Fault::kLegSlow, Fault::kDisconnect, Fault::kControllerRestart});
  weigh(s, {Fault::kOutage, Fault::kFailover, Fault::kDiskFull, Fault::kReconnectStorm}, 2);
}
void bad_devices(Scenario& s) {
  weigh(s, {Fault::kCrash, Fault::kSlowInstalls, Fault::kRefusedInstalls});
  weigh(s, {Fault::kLostDisk, Fault::kRestoredDisk, Fault::kFlush, Fault::kClockJump}, 2);
}
void bad_operators(Scenario& s) {
  weigh(s, {Fault::kRemovePair, Fault::kIdle});
  weigh(s, {Fault::kRemoveDevice, Fault::kRekeyStorm}, 2);
}
void liars(Scenario& s) {
  weigh(s, {Fault::kStaleRedelivery, Fault::kForgedDim, Fault::kReplayedDim, Fault::kReflectedDim,
            Fault::kTwistedDim, Fault::kSpoofedEsp, Fault::kReplayedEsp});
}

Scenario with(Scenario s, std::initializer_list<void (*)(Scenario&)> parts) {
  s.fault_every = seconds(45);
  for (const auto part : parts) part(s);
  return s;
}

}  // namespace

std::string_view to_string(Fault fault) {
  constexpr std::array<std::string_view, kFaultCount> kNames = {
      "loss-burst",    "one-way",         "jitter",           "leg-slow",
      "disconnect",    "reconnect-storm", "stale-redelivery", "controller-restart",
      "outage",        "failover",        "disk-full",        "crash",
      "lost-disk",     "restored-disk",   "remove-pair",      "remove-device",
      "idle",          "slow-installs",   "refused-installs", "flush",
      "clock-jump",    "rekey-storm",     "forged-dim",       "replayed-dim",
      "reflected-dim", "twisted-dim",     "spoofed-esp",      "replayed-esp"};
  return kNames[static_cast<std::size_t>(fault)];
}

std::vector<Scenario> all_scenarios() {
  std::vector<Scenario> all;
  all.push_back(base("calm", "nothing is inflicted; rekeys every ten minutes"));
  all.push_back(with(base("network", "packets are lost, doubled, late, one way"), {bad_networks}));
  all.push_back(
      with(base("controller", "the controller is slow, away, replaced, full"), {bad_controllers}));
  all.push_back(with(base("device", "devices crash, lose disks, install slowly or not at all"),
                     {bad_devices}));
  all.push_back(with(base("policy", "pairs go and come back, fall silent, rekey in storms"),
                     {bad_operators}));
  all.push_back(
      with(base("liar", "DIMs forged, replayed, reflected, twisted; ESP spoofed"), {liars}));
  all.push_back(with(base("mixed", "everything at once"),
                     {bad_networks, bad_controllers, bad_devices, bad_operators, liars}));
  {
    Scenario s = base("crypto", "four devices with real Diffie-Hellman and derivations");
    s.devices = 4;
    s.real_crypto = true;
    all.push_back(with(s, {bad_networks, bad_controllers, bad_devices, bad_operators, liars}));
  }
  {
    Scenario s = base("fifty", "fifty devices in blocks of ten, everything at once");
    s.devices = 50;
    s.block = 10;
    s.trouble = minutes(20);
    s.packet_every = seconds(20);
    s.sample_every = seconds(30);
    s = with(s, {bad_networks, bad_controllers, bad_devices, bad_operators, liars});
    // More faults than in a small world, but what hits everybody as rarely as there: else no
    // device is ever left alone for long enough to be judged by itself (L1, L3).
    s.fault_every = seconds(15);
    for (std::uint8_t& weight : s.weight) weight = static_cast<std::uint8_t>(3 * weight);
    weigh(s, kHitsEverybody, 1);
    all.push_back(s);
  }
  const auto large = [](Scenario s) {
    s.calm = minutes(2);
    s.trouble = {};
    s.rekey_every = hours(1);
    s.sample_state = false;
    s.work_max = {};
    s.packet_every = minutes(20);
    return s;
  };
  {
    Scenario s = large(base("hundred-peers", "10,000 devices of 100 peers each, 24 hours"));
    s.devices = 10'000;
    s.block = 101;
    s.heal = hours(24) - s.calm;
    // Nobody is silent. What a rekey needs is said where it is needed; the rest is rare.
    s.both_ways_permille = 1000;
    s.one_way_permille = 0;
    s.talk_at_switch = true;
    s.last_words_one_in = 8;
    s.packet_every = hours(6);
    s.timer_grain = milliseconds(100);
    all.push_back(s);
  }
  {
    Scenario s = large(base("full-mesh", "1,000 devices, each a peer of all, one hour"));
    s.devices = 1'000;
    s.heal = hours(1) - s.calm;
    all.push_back(s);
  }
  return all;
}

Result<Scenario> scenario_named(std::string_view name) {
  std::string names;
  for (Scenario& scenario : all_scenarios()) {
    if (scenario.name == name) return std::move(scenario);
    names += (names.empty() ? "" : ", ") + scenario.name;
  }
  return fail(kErrScenario, "there is no scenario \"" + std::string(name) + "\"", "--scenario",
              "name one of " + names);
}

}  // namespace cygnet::sim
