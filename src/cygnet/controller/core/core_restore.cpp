// SPDX-License-Identifier: Apache-2.0
// From the store's records back to a core, by replaying them in the order of their positions.
#include <algorithm>

#include "cygnet/controller/core/core.h"
#include "cygnet/controller/core/messages.h"
#include "cygnet/proto/dim/dim_codec.h"

namespace cygnet::controller {
namespace {

/// Changes that are not stored (endpoints) take positions too. After a start the log jumps further
/// than a run can have gone without storing anything, so that no position is given out twice.
constexpr Position kRestartJump = Position{1} << 32;

}  // namespace

Core::Core(CoreSetup setup) : setup_(std::move(setup)), joins_(setup_.limits.joins_per_minute) {}

Result<std::unique_ptr<Core>> Core::restore(store::MeshState state, CoreSetup setup, Times now) {
  std::unique_ptr<Core> core(new Core(std::move(setup)));
  CYGNET_CHECK_OK(core->load(state, now));
  core->next_position_ = state.position + 1 + kRestartJump;
  core->sweep_at_ = now.mono + core->setup_.limits.sweep_interval;
  core->commit([](store::WriteBatch& batch, Position at) { batch.add(store::AdvancePosition{at}); },
               [raw = core.get()](const Status& status, Position at, Times when) {
                 raw->relay_->advance(at);
                 if (!status) raw->jump_not_stored(status.error(), when);
               });
  return core;
}

// The next start will give out the positions of this run again, so a cursor of this run would hide
// from its device what is written there then. It gets an epoch that no other run has: whoever comes
// with it gets a snapshot.
void Core::jump_not_stored(const Error& error, Times now) {
  note(Event::Level::kAlarm, "alarm.store", {}, "the store takes no writes: " + error.to_string());
  Bytes started(8);
  store_be64(started.data(), static_cast<std::uint64_t>(now.wall.time_since_epoch().count()));
  const crypto::Sha256 digest = crypto::sha256({mesh_.epoch, started});
  relay_->begin_epoch(Bytes(digest.begin(), digest.begin() + mesh_.epoch.size()));
  send_all_away(Error{kErrShutdown, "the controller's store takes no writes"}, 1000);
}

Status Core::load(store::MeshState& state, Times now) {
  mesh_ = state.mesh;
  trust_der_ = std::move(state.trust);
  for (const Bytes& der : trust_der_) {
    CYGNET_TRY(auto certificate, crypto::Certificate::from_der(der));
    trust_.push_back(std::move(certificate));
  }
  tokens_ = std::move(state.tokens);
  csrs_ = std::move(state.csrs);
  policy_headers_ = std::move(state.policies);
  if (state.policy) policy_yaml_ = state.policy->yaml;
  revocations_ = std::move(state.revocations);
  rebuild_revocations();
  revocation_reserved_ = revocation_number_;

  relay_ = std::make_unique<Relay>(names_, mesh_.name,
                                   Bytes(mesh_.epoch.begin(), mesh_.epoch.end()), Position{1});
  relay_->marks() = Marks(setup_.limits.marks);
  for (store::DeviceRecord& record : state.devices) {
    DeviceEntry& known = entry(names_->intern(record.name));
    if (!record.certificate.empty()) {
      auto certificate = crypto::Certificate::from_der(record.certificate);
      if (certificate) known.certificate = std::move(*certificate);
    }
    known.revoked = record.state == store::DeviceState::kRevoked;
    known.record = std::move(record);
  }
  for (const auto& [name, counter] : state.counters) {
    entry(names_->intern(name)).high_water = counter;
  }
  settings_ = encode_settings(setup_.defaults, 0);

  // Everything that has a place in the log, in that order.
  std::vector<std::pair<Position, std::function<Status()>>> replay;
  for (HistoricPolicy& historic : setup_.policy_history) {
    replay.emplace_back(historic.header.position, [this, &historic, now]() -> Status {
      const auto specs = enrolled_specs();
      auto options = compile_options();
      options.enrolled = specs;
      auto compiled =
          policy::CompiledPolicy::compile(std::move(historic.document), options, names_);
      if (!compiled) return fail(std::move(compiled).error().within("stored policy"));
      settings_ = encode_settings(compiled->document(), historic.header.version);
      const Times then{now.mono, historic.header.applied_at};
      adopt_policy(std::make_unique<policy::CompiledPolicy>(std::move(*compiled)),
                   historic.header.position, then);
      return {};
    });
  }
  for (store::DimRecord& record : state.dims) {
    replay.emplace_back(record.position, [this, &record, now]() -> Status {
      CYGNET_TRY(auto dim, proto::decode_dim(record.dim));
      const DeviceIndex device = names_->intern(record.device);
      DeviceEntry& known = entry(device);
      known.known = proto::KnownDim{record.counter, proto::dim_digest(record.dim)};
      known.high_water = std::max(known.high_water, record.counter);
      keep_generation(known, device, std::make_shared<const proto::Dim>(std::move(dim)));
      // A certificate renewed since belongs to the same key and lives longer.
      Bytes certificate = std::move(record.certificate);
      if (known.certificate && known.record) certificate = known.record->certificate;
      relay_->set_dim(
          device,
          RelayedDim{std::make_shared<const Bytes>(std::move(record.dim)),
                     std::make_shared<const Bytes>(std::move(certificate)), record.accepted_at},
          record.counter, record.position, now.mono);
      return {};
    });
  }
  for (const store::TombstoneRecord& record : state.tombstones) {
    replay.emplace_back(record.position, [this, record, now]() -> Status {
      const DeviceIndex device = names_->intern(record.device);
      (void)entry(device);
      // While the log is replayed a revoked device's edges are not made (apply_edge), so its
      // tombstones are made from what policy says instead.
      if (!policy_ || !policy_->has(device)) return {};
      for (const DeviceIndex peer : policy_->neighbours(device)) {
        relay_->put_edge(device, peer, {}, record.position, now.mono);
        relay_->remove_edge(device, peer, record.position, record.at, now.mono);
      }
      return {};
    });
  }
  std::stable_sort(replay.begin(), replay.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  for (auto& [position, step] : replay) {
    if (position > relay_->head()) relay_->advance(position);
    next_position_ = std::max(next_position_, position + 1);
    CYGNET_CHECK_OK(step());
  }
  setup_.policy_history.clear();
  for (DeviceIndex device = 0; device < devices_.size(); ++device) {
    if (devices_[device].revoked) apply_revocation(device, relay_->head(), now);
  }
  effects_.clear();
  return {};
}

}  // namespace cygnet::controller
