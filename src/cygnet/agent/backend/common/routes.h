// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What the kernel is told: the tunnel device's settings, and routes of an own table that a rule
/// makes apply to every packet without our firewall mark. For a protected prefix an `unreachable`
/// route of worse metric stands behind the one to the tunnel device and stays when that goes, with
/// the agent or without: what policy protects never leaves in clear. Networks of our own get a
/// `throw` route, which sends the lookup on to the other tables. Control thread only.

#include <optional>
#include <string>
#include <vector>

#include "cygnet/agent/backend/common/netlink.h"
#include "cygnet/agent/backend/common/routing_config.h"

namespace cygnet::agent {

inline constexpr ErrorCode kErrNoIpv6{"no-ipv6"};

class Routes {
 public:
  [[nodiscard]] static Result<Routes> open(const RoutingConfig& config);

  /// The rules that make our table apply to every packet without our mark.
  [[nodiscard]] Status add_rules();
  /// The rules; then MTU, queue, no link-local address, up. The kernel is asked to join at most
  /// `segments` packets into one large one for the device (0: as it likes).
  [[nodiscard]] Status set_up(const std::string& tun_name, std::uint32_t mtu, std::uint32_t queue,
                              std::uint32_t segments);
  /// A /128 on the tunnel device. @retval kErrNoIpv6
  [[nodiscard]] Status add_address(const IpAddress& address);
  [[nodiscard]] Status remove_address(const IpAddress& address);

  // One prefix in our table. Adding what is there is no error, nor removing what is not.
  [[nodiscard]] Status block(const IpPrefix& prefix);  ///< the fail-closed route
  [[nodiscard]] Status unblock(const IpPrefix& prefix);
  /// To the tunnel device; packets of this host get `source` when they have none yet.
  [[nodiscard]] Status route(const IpPrefix& prefix, const std::optional<IpAddress>& source);
  [[nodiscard]] Status unroute(const IpPrefix& prefix);
  [[nodiscard]] Status exempt(const IpPrefix& prefix);  ///< the throw route
  [[nodiscard]] Status unexempt(const IpPrefix& prefix);

  /// Routes of the main table for exactly this prefix that are not ours, as text ("via 192.0.2.1
  /// dev eth0"); empty when there is none. A default route is no conflict: the rule goes first.
  [[nodiscard]] Result<std::string> conflict(const IpPrefix& prefix);
  /// Prefixes that have a fail-closed route now, of this run or an earlier one.
  [[nodiscard]] Result<std::vector<IpPrefix>> blocked();
  /// An address of this host inside one of the prefixes, to be the source of its own packets.
  [[nodiscard]] Result<std::optional<IpAddress>> local_address(const std::vector<IpPrefix>& in,
                                                               bool v6);
  /// The source address of packets with our mark to `destination`; nullopt when nothing leads
  /// there.
  [[nodiscard]] std::optional<IpAddress> source_towards(const IpAddress& destination);
  /// True when this host has the address.
  [[nodiscard]] bool is_local(const IpAddress& address);
  /// Packets the kernel dropped before we read them, since the device was made.
  [[nodiscard]] std::uint64_t tun_dropped();

  /// Removes the rules and every route of ours: traffic may leave in clear again.
  [[nodiscard]] Status remove_everything();

 private:
  Routes(Netlink netlink, RoutingConfig config) : netlink_(std::move(netlink)), config_(config) {}

  enum class Kind : std::uint8_t { kTun, kUnreachable, kThrow };
  [[nodiscard]] Status change(Kind kind, const IpPrefix& prefix, bool add,
                              const std::optional<IpAddress>& source);
  [[nodiscard]] Status change_rule(bool v6, bool add);
  struct Entry;
  [[nodiscard]] Result<std::vector<Entry>> list(std::uint32_t table);

  Netlink netlink_;
  RoutingConfig config_;
  std::string tun_name_;
  std::uint32_t tun_index_ = 0;
};

}  // namespace cygnet::agent
