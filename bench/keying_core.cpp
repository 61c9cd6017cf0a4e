// SPDX-License-Identifier: Apache-2.0
// keying_bench: AgentCore alone, in virtual time. The control thread's events are run one by one
// and timed by the processor; what workers would do is done in between.
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>

#include "keying_fleet.h"

namespace cygnet::bench {
namespace {

using agent::testing::kStart;
using PairKey = std::pair<proto::PeerId, proto::SaPairId>;

class CoreWorld {
 public:
  CoreWorld(const Fleet& fleet, agent::StoredTable table)
      : fleet_(fleet),
        dh_(must(crypto::DhPrivate::generate(crypto::DhGroup::kX25519))),
        core_({agent::testing::test_mesh(),
               Fleet::name(0),
               fleet.certificate(0),
               {fleet.ca().certificate()}},
              features(), {1, {}}, restored(std::move(table)), kStart) {}

  agent::AgentCore& core() { return core_; }
  [[nodiscard]] agent::Now now() const {
    return {Timestamp(std::chrono::hours(1)) + elapsed_,
            kStart + std::chrono::duration_cast<std::chrono::milliseconds>(elapsed_)};
  }
  template <class Call>
  void event(const char* name, Call call) {
    control_.emplace_back(name, std::move(call));
  }
  /// Until nothing is left to do now.
  void run() {
    while (!control_.empty() || !jobs_.empty()) {
      if (control_.empty()) {
        const double begun = thread_ms();
        auto answer = jobs_.front()();
        jobs_.pop_front();
        workers_ += thread_ms() - begun;
        control_.push_back(std::move(answer));
        continue;
      }
      auto [name, call] = std::move(control_.front());
      control_.pop_front();
      const double begun = thread_ms();
      agent::Effects effects = call();
      static_cast<void>(core_.next_deadline());
      const double took = thread_ms() - begun;
      control_ms_ += took;
      longest_[name] = std::max(longest_[name], took);
      for (agent::Effect& effect : effects) {
        std::visit([this](auto& e) { carry_out(e); }, effect);
      }
    }
  }
  void advance(Duration duration) {
    const Duration end = elapsed_ + duration;
    while (const auto at = core_.next_deadline()) {
      const Duration due = *at - Timestamp(std::chrono::hours(1));
      if (due > end) break;
      elapsed_ = std::max(elapsed_, due);
      event("time", [this] { return core_.on_time(now()); });
      run();
    }
    elapsed_ = end;
  }
  /// From here on.
  void measure() {
    longest_.clear();
    control_ms_ = workers_ = 0;
    derived_ = 0;
  }
  [[nodiscard]] std::string figures() const {
    std::string json = "\"control_ms\":" + number(control_ms_) +
                       ",\"workers_ms\":" + number(workers_) +
                       ",\"dh_operations\":" + std::to_string(derived_);
    double most = 0;
    std::string events;
    for (const auto& [name, took] : longest_) {
      most = std::max(most, took);
      events += (events.empty() ? "\"" : ",\"") + std::string(name) + "\":" + number(took);
    }
    return json + ",\"longest_event_ms\":" + number(most) + ",\"longest_ms_by_event\":{" + events +
           "}";
  }
  std::size_t accepted = 0;  ///< DIMs judged good
  std::size_t generations = 0;
  std::vector<std::string> everybody;  ///< whoever acknowledges a publish at once

 private:
  using Call = std::function<agent::Effects()>;
  using Step = std::pair<const char*, Call>;

