// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/driver/agent.h"

#include <algorithm>

#include "cygnet/agent/driver/state_file.h"
#include "cygnet/proto/ids/device_name.h"
#include "cygnet/proto/ids/mesh_address.h"
#include "cygnet/proto/probe/probe.h"
#include "cygnet/proto/rekey/effect_text.h"
#include "cygnet/rt/log.h"

namespace cygnet::agent {
namespace {

constexpr Duration kTableDelay = std::chrono::milliseconds(200);
constexpr Duration kRefreshEvery = std::chrono::seconds(1);

}  // namespace

std::string pair_name(proto::SaPairId pair) {
  return proto::rekey::name_of('a', pair.local) + "-" + proto::rekey::name_of('b', pair.remote);
}
std::string tx_name(proto::SaPairId pair) { return "Tx(" + pair_name(pair) + ")"; }

Result<std::unique_ptr<Agent>> Agent::create(rt::Loop& loop, AgentOptions options) {
  StateDir directory(options.state_dir);
  if (!directory.joined()) return fail(directory.load_mesh().error());
  CYGNET_TRY(rt::StateLock lock, rt::StateLock::acquire(options.state_dir));
  std::unique_ptr<Agent> agent(
      new Agent(loop, std::move(options), std::move(lock), std::move(directory)));
  CYGNET_CHECK_OK(agent->load());
  CYGNET_CHECK_OK(agent->make_link());
  return agent;
}

Agent::Agent(rt::Loop& loop, AgentOptions options, rt::StateLock lock, StateDir directory)
    : loop_(loop),
      options_(std::move(options)),
      lock_(std::move(lock)),
      directory_(std::move(directory)),
      timer_(loop),
      refresh_timer_(loop),
      discovery_timer_(loop),
      renewal_timer_(loop),
      workers_(std::make_unique<rt::WorkerPool>(loop, options_.workers, "derive")),
      judges_(std::make_unique<rt::WorkerPool>(loop, options_.workers, "judge")),
      disk_(std::make_unique<rt::WorkerPool>(loop, 1, "disk")) {}

Agent::~Agent() {
  *alive_ = false;
  stop(false);
}

Status Agent::load() {
  CYGNET_TRY(mesh_, directory_.load_mesh());
  CYGNET_TRY(key_, directory_.load_identity_key());
  const std::string place = directory_.path().string();
  if (!key_) {
    return fail(kErrNotJoined, "the identity key is missing", place + "/identity.key",
                "restore it from a backup, or enrol the device anew in an empty state directory");
  }
  CYGNET_TRY(crypto::Certificate certificate, directory_.load_certificate());
  CYGNET_TRY(std::vector<crypto::Certificate> trust, directory_.load_trust());
  if (certificate.spki() != key_->spki()) {
    return fail(crypto::kErrCertificate, "the certificate is for another key than identity.key",
                place + "/certificate.pem", "restore both from one backup");
  }
  const auto identity = proto::identity_of_leaf(certificate);
  if (!identity || identity->device != mesh_.device || identity->mesh != mesh_.mesh) {
    return fail(crypto::kErrCertificate, "the certificate is not that of " + mesh_.device.value(),
                place + "/certificate.pem", "restore it from a backup, or enrol the device anew");
  }

  Restored restored;
  CYGNET_TRY(DeviceRecord device, directory_.load_device());
  CYGNET_TRY(restored.pins, directory_.load_pins());
  CYGNET_TRY(restored.revocations, directory_.load_revocations());
  CYGNET_TRY(restored.last_server_time, directory_.load_server_time());
  Result<StoredTable> table = directory_.load_table();
  if (table) {
    restored.table = std::move(*table);
  } else {
    // What is in it the controller knows too; a gateway that stays down for it helps nobody.
    rt::log_warning("the stored peer table is set aside, the controller sends it again",
                    table.error());
    CYGNET_CHECK_OK(directory_.set_table_aside());
  }
  if (options_.ppk_file) {
    CYGNET_TRY(ppks_, PpkFile::load(*options_.ppk_file));
  }

  CYGNET_TRY(backend_, options_.make_backend(loop_, *this));
  features_ = backend_->features();
  CYGNET_CHECK_OK(backend_->set_self(self(
      restored.table.settings ? restored.table.settings->own_prefixes : std::vector<IpPrefix>{})));

  // "+1, fsynced before use, when the device starts without its SAs … A start that takes over live
  // SAs keeps it and continues the sequence": to its peers it is a rekey.
  restored.own_dims = device.own_dims;
  restored.sa_state_lost = !features_.took_over || device.own_dims.empty();
  journal_.emplace(directory_, std::move(device));
  if (restored.sa_state_lost) CYGNET_CHECK_OK(journal_->raise_boot_count());
  restored.boot_count = journal_->record().boot_count;
  restored.last_sequence = journal_->record().last_sequence;

  const Abilities abilities{options_.lanes_max, ppks_.ids()};
  core_.emplace(DeviceIdentity{mesh_.mesh, mesh_.device, std::move(certificate), std::move(trust)},
                features_, abilities, std::move(restored), options_.build_time);

  const auto saver = [this](const char* name, Duration delay, auto store) {
    return std::make_unique<Saver>(loop_, *disk_, name, delay, std::move(store),
                                   [this] { ++alarms_["not-stored"]; });
  };
  save_table_ = saver("the peer table", kTableDelay, [this]() -> std::function<Status()> {
    return [this, table = core_->table_later()] { return directory_.store_table(table()); };
  });
  save_pins_ = saver("the peers' pins", Duration(0), [this]() -> std::function<Status()> {
    return [this, pins = core_->pins()] { return directory_.store_pins(pins); };
  });
  save_revocations_ = saver("the revocations", Duration(0), [this]() -> std::function<Status()> {
    return [this, list = core_->revocations()] { return directory_.store_revocations(list); };
  });
  save_time_ = saver("the server's time", Duration(0), [this]() -> std::function<Status()> {
    return [this, time = core_->last_server_time()] { return directory_.store_server_time(time); };
  });
  return {};
}

Status Agent::make_link() {
  std::vector<rt::HostPort> controllers = options_.controllers;
  if (controllers.empty()) {
    for (const std::string& text : mesh_.controllers) {
      CYGNET_TRY(rt::HostPort controller, rt::parse_host_port(text));
      controllers.push_back(std::move(controller));
    }
  }
  ControllerLink::Options options{
      .controllers = std::move(controllers),
      .identity = {*key_, {core_->identity().certificate}},
      .trust = core_->identity().trust,
      .trusted_now = [this] { return core_->trusted_now(now()); },
      .mesh = mesh_.mesh,
      .mesh_name = std::string(proto::mesh_label(mesh_.device)),
      .firewall_mark = options_.firewall_mark,
  };
  ControllerLink::Handlers handlers;
  handlers.hello = [this] {
    HelloMessage hello;
    hello.resume = core_->cursor();
    hello.revocation_number = core_->revocations().number;
    hello.endpoints = options_.endpoints;
    hello.software = options_.software;
    hello.held = core_->held_on_demand();
    return hello;
  };
  handlers.on_welcome = [this](const WelcomeMessage& message) { welcomed(message); };
  handlers.on_message = [this](ControllerMessage message) { received(std::move(message)); };
  handlers.on_down = [this] {
    discovery_timer_.cancel();
    renewal_timer_.cancel();
    event([](AgentCore& core, Now now) { return core.on_link_down(now); });
  };
  handlers.publish_waits = [this] { return core_->publish_waits(); };
  handlers.random = [this] { return random_u32(); };
  CYGNET_TRY(link_, ControllerLink::create(loop_, std::move(options), std::move(handlers)));
  return {};
}

void Agent::start() {
  rt::log_info("agent starts", {{"device", mesh_.device.value()},
                                {"backend", features_.name},
                                {"boot", journal_->record().boot_count}});
  event([](AgentCore& core, Now now) { return core.start(now); });
  link_->start();
  refresh_timer_.arm_after(kRefreshEvery, [this] { with_data_plane([](const DataPlaneView&) {}); });
}

void Agent::stop(bool open) {
  if (stopped_) return;
  stopped_ = true;
  timer_.cancel();
  refresh_timer_.cancel();
  discovery_timer_.cancel();
  renewal_timer_.cancel();
  pings_.clear();
  if (link_) link_->stop();
  workers_.reset();
  judges_.reset();
  if (disk_) disk_->finish();  // certificate and trust bundle are written once, by these jobs
  disk_.reset();
  for (auto* saver : {&save_table_, &save_pins_, &save_revocations_, &save_time_}) {
    if (*saver) (*saver)->flush();
  }
  keys_.erase_all();
  if (backend_) backend_->shut_down(open);
}

std::map<std::string, std::uint64_t> Agent::refused() const {
  std::map<std::string, std::uint64_t> all = core_->refusals();
  for (const auto& [code, count] : refused_) all[code] += count;
  if (link_->messages_refused() != 0)
    all[std::string(kErrMessage.name())] += link_->messages_refused();
  return all;
}

// ---- For the local interface ----

void Agent::order_rekey() {
  event([](AgentCore& core, Now now) {
    return core.on_rekey_ordered(proto::rekey::RekeyCause::kCommand, now);
  });
  link_->hurry();
}

void Agent::flush() {
  event([](AgentCore& core, Now now) { return core.on_counters_unknown(now); });
  link_->hurry();
}

Status Agent::confirm_key(const proto::DeviceName& peer, const crypto::Sha256& spki) {
  if (!core_->find(peer)) {
    return fail(kErrUnknownPeer, "the controller never told of " + peer.value(), {},
                "look at `cygnet peers` for the names");
  }
  event([peer, spki](AgentCore& core, Now now) { return core.on_key_confirmed(peer, spki, now); });
  return {};
}

SelfConfig Agent::self(const std::vector<IpPrefix>& prefixes) const {
  SelfConfig self;
  self.mesh_address.is_v6 = true;
  self.mesh_address.octets = proto::mesh_address(mesh_.mesh, mesh_.device);
  self.prefixes = prefixes;
  return self;
}

const InstalledPair* Agent::installed(proto::PeerId peer, proto::SaPairId pair) const {
  const auto it = pairs_.find({peer, pair});
  return it == pairs_.end() || it->second.phase == PairPhase::kPreparing ? nullptr
                                                                         : &it->second.view;
}

KeyingCounts Agent::keying() const {
  KeyingCounts counts;
  for (const auto& [key, record] : pairs_) {
    if (record.phase == PairPhase::kPreparing) continue;
    ++counts.pairs;
    if (!record.view.keyed) ++counts.claimed;
  }
  counts.derivations = derivations_;
  counts.by_data_plane = derived_for_data_plane_;
  return counts;
}

PeerTotals Agent::totals(proto::PeerId peer) const {
  const auto it = totals_.find(peer);
  return it == totals_.end() ? PeerTotals{} : it->second;
}

std::optional<Timestamp> Agent::last_heard(proto::PeerId peer) const {
  const auto it = heard_.find(peer);
  if (it == heard_.end()) return std::nullopt;
  return it->second;
}

// Three snapshots; whichever has not come when the deadline passes is shown as it was last.
void Agent::with_data_plane(std::function<void(const DataPlaneView&)> done) {
  constexpr Duration kDeadline = std::chrono::milliseconds(60);
  struct Question {
    explicit Question(rt::Loop& loop) : timer(loop) {}
    int missing = 3;
    std::function<void(const DataPlaneView&)> done;
    rt::Timer timer;
  };
  refresh_timer_.arm_after(kRefreshEvery, [this] { with_data_plane([](const DataPlaneView&) {}); });
  auto question = std::make_shared<Question>(loop_);
  question->done = std::move(done);
  const auto finish = [this, question] {
    question->timer.cancel();
    if (const auto call = std::exchange(question->done, nullptr)) call(view_);
  };
  question->timer.arm_after(kDeadline, finish);
  const auto got = [question, finish] {
    if (--question->missing == 0) finish();
  };
  const std::weak_ptr<bool> alive = alive_;
  backend_->query_counters([this, got, alive](std::vector<PairCounters> counters) {
    if (alive.expired()) return;
    take_counters(std::move(counters));
    got();
  });
  backend_->query_drops([this, got, alive](std::vector<DropCounter> drops) {
    if (alive.expired()) return;
    view_.drops = std::move(drops);
    got();
  });
  backend_->query_paths([this, got, alive](const std::vector<PeerPath>& paths) {
    if (alive.expired()) return;
    view_.paths.clear();
    for (const PeerPath& path : paths) view_.paths[path.peer] = path;
    got();
  });
}

// A pair's counters vanish with it; what it had at the last look stays in its peer's totals.
void Agent::take_counters(std::vector<PairCounters> counters) {
  const auto add = [](SaCounters& total, SaCounters& last, const SaCounters& now) {
    total.packets += now.packets - last.packets;
    total.octets += now.octets - last.octets;
    total.user_packets += now.user_packets - last.user_packets;
    last = now;
  };
  for (const PairCounters& pair : counters) {
    const auto it = pairs_.find({pair.peer, pair.pair});
    if (it == pairs_.end()) continue;
    PeerTotals& total = totals_[pair.peer];
    add(total.in, it->second.last_in, pair.in);
    add(total.out, it->second.last_out, pair.out);
  }
  view_.pairs = std::move(counters);
}

// ---- Ping ----

void Agent::ping(proto::PeerId peer, std::uint32_t count, Duration interval,
                 std::function<void(Result<PingResult>)> done) {
  const auto view = core_->view(peer);
  if (!view || !view->allowed) {
    done(fail(kErrUnknownPeer, "there is no such peer", {}, "look at `cygnet peers`"));
    return;
  }
  if (!view->rekey || !view->rekey->outbound) {
    done(fail(kErrNoOutbound, "no SA to " + view->device.value() + " can be sent on yet", {},
              "ask `cygnet why " + view->device.value() + "`"));
    return;
  }
  const std::uint64_t id = next_ping_++;
  Ping& ping = pings_[id];
  ping.peer = peer;
  ping.left = count;
  ping.interval = interval;
  ping.done = std::move(done);
  ping.timer = std::make_unique<rt::Timer>(loop_);
  ping_step(id);
}

void Agent::ping_step(std::uint64_t id) {
  constexpr Duration kLastReply = std::chrono::seconds(2);
  const auto it = pings_.find(id);
  if (it == pings_.end()) return;
  Ping& ping = it->second;
  if (ping.left == 0) {
    ping.timer->arm_after(kLastReply, [this, id] { ping_end(id); });
    return;
  }
  --ping.left;
  ++ping.result.sent;
  const auto status = core_->rekey().peer_status(ping.peer);
  if (status && status->outbound) {
    proto::Probe request;
    crypto::system_random().fill(request.cookie);
    ping.outstanding[Bytes(request.cookie.begin(), request.cookie.end())] = loop_.now();
    if (auto payload = proto::encode_probe(request)) {
      backend_->send_probe(ping.peer, *status->outbound, std::move(*payload));
    }
  }
  if (ping.left == 0) {
    ping.timer->arm_after(kLastReply, [this, id] { ping_end(id); });
  } else {
    ping.timer->arm_after(ping.interval, [this, id] { ping_step(id); });
  }
}

void Agent::ping_end(std::uint64_t id) {
  auto node = pings_.extract(id);
  if (node.empty()) return;
  node.mapped().done(std::move(node.mapped().result));
}

}  // namespace cygnet::agent
