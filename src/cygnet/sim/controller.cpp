// SPDX-License-Identifier: Apache-2.0
#include "cygnet/sim/controller.h"

#include <algorithm>

#include "cygnet/base/assert.h"
#include "cygnet/controller/policy/parse.h"
#include "cygnet/sim/pki.h"
#include "cygnet/sim/world.h"

namespace cygnet::sim {

namespace ctl = cygnet::controller;

namespace {

constexpr std::size_t kMessageMax = std::size_t{1} << 22;
constexpr std::size_t kRecentMax = 64;

std::string duration_text(Duration duration) {
  return std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(duration).count()) +
         "ms";
}

}  // namespace

ctl::Times SimController::now() const { return {world_.queue.now(), world_.wall()}; }

void SimController::found(std::uint32_t devices) {
  engine_ = ctl::store::make_memory_engine();
  ctl::store::MeshRecord mesh;
  mesh.id = mesh_id();
  mesh.name = kMeshName;
  mesh.epoch.fill(1);
  mesh.created_at = kEpoch;
  ctl::store::WriteBatch batch{mesh.id, {}};
  batch.add(ctl::store::CreateMesh{mesh});
  batch.add(ctl::store::SetTrust{{world_.pki().ca().der()}});
  for (DeviceId id = 0; id < devices; ++id) {
    ctl::store::DeviceRecord record;
    record.name = label_of(id);
    const std::uint32_t block = world_.scenario().block;
    record.labels["block"] = "b" + std::to_string(block == 0 ? 0 : id / block);
    record.spki = world_.pki().device(id).key.spki();
    record.certificate = world_.pki().device(id).certificate.der();
    record.enrolled_at = kEpoch;
    batch.add(ctl::store::PutDevice{std::move(record)});
  }
  CYGNET_ASSERT(engine_->begin() && engine_->apply(batch) && engine_->commit());
  if (world_.disks_matter()) log_.push_back(std::move(batch));
  start();
  apply_policy({});
}

void SimController::start() {
  CYGNET_ASSERT(!core_);
  auto snapshot = engine_->load();
  CYGNET_ASSERT(snapshot && !snapshot->meshes.empty());
  ctl::store::MeshState state = std::move(snapshot->meshes.front());
  ctl::CoreSetup setup;
  setup.proofs = &world_.proofs;
  setup.defaults = *ctl::policy::parse("mesh: sim\n", "defaults");
  for (const auto& header : state.policies) {
    auto record = engine_->read_policy(state.mesh.id, header.version);
    CYGNET_ASSERT(record.has_value());
    auto document = ctl::policy::parse(record->yaml, "stored");
    CYGNET_ASSERT(document.has_value());
    setup.policy_history.push_back({header, record->yaml, std::move(*document)});
  }
  auto made = ctl::Core::restore(std::move(state), std::move(setup), now());
  CYGNET_ASSERT(made.has_value());
  core_ = std::move(*made);
  ++incarnation_;
  world_.note(Note::kController, 0, 0, {}, 1);
  pump();
}

void SimController::stop() {
  if (!core_) return;
  world_.note(Note::kController, 0, 0, {}, 0);
  core_.reset();
  ++incarnation_;
  persists_.clear();
  commit_due_ = false;
  timer_at_.reset();
  ++timer_token_;
  const auto streams = std::exchange(streams_, {});
  of_device_.clear();
  for (const auto& [id, stream] : streams) {
    world_.queue.after(world_.leg_delay(stream.device), [this, id = id, device = stream.device] {
      world_.device(device).link_lost(id);
    });
  }
}

void SimController::fail_over(std::size_t lag) {
  stop();
  engine_ = ctl::store::make_memory_engine();
  // The mesh and its first policy had been there for long.
  const std::size_t keep = std::max<std::size_t>(3, log_.size() - std::min(lag, log_.size()));
  log_.resize(std::min(log_.size(), keep));
  for (const auto& batch : log_) {
    CYGNET_ASSERT(engine_->begin());
    (void)engine_->apply(batch);  // refused then as it was the first time
    CYGNET_ASSERT(engine_->commit());
  }
  // "a cursor of another epoch gets a snapshot": what the old log told after this is unknown here.
  ctl::store::SetEpoch epoch;
  world_.rng.fill(epoch.epoch);
  ctl::store::WriteBatch batch{mesh_id(), {}};
  batch.add(epoch);
  CYGNET_ASSERT(engine_->begin() && engine_->apply(batch) && engine_->commit());
  log_.push_back(std::move(batch));
}

