// SPDX-License-Identifier: Apache-2.0
#include "cygnet/sim/plan.h"

#include <algorithm>
#include <map>
#include <utility>

#include "cygnet/sim/world.h"

namespace cygnet::sim {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

/// More peers than this are extended to, from this many and half of it.
constexpr std::uint32_t kPeersMeasured = 64;
constexpr int kRekeysMeasured = 3;
constexpr Duration kJoin = minutes(2);

PlanTimes times_of(std::vector<double>& samples) {
  if (samples.empty()) return {};
  std::sort(samples.begin(), samples.end());
  const auto at = [&](double share) {
    return samples[static_cast<std::size_t>(share * static_cast<double>(samples.size() - 1))];
  };
  return {at(0.5), at(0.99), samples.back()};
}

/// How long each rekey takes to reach everybody, from the moment its DH pair is drawn.
class Convergence final : public Observer {
 public:
  explicit Convergence(World& world, std::uint32_t peers) : world_(world), peers_(peers) {}

  void on_drawn(DeviceId device, proto::RekeyCounter counter) override {
    if (world_.queue.now() < world_.begin() + kJoin) return;
    rekeys_[{device, counter}] = {world_.queue.now(), 0};
  }
  void on_observed(DeviceId device, const proto::rekey::Observe& what) override {
    if (what.what != proto::rekey::Observed::kGenerationAccepted || !what.counter) return;
    if (const Rekey* const rekey = find(device, *what.counter)) accepted.push_back(since(*rekey));
  }
  void on_chosen(DeviceId device, DeviceId peer,
                 const std::optional<proto::SaPairId>& pair) override {
    if (!pair) return;
    std::optional<proto::SaPairId>& before = chosen_[{device, peer}];
    if (!before || before->local < pair->local) {
      if (const Rekey* const own = find(device, pair->local)) own_uses.push_back(since(*own));
    }
    if (!before || before->remote < pair->remote) {
      if (Rekey* const theirs = find(peer, pair->remote)) {
        peer_uses.push_back(since(*theirs));
        if (++theirs->reached == peers_) last_peer.push_back(since(*theirs));
      }
    }
    before = pair;
  }

  std::vector<double> accepted, peer_uses, last_peer, own_uses;

 private:
  struct Rekey {
    Timestamp drawn{};
    std::uint32_t reached = 0;
  };
  Rekey* find(DeviceId device, proto::RekeyCounter counter) {
    const auto it = rekeys_.find({device, counter});
    return it == rekeys_.end() ? nullptr : &it->second;
  }
  [[nodiscard]] double since(const Rekey& rekey) const {
    return in_seconds(world_.queue.now() - rekey.drawn);
  }

