// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/backend/userspace/peer_table.h"

#include <algorithm>

#include "cygnet/base/assert.h"

namespace cygnet::agent::userspace {

SaPair* Peer::find(proto::SaPairId pair) {
  for (const auto& candidate_pair : pairs) {
    if (candidate_pair->id == pair) return candidate_pair.get();
  }
  return nullptr;
}

void Peer::reset_endpoint() {
  if (endpoint_learned) return;
  candidate = 0;
  endpoint = candidates.empty() ? OuterAddress() : OuterAddress(candidates.front());
}

Peer& PeerTable::set(proto::PeerId id, std::string name, const IpAddress& mesh_address,
                     std::vector<UdpEndpoint> candidates) {
  std::unique_ptr<Peer>& slot = peers_[id];
  if (slot == nullptr) {
    slot = std::make_unique<Peer>();
    slot->id = id;
    auto free = std::find(by_owner_.begin(), by_owner_.end(), nullptr);
    if (free == by_owner_.end()) free = by_owner_.insert(free, nullptr);
    *free = slot.get();
    slot->owner = kFirstPeer + static_cast<PrefixTable::Owner>(free - by_owner_.begin());
  }
  slot->name = std::move(name);
  slot->mesh_address = mesh_address;
  if (slot->candidates != candidates) {
    slot->candidates = std::move(candidates);
    slot->reset_endpoint();
  }
  return *slot;
}

Peer* PeerTable::find(proto::PeerId id) {
  const auto it = peers_.find(id);
  return it == peers_.end() ? nullptr : it->second.get();
}

void PeerTable::erase(proto::PeerId id) {
  const auto it = peers_.find(id);
  if (it == peers_.end()) return;
  by_owner_[it->second->owner - kFirstPeer] = nullptr;
  peers_.erase(it);
}

void PeerTable::give_prefix(const IpPrefix& prefix, proto::PeerId id) {
  const Peer* const peer = find(id);
  CYGNET_ASSERT(peer != nullptr);
  prefixes_.set(prefix, peer->owner);
}

Peer* PeerTable::owner(const IpAddress& address) {
  const PrefixTable::Owner owner = prefixes_.find(address);
  return owner < kFirstPeer ? nullptr : by_owner_[owner - kFirstPeer];
}

}  // namespace cygnet::agent::userspace
