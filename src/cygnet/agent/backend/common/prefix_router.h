// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Which prefixes are ours and which are whose, judged, and told to the kernel's routes and to a
/// data plane in the order that never lets a packet out in clear: the fail-closed route of a prefix
/// comes first and goes last. Every data plane uses it. Control thread only.

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "cygnet/agent/backend/api/backend.h"
#include "cygnet/agent/backend/common/prefix_claims.h"
#include "cygnet/agent/backend/common/routes.h"

namespace cygnet::agent {

inline constexpr ErrorCode kErrRouteConflict{"route-conflict"};
inline constexpr ErrorCode kErrPrefixTaken{"prefix-taken"};
inline constexpr ErrorCode kErrPrefixOwn{"prefix-own"};
inline constexpr ErrorCode kErrPrefixInvalid{"prefix-invalid"};

/// Collects the refusals of several prefixes into one error that names them all.
class Refusals {
 public:
  void add(Error error);
  void add(Status status) {
    if (!status) add(std::move(status).error());
  }
  [[nodiscard]] Status status(const std::string& where) &&;

 private:
  std::optional<Error> first_;
};

/// A data plane's side of it. Called while a PrefixRouter method runs.
class PrefixSink {
 public:
  virtual ~PrefixSink() = default;
  virtual void set_mesh_address(const IpAddress& address) = 0;
  virtual void own_prefix(const IpPrefix& prefix) = 0;
  virtual void give_prefix(const IpPrefix& prefix, proto::PeerId peer) = 0;
  /// Nobody's any more. `fail_closed`: what goes there is still to be refused.
  virtual void take_prefix(const IpPrefix& prefix, bool fail_closed) = 0;
};

class PrefixRouter {
 public:
  /// `sink` outlives the router; the routes are set up already (Routes::set_up).
  PrefixRouter(Routes routes, const RoutingConfig& config, PrefixSink& sink)
      : routes_(std::move(routes)), config_(config), sink_(sink) {}

  /// @retval kErrPrefixInvalid, kErrPrefixOwn, kErrNoIpv6, kErrNetlink
  [[nodiscard]] Status set_self(const SelfConfig& self);
  /// Makes these and the mesh address the peer's prefixes; what is refused is named.
  [[nodiscard]] Status set_peer(const PeerConfig& peer);
  void remove_peer(proto::PeerId peer, bool keep_fail_closed);
  /// Removes fail-closed routes of earlier runs for prefixes that no peer has now.
  [[nodiscard]] Status drop_unclaimed();
  [[nodiscard]] Routes& routes() { return routes_; }

 private:
  [[nodiscard]] Status judge(const IpPrefix& prefix);
  [[nodiscard]] std::optional<IpAddress> source_for(const IpPrefix& prefix);
  /// True when the route of the whole mesh covers it, so that it needs none of its own.
  [[nodiscard]] bool covered(const IpPrefix& prefix) const;
  [[nodiscard]] Status set_mesh_address(const IpAddress& address);
  /// Tells the kernel and the data plane what a change of claims means.
  [[nodiscard]] Status apply(const PrefixClaims::Change& change, bool keep_fail_closed);
  [[nodiscard]] IpPrefix mesh_prefix() const;

  Routes routes_;
  RoutingConfig config_;
  PrefixSink& sink_;
  std::optional<IpAddress> mesh_address_;
  std::set<IpPrefix> own_;
  PrefixClaims claims_;
  std::map<proto::PeerId, std::string> names_;
};

}  // namespace cygnet::agent
