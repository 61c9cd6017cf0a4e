// SPDX-License-Identifier: Apache-2.0
#include "cygnet/sim/faults.h"

#include <algorithm>

#include "cygnet/base/assert.h"
#include "cygnet/proto/dim/dim_codec.h"
#include "cygnet/sim/world.h"

namespace cygnet::sim {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr std::size_t kOverheardMax = 512;
constexpr std::uint32_t kAll = 1'000'000;
constexpr std::uint32_t kManyDevices = 16;

}  // namespace

FaultPlan::FaultPlan(World& world) : world_(world), last_(world.scenario().devices) {}

void FaultPlan::begin() { next(); }

void FaultPlan::next() {
  const Duration mean = world_.scenario().fault_every;
  world_.queue.after(world_.rng.between(mean / 4, mean * 7 / 4), [this] {
    if (healed_) return;
    std::uint64_t sum = 0;
    for (const std::uint8_t weight : world_.scenario().weight) sum += weight;
    if (sum == 0) return;
    std::uint64_t draw = world_.rng.below(sum);
    for (std::size_t i = 0; i < kFaultCount; ++i) {
      const std::uint64_t weight = world_.scenario().weight[i];
      if (draw < weight) {
        inflict(static_cast<Fault>(i));
        break;
      }
      draw -= weight;
    }
    next();
  });
}

void FaultPlan::heal() {
  healed_ = true;
  auto undo = std::exchange(undo_, {});
  for (auto& [id, action] : undo) action();
}

void FaultPlan::undo_after(Duration delay, std::function<void()> undo) {
  const std::uint64_t id = next_undo_++;
  undo_.emplace(id, std::move(undo));
  world_.queue.after(delay, [this, id] {
    auto node = undo_.extract(id);
    if (!node.empty()) node.mapped()();
  });
}

void FaultPlan::overhear(const Packet& packet) {
  if (world_.scenario().fault_every == Duration{}) return;
  if (overheard_.size() < kOverheardMax) {
    overheard_.push_back(packet);
  } else {
    overheard_[overheard_at_++ % kOverheardMax] = packet;
  }
}

DeviceId FaultPlan::any_device() {
  return static_cast<DeviceId>(world_.rng.below(world_.device_count()));
}

std::pair<DeviceId, DeviceId> FaultPlan::any_pair() {
  const std::uint32_t n = world_.device_count();
  const std::uint32_t block = world_.scenario().block == 0 ? n : world_.scenario().block;
  const DeviceId a = any_device();
  const DeviceId first = a / block * block;
  const std::uint32_t size = std::min(block, n - first);
  if (size < 2) return {a, a};
  DeviceId b = first + static_cast<DeviceId>(world_.rng.below(size - 1));
  if (b >= a) ++b;
  return {a, b};
}

bool FaultPlan::troubled(DeviceId device) const { return world_.queue.now() < last_[device]; }

void FaultPlan::mark(Fault fault, DeviceId a, DeviceId b, Duration length) {
  ++done_[static_cast<std::size_t>(fault)];
  world_.note(Note::kFault, a, b, {}, static_cast<std::uint64_t>(fault));
  world_.tell([&](Observer& o) { o.on_fault(fault, a, b); });
  if (length == Duration{}) return;  // over at once, or nothing that anybody may notice
  const Timestamp until = world_.queue.now() + length;
  last_[a] = std::max(last_[a], until);
  last_[b] = std::max(last_[b], until);
}

void FaultPlan::stop_controller(Fault fault, Duration away) {
  SimController& controller = world_.controller();
  if (!controller.running()) return;
  mark(fault, 0, 0, away);
  for (Timestamp& last : last_) last = std::max(last, world_.queue.now() + away);
  if (fault == Fault::kFailover) {
    controller.fail_over(world_.rng.below(6));
  } else {
    controller.stop();
  }
  undo_after(away, [this] {
    if (world_.controller().running()) return;
    world_.controller().start();
    // What operators last wanted may have been lost with the one before.
    world_.controller().apply_policy({world_.denied().begin(), world_.denied().end()});
  });
}

