// SPDX-License-Identifier: Apache-2.0
#include "cygnet/sim/backend.h"

#include <algorithm>

#include "cygnet/base/assert.h"

namespace cygnet::sim {
namespace {

template <class List>
auto find_in(List& list, proto::SaPairId id) {
  const auto it = std::lower_bound(list.begin(), list.end(), id,
                                   [](const SimSa& sa, proto::SaPairId i) { return sa.id < i; });
  return it != list.end() && it->id == id ? &*it : nullptr;
}

}  // namespace

TrafficCounts& TrafficCounts::operator+=(const TrafficCounts& t) {
  sent += t.sent;
  delivered += t.delivered;
  not_known += t.not_known;
  held_dropped += t.held_dropped;
  no_choice += t.no_choice;
  network += t.network;
  no_sa += t.no_sa;
  bad_icv += t.bad_icv;
  replay += t.replay;
  sender_down += t.sender_down;
  return *this;
}

SimSa* SimPeer::find(proto::SaPairId id) { return find_in(pairs, id); }
const SimSa* SimPeer::find(proto::SaPairId id) const { return find_in(pairs, id); }

SimPeer& SimBackend::set_peer(proto::PeerId id, DeviceId device) {
  CYGNET_ASSERT(id.value() > 0);
  if (peers_.size() < id.value()) peers_.resize(id.value());
  SimPeer& peer = peers_[id.value() - 1];
  peer.device = device;
  peer.present = true;
  return peer;
}

SimPeer* SimBackend::peer(proto::PeerId id) {
  if (id.value() == 0 || id.value() > peers_.size()) return nullptr;
  return &peers_[id.value() - 1];
}
const SimPeer* SimBackend::peer(proto::PeerId id) const {
  if (id.value() == 0 || id.value() > peers_.size()) return nullptr;
  return &peers_[id.value() - 1];
}

void SimBackend::install(proto::PeerId id, proto::SaPairId pair, PairKeys keys) {
  SimPeer* const p = peer(id);
  CYGNET_ASSERT(p != nullptr);
  const auto it = std::lower_bound(p->pairs.begin(), p->pairs.end(), pair,
                                   [](const SimSa& sa, proto::SaPairId i) { return sa.id < i; });
  SimSa sa;
  sa.id = pair;
  sa.keys = keys;
  if (it != p->pairs.end() && it->id == pair) {
    *it = std::move(sa);  // only a planted fault comes here
  } else {
    p->pairs.insert(it, std::move(sa));
  }
}

bool SimBackend::remove(proto::PeerId id, proto::SaPairId pair, bool inbound) {
  SimPeer* const p = peer(id);
  SimSa* const sa = p == nullptr ? nullptr : p->find(pair);
  if (sa == nullptr) return false;
  bool& there = inbound ? sa->inbound : sa->outbound;
  const bool was = there;
  there = false;
  if (!inbound && p->chosen == pair) p->chosen.reset();
  if (!sa->inbound && !sa->outbound) p->pairs.erase(p->pairs.begin() + (sa - p->pairs.data()));
  return was;
}

void SimBackend::remove_peer(proto::PeerId id) {
  SimPeer* const p = peer(id);
  if (p == nullptr) return;
  p->present = false;
  p->pairs.clear();
  p->chosen.reset();
  p->held.clear();
  p->sent_user = false;
}

}  // namespace cygnet::sim
