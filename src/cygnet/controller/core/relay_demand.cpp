// SPDX-License-Identifier: Apache-2.0
// On-demand edges: who is told whose DIM once one of the two wants the other (protocol
// section 7.7).
//
// An edge sleeps on both sides. A wish of A's wakes B's side first: B is told A's DIM. Only when B
// has acknowledged it, A's side wakes and A is told B's: the SAs that A's first packet comes in on
// are there before it can be sent. What is awake stays so, and an edge that was permanent and told
// is awake. Nothing of this is stored: a device says in Hello whose DIMs it holds, and for those
// both sides are awake again.
#include <algorithm>

#include "cygnet/controller/core/relay.h"

namespace cygnet::controller {

/// Whether one of the two has been told the other's DIM: then policy that makes the edge on-demand
/// comes too late. Not so while a stored log is replayed, whatever versions of the policy it has.
bool Relay::is_told(DeviceIndex a, DeviceIndex b) const {
  const auto told = [this](DeviceIndex device, DeviceIndex peer) {
    const Link* const link = find_link(device, peer);
    return link != nullptr && !link->removed && link->told != proto::RekeyCounter();
  };
  return told(a, b) || told(b, a);
}

void Relay::put_to_sleep(const Device& device, Link& link, Timestamp now) {
  if (link.asleep) return;
  const bool attached = device.session != nullptr;
  if (missing(link)) marks_.missing_changed(link.peer, attached ? -1 : 0, attached ? 0 : -1, now);
  link.asleep = true;
}

void Relay::awaken(const Device& device, Link& link, Timestamp now) {
  if (!link.asleep) return;
  link.asleep = false;
  if (!missing(link)) return;
  const bool attached = device.session != nullptr;
  marks_.missing_changed(link.peer, attached ? 1 : 0, attached ? 0 : 1, now);
}

void Relay::tell_all(DeviceIndex index, Link& link, Position position, Timestamp now) {
  Device& device = devices_[index];
  awaken(device, link, now);
  // As if the edge were new: a cursor from before knows nothing of the peer's DIM.
  link.since = position;
  enqueue(device, index, link, position);
}

void Relay::want(DeviceIndex index, DeviceIndex peer, Position position, Timestamp now) {
  Link* const ours = find(at(index), peer);
  if (ours == nullptr || ours->removed) return advance(position);
  Link* const theirs = find(devices_[peer], index);
  if (!ours->asleep && !theirs->asleep) return resend(index, peer, position);
  advance(position);
  if (theirs->asleep) tell_all(peer, *theirs, position, now);
  const Device& device = devices_[index];
  if (ours->asleep && device.dim && theirs->acked == device.counter) {
    tell_all(index, *ours, position, now);
  }
}

void Relay::awaken_held(DeviceIndex index, const std::vector<DeviceIndex>& held, Timestamp now) {
  if (held.empty()) return;
  Device& device = devices_[index];
  for (Link& link : device.links) {
    if (link.removed || !std::binary_search(held.begin(), held.end(), link.peer)) continue;
    awaken(device, link, now);
    // That peer may hold nothing of ours.
    if (find(devices_[link.peer], index)->asleep) wanted_.emplace_back(index, link.peer);
  }
}

std::vector<std::pair<DeviceIndex, DeviceIndex>> Relay::take_wanted() {
  return std::exchange(wanted_, {});
}

}  // namespace cygnet::controller
