// SPDX-License-Identifier: Apache-2.0
// Sessions of the relay: cursors, updates, acknowledgements.
#include <algorithm>

#include "cygnet/base/assert.h"
#include "cygnet/controller/core/relay.h"

namespace cygnet::controller {

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-A.2
//# The controller protocol MUST provide for adequate synchronization of the state.
bool Relay::attach(DeviceIndex index, SessionId id, std::optional<Resume> resume, Timestamp now,
                   const std::vector<DeviceIndex>& held) {
  Device& device = at(index);
  if (device.session) detach(index, now);
  const bool honoured =
      resume && equal(resume->epoch, epoch_) && resume->position >= 1 && resume->position <= head_;
  awaken_held(index, held, now);
  device.session = std::make_unique<Session>();
  Session& session = *device.session;
  session.id = id;
  session.cursor = honoured ? resume->position : 0;
  session.snapshot = !honoured;
  session.snapshot_left = honoured ? 0 : device.links.size();
  session.revocations_due = false;  // Welcome carries them
  device.settings_due.reset();      // and the settings

  for (Link& link : device.links) {
    link.queued = 0;
    link.unacked = 0;
    // This peer's DIM was missing at an unattached device and is now missing at an attached one.
    if (missing(link)) marks_.missing_changed(link.peer, +1, -1, now);
    const Position position = position_for(link);
    if (honoured) {
      // All about a peer that changed since, not only the parts that did: an earlier part may have
      // waited in the queue and moved, with the later one, past the cursor the device was told.
      link.sent = position > session.cursor ? 1 : session.cursor;
      if (position > session.cursor) {
        link.queued = position;
        session.queue.push_back({position, link.peer});
      } else if (missing(link)) {
        // It holds this DIM already; its next Ack says whether the SAs are there.
        link.unacked = session.cursor;
        link.told = devices_[link.peer].counter;
        session.unacked.push_back({session.cursor, link.peer});
      }
    } else {
      // A device without a cursor lost its peer table: what it acknowledged counts no more.
      link.sent = 0;
      if (!missing(link) && !link.removed && !link.asleep && devices_[link.peer].dim) {
        link.acked = {};
        marks_.missing_changed(link.peer, +1, 0, now);
      }
      link.queued = position;
      session.queue.push_back({position, link.peer});
    }
  }
  if (!honoured) device.acknowledged = 0;
  std::sort(session.queue.begin(), session.queue.end(), [](const auto& a, const auto& b) {
    return std::pair(a.key, a.peer) < std::pair(b.key, b.peer);
  });
  marks_.listener_attached(index, acknowledged_by(index), now);
  wake(device, index);
  return honoured;
}

void Relay::detach(DeviceIndex index, Timestamp now) {
  Device& device = at(index);
  if (!device.session) return;
  for (Link& link : device.links) {
    link.queued = 0;
    link.unacked = 0;
    if (missing(link)) marks_.missing_changed(link.peer, -1, +1, now);
  }
  device.session.reset();
  marks_.listener_detached(index);
}

void Relay::set_settings(DeviceIndex index, SharedOctets settings) {
  Device& device = at(index);
  if (!device.session) return;
  device.settings_due = std::move(settings);
  wake(device, index);
}

void Relay::set_revocations(SharedOctets revocations) {
  revocations_ = std::move(revocations);
  for (DeviceIndex index = 0; index < devices_.size(); ++index) {
    Device& device = devices_[index];
    if (!device.session) continue;
    device.session->revocations_due = true;
    wake(device, index);
  }
}

bool Relay::has_update(DeviceIndex index) const {
  const Device* device = get(index);
  if (device == nullptr || !device->session) return false;
  const Session& session = *device->session;
  if (session.greeting || session.snapshot || session.revocations_due || device->settings_due) {
    return true;
  }
  return std::any_of(session.queue.begin(), session.queue.end(), [&](const QueueEntry& entry) {
    const Link* link = find_link(index, entry.peer);
    return link != nullptr && link->queued == entry.key;
  });
}

std::uint8_t Relay::parts_for(const Link& link, const Device& peer) const {
  if (link.asleep) return kPartPrefixes;
  if (link.since > link.sent) return kPartsAll;
  std::uint8_t parts = 0;
  if (peer.dim_at > link.sent) parts |= kPartDim;
  if (peer.endpoints_at > link.sent) parts |= kPartEndpoints;
  if (peer.prefixes_at > link.sent) parts |= kPartPrefixes;
  return parts;
}

SharedOctets Relay::encoded_change(DeviceIndex index, const Link& link, std::uint8_t parts) {
  Device& device = devices_[index];
  if (link.removed) {
    if (!device.encoded_removal) {
      device.encoded_removal = std::make_shared<const Bytes>(encode_removal(full_name(index)));
    }
    return device.encoded_removal;
  }
  // The pair's policy travels with everything there is to tell and with nothing less; most pairs
  // have the default one and so share the octets.
  const bool whole = parts == kPartsAll || link.asleep;
  const bool plain = !whole || *link.policy == kDefaultEdgePolicy;
  SharedOctets& cached = device.encoded[parts];
  if (plain && cached) return cached;
  const PairPolicyValue pair{link.policy->on_demand, link.policy->via};
  auto octets = std::make_shared<const Bytes>(encode_change(
      full_name(index), (parts & kPartDim) != 0 && device.dim ? &*device.dim : nullptr,
      (parts & kPartEndpoints) != 0 ? &device.endpoints : nullptr,
      (parts & kPartPrefixes) != 0 ? &device.prefixes : nullptr, whole ? &pair : nullptr));
  if (plain) cached = octets;
  return octets;
}

SharedOctets Relay::next_update(DeviceIndex index, std::size_t size_max) {
  Device& device = at(index);
  if (!device.session) return nullptr;
  device.session->woken = false;
  if (!has_update(index)) return nullptr;
  Session& session = *device.session;

  UpdateTail tail;
  tail.epoch = epoch_;
  std::vector<SharedOctets>& changes = changes_;  // room that is there already
  std::vector<Link*>& told = told_;
  changes.clear();
  told.clear();
  std::size_t size = 0;
  std::uint8_t alone_parts = 0;
  while (!session.queue.empty()) {
    const QueueEntry entry = session.queue.front();
    Link* link = find(device, entry.peer);
    if (link == nullptr || link->queued != entry.key) {
      session.queue.pop_front();
      continue;
    }
    if (size >= size_max && !changes.empty()) break;
    const std::uint8_t parts = parts_for(*link, devices_[entry.peer]);
    SharedOctets octets = encoded_change(entry.peer, *link, parts);
    if (!changes.empty() && size + octets->size() > size_max) break;
    session.queue.pop_front();
    size += octets->size();
    alone_parts = parts;
    if (link->sent == 0 && session.snapshot_left > 0) --session.snapshot_left;
    link->queued = 0;
    link->sent = std::max(link->sent, entry.key);
    changes.push_back(std::move(octets));
    told.push_back(link);
    ++stats_.deliveries;
  }
  // Everything with a key below the front's has been told; several changes may share a position.
  const Position reached = session.queue.empty() ? head_ : session.queue.front().key - 1;
  session.cursor = std::max(session.cursor, reached);
  tail.position = session.cursor;
  for (Link* link : told) {
    if (link->removed || link->asleep || !devices_[link->peer].dim) continue;
    link->unacked = session.cursor;
    link->told = devices_[link->peer].counter;
    session.unacked.push_back({session.cursor, link->peer});
  }
  compact(session.unacked, device.links.size(), device, &Link::unacked);

  if (session.snapshot) {
    tail.snapshot_begin = !session.snapshot_begun;
    session.snapshot_begun = true;
    if (session.snapshot_left == 0 || session.queue.empty()) {
      tail.snapshot_end = true;
      session.snapshot = false;
    }
  }
  const bool bare = !session.greeting && !tail.snapshot_begin && !tail.snapshot_end &&
                    !session.snapshot && !device.settings_due && !session.revocations_due;
  session.greeting = false;
  if (device.settings_due) tail.settings = *device.settings_due;
  if (session.revocations_due && revocations_) tail.revocations = *revocations_;

  SharedOctets message;
  if (bare && changes.size() == 1 && *told.front()->policy == kDefaultEdgePolicy &&
      !told.front()->removed) {
    Device& peer = devices_[told.front()->peer];
    if (peer.alone && peer.alone_cursor == tail.position && peer.alone_parts == alone_parts) {
      ++stats_.shared_messages;
    } else {
      peer.alone = pool_.make([&](Bytes& out) { encode_update(changes, tail, out); });
      peer.alone_cursor = tail.position;
      peer.alone_parts = alone_parts;
    }
    message = peer.alone;
  } else {
    message = pool_.make([&](Bytes& out) { encode_update(changes, tail, out); });
  }
  device.settings_due.reset();
  session.revocations_due = false;
  changes.clear();
  return message;
}

void Relay::mark_acknowledged(DeviceIndex index, Link& link, Timestamp now) {
  const bool was_missing = missing(link);
  link.acked = link.told;
  if (was_missing && !missing(link)) {
    marks_.acknowledged(link.peer, index, devices_[index].session != nullptr, now);
  }
  const Link* const back = find(devices_[link.peer], index);
  if (back != nullptr && back->asleep) wanted_.emplace_back(link.peer, index);
}

bool Relay::acknowledge(DeviceIndex index, ByteView epoch, Position cursor,
                        const std::vector<PendingPeer>& pending, Timestamp now) {
  Device& device = at(index);
  if (!device.session || !equal(epoch, epoch_)) return false;
  Session& session = *device.session;
  if (cursor > session.cursor) return false;  // never told

  std::vector<PendingPeer> named = pending;
  std::sort(named.begin(), named.end(),
            [](const PendingPeer& a, const PendingPeer& b) { return a.peer < b.peer; });
  const auto is_pending = [&](const Link& link) {
    const auto it =
        std::lower_bound(named.begin(), named.end(), link.peer,
                         [](const PendingPeer& p, DeviceIndex peer) { return p.peer < peer; });
    return it != named.end() && it->peer == link.peer && it->counter == link.told;
  };
  // What was pending and is named no more has been installed since.
  for (const PendingPeer& before : session.pending) {
    Link* link = find(device, before.peer);
    if (link == nullptr || link->removed || link->unacked != 0) continue;
    if (link->told == before.counter && !is_pending(*link)) mark_acknowledged(index, *link, now);
  }
  while (!session.unacked.empty() && session.unacked.front().key <= cursor) {
    const QueueEntry entry = session.unacked.front();
    session.unacked.pop_front();
    Link* link = find(device, entry.peer);
    if (link == nullptr || link->removed || link->unacked != entry.key) continue;
    link->unacked = 0;
    if (!is_pending(*link)) mark_acknowledged(index, *link, now);
  }
  session.pending = std::move(named);
  device.acknowledged = std::max(device.acknowledged, cursor);
  return true;
}

}  // namespace cygnet::controller