  static agent::Features features() {
    agent::Features features;
    features.per_source_spi = true;
    features.lazy_derivation = true;
    return features;
  }
  static agent::Restored restored(agent::StoredTable table) {
    agent::Restored restored;
    restored.table = std::move(table);
    return restored;
  }
  void carry_out(agent::MakeGeneration& e) {
    ++generations;
    event("generation made", [this, counter = e.counter] {
      return core_.on_generation_made(counter, {{31, dh_.public_value()}},
                                      crypto::system_random().octets(32), 1U << 31, now());
    });
  }
  void carry_out(agent::SignDim& e) {
    auto dim = e.dim;
    Bytes octets = must(proto::sign_dim(dim, agent::testing::test_mesh(), fleet_.key()));
    event("DIM signed", [this, counter = e.dim.counter, octets] {
      return core_.on_dim_signed(counter, octets, now());
    });
  }
  void carry_out(agent::SendPublish& e) {
    const auto dim = must(proto::decode_dim(e.octets));
    event("publish accepted", [this, counter = dim.counter] {
      agent::PublishResult result;
      result.counter = counter;
      result.accepted = true;
      result.accepted_at = now().wall;
      return core_.on_publish_result(result, now());
    });
    event("publish delivered", [this, counter = dim.counter] {
      agent::PublishStatus status;
      status.counter = counter;
      status.acknowledged = everybody;
      return core_.on_publish_status(status, now());
    });
  }
  void carry_out(agent::JudgeDim& e) {
    jobs_.emplace_back([this, job = std::move(e)]() -> Step {
      auto result = std::make_shared<proto::DimCheckResult>(
          proto::check_dim(job.stored.dim, job.stored.certificate, *job.context));
      accepted += result->verdict == proto::DimVerdict::kAccepted ? 1U : 0U;
      return {"DIM judged", [this, ticket = job.ticket, result] {
                return core_.on_dim_judged(ticket, std::move(*result), now());
              }};
    });
  }
  void carry_out(agent::InstallPair& e) {
    if (!e.lazy) derive({e.peer, e.pair});
    jobs_.emplace_back([this, job = std::move(e)]() -> Step {
      must(
          agent::claim_pair({job.peer, *job.local, *job.remote, job.agreement, job.replay_window}));
      return {"pair installed", [this, peer = job.peer, pair = job.pair] {
                return core_.on_pair_installed(peer, pair, now());
              }};
    });
  }
  // What makes a claimed pair derive.
  void carry_out(agent::DeriveNow& e) { derive({e.peer, e.pair}); }
  void carry_out(agent::SendProbeRequest& e) { derive({e.peer, e.pair}); }
  void carry_out(agent::SendProbePayload& e) { derive({e.peer, e.pair}); }
  template <class T>
  void carry_out(T&) {}
  void derive(const PairKey& pair) { derived_ += keyed_.insert(pair).second ? 1U : 0U; }

  const Fleet& fleet_;
  crypto::DhPrivate dh_;
  agent::AgentCore core_;
  Duration elapsed_{0};
  std::deque<Step> control_;
  std::deque<std::function<Step()>> jobs_;
  std::set<PairKey> keyed_;
  std::map<std::string, double> longest_;
  double control_ms_ = 0, workers_ = 0;
  std::size_t derived_ = 0;
};

agent::Welcome welcome() {
  agent::Welcome welcome;
  welcome.server_time = kStart;
  welcome.settings = mesh_settings(false);
  welcome.resumed = true;
  return welcome;
}

}  // namespace

std::string idle_rekey(std::size_t n) {
  const Fleet fleet;
  agent::StoredTable table;
  table.settings = mesh_settings(false);
  table.peers = fleet.peers(n);
  CoreWorld world(fleet, std::move(table));
  for (std::size_t i = 1; i <= n; ++i) world.everybody.push_back(Fleet::name(i).value());
  world.event("start", [&] { return world.core().start(world.now()); });
  world.event("welcome", [&] { return world.core().on_welcome(welcome(), world.now()); });
  world.run();
  world.advance(std::chrono::minutes(90));  // one rekey by lifetime, and nobody sends
  const std::size_t before = world.generations;
  world.measure();
  world.event("rekey ordered", [&] {
    return world.core().on_rekey_ordered(proto::rekey::RekeyCause::kCommand, world.now());
  });
  world.run();
  must(world.generations == before + 1, "the rekey did not begin");
  world.advance(std::chrono::minutes(10));
  return "{\"peers\":" + std::to_string(n) + "," + world.figures() + "}";
}

std::string dims_at_once(std::size_t n) {
  constexpr std::size_t kInOneUpdate = 64;
  const Fleet fleet;
  const std::vector<agent::StoredPeer> peers = fleet.peers(n);
  CoreWorld world(fleet, {});
  world.event("start", [&] { return world.core().start(world.now()); });
  world.event("welcome", [&] { return world.core().on_welcome(welcome(), world.now()); });
  world.run();
  world.measure();
  std::uint64_t position = 1;
  for (std::size_t sent = 0; sent < n;) {
    agent::Update update;
    update.cursor = agent::Cursor{{1}, ++position};
    for (; update.changes.size() < kInOneUpdate && sent < n; ++sent) {
      update.changes.push_back(agent::testing::change_with(peers[sent].device, peers[sent].dim));
    }
    world.event("update", [&world, update = std::move(update)] {
      return world.core().on_update(update, world.now());
    });
  }
  world.run();
  must(world.accepted == n, "a good DIM was refused");
  return "{\"dims\":" + std::to_string(n) + "," + world.figures() + "}";
}

}  // namespace cygnet::bench