bool FaultPlan::restart(Fault fault, DeviceId id) {
  if (!world_.device(id).running()) return false;
  auto old = old_disks_.find(id);
  if (fault == Fault::kRestoredDisk && old == old_disks_.end()) {
    old_disks_[id] = world_.device(id).disk;  // for the next time
    // In a small world the same device is soon drawn again; in a large one it is whoever has an
    // old copy.
    if (world_.device_count() < kManyDevices || old_disks_.size() == 1) return false;
    auto nth = world_.rng.below(old_disks_.size() - 1);
    for (old = old_disks_.begin(); old->first == id || nth-- != 0;) ++old;
    id = old->first;
    if (!world_.device(id).running()) return false;
  }
  Device& device = world_.device(id);
  const Duration away = world_.rng.between(milliseconds(50), seconds(40));
  mark(fault, id, id, away);
  const bool disk = fault != Fault::kCrash;
  world_.tell(
      [&](Observer& o) { o.on_lost_state(id, disk ? StateLoss::kDisk : StateLoss::kMemory); });
  device.stop();
  if (fault == Fault::kLostDisk) device.disk = Disk{};
  if (fault == Fault::kRestoredDisk) device.disk = old->second;
  if (fault == Fault::kCrash && world_.rng.below(4) == 0) old_disks_[id] = device.disk;
  undo_after(away, [this, id] {
    if (!world_.device(id).running()) world_.device(id).start();
  });
  return true;
}

// A controller (or somebody in its place) tells `victim` a DIM of `peer` that must change nothing.
bool FaultPlan::dims(Fault fault, DeviceId victim, DeviceId peer) {
  Device& device = world_.device(victim);
  std::optional<agent::StoredDim> stored = world_.controller().stored(peer);
  if (!stored || !device.running() || device.link() != Device::Link::kUp) return false;
  if (!device.core().find(name_of(peer))) return false;
  agent::StoredDim dim = *stored;
  if (fault == Fault::kStaleRedelivery || fault == Fault::kReplayedDim) {
    auto old = old_dims_.find(peer);
    if (old == old_dims_.end()) {
      old_dims_[peer] = dim;
      if (world_.device_count() < kManyDevices) return false;  // soon drawn again
      old = std::find_if(old_dims_.begin(), old_dims_.end(), [&](const auto& entry) {
        return entry.first != peer && world_.same_block(victim, entry.first) &&
               device.core().find(name_of(entry.first));
      });
      if (old == old_dims_.end()) return false;
      peer = old->first;
      stored = world_.controller().stored(peer);
      if (!stored) return false;
    }
    dim = old->second;
    if (world_.rng.below(3) == 0) old->second = *stored;
  } else if (fault == Fault::kReflectedDim) {
    const auto own = world_.controller().stored(victim);
    if (!own) return false;
    dim = *own;
  } else {
    auto value = proto::decode_dim(dim.dim);
    CYGNET_ASSERT(value.has_value());
    const crypto::IdentityKey* key = &world_.pki().stranger();
    if (fault == Fault::kForgedDim) {
      // The peer's certificate, somebody else's signature, a counter that would win.
      value->counter = proto::RekeyCounter(
          value->counter.boot_count() + static_cast<std::uint32_t>(world_.rng.below(2)),
          value->counter.sequence() + 1);
      world_.rng.fill(value->kes.front().value);
      value->kes.front().value.back() &= 0x7f;
    } else {
      // Signed with the right key: a clone of the device, or the device itself. Who has not seen
      // the first one cannot tell which is which.
      const auto view = device.core().view(*device.core().find(name_of(peer)));
      if (!view || view->newest != value->counter) return false;
      key = &world_.pki().device(peer).key;
    }
    world_.rng.fill(value->nonce);
    auto octets = proto::sign_dim(*value, mesh_id(), *key);
    CYGNET_ASSERT(octets.has_value());
    dim.dim = std::move(*octets);
  }
  mark(fault, victim, peer, {});
  agent::Update update;
  agent::PeerChange change;
  change.device = name_of(peer);
  change.dim = std::move(dim);
  update.changes.push_back(std::move(change));
  device.inject(update);
  return true;
}

