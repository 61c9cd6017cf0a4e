// SPDX-License-Identifier: Apache-2.0
#include "cygnet/load/swarm.h"

#include <unistd.h>

#include <algorithm>
#include <memory>

namespace cygnet::load {
namespace {

template <class Counters, class... Member>
Counters difference(const Counters& now, const Counters& before, Member... member) {
  Counters d;
  ((d.*member = now.*member - before.*member), ...);
  return d;
}

Totals since(const Totals& now, const Totals& before) {
  return difference(now, before, &Totals::published, &Totals::accepted, &Totals::deliveries,
                    &Totals::coalesced, &Totals::again, &Totals::from_before);
}

Traffic since(const Traffic& now, const Traffic& before) {
  return difference(now, before, &Traffic::octets_in, &Traffic::octets_out, &Traffic::messages_in,
                    &Traffic::acks, &Traffic::marks, &Traffic::connects, &Traffic::tls_resumed,
                    &Traffic::cursors_honoured, &Traffic::connects_failed, &Traffic::streams_lost,
                    &Traffic::goaways, &Traffic::messages_broken);
}

class Swarm {
 public:
  Swarm(rt::Loop& loop, const rt::HostPort& controller, const Fleet& fleet,
        const SwarmOptions& options)
      : loop_(loop),
        options_(options),
        ledger_(options.devices, options.group),
        around_{loop, controller, fleet.trust, fleet.mesh, fleet.mesh_name, ledger_, {}, {}, 0, 0} {
    around_.lose = options.lose;
    for (DeviceNumber i = 0; i < options.devices; ++i) {
      devices_.push_back(std::make_unique<Device>(around_, i, fleet.members[i]));
    }
  }

  Result<PhaseReport> phase(const std::string& name) {
    PhaseReport report;
    report.scenario = name;
    const Totals totals = ledger_.totals();
    const Traffic traffic = around_.traffic;
    if (options_.controller_pid != 0) {
      CYGNET_TRY(report.controller_before, usage_of(options_.controller_pid));
    }
    CYGNET_TRY(const Usage own, usage_of(getpid()));
    const Timestamp begun = loop_.now();
    ledger_.start_measuring(begun);
    if (name == "join") {
      CYGNET_TRY(report.settled, join());
    } else if (name == "publish") {
      CYGNET_TRY(report.settled, publish());
    } else if (name == "rekey") {
      CYGNET_TRY(report.settled, rekey());
    } else if (name == "reconnect") {
      CYGNET_TRY(report.settled, reconnect());
    } else if (name == "slow") {
      CYGNET_TRY(report.settled, slow());
    } else {
      return fail(kErrSwarm, "no scenario is called \"" + name + "\"", "--scenario",
                  "join, publish, rekey, reconnect or slow");
    }
    report.took = loop_.now() - begun;
    report.totals = since(ledger_.totals(), totals);
    report.traffic = since(around_.traffic, traffic);
    report.times = ledger_.times();
    report.spread = report.times.last_delivered - report.times.first_published;
    if (options_.controller_pid != 0) {
      CYGNET_TRY(report.controller_after, usage_of(options_.controller_pid));
    }
    CYGNET_TRY(const Usage own_after, usage_of(getpid()));
    report.own_cpu = own_after.cpu - own.cpu;
    return report;
  }

  void conclude(SwarmReport& report) const {
    report.faults = ledger_.faults();
    report.lost = ledger_.missing_count();
    report.missing = ledger_.missing(10);
    report.messages_broken = around_.traffic.messages_broken;
    report.streams_lost = around_.traffic.streams_lost;
    if (around_.last_error) report.last_error = around_.last_error->to_string();
  }

 private:
  template <class Predicate>
  bool await(Predicate done) {
    return loop_.run_until(done, options_.patience);
  }
  [[nodiscard]] bool all_up() const { return around_.up == devices_.size(); }
  [[nodiscard]] bool none_publishing() const {
    return std::none_of(devices_.begin(), devices_.end(),
                        [](const auto& device) { return device->publishing(); });
  }
  /// Everybody holds everybody's newest, and every publisher has its answer.
  bool await_settled() {
    return await([this] { return ledger_.complete() && all_up(); }) &&
           await([this] { return none_publishing(); }) && ledger_.complete();
  }

  /// Connects everybody, so many at a time; each publishes once it is up.
  Result<bool> join() {
    std::size_t next = 0;
    std::size_t published = 0;
    std::optional<Error> failed;
    const bool up = await([&] {
      while (next < devices_.size() && next < around_.up + options_.connecting) {
        devices_[next++]->connect();
      }
      for (; published < devices_.size() && devices_[published]->up() && !failed; ++published) {
        const Status done = devices_[published]->publish();
        if (!done) failed = done.error();
      }
      return failed || (published == devices_.size() && all_up());
    });
    if (failed) return fail(*failed);
    return up && await_settled();
  }