// ---- Streams.

std::optional<std::uint64_t> SimController::open(DeviceId device,
                                                 const crypto::Certificate& certificate,
                                                 Bytes hello) {
  if (!core_) return std::nullopt;
  const std::uint64_t id = next_stream_++;
  streams_[id].device = device;
  of_device_[device] = id;
  ctl::Cookie cookie{};
  world_.rng.fill(cookie);
  core_->connected(ctl::SessionId(id), {certificate}, cookie, now());
  core_->received(ctl::SessionId(id), hello, now());
  pump();
  return id;
}

void SimController::up(DeviceId device, std::uint64_t id, Bytes message) {
  const auto it = streams_.find(id);
  if (it == streams_.end()) return;
  const Timestamp at = std::max(it->second.last_up, world_.queue.now() + world_.leg_delay(device));
  it->second.last_up = at;
  world_.queue.at(at, [this, id, message = std::move(message)] {
    if (!core_ || !streams_.contains(id)) return;
    core_->received(ctl::SessionId(id), message, now());
    pump();
  });
}

void SimController::end_stream(std::uint64_t id) {
  const auto it = streams_.find(id);
  if (it == streams_.end()) return;
  const auto of = of_device_.find(it->second.device);
  if (of != of_device_.end() && of->second == id) of_device_.erase(of);
  streams_.erase(it);
  if (!core_) return;
  core_->disconnected(ctl::SessionId(id), now());
  pump();
}

void SimController::closed_by_device(DeviceId device, std::uint64_t id) {
  world_.queue.after(world_.leg_delay(device), [this, id] { end_stream(id); });
}

void SimController::cut(DeviceId device) {
  const auto it = of_device_.find(device);
  if (it == of_device_.end()) return;
  const std::uint64_t id = it->second;
  end_stream(id);
  world_.queue.after(world_.leg_delay(device),
                     [this, device, id] { world_.device(device).link_lost(id); });
}

bool SimController::attached(DeviceId device) const {
  return core_ && of_device_.contains(device) && world_.device(device).link() == Device::Link::kUp;
}

// ---- Effects.

void SimController::pump() {
  if (pumping_) return;
  pumping_ = true;
  while (core_) {
    ctl::Effects effects = core_->take_effects();
    if (effects.empty()) break;
    for (ctl::Effect& effect : effects) carry_out(effect);
  }
  pumping_ = false;
  if (core_) arm_timer();
}

void SimController::arm_timer() {
  const auto due = core_->next_deadline();
  if (!due || (timer_at_ && *timer_at_ <= *due)) return;
  timer_at_ = due;
  world_.queue.at(*due, [this, token = ++timer_token_] {
    if (token != timer_token_ || !core_) return;
    timer_at_.reset();
    core_->tick(now());
    pump();
  });
}

void SimController::carry_out(ctl::Effect& effect) {
  if (auto* persist = std::get_if<ctl::Persist>(&effect)) {
    persists_.push_back(std::move(*persist));
    if (commit_due_) return;
    commit_due_ = true;
    world_.queue.after(world_.scenario().store_delay, [this, incarnation = incarnation_] {
      if (incarnation == incarnation_) commit();
    });
  } else if (const auto* wake = std::get_if<ctl::Wake>(&effect)) {
    pull(wake->session.value());
  } else if (const auto* close = std::get_if<ctl::Close>(&effect)) {
    pull(close->session.value());
    const auto it = streams_.find(close->session.value());
    if (it != streams_.end()) it->second.closing = true;
  } else if (const auto* event = std::get_if<ctl::Event>(&effect)) {
    if (event->level != ctl::Event::Level::kInfo) world_.count("controller " + event->kind);
  } else if (const auto* done = std::get_if<ctl::OperatorDone>(&effect)) {
    world_.count(done->status ? "operator done" : "operator refused");
    // Another policy was being applied, or the disk was full: an operator tries again.
    if (done->status) return;
    world_.queue.after(std::chrono::milliseconds(100), [this] {
      apply_policy({world_.denied().begin(), world_.denied().end()});
    });
  }
}

