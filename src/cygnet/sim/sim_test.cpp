// SPDX-License-Identifier: Apache-2.0
// The simulator itself: that a seed is the whole run, that it drops nothing by itself, that what it
// writes down can be had again.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "cygnet/sim/event_queue.h"
#include "cygnet/sim/rng.h"
#include "cygnet/sim/runner.h"
#include "cygnet/sim/seed_file.h"

namespace cygnet::sim {
namespace {

using testing::HasSubstr;

Scenario named(std::string_view name) {
  auto scenario = scenario_named(name);
  EXPECT_TRUE(scenario.has_value());
  return std::move(*scenario);
}

Plants planted(std::string_view name) {
  auto fault = planted_fault_named(name);
  EXPECT_TRUE(fault.has_value());
  return fault->plants;
}

TEST(Simulator, TheSameSeedDoesTheSameTwice) {
  const Scenario scenario = named("mixed");
  const RunReport first = run(scenario, 3);
  const RunReport second = run(scenario, 3);
  EXPECT_GT(first.events, 1000U);
  EXPECT_EQ(first.hash, second.hash);
  EXPECT_EQ(first.events, second.events);
  EXPECT_EQ(first.octets_down, second.octets_down);
  EXPECT_EQ(first.traffic.delivered, second.traffic.delivered);
}

TEST(Simulator, TheSameSeedDoesTheSameWithRealKeys) {
  const Scenario scenario = named("crypto");
  const RunReport first = run(scenario, 5);
  EXPECT_FALSE(first.violation) << describe(first);
  EXPECT_EQ(first.hash, run(scenario, 5).hash);
}

TEST(Simulator, TheSameBrokenSeedTellsTheSameStoryTwice) {
  const RunReport first = run(named("mixed"), 1, planted("any-icv"));
  ASSERT_TRUE(first.violation);
  const RunReport second = run(named("mixed"), 1, planted("any-icv"));
  EXPECT_EQ(describe(first), describe(second));
  EXPECT_THAT(describe(first), HasSubstr("BROKEN " + first.violation->checker));
  EXPECT_THAT(first.story, HasSubstr("──►"));
}

TEST(Simulator, AnotherSeedDoesSomethingElse) {
  const Scenario scenario = named("mixed");
  EXPECT_NE(run(scenario, 1).hash, run(scenario, 2).hash);
}

TEST(Simulator, ThreadsDoNotChangeWhatASwarmDoes) {
  SwarmOptions options{named("mixed"), 1, 6, 1, {}, false};
  const SwarmReport one = swarm(options);
  options.threads = 3;
  const SwarmReport three = swarm(options);
  EXPECT_EQ(one.runs, 6U);
  EXPECT_EQ(one.hash, three.hash);
  EXPECT_EQ(one.looked, three.looked);
}

TEST(Simulator, WithoutFaultsEveryPacketArrivesThroughEveryRekey) {
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    const RunReport report = run(named("calm"), seed);
    EXPECT_FALSE(report.violation) << describe(report);
    const TrafficCounts& t = report.traffic;
    EXPECT_EQ(t.held_dropped + t.no_choice + t.network + t.no_sa + t.bad_icv + t.replay, 0U);
    EXPECT_GT(t.delivered, 10'000U);
    EXPECT_GE(report.publishes, 6U * 8U) << "each device rekeys every ten minutes";
  }
}

TEST(Simulator, EveryPacketIsAccountedFor) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    const RunReport report = run(named("mixed"), seed);
    const TrafficCounts& t = report.traffic;
    const std::uint64_t ended = t.delivered + t.not_known + t.held_dropped + t.no_choice +
                                t.network + t.no_sa + t.bad_icv + t.replay + t.sender_down;
    EXPECT_GE(t.sent, ended);
    // What is still held or on the way at the end.
    EXPECT_LE(t.sent - ended, 64U) << "seed " << seed;
  }
}

TEST(Simulator, AFaultThatNoRunInflictedFailsTheSwarm) {
  SwarmOptions options{named("mixed"), 1, 1, 1, {}, false};
  options.scenario.trouble = std::chrono::seconds(1);
  const SwarmReport report = swarm(options);
  EXPECT_THAT(report.never, testing::Contains("fault crash"));
  EXPECT_THAT(report.never, testing::Contains("checker S5"));
}

TEST(EventQueue, RunsInOrderOfTimeAndThenOfArrival) {
  EventQueue queue;
  std::string order;
  const Timestamp start = queue.now();
  queue.after(std::chrono::seconds(2), [&] { order += 'c'; });
  queue.after(std::chrono::seconds(1), [&] {
    order += 'a';
    queue.after({}, [&] { order += 'b'; });
  });
  queue.after(std::chrono::seconds(2), [&] { order += 'd'; });
  queue.after(std::chrono::seconds(9), [&] { order += 'z'; });
  queue.run_until(start + std::chrono::seconds(3), [] { return false; });
  EXPECT_EQ(order, "abcd");
  EXPECT_EQ(queue.now(), start + std::chrono::seconds(3));
}