  World& world_;
  std::uint32_t peers_;
  std::map<std::pair<DeviceId, proto::RekeyCounter>, Rekey> rekeys_;
  std::map<std::pair<DeviceId, DeviceId>, std::optional<proto::SaPairId>> chosen_;
};

PlanCosts sum_of(const World& world) {
  PlanCosts sum;
  for (DeviceId id = 0; id < world.device_count(); ++id) {
    const Device& device = world.device(id);
    sum.publishes += static_cast<double>(device.publishes);
    sum.dh_pairs += static_cast<double>(device.dh_pairs);
    sum.derivations += static_cast<double>(device.installs);
    sum.messages_up += static_cast<double>(device.messages_up);
    sum.octets_up += static_cast<double>(device.octets_up);
    sum.messages_down += static_cast<double>(device.messages_down);
    sum.octets_down += static_cast<double>(device.octets_down);
  }
  return sum;
}

/// a + (b - a) × factor for each figure.
PlanCosts along(const PlanCosts& a, const PlanCosts& b, double factor) {
  const auto at = [factor](double x, double y) { return x + (y - x) * factor; };
  return {at(a.publishes, b.publishes),     at(a.dh_pairs, b.dh_pairs),
          at(a.derivations, b.derivations), at(a.messages_up, b.messages_up),
          at(a.octets_up, b.octets_up),     at(a.messages_down, b.messages_down),
          at(a.octets_down, b.octets_down)};
}

struct Measured {
  PlanCosts join;
  PlanCosts hour;
  PlanTimes accepted, peer_uses, last_peer, own_uses;
  std::vector<double> curve;
};

Result<Measured> measure(const PlanQuestion& q, std::uint32_t peers) {
  Scenario s;
  s.name = "plan";
  s.devices = peers + 1;
  s.calm = kJoin;
  s.heal = kRekeysMeasured * q.rekey_every + q.rekey_every / 2;
  s.rekey_every = q.rekey_every;
  s.lifetime = std::max<Duration>(hours(24), 4 * q.rekey_every);
  s.packet_every = std::clamp<Duration>(q.rekey_every / 6, seconds(1), minutes(10));
  s.both_ways_permille = 1000;
  s.one_way_permille = 0;
  s.latency_min = q.path;
  s.latency_max = q.path * 5 / 4;
  s.leg_min = q.leg;
  s.leg_max = q.leg * 5 / 4;
  s.store_delay = q.store;
  s.derive_cost = q.derive;
  s.sample_state = false;

  World world(s, 1, {});
  Convergence convergence(world, peers);
  world.watch(convergence);
  PlanCosts joined;
  world.queue.after(kJoin, [&] { joined = sum_of(world); });
  world.run();
  if (world.violation()) {
    return fail(kErrScenario, world.violation()->checker + ": " + world.violation()->text,
                "the measured part of the plan");
  }
  Measured m;
  const PlanCosts whole = sum_of(world);
  m.join = along({}, joined, 1.0 / s.devices);
  const PlanCosts both = along({}, whole, 1.0 / s.devices);
  // What a rekey costs, as often as there is one: where the window ends does not matter.
  const double rekeys = both.publishes - m.join.publishes;
  if (rekeys <= 0 || convergence.last_peer.empty()) {
    return fail(kErrScenario, "no rekey reached every peer", "the measured part of the plan",
                "give shorter delays or a longer rekey period");
  }
  const double factor = 3600.0 / in_seconds(q.rekey_every) / rekeys;
  const auto rate = [factor](double end, double begin) { return (end - begin) * factor; };
  m.hour = {
      rate(both.publishes, m.join.publishes),     rate(both.dh_pairs, m.join.dh_pairs),
      rate(both.derivations, m.join.derivations), rate(both.messages_up, m.join.messages_up),
      rate(both.octets_up, m.join.octets_up),     rate(both.messages_down, m.join.messages_down),
      rate(both.octets_down, m.join.octets_down)};
  m.accepted = times_of(convergence.accepted);
  m.peer_uses = times_of(convergence.peer_uses);
  m.own_uses = times_of(convergence.own_uses);
  m.last_peer = times_of(convergence.last_peer);
  for (std::size_t i = 0; i <= 100; ++i) {
    m.curve.push_back(convergence.last_peer[i * (convergence.last_peer.size() - 1) / 100]);
  }
  return m;
}

PlanLoad load_of(const PlanAnswer& a, std::uint64_t devices) {
  const PlanQuestion& q = a.question;
  const auto n = static_cast<double>(devices);
  const double peers = q.peers;
  PlanLoad load;
  load.devices = devices;
  load.publishes_a_second = n * a.hour.publishes / 3600;
  load.dims_a_second = load.publishes_a_second * peers;
  load.octets_out_a_second = n * a.hour.octets_down / 3600;
  load.octets_in_a_second = n * a.hour.octets_up / 3600;
  load.cores_busy = load.publishes_a_second * in_seconds(q.verify);
  load.link_busy = load.octets_out_a_second / static_cast<double>(q.link_octets);
  // Everybody at once: verified on all cores, sent over one link, derived with both generations
  // held on each side; the three overlap, so the slowest counts, and one trip.
  const double verify = n * in_seconds(q.verify) / q.cores;
  const double send = n * (a.hour.octets_down / std::max(a.hour.publishes, 1e-9)) /
                      static_cast<double>(q.link_octets);
  const double derive = 3 * peers * in_seconds(q.derive);
  load.storm = std::max({verify, send, derive}) + 2 * in_seconds(q.leg) + in_seconds(q.store);
  return load;
}

void later(PlanTimes& times, double by) {
  times.half += by;
  times.most += by;
  times.all += by;
}

}  // namespace

Result<PlanAnswer> plan(const PlanQuestion& question) {
  const PlanQuestion& q = question;
  if (q.devices < 2) {
    return fail(kErrScenario, "a fleet has at least two devices", "--devices", "give 2 or more");
  }
  if (q.peers == 0 || q.peers >= q.devices) {
    return fail(kErrScenario,
                "a device has from one to " + std::to_string(q.devices - 1) + " peers", "--peers",
                "give a smaller number, or more devices");
  }
  if (q.rekey_every < minutes(5) || q.rekey_every > hours(24 * 7)) {
    return fail(kErrScenario, "a rekey period lies between 5 minutes and a week", "--rekey-minutes",
                "give 60 for hourly rekeys");
  }
  if (q.cores == 0 || q.link_octets == 0) {
    return fail(kErrScenario, "a controller has a core and a link", "--cores, --link-mbit",
                "give 1 or more");
  }
  PlanAnswer answer;
  answer.question = q;
  const std::uint32_t most = std::min(q.peers, kPeersMeasured);
  CYGNET_TRY(Measured at, measure(q, most));
  answer.measured = {most};
  if (q.peers > most) {
    const std::uint32_t fewer = most / 2;
    CYGNET_TRY(const Measured before, measure(q, fewer));
    answer.measured = {fewer, most};
    const double factor = static_cast<double>(q.peers - fewer) / (most - fewer);
    at.join = along(before.join, at.join, factor);
    at.hour = along(before.hour, at.hour, factor);
    // What a rekey waits for: the derivations with the peers beyond.
    const double more = (q.peers - most) * in_seconds(q.derive);
    for (PlanTimes* times : {&at.accepted, &at.peer_uses, &at.last_peer, &at.own_uses}) {
      later(*times, more);
    }
    for (double& value : at.curve) value += more;
  }
  answer.join = at.join;
  answer.hour = at.hour;
  answer.accepted = at.accepted;
  answer.peer_uses = at.peer_uses;
  answer.last_peer = at.last_peer;
  answer.own_uses = at.own_uses;
  answer.last_peer_curve = std::move(at.curve);
  for (std::uint64_t n = 10; n < q.devices; n *= 10) {
    if (n > q.peers) answer.loads.push_back(load_of(answer, n));
  }
  answer.loads.push_back(load_of(answer, q.devices));
  return answer;
}

}  // namespace cygnet::sim