// One transaction for all that waits, as the storage thread does.
void SimController::commit() {
  commit_due_ = false;
  std::deque<ctl::Persist> group = std::exchange(persists_, {});
  std::vector<std::pair<ctl::Ticket, Status>> answers;
  if (disk_full_) {
    for (const auto& persist : group) {
      answers.emplace_back(persist.ticket, fail(ctl::store::kErrDiskFull, "the disk is full"));
    }
  } else {
    CYGNET_ASSERT(engine_->begin());
    for (auto& persist : group) {
      answers.emplace_back(persist.ticket, engine_->apply(persist.batch));
      if (world_.disks_matter()) log_.push_back(std::move(persist.batch));
    }
    CYGNET_ASSERT(engine_->commit());
  }
  for (auto& [ticket, status] : answers) core_->persisted(ticket, status, now());
  pump();
}

SimController::Shared SimController::shared(const ctl::SharedOctets& octets) {
  for (auto it = recent_.rbegin(); it != recent_.rend(); ++it) {
    if (it->octets == octets) return *it;
  }
  auto decoded = agent::decode_controller_message(*octets);
  CYGNET_ASSERT(decoded.has_value());
  recent_.push_back(
      {octets, std::make_shared<const agent::ControllerMessage>(std::move(*decoded))});
  if (recent_.size() > kRecentMax) recent_.pop_front();
  return recent_.back();
}

// "the driver asks while the stream has room, so that what waits for a slow device stays here"
void SimController::pull(std::uint64_t id) {
  const auto it = streams_.find(id);
  if (it == streams_.end() || !core_) return;
  Stream& stream = it->second;
  while (stream.in_flight < kInFlightMax) {
    const ctl::SharedOctets octets = core_->next_message(ctl::SessionId(id), kMessageMax);
    if (!octets) break;
    ++stream.in_flight;
    const DeviceId device = stream.device;
    const Timestamp at = std::max(stream.last_down, world_.queue.now() + world_.leg_delay(device));
    stream.last_down = at;
    world_.queue.at(at, [this, id, device, message = shared(octets)] {
      const auto still = streams_.find(id);
      if (still == streams_.end()) return;  // broken meanwhile: what was on the way is lost
      --still->second.in_flight;
      world_.device(device).message(id, *message.octets, message.decoded);
      pull(id);
      pump();
    });
  }
}

// ---- Operators.

std::string SimController::policy_yaml(
    const std::vector<std::pair<DeviceId, DeviceId>>& denied) const {
  const Scenario& s = world_.scenario();
  std::string yaml = "mesh: sim\nproposals: [aes256gcm16-x25519-sha256]\n";
  yaml += "rekey: {every: " + duration_text(s.rekey_every) +
          ", jitter: " + std::to_string(s.rekey_jitter_permille / 10) + "%}\n";
  yaml += "lifetime: " + duration_text(s.lifetime) + "\ndrain: " + duration_text(s.drain) +
          "\nforget_cap: " + duration_text(s.forget_cap) + "\nrules:\n";
  const std::uint32_t blocks = s.block == 0 ? 1 : (s.devices + s.block - 1) / s.block;
  for (std::uint32_t b = 0; b < blocks; ++b) {
    const std::string label = "block=b" + std::to_string(b);
    yaml += "  - {from: " + label + ", to: " + label + "}\n";
  }
  for (const auto& [a, b] : denied) {
    yaml += "  - {from: name=" + label_of(a) + ", to: name=" + label_of(b) + ", action: deny}\n";
  }
  return yaml;
}

void SimController::apply_policy(const std::vector<std::pair<DeviceId, DeviceId>>& denied) {
  if (!core_) return;
  const std::string yaml = policy_yaml(denied);
  auto document = ctl::policy::parse(yaml, "sim.yaml");
  CYGNET_ASSERT(document.has_value());
  const auto specs = core_->enrolled_specs();
  auto options = core_->compile_options();
  options.enrolled = specs;
  auto compiled = ctl::policy::CompiledPolicy::compile(*document, options, core_->names());
  CYGNET_ASSERT(compiled.has_value());
  core_->apply_policy(ctl::RequestId(next_request_++), yaml, std::move(*compiled), std::nullopt, "",
                      "sim", now());
  pump();
}

void SimController::rekey_all() {
  if (!core_) return;
  core_->rekey(ctl::RequestId(next_request_++), std::nullopt, "sim", now());
  pump();
}

std::optional<agent::StoredDim> SimController::stored(DeviceId device) const {
  if (!core_) return std::nullopt;
  const auto index = core_->names()->find(label_of(device));
  const ctl::RelayedDim* const dim = index ? core_->relay().dim_of(*index) : nullptr;
  if (dim == nullptr) return std::nullopt;
  return agent::StoredDim{*dim->dim, *dim->certificate, dim->accepted_at};
}

}  // namespace cygnet::sim
