// SPDX-License-Identifier: Apache-2.0
#include "cygnet/controller/core/relay.h"

#include <algorithm>
#include <utility>

#include "cygnet/base/assert.h"

namespace cygnet::controller {
namespace {

const std::vector<Link> kNoLinks;
const std::vector<Endpoint> kNoEndpoints;
const std::vector<policy::PrefixSpec> kNoPrefixes;

}  // namespace

const EdgePolicy kDefaultEdgePolicy;

Relay::Relay(std::shared_ptr<policy::DeviceNames> names, std::string mesh_name, Bytes epoch,
             Position start)
    : names_(std::move(names)),
      mesh_name_(std::move(mesh_name)),
      epoch_(std::move(epoch)),
      head_(std::max<Position>(start, 1)) {}

// ---- Small things.

Relay::Device& Relay::at(DeviceIndex device) {
  CYGNET_ASSERT(device < names_->size());
  if (device >= devices_.size()) devices_.resize(names_->size());
  return devices_[device];
}

const Relay::Device* Relay::get(DeviceIndex device) const {
  return device < devices_.size() ? &devices_[device] : nullptr;
}

Link* Relay::find(Device& device, DeviceIndex peer) {
  std::vector<Link>& links = device.links;
  if (links.empty() || peer < links.front().peer) return nullptr;
  // Peers rise and differ, so this one stands at most as far from the first as the numbers are
  // apart; in a group whose members all hear each other exactly there, or one before.
  std::size_t end = std::min<std::size_t>(links.size(), peer - links.front().peer + 1);
  for (int guesses = 0; guesses < 2 && end > 0; ++guesses, --end) {
    if (links[end - 1].peer == peer) return &links[end - 1];
  }
  const auto last = links.begin() + static_cast<std::ptrdiff_t>(end);
  const auto it = std::lower_bound(links.begin(), last, peer,
                                   [](const Link& l, DeviceIndex p) { return l.peer < p; });
  return it != last && it->peer == peer ? &*it : nullptr;
}

std::string Relay::full_name(DeviceIndex device) const {
  return names_->name(device) + "." + mesh_name_;
}

Position Relay::position_for(const Link& link) const {
  if (link.removed) return link.since;
  const Device& peer = devices_[link.peer];
  if (link.asleep) return std::max(link.since, peer.prefixes_at);
  return std::max({link.since, peer.dim_at, peer.endpoints_at, peer.prefixes_at});
}

bool Relay::missing(const Link& link) const {
  if (link.removed || link.asleep) return false;
  const Device& peer = devices_[link.peer];
  return peer.dim.has_value() && link.acked != peer.counter;
}

void Relay::wake(Device& device, DeviceIndex index) {
  if (!device.session || device.session->woken) return;
  device.session->woken = true;
  woken_.push_back(index);
}

void Relay::touch(Device& device) {
  for (auto& octets : device.encoded) octets.reset();
  device.alone.reset();
}

std::vector<DeviceIndex> Relay::take_woken() { return std::exchange(woken_, {}); }

/// Drops entries that a newer one of the same peer has replaced, once they could outnumber the
/// peers: what waits for a slow device is bounded by its number of peers (latest wins).
void Relay::compact(std::deque<QueueEntry>& queue, std::size_t bound, const Device& device,
                    Position Link::*field) {
  if (queue.size() <= 2 * bound + 16) return;
  std::erase_if(queue, [&](const QueueEntry& entry) {
    const Link* link = find(const_cast<Device&>(device), entry.peer);
    return link == nullptr || link->*field != entry.key;
  });
}

void Relay::enqueue(Device& device, DeviceIndex index, Link& link, Position key) {
  if (!device.session) return;
  if (link.queued != 0) ++stats_.coalesced;
  link.queued = key;
  device.session->queue.push_back({key, link.peer});
  compact(device.session->queue, device.links.size(), device, &Link::queued);
  wake(device, index);
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-3
//# The controller forwards the DH public value to all authorized peers
void Relay::changed(DeviceIndex index, Position position, ChangePart part) {
  Device& device = at(index);
  touch(device);
  for (const Link& own : device.links) {
    if (own.removed) continue;
    Device& peer = devices_[own.peer];
    if (!peer.session) continue;
    Link* link = find(peer, index);
    CYGNET_ASSERT(link != nullptr);
    if (!link->asleep || part == kPartPrefixes) enqueue(peer, own.peer, *link, position);
  }
}

void Relay::advance(Position position) {
  CYGNET_ASSERT(position >= head_);
  head_ = position;
}

// ---- The log.

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-6
//# The controller then distributes the DIM to all authorized peers of that device.
void Relay::set_dim(DeviceIndex index, RelayedDim dim, proto::RekeyCounter counter,
                    Position position, Timestamp now) {
  advance(position);
  Device& device = at(index);
  device.dim = std::move(dim);
  device.counter = counter;
  device.dim_at = position;
  touch(device);
  std::uint32_t attached = 0;
  std::uint32_t unattached = 0;
  // One walk over the peers: finding a device in a peer's list is what most of this costs.
  for (const Link& own : device.links) {
    if (own.removed) continue;
    Device& peer = devices_[own.peer];
    Link* link = find(peer, index);
    CYGNET_ASSERT(link != nullptr);
    if (missing(*link)) ++(peer.session ? attached : unattached);
    if (peer.session && !link->asleep) enqueue(peer, own.peer, *link, position);
  }
  marks_.begin(index, counter, attached, unattached, now);
}

void Relay::drop_dim(DeviceIndex index) {
  Device& device = at(index);
  device.dim.reset();
  touch(device);
  marks_.end(index);
}

void Relay::refresh_certificate(DeviceIndex index, SharedOctets certificate) {
  Device& device = at(index);
  if (!device.dim) return;
  device.dim->certificate = std::move(certificate);
  touch(device);
}

void Relay::set_endpoints(DeviceIndex index, std::vector<Endpoint> endpoints, Position position) {
  advance(position);
  Device& device = at(index);
  if (device.endpoints == endpoints) return;
  device.endpoints = std::move(endpoints);
  device.endpoints_at = position;
  changed(index, position, kPartEndpoints);
}

void Relay::set_prefixes(DeviceIndex index, std::vector<policy::PrefixSpec> prefixes,
                         Position position) {
  advance(position);
  Device& device = at(index);
  const auto same = [](const policy::PrefixSpec& a, const policy::PrefixSpec& b) {
    return a.net == b.net && a.priority == b.priority;
  };
  if (std::equal(device.prefixes.begin(), device.prefixes.end(), prefixes.begin(), prefixes.end(),
                 same)) {
    return;
  }
  device.prefixes = std::move(prefixes);
  device.prefixes_at = position;
  changed(index, position, kPartPrefixes);
}

void Relay::put_edge(DeviceIndex a, DeviceIndex b, EdgePolicy policy, Position position,
                     Timestamp now) {
  CYGNET_ASSERT(a != b);
  advance(position);
  at(std::max(a, b));  // both exist before references are taken
  const EdgePolicy* const shared = &*policies_.insert(policy).first;
  const bool sleeps = policy.on_demand && !is_told(a, b);
  for (const auto& [self, other] : {std::pair{a, b}, std::pair{b, a}}) {
    Device& device = at(self);
    auto it = std::lower_bound(device.links.begin(), device.links.end(), other,
                               [](const Link& l, DeviceIndex p) { return l.peer < p; });
    if (it == device.links.end() || it->peer != other) {
      it = device.links.insert(it, Link{});
      it->peer = other;
      // Not part of a snapshot under way: it follows in the queue like any change.
      it->sent = 1;
    } else if (!it->removed && *it->policy == policy) {
      continue;
    }
    const bool was_there = !it->removed && it->since != 0;
    it->removed = false;
    it->policy = shared;
    // "An edge that policy adds at position p counts as if both DIMs were written at p."
    it->since = position;
    if (was_there) {
      sleeps ? put_to_sleep(device, *it, now) : awaken(device, *it, now);
    } else {
      it->asleep = sleeps;
      it->acked = {};
      if (missing(*it)) {
        marks_.missing_changed(other, device.session ? 1 : 0, device.session ? 0 : 1, now);
      }
    }
    enqueue(device, self, *it, position);
  }
}

void Relay::remove_edge(DeviceIndex a, DeviceIndex b, Position position, ServerTime wall,
                        Timestamp now) {
  advance(position);
  at(std::max(a, b));
  for (const auto& [self, other] : {std::pair{a, b}, std::pair{b, a}}) {
    Device& device = at(self);
    Link* link = find(device, other);
    if (link == nullptr || link->removed) continue;
    if (missing(*link)) {
      marks_.missing_changed(other, device.session ? -1 : 0, device.session ? 0 : -1, now);
    }
    link->removed = true;
    link->since = position;
    link->removed_at = wall;
    link->unacked = 0;
    link->told = {};
    link->acked = {};
    enqueue(device, self, *link, position);
  }
}

void Relay::resend(DeviceIndex index, DeviceIndex peer, Position position) {
  advance(position);
  Device& device = at(index);
  Link* link = find(device, peer);
  if (link == nullptr || link->removed || !device.session) return;
  if (link->sent > 1) link->sent = 1;
  enqueue(device, index, *link, position);
}

std::size_t Relay::drop_tombstones(ServerTime before) {
  std::size_t dropped = 0;
  for (Device& device : devices_) {
    dropped += std::erase_if(device.links, [&](const Link& link) {
      return link.removed && link.removed_at < before && link.queued == 0;
    });
  }
  return dropped;
}

// ---- Views.

const std::vector<Link>& Relay::links(DeviceIndex device) const {
  const Device* d = get(device);
  return d != nullptr ? d->links : kNoLinks;
}

const Link* Relay::find_link(DeviceIndex device, DeviceIndex peer) const {
  const Device* d = get(device);
  return d != nullptr ? find(const_cast<Device&>(*d), peer) : nullptr;
}

bool Relay::edge(DeviceIndex a, DeviceIndex b) const {
  const Link* link = find_link(a, b);
  return link != nullptr && !link->removed;
}

std::optional<proto::RekeyCounter> Relay::counter_of(DeviceIndex device) const {
  const Device* d = get(device);
  if (d == nullptr || !d->dim) return std::nullopt;
  return d->counter;
}

const RelayedDim* Relay::dim_of(DeviceIndex device) const {
  const Device* d = get(device);
  return d != nullptr && d->dim ? &*d->dim : nullptr;
}

const std::vector<Endpoint>& Relay::endpoints_of(DeviceIndex device) const {
  const Device* d = get(device);
  return d != nullptr ? d->endpoints : kNoEndpoints;
}

const std::vector<policy::PrefixSpec>& Relay::prefixes_of(DeviceIndex device) const {
  const Device* d = get(device);
  return d != nullptr ? d->prefixes : kNoPrefixes;
}

Position Relay::acknowledged_cursor(DeviceIndex device) const {
  const Device* d = get(device);
  return d != nullptr ? d->acknowledged : 0;
}

Position Relay::session_cursor(DeviceIndex device) const {
  const Device* d = get(device);
  return d != nullptr && d->session ? d->session->cursor : 0;
}

std::size_t Relay::backlog(DeviceIndex device) const {
  const Device* d = get(device);
  return d != nullptr && d->session ? d->session->queue.size() : 0;
}

bool Relay::attached(DeviceIndex device) const {
  const Device* d = get(device);
  return d != nullptr && d->session != nullptr;
}

std::optional<SessionId> Relay::session_of(DeviceIndex device) const {
  const Device* d = get(device);
  if (d == nullptr || !d->session) return std::nullopt;
  return d->session->id;
}

std::vector<DeviceIndex> Relay::acknowledged_by(DeviceIndex device) const {
  std::vector<DeviceIndex> out;
  const Device* d = get(device);
  if (d == nullptr || !d->dim) return out;
  for (const Link& own : d->links) {
    if (own.removed) continue;
    const Link* link = find_link(own.peer, device);
    if (link != nullptr && !link->removed && link->acked == d->counter) out.push_back(own.peer);
  }
  return out;
}

}  // namespace cygnet::controller
