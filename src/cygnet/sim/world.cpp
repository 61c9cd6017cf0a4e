// SPDX-License-Identifier: Apache-2.0
#include "cygnet/sim/world.h"

#include <algorithm>

#include "cygnet/agent/core/derive.h"
#include "cygnet/proto/dim/dim_codec.h"
#include "cygnet/proto/negotiate/negotiate.h"
#include "cygnet/sim/faults.h"

namespace cygnet::sim {

// What every device honestly signed, a few generations long.
class World::Archive final : public Observer {
 public:
  explicit Archive(std::size_t devices) : dims(devices) {}
  void on_signed(DeviceId device, proto::RekeyCounter counter, const Bytes& octets) override {
    auto& list = dims[device];
    list.emplace_back(counter, octets);
    if (list.size() > 4) list.erase(list.begin());
  }
  std::vector<std::vector<std::pair<proto::RekeyCounter, Bytes>>> dims;
};

World::World(Scenario scenario, std::uint64_t seed, Plants planted)
    : rng(seed),
      plants(std::move(planted)),
      proofs(plants.skip_auth),
      scenario_(std::move(scenario)),
      seed_(seed),
      pki_(Pki::of(scenario_.devices)),
      disks_matter_(scenario_.fault_every != Duration{}),
      begin_(queue.now()),
      controller_(*this) {
  for (DeviceId id = 0; id < scenario_.devices; ++id) {
    devices_.push_back(std::make_unique<Device>(*this, id));
  }
  archive_ = std::make_unique<Archive>(devices_.size());
  watch(*archive_);
  faults_ = std::make_unique<FaultPlan>(*this);
  checkers_ = all_checkers(*this);
  for (const CheckerPtr& checker : checkers_) watch(*checker);
}

World::~World() = default;

ServerTime World::wall() const {
  return kEpoch + std::chrono::duration_cast<std::chrono::milliseconds>(queue.now() - begin_);
}

Duration World::leg_delay(DeviceId id) {
  const Duration delay = rng.between(scenario_.leg_min, scenario_.leg_max);
  return device(id).leg_slow ? delay + rng.between({}, std::chrono::seconds(8)) : delay;
}

void World::run() {
  controller_.found(scenario_.devices);
  const auto spread = std::chrono::milliseconds(1 + scenario_.devices / 4);
  for (DeviceId id = 0; id < scenario_.devices; ++id) {
    queue.after(rng.between({}, 8 * spread), [this, id] { device(id).start(); });
  }
  make_flows();
  if (scenario_.fault_every != Duration{}) {
    queue.at(begin_ + scenario_.calm, [this] { faults_->begin(); });
  }
  queue.at(begin_ + scenario_.calm + scenario_.trouble, [this] {
    faults_->heal();
    healed_ = true;
    healed_at_ = queue.now();
    note(Note::kHealed, 0, 0);
    tell([](Observer& o) { o.on_healed(); });
  });
  if (scenario_.sample_state) queue.after(scenario_.sample_every, [this] { sample(); });
  queue.run_until(end(), [this] { return violation_.has_value(); });
  if (!violation_) tell([](Observer& o) { o.on_end(); });
}

void World::sample() {
  tell([](Observer& o) { o.on_sample(); });
  queue.after(scenario_.sample_every, [this] { sample(); });
}

// ---- Traffic.

void World::make_flows() {
  const std::uint32_t n = scenario_.devices;
  const std::uint32_t block = scenario_.block == 0 ? n : scenario_.block;
  for (DeviceId a = 0; a < n; ++a) {
    for (DeviceId b = a + 1; b < std::min(n, (a / block + 1) * block); ++b) {
      const auto draw = static_cast<std::uint32_t>(rng.below(1000));
      const bool both = draw < scenario_.both_ways_permille;
      const bool one = draw < scenario_.both_ways_permille + scenario_.one_way_permille;
      const bool forth = both || (one && draw % 2 == 0);
      const bool back = both || (one && draw % 2 == 1);
      if (forth) flows_.push_back({a, b, false, {}});
      if (back) flows_.push_back({b, a, false, {}});
    }
  }
  std::sort(flows_.begin(), flows_.end(), [](const Flow& a, const Flow& b) {
    return std::pair(a.from, a.to) < std::pair(b.from, b.to);
  });
  for (std::size_t i = 0; i < flows_.size(); ++i) {
    queue.after(rng.between({}, scenario_.packet_every), [this, i] { run_flow(i); });
  }
}

void World::run_flow(std::size_t index) {
  const Flow& flow = flows_[index];
  if (!flow.paused && allowed(flow.from, flow.to)) device(flow.from).user_packet(flow.to);
  queue.after(rng.between(scenario_.packet_every / 2, scenario_.packet_every * 3 / 2),
              [this, index] { run_flow(index); });
}

bool World::carries(DeviceId a, DeviceId b) const {
  const auto it = std::lower_bound(
      flows_.begin(), flows_.end(), std::pair(a, b),
      [](const Flow& f, const auto& key) { return std::pair(f.from, f.to) < key; });
  return it != flows_.end() && it->from == a && it->to == b && !it->paused;
}

void World::send(const Packet& packet) {
  faults_->overhear(packet);
  const auto trouble = troubles.find({packet.from, packet.to});
  std::uint32_t loss = scenario_.loss_ppm;
  Duration extra{};
  if (trouble != troubles.end()) {
    loss += trouble->second.loss_ppm;
    extra = trouble->second.extra;
  }
  if (rng.chance_ppm(loss)) {
    if (packet.kind == PacketKind::kUser) ++device(packet.from).traffic.network;
    note(Note::kLost, packet.from, packet.to, packet.pair,
         (std::uint64_t{static_cast<std::uint8_t>(packet.kind)} << 56) | packet.sequence);
    return;
  }
  Duration delay = rng.between(scenario_.latency_min, scenario_.latency_max);
  if (extra != Duration{}) delay += rng.between({}, extra);
  if (rng.chance_ppm(scenario_.reorder_ppm)) delay += rng.between({}, std::chrono::seconds(1));
  deliver(packet, delay);
  if (rng.chance_ppm(scenario_.duplicate_ppm)) {
    Packet copy = packet;
    copy.copy = true;
    deliver(copy, delay + rng.between({}, std::chrono::milliseconds(50)));
  }
}

void World::deliver(const Packet& packet, Duration after) {
  queue.after(after, [this, packet] { device(packet.to).arrive(packet); });
}

TrafficCounts World::traffic() const {
  TrafficCounts sum;
  for (const auto& d : devices_) sum += d->traffic;
  return sum;
}

// ---- Policy.

bool World::same_block(DeviceId a, DeviceId b) const {
  return a != b && (scenario_.block == 0 || a / scenario_.block == b / scenario_.block);
}

bool World::allowed(DeviceId a, DeviceId b) const {
  return same_block(a, b) &&
         (denied_.empty() || !denied_.contains({std::min(a, b), std::max(a, b)}));
}

std::optional<Timestamp> World::policy_since(DeviceId a, DeviceId b) const {
  const auto it = policy_since_.find({std::min(a, b), std::max(a, b)});
  if (it == policy_since_.end()) return std::nullopt;
  return it->second;
}

void World::set_denied(std::set<std::pair<DeviceId, DeviceId>> denied) {
  for (const auto& pair : denied) {
    if (!denied_.contains(pair)) policy_since_[pair] = queue.now();
  }
  for (const auto& pair : denied_) {
    if (!denied.contains(pair)) policy_since_[pair] = queue.now();
  }
  denied_ = std::move(denied);
  controller_.apply_policy({denied_.begin(), denied_.end()});
}

// ---- For checkers and reports.

void World::violate(Violation violation) {
  if (violation_) return;
  violation.at = queue.now();
  violation_ = std::move(violation);
}

const Bytes* World::signed_dim(DeviceId id, proto::RekeyCounter counter) const {
  for (const auto& [c, octets] : archive_->dims[id]) {
    if (c == counter) return &octets;
  }
  return nullptr;
}

std::uint32_t World::spi_of(const Packet& packet) const {
  constexpr std::uint32_t kNobodys = 0x5afe5afe;
  const Bytes* const sender = signed_dim(packet.from, packet.pair.local);
  const Bytes* const receiver = signed_dim(packet.to, packet.pair.remote);
  if (sender == nullptr || receiver == nullptr) return kNobodys;
  const auto remote = proto::decode_dim(*sender);
  const auto local = proto::decode_dim(*receiver);
  if (!remote || !local) return kNobodys;
  const auto agreement = proto::negotiate(*local, *remote, false);
  if (!agreement) return kNobodys;
  const auto spis = agent::inbound_spis(*local, *remote, *agreement);
  return spis && !spis->empty() ? spis->front().value() : kNobodys;
}

}  // namespace cygnet::sim