TEST(EventQueue, WhatLiesDaysAheadComesInOrderToo) {
  EventQueue queue;
  Rng rng(11);
  std::vector<std::pair<Timestamp, int>> ran;
  int next = 0;
  const std::function<void()> put = [&] {
    const std::array<Duration, 4> horizons = {std::chrono::milliseconds(1), std::chrono::seconds(3),
                                              std::chrono::hours(1), std::chrono::hours(72)};
    // Few different instants, so that many events share one.
    const Duration unit = horizons[rng.below(horizons.size())] / 3;
    const Timestamp at = queue.now() + static_cast<Duration::rep>(rng.below(4)) * unit;
    queue.at(at, [&, at, number = next++] {
      ran.emplace_back(at, number);
      if (next < 5000) put();
      if (next < 5000) put();
    });
  };
  for (int i = 0; i < 20; ++i) put();
  queue.run_until(queue.now() + std::chrono::hours(24 * 3650), [] { return false; });
  EXPECT_EQ(queue.waiting(), 0U);
  EXPECT_EQ(static_cast<int>(ran.size()), next);
  EXPECT_GE(next, 5000);
  // By time, and what was put in first first: what runs later was never due before it.
  EXPECT_TRUE(std::is_sorted(ran.begin(), ran.end()));
}

TEST(Rng, StaysWithinItsBounds) {
  Rng rng(7);
  for (int i = 0; i < 1000; ++i) {
    EXPECT_LT(rng.below(3), 3U);
    const Duration d = rng.between(std::chrono::seconds(1), std::chrono::seconds(2));
    EXPECT_GE(d, std::chrono::seconds(1));
    EXPECT_LE(d, std::chrono::seconds(2));
  }
  EXPECT_FALSE(rng.chance_ppm(0));
  EXPECT_TRUE(rng.chance_ppm(1'000'000));
}

TEST(SeedFile, SaysAgainWhatWasWrittenDown) {
  SeedFile file;
  file.scenario = "device";
  file.seed = 77;
  file.devices = 9;
  file.minutes = 70;
  file.real_crypto = true;
  file.plant = "any-icv";
  file.checker = "S2";
  file.hash = 0x0123456789abcdef;
  const auto parsed = parse_seed_file(to_text(file));
  ASSERT_TRUE(parsed.has_value()) << parsed.error().to_string();
  EXPECT_EQ(to_text(*parsed), to_text(file));
  EXPECT_EQ(command_line(*parsed),
            "cygnet-sim run --scenario device --seed 77 --devices 9 --minutes 70 --real-crypto "
            "--plant any-icv");
  const auto prepared = prepare(*parsed);
  ASSERT_TRUE(prepared.has_value());
  EXPECT_EQ(prepared->scenario.devices, 9U);
  EXPECT_EQ(prepared->scenario.whole(), std::chrono::minutes(70));
  EXPECT_TRUE(prepared->plants.accept_any_icv);
}

TEST(SeedFile, ARunThatWouldEndBeforeEverythingIsRepairedIsRefused) {
  SeedFile file;
  file.scenario = "mixed";
  file.minutes = 62;
  const auto prepared = prepare(file);
  ASSERT_FALSE(prepared.has_value());
  EXPECT_THAT(prepared.error().to_string(), HasSubstr("more than 62"));
  file.minutes = 63;
  EXPECT_TRUE(prepare(file).has_value());
}

TEST(SeedFile, NamesTheLineItDoesNotUnderstand) {
  for (const char* text : {"scenario mixed\nseed x\n", "scenario mixed\nweather 3\n",
                           "scenario mixed\nseed\n", "scenario mixed\nhash 12zz\n"}) {
    const auto parsed = parse_seed_file(text);
    ASSERT_FALSE(parsed.has_value()) << text;
    EXPECT_EQ(parsed.error().code, kErrSeedFile);
    EXPECT_THAT(parsed.error().to_string(), HasSubstr("line 2"));
  }
  EXPECT_FALSE(parse_seed_file("seed 1\n").has_value()) << "no scenario";
}

TEST(Scenarios, AnUnknownNameIsAnsweredWithThoseThereAre) {
  const auto none = scenario_named("weather");
  ASSERT_FALSE(none.has_value());
  EXPECT_THAT(none.error().to_string(), HasSubstr("mixed"));
  const auto plant = planted_fault_named("weather");
  ASSERT_FALSE(plant.has_value());
  EXPECT_THAT(plant.error().to_string(), HasSubstr("any-icv"));
}

}  // namespace
}  // namespace cygnet::sim