void FaultPlan::inflict(Fault fault) {
  Rng& rng = world_.rng;
  const auto [a, b] = any_pair();
  switch (fault) {
    case Fault::kLossBurst:
    case Fault::kOneWay:
    case Fault::kJitter: {
      const Duration length = rng.between(seconds(2), seconds(60));
      PathTrouble trouble;
      if (fault == Fault::kLossBurst) trouble.loss_ppm = 300'000;
      if (fault == Fault::kOneWay) trouble.loss_ppm = kAll;
      if (fault == Fault::kJitter) trouble.extra = seconds(2);
      mark(fault, a, b, length);
      world_.troubles[{a, b}] = trouble;
      if (fault != Fault::kOneWay) world_.troubles[{b, a}] = trouble;
      return undo_after(length, [this, a = a, b = b] {
        world_.troubles.erase({a, b});
        world_.troubles.erase({b, a});
      });
    }
    case Fault::kLegSlow: {
      const Duration length = rng.between(seconds(10), minutes(3));
      mark(fault, a, a, length);
      world_.device(a).leg_slow = true;
      return undo_after(length, [this, a = a] { world_.device(a).leg_slow = false; });
    }
    case Fault::kDisconnect:
      mark(fault, a, a, seconds(5));
      return world_.controller().cut(a);
    case Fault::kReconnectStorm:
      for (DeviceId id = 0; id < world_.device_count(); ++id) {
        mark(id == 0 ? fault : Fault::kDisconnect, id, id, seconds(5));
        world_.controller().cut(id);
      }
      return;
    case Fault::kControllerRestart:
      return stop_controller(fault, rng.between(milliseconds(200), seconds(10)));
    case Fault::kOutage:
      return stop_controller(fault, rng.between(minutes(2), minutes(25)));
    case Fault::kFailover:
      return stop_controller(fault, rng.between(milliseconds(200), seconds(5)));
    case Fault::kDiskFull: {
      const Duration length = rng.between(seconds(5), minutes(2));
      mark(fault, 0, 0, length);
      for (Timestamp& last : last_) last = std::max(last, world_.queue.now() + length);
      world_.controller().set_disk_full(true);
      return undo_after(length, [this] { world_.controller().set_disk_full(false); });
    }
    case Fault::kCrash:
    case Fault::kLostDisk:
    case Fault::kRestoredDisk:
      restart(fault, a);
      return;
    case Fault::kRemovePair:
    case Fault::kRemoveDevice: {
      if (!world_.controller().running()) return;
      std::set<std::pair<DeviceId, DeviceId>> gone;
      for (DeviceId id = 0; id < world_.device_count(); ++id) {
        const bool out = fault == Fault::kRemovePair ? id == b : world_.same_block(a, id);
        if (out && a != id) gone.insert({std::min(a, id), std::max(a, id)});
      }
      auto denied = world_.denied();
      denied.insert(gone.begin(), gone.end());
      const Duration length = rng.between(milliseconds(20), minutes(5));
      mark(fault, a, b, length);
      world_.set_denied(std::move(denied));
      return undo_after(length, [this, gone] {
        auto left = world_.denied();
        for (const auto& pair : gone) left.erase(pair);
        world_.set_denied(std::move(left));
      });
    }
    case Fault::kIdle: {
      const Duration length = rng.between(minutes(1), hours(1));
      mark(fault, a, b, {});
      const auto pause = [this, a = a, b = b](bool paused) {
        for (Flow& flow : world_.flows()) {
          if ((flow.from == a && flow.to == b) || (flow.from == b && flow.to == a)) {
            flow.paused = paused;
            flow.since = world_.queue.now();
          }
        }
      };
      pause(true);
      return undo_after(length, [pause] { pause(false); });
    }
    case Fault::kSlowInstalls: {
      const Duration length = rng.between(seconds(10), minutes(5));
      mark(fault, a, a, length);
      world_.device(a).install_slow = seconds(8);
      return undo_after(length, [this, a = a] { world_.device(a).install_slow = {}; });
    }
    case Fault::kRefusedInstalls: {
      const Duration length = rng.between(seconds(10), minutes(3));
      mark(fault, a, a, length);
      world_.device(a).install_refused_ppm = 200'000;
      return undo_after(length, [this, a = a] { world_.device(a).install_refused_ppm = 0; });
    }
    case Fault::kFlush:
      if (!world_.device(a).running()) return;
      mark(fault, a, a, seconds(1));
      return world_.device(a).flush();
    case Fault::kClockJump:
      mark(fault, a, a, {});
      world_.device(a).clock_offset = rng.between(-hours(24), hours(24));
      return undo_after(rng.between(minutes(1), minutes(20)),
                        [this, a = a] { world_.device(a).clock_offset = {}; });
    case Fault::kRekeyStorm:
      if (!world_.controller().running()) return;
      mark(fault, 0, 0, {});
      return world_.controller().rekey_all();
    case Fault::kStaleRedelivery:
    case Fault::kForgedDim:
    case Fault::kReplayedDim:
    case Fault::kReflectedDim:
    case Fault::kTwistedDim:
      (void)dims(fault, a, b);
      return;
    case Fault::kSpoofedEsp:
    case Fault::kReplayedEsp: {
      if (overheard_.empty()) return;
      Packet packet = overheard_[rng.below(overheard_.size())];
      mark(fault, packet.from, packet.to, {});
      packet.copy = true;
      packet.spoofed = true;
      if (fault == Fault::kSpoofedEsp) {
        packet.key = rng.next();
        packet.sequence += 1 + rng.below(1000);
      }
      return world_.deliver(packet, milliseconds(1));
    }
    case Fault::kCount:
      break;
  }
}

}  // namespace cygnet::sim