  /// One publish at a time, otherwise idle: everybody has it before the next one goes out.
  Result<bool> publish() {
    for (std::uint32_t i = 0; i < options_.publishes; ++i) {
      // Publishers spread over the fleet.
      const auto sender = static_cast<DeviceNumber>(std::uint64_t{i} * devices_.size() /
                                                    options_.publishes % devices_.size());
      Device& device = *devices_[sender];
      CYGNET_CHECK_OK(device.publish());
      if (!await([&] { return ledger_.complete(sender) && !device.publishing(); })) return false;
    }
    return await_settled();
  }

  /// Everybody publishes once, evenly spread over `within`.
  Result<bool> rekey_once() {
    const Timestamp begun = loop_.now();
    std::size_t next = 0;
    std::optional<Error> failed;
    rt::Timer timer(loop_);
    // A timer a device would be more than the loop has to do otherwise.
    std::function<void()> turn = [&] {
      const Timestamp now = loop_.now();
      for (; next < devices_.size() && !failed; ++next) {
        const Timestamp due = begun + options_.within * static_cast<Duration::rep>(next) /
                                          static_cast<Duration::rep>(devices_.size());
        if (due > now) return timer.arm_at(due, turn);
        if (!devices_[next]->up() || devices_[next]->publishing()) continue;
        const Status done = devices_[next]->publish();
        if (!done) failed = done.error();
      }
    };
    loop_.post([&turn] { turn(); });
    const bool sent = loop_.run_until([&] { return failed || next == devices_.size(); },
                                      options_.within + options_.patience);
    if (failed) return fail(*failed);
    return sent;
  }

  Result<bool> rekey() {
    for (std::uint32_t i = 0; i < options_.rounds; ++i) {
      CYGNET_TRY(const bool sent, rekey_once());
      if (!sent || !await_settled()) return false;
    }
    return true;
  }

  /// Everybody loses its stream at once and comes back when it can; a few rekey while others are
  /// still away.
  Result<bool> reconnect() {
    for (const auto& device : devices_) device->drop();
    for (const auto& device : devices_) device->connect();
    const std::size_t some = std::max<std::size_t>(1, devices_.size() / 100);
    std::size_t published = 0;
    std::optional<Error> failed;
    const bool up = await([&] {
      for (; published < some && devices_[published]->up() && !failed; ++published) {
        if (devices_[published]->publishing()) return false;
        const Status done = devices_[published]->publish();
        if (!done) failed = done.error();
      }
      return failed || (published == some && all_up());
    });
    if (failed) return fail(*failed);
    return up && await_settled();
  }

  /// Some stop reading while everybody rekeys; the others must not notice.
  Result<bool> slow() {
    const std::size_t every = std::max<std::size_t>(1, 100 / std::max(1U, options_.slow_percent));
    for (std::size_t i = 0; i < devices_.size(); i += every) {
      devices_[i]->pause_reading(true);
      ledger_.excuse(static_cast<DeviceNumber>(i), true);
    }
    bool good = true;
    for (std::uint32_t i = 0; i < options_.rounds && good; ++i) {
      CYGNET_TRY(const bool sent, rekey_once());
      good = sent && await([this] { return ledger_.complete_but_excused(); });
    }
    for (std::size_t i = 0; i < devices_.size(); i += every) {
      devices_[i]->pause_reading(false);
      ledger_.excuse(static_cast<DeviceNumber>(i), false);
    }
    return good && await_settled();
  }

  rt::Loop& loop_;
  SwarmOptions options_;
  Ledger ledger_;
  Surroundings around_;
  std::vector<std::unique_ptr<Device>> devices_;
};

}  // namespace

double PhaseReport::deliveries_per_second() const {
  const double seconds = in_seconds(spread);
  return seconds > 0 ? static_cast<double>(totals.deliveries) / seconds : 0;
}

bool SwarmReport::good() const {
  return faults.sum() == 0 && lost == 0 && messages_broken == 0 &&
         std::all_of(phases.begin(), phases.end(), [](const auto& p) { return p.settled; });
}

const std::vector<std::string>& scenario_names() {
  static const std::vector<std::string> names = {"join", "publish", "rekey", "reconnect", "slow"};
  return names;
}

Result<SwarmReport> run_swarm(rt::Loop& loop, const rt::HostPort& controller, const Fleet& fleet,
                              const SwarmOptions& options,
                              const std::function<void(const PhaseReport&)>& told) {
  if (options.devices < 2 || fleet.members.size() < options.devices) {
    return fail(kErrSwarm, std::to_string(fleet.members.size()) + " identities are here",
                "--devices", "give at least 2, and a join line to enrol them");
  }
  Swarm swarm(loop, controller, fleet, options);
  SwarmReport report;
  std::vector<std::string> order = {"join"};
  for (const std::string& name : options.scenarios) {
    if (name != "join") order.push_back(name);
  }
  for (const std::string& name : order) {
    CYGNET_TRY(auto phase, swarm.phase(name));
    told(phase);
    const bool settled = phase.settled;
    report.phases.push_back(std::move(phase));
    if (!settled) break;
  }
  swarm.conclude(report);
  return report;
}

}  // namespace cygnet::load
