// SPDX-License-Identifier: Apache-2.0
// keying_bench: a whole agent with its workers, its disk, a stream to a controller and, for the
// times, the userspace data plane in a network namespace of its own.
#include <malloc.h>
#include <sched.h>

#include <functional>
#include <memory>
#include <optional>

#include "cygnet/agent/backend/userspace/userspace_backend.h"
#include "cygnet/agent/driver/agent.h"
#include "cygnet/agent/driver/status.h"
#include "cygnet/agent/link/fake_controller.h"
#include "cygnet/rt/test_directory.h"
#include "keying_fleet.h"

namespace cygnet::bench {
namespace {

constexpr Duration kLimit = std::chrono::minutes(3);

std::size_t heap_octets() {
  const auto info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

agent::PostToControl post_to(rt::Loop& loop) {
  return [&loop](std::function<void()> call) { loop.post(std::move(call)); };
}

/// The userspace data plane, but probes are not sent: peers that nobody plays would never answer
/// them, and each would have its pair derived.
class QuietBackend final : public agent::SadBackend {
 public:
  explicit QuietBackend(std::unique_ptr<agent::userspace::UserspaceBackend> plane)
      : plane_(std::move(plane)) {}
  [[nodiscard]] agent::Features features() const override { return plane_->features(); }
  [[nodiscard]] Status set_self(const agent::SelfConfig& self) override {
    return plane_->set_self(self);
  }
  [[nodiscard]] Status set_peer(const agent::PeerConfig& peer) override {
    return plane_->set_peer(peer);
  }
  void remove_peer(proto::PeerId peer, bool keep) override { plane_->remove_peer(peer, keep); }
  void install(agent::SaPairSpec spec) override { plane_->install(std::move(spec)); }
  void claim(agent::SaPairClaim claim) override { plane_->claim(std::move(claim)); }
  void give_keys(agent::SaPairSpec spec) override { plane_->give_keys(std::move(spec)); }
  void choose_outbound(proto::PeerId peer, std::optional<proto::SaPairId> pair) override {
    plane_->choose_outbound(peer, pair);
  }
  void remove_outbound(proto::PeerId peer, proto::SaPairId pair) override {
    plane_->remove_outbound(peer, pair);
  }
  void remove_inbound(proto::PeerId peer, proto::SaPairId pair) override {
    plane_->remove_inbound(peer, pair);
  }
  void send_probe(proto::PeerId, proto::SaPairId, Bytes) override {}
  void send_control_datagram(const agent::UdpEndpoint&, Bytes) override {}
  void set_soft_packet_limit(std::uint64_t packets) override {
    plane_->set_soft_packet_limit(packets);
  }
  void query_counters(std::function<void(std::vector<agent::PairCounters>)> done) override {
    plane_->query_counters(std::move(done));
  }
  void query_drops(std::function<void(std::vector<agent::DropCounter>)> done) override {
    plane_->query_drops(std::move(done));
  }
  void query_paths(std::function<void(std::vector<agent::PeerPath>)> done) override {
    plane_->query_paths(std::move(done));
  }
  void shut_down(bool open) override { plane_->shut_down(open); }

 private:
  std::unique_ptr<agent::userspace::UserspaceBackend> plane_;
};

/// Says that everything is installed and keeps nothing: what is left is the agent's own.
class EmptyBackend final : public agent::SadBackend {
 public:
  EmptyBackend(rt::Loop& loop, agent::BackendEvents& events) : loop_(loop), events_(events) {}
  [[nodiscard]] agent::Features features() const override {
    agent::Features features;
    features.name = "none";
    features.lazy_derivation = true;
    features.per_source_spi = true;
    return features;
  }
  [[nodiscard]] Status set_peer(const agent::PeerConfig&) override { return {}; }
  void remove_peer(proto::PeerId, bool) override {}
  void install(agent::SaPairSpec spec) override { installed(spec.peer, spec.pair); }
  void claim(agent::SaPairClaim claim) override { installed(claim.peer, claim.pair); }
  void choose_outbound(proto::PeerId, std::optional<proto::SaPairId>) override {}
  void remove_outbound(proto::PeerId, proto::SaPairId) override {}
  void remove_inbound(proto::PeerId, proto::SaPairId) override {}
  void send_probe(proto::PeerId, proto::SaPairId, Bytes) override {}
  void send_control_datagram(const agent::UdpEndpoint&, Bytes) override {}
  void set_soft_packet_limit(std::uint64_t) override {}
  void query_counters(std::function<void(std::vector<agent::PairCounters>)>) override {}
  void query_drops(std::function<void(std::vector<agent::DropCounter>)>) override {}
  void query_paths(std::function<void(std::vector<agent::PeerPath>)>) override {}
  void shut_down(bool) override {}

 private:
  void installed(proto::PeerId peer, proto::SaPairId pair) {
    loop_.post([this, peer, pair] { events_.on_installed(peer, pair); });
  }
  rt::Loop& loop_;
  agent::BackendEvents& events_;
};

/// A device whose table holds `n` peers, and its controller.
class Device {
 public:
  Device(std::size_t n, bool eager) {
    const agent::StateDir state(scratch_.path());
    agent::MeshRecord mesh;
    mesh.mesh = agent::testing::test_mesh();
    mesh.mesh_name = "m";
    mesh.device = Fleet::name(0);
    controller_.settings.set_drain_ms(10000);
    controller_.settings.set_derive_eager(eager);
    controller_.start();
    mesh.controllers = {controller_.address()};
    must(state.store_identity_key(fleet_.key()));
    must(state.store_certificate(fleet_.certificate(0)));
    must(state.store_trust({fleet_.ca().certificate()}));
    must(state.store_mesh(mesh));
    agent::StoredTable table;
    table.settings = mesh_settings(eager);
    table.cursor = agent::Cursor{Bytes{'e'}, 1};  // the controller has nothing to add
    table.peers = fleet_.peers(n);
    must(state.store_table(table));
  }
  ~Device() {
    if (agent) agent->stop(true);
  }
  void start(agent::BackendFactory backend) {
    agent::AgentOptions options;
    options.state_dir = scratch_.path();
    options.software = "bench";
    options.make_backend = std::move(backend);
    agent = must(agent::Agent::create(loop, std::move(options)));
    agent->start();
  }
  [[nodiscard]] const proto::rekey::OwnGeneration* newest() const {
    generations_ = agent->core().rekey().device_status().generations;
    return generations_.empty() ? nullptr : &generations_.back();
  }
  template <class Done>
  void until(Done done, const char* what) {
    must(loop.run_until(std::move(done), kLimit), what);
  }
  void until_accepted() {
    until(
        [this] {
          const auto* own = newest();
          return own != nullptr && own->phase == proto::rekey::GenerationPhase::kAccepted;
        },
        "the first generation was not accepted");
  }
  void idle_for(Duration duration) {
    static_cast<void>(loop.run_until([] { return false; }, duration));
  }

  rt::Loop loop{agent::testing::test_clock()};
  std::unique_ptr<agent::Agent> agent;

 private:
  Fleet fleet_;
  agent::testing::FakeController controller_{loop, fleet_.ca()};
  rt::test::TempDirectory scratch_;
  mutable std::vector<proto::rekey::OwnGeneration> generations_;
};

}  // namespace

std::string own_rekey(std::size_t n, bool eager) {
  must(unshare(CLONE_NEWNET) == 0, "no network namespace of its own: it needs root");
  must(std::system("ip link set lo up") == 0, "cannot set lo up");
  Device device(n, eager);
  device.start([&](rt::Loop& loop,
                   agent::BackendEvents& events) -> Result<std::unique_ptr<agent::SadBackend>> {
    agent::userspace::UserspaceConfig config;
    config.keepalive = Duration(0);
    CYGNET_TRY(auto plane,
               agent::userspace::UserspaceBackend::create(config, events, post_to(loop)));
    return std::unique_ptr<agent::SadBackend>(std::make_unique<QuietBackend>(std::move(plane)));
  });
  device.until_accepted();
  device.idle_for(std::chrono::milliseconds(500));  // the table is saved
  const proto::RekeyCounter before = device.newest()->counter;
  const std::uint64_t derived = device.agent->keying().derivations;
  const double wall = wall_ms(), all = process_ms(), control = thread_ms();
  double last = control, stall = 0;
  device.agent->order_rekey();
  device.until(
      [&] {
        stall = std::max(stall, thread_ms() - last);
        const auto* own = device.newest();
        const bool done =
            own->counter > before && own->phase >= proto::rekey::GenerationPhase::kPublishing;
        last = thread_ms();
        return done;
      },
      "the generation was not installed in time");
  const double took = wall_ms() - wall, cpu = process_ms() - all, mine = thread_ms() - control;
  const agent::KeyingCounts counts = device.agent->keying();
  must(counts.pairs >= 2 * n, "a pair is missing");
  must(counts.claimed == (eager ? 0 : counts.pairs), "pairs are claimed that should not be");
  const auto cost = [](auto call) {
    const double begun = thread_ms();
    must(!call().empty(), "no answer");
    return thread_ms() - begun;
  };
  const agent::DataPlaneView view;
  const double status = cost([&] { return agent::status_json(*device.agent, view); });
  const double peers = cost([&] { return agent::peers_json(*device.agent, view); });
  const double table = [&] {
    const double begun = thread_ms();
    const auto later = device.agent->core().table_later();
    const double snapshot = thread_ms() - begun;
    must(later().peers.size() == n, "a peer is missing in the table");
    return snapshot;
  }();
  return "{\"peers\":" + std::to_string(n) + ",\"ready_wall_ms\":" + number(took) +
         ",\"all_threads_ms\":" + number(cpu) + ",\"control_thread_ms\":" + number(mine) +
         ",\"longest_stall_ms\":" + number(stall) +
         ",\"dh_operations\":" + std::to_string(counts.derivations - derived) +
         ",\"status_ms\":" + number(status) + ",\"peers_ms\":" + number(peers) +
         ",\"table_snapshot_ms\":" + number(table) + "}";
}

std::string memory(std::size_t n) {
  Device device(n, false);
  malloc_trim(0);
  const std::size_t before = heap_octets();
  device.start([](rt::Loop& loop,
                  agent::BackendEvents& events) -> Result<std::unique_ptr<agent::SadBackend>> {
    return std::unique_ptr<agent::SadBackend>(std::make_unique<EmptyBackend>(loop, events));
  });
  device.until_accepted();
  device.idle_for(std::chrono::milliseconds(700));  // the table is saved, its copy is gone
  const std::size_t after = heap_octets();
  must(device.agent->keying().pairs == n, "a pair is missing");
  const std::size_t more = after > before ? after - before : 0;
  return "{\"peers\":" + std::to_string(n) + ",\"octets\":" + std::to_string(more) +
         ",\"octets_a_peer\":" + std::to_string(more / n) + "}";
}

}  // namespace cygnet::bench
