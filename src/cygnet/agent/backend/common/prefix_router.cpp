// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/backend/common/prefix_router.h"

#include <algorithm>
#include <utility>

#include "cygnet/agent/backend/api/ip_text.h"

namespace cygnet::agent {
namespace {

// docs/protocol.md section 2: the mesh id fills the first 64 bits of every mesh address.
constexpr std::uint8_t kMeshPrefixLength = 64;

bool never_routed(const IpPrefix& prefix) {
  const auto& o = prefix.address.octets;
  if (prefix.length == 0) return false;
  if (!prefix.address.is_v6) return o[0] == 127 || o[0] >= 224 || (o[0] == 169 && o[1] == 254);
  const bool loopback =
      prefix.length == 128 && masked({prefix.address, 127}).address == IpAddress{true, {}};
  return o[0] == 0xff || (o[0] == 0xfe && (o[1] & 0xc0) == 0x80) || loopback;
}

std::vector<IpPrefix> unique(std::vector<IpPrefix> prefixes) {
  std::sort(prefixes.begin(), prefixes.end());
  prefixes.erase(std::unique(prefixes.begin(), prefixes.end()), prefixes.end());
  return prefixes;
}

}  // namespace

void Refusals::add(Error error) {
  if (!first_) {
    first_ = std::move(error);
  } else {
    first_->message += "; " + error.message;
  }
}

Status Refusals::status(const std::string& where) && {
  if (!first_) return {};
  first_->where = where;
  return fail(std::move(*first_));
}

IpPrefix PrefixRouter::mesh_prefix() const {
  return masked({mesh_address_.value_or(IpAddress{true, {}}), kMeshPrefixLength});
}

bool PrefixRouter::covered(const IpPrefix& prefix) const {
  return mesh_address_ && prefix.length == 128 && contains(mesh_prefix(), prefix.address);
}

Status PrefixRouter::set_mesh_address(const IpAddress& address) {
  if (mesh_address_ == address) return {};
  if (mesh_address_) {
    const IpPrefix old{*mesh_address_, address_bits(*mesh_address_)};
    CYGNET_CHECK_OK(routes_.remove_address(*mesh_address_));
    sink_.take_prefix(old, false);
    if (!contains(mesh_prefix(), address)) {
      CYGNET_CHECK_OK(routes_.unroute(mesh_prefix()));
      CYGNET_CHECK_OK(routes_.unblock(mesh_prefix()));
    }
  }
  mesh_address_ = address;
  sink_.set_mesh_address(address);
  sink_.own_prefix({address, address_bits(address)});
  CYGNET_CHECK_OK(routes_.add_address(address));
  // One pair of routes for the whole mesh; which address is whose the data plane knows.
  CYGNET_CHECK_OK(routes_.block(mesh_prefix()));
  return routes_.route(mesh_prefix(), address);
}

Status PrefixRouter::set_self(const SelfConfig& self) {
  if (!self.mesh_address.is_v6) {
    return fail(kErrPrefixInvalid, "the mesh address is not IPv6", to_string(self.mesh_address));
  }
  Refusals refusals;
  refusals.add(set_mesh_address(self.mesh_address));
  std::set<IpPrefix> wanted;
  for (const IpPrefix& prefix : self.prefixes) wanted.insert(masked(prefix));
  for (const IpPrefix& prefix : own_) {
    if (wanted.contains(prefix)) continue;
    sink_.take_prefix(prefix, false);
    refusals.add(routes_.unexempt(prefix));
  }
  for (const IpPrefix& prefix : wanted) {
    if (own_.contains(prefix)) continue;
    if (claims_.claimed(prefix)) {
      refusals.add(Error{kErrPrefixOwn,
                         to_string(prefix) + " belongs to a peer",
                         {},
                         "take it from the peer first"});
      continue;
    }
    sink_.own_prefix(prefix);
    refusals.add(routes_.exempt(prefix));
  }
  std::erase_if(wanted, [&](const IpPrefix& prefix) { return claims_.claimed(prefix); });
  own_ = std::move(wanted);
  return std::move(refusals).status("own prefixes");
}

Status PrefixRouter::judge(const IpPrefix& prefix) {
  if (prefix.length > address_bits(prefix.address) || masked(prefix) != prefix ||
      never_routed(prefix)) {
    return fail(kErrPrefixInvalid, to_string(prefix) + " cannot be routed to a peer", {},
                "correct the prefix in the policy");
  }
  if (own_.contains(prefix)) {
    return fail(kErrPrefixOwn, to_string(prefix) + " is this device's own", {},
                "give the prefix to one device only");
  }
  // What is claimed already was judged, and our own routes must not be taken for another's.
  if (config_.override_conflicts || claims_.claimed(prefix)) return {};
  CYGNET_TRY(const std::string conflict, routes_.conflict(prefix));
  if (conflict.empty()) return {};
  return fail(kErrRouteConflict,
              to_string(prefix) + " has a route that is not Cygnet's (" + conflict + ")", {},
              "remove that route, or set routing.override_conflicts");
}

std::optional<IpAddress> PrefixRouter::source_for(const IpPrefix& prefix) {
  const bool v6 = prefix.address.is_v6;
  const auto local = routes_.local_address({own_.begin(), own_.end()}, v6);
  if (local && *local) return *local;
  return v6 ? mesh_address_ : std::nullopt;
}

Status PrefixRouter::apply(const PrefixClaims::Change& change, bool keep_fail_closed) {
  Refusals refusals;
  for (const IpPrefix& prefix : change.freed) {
    if (!covered(prefix)) refusals.add(routes_.unroute(prefix));
    sink_.take_prefix(prefix, keep_fail_closed);
    if (!covered(prefix) && !keep_fail_closed) refusals.add(routes_.unblock(prefix));
  }
  for (const auto& given : change.given) {
    // What policy protects never leaves in clear: the fail-closed route comes first.
    if (given.fresh && !covered(given.prefix)) refusals.add(routes_.block(given.prefix));
    sink_.give_prefix(given.prefix, given.peer);
    if (given.fresh && !covered(given.prefix)) {
      refusals.add(routes_.route(given.prefix, source_for(given.prefix)));
    }
  }
  for (const auto& waiting : change.waiting) {
    refusals.add(Error{kErrPrefixTaken,
                       to_string(waiting.prefix) + " is " + names_[waiting.holder] + "'s",
                       {},
                       "give the prefix to one device only"});
  }
  return std::move(refusals).status("");
}

Status PrefixRouter::set_peer(const PeerConfig& peer) {
  Refusals refusals;
  names_[peer.peer] = peer.name;
  std::vector<IpPrefix> wanted;
  for (const IpPrefix& prefix : unique(peer.prefixes)) {
    if (auto status = judge(prefix); status) {
      wanted.push_back(prefix);
    } else {
      refusals.add(std::move(status).error());
    }
  }
  wanted.push_back({peer.mesh_address, address_bits(peer.mesh_address)});
  refusals.add(apply(claims_.update(peer.peer, unique(wanted)), false));
  return std::move(refusals).status("peer " + peer.name);
}

void PrefixRouter::remove_peer(proto::PeerId peer, bool keep_fail_closed) {
  // A route that cannot be removed leads to a device that drops the packet: nothing leaks.
  static_cast<void>(apply(claims_.update(peer, {}), keep_fail_closed));
  names_.erase(peer);
}

Status PrefixRouter::drop_unclaimed() {
  CYGNET_TRY(const std::vector<IpPrefix> blocked, routes_.blocked());
  for (const IpPrefix& prefix : blocked) {
    if (claims_.claimed(prefix) || (mesh_address_ && prefix == mesh_prefix())) continue;
    CYGNET_CHECK_OK(routes_.unblock(prefix));
  }
  return {};
}

}  // namespace cygnet::agent
