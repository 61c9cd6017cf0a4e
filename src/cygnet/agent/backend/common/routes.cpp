// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/backend/common/routes.h"

#include <libmnl/libmnl.h>
#include <linux/fib_rules.h>
#include <linux/if_link.h>
#include <net/if.h>

// After net/if.h, which it would contradict the other way round.
#include <linux/rtnetlink.h>

#include <cerrno>
#include <cstring>

#include "cygnet/agent/backend/api/ip_text.h"

namespace cygnet::agent {
namespace {

constexpr std::uint32_t kThrowMetric = 50;
constexpr std::uint32_t kTunMetric = 100;
constexpr std::uint32_t kUnreachableMetric = 20000;

std::uint8_t family(bool v6) { return v6 ? AF_INET6 : AF_INET; }

/// IPv6 may be compiled out or switched off; then there is nothing to protect from it.
bool no_such_family(int error) { return error == EAFNOSUPPORT || error == EOPNOTSUPP; }

}  // namespace

/// A route as the kernel lists it.
struct Routes::Entry {
  IpPrefix prefix;
  std::uint8_t type = 0;
  std::uint8_t protocol = 0;
  std::uint32_t metric = 0;
  std::uint32_t interface = 0;
  std::optional<IpAddress> gateway;
};

Result<Routes> Routes::open(const RoutingConfig& config) {
  CYGNET_TRY(Netlink netlink, Netlink::open());
  return Routes(std::move(netlink), config);
}

Status Routes::set_up(const std::string& tun_name, std::uint32_t mtu, std::uint32_t queue,
                      std::uint32_t segments) {
  tun_name_ = tun_name;
  tun_index_ = if_nametoindex(tun_name.c_str());
  CYGNET_CHECK_OK(add_rules());
  NetlinkRequest link(RTM_NEWLINK, 0, sizeof(ifinfomsg));
  link.header<ifinfomsg>().ifi_index = static_cast<int>(tun_index_);
  link.put_u32(IFLA_MTU, mtu);
  link.put_u32(IFLA_TXQLEN, queue);
  CYGNET_CHECK_OK(netlink_.request(link, "set MTU and queue of " + tun_name));
  if (segments != 0) {
    NetlinkRequest limit(RTM_NEWLINK, 0, sizeof(ifinfomsg));
    limit.header<ifinfomsg>().ifi_index = static_cast<int>(tun_index_);
    limit.put_u32(IFLA_GSO_MAX_SEGS, segments);
    // A kernel that does not listen costs a second datagram now and then, and no packet.
    static_cast<void>(netlink_.ask(limit));
  }
  // A link-local address has no use between routed peers, and its chatter would reach them.
  NetlinkRequest quiet(RTM_NEWLINK, 0, sizeof(ifinfomsg));
  quiet.header<ifinfomsg>().ifi_index = static_cast<int>(tun_index_);
  nlattr* const spec = quiet.begin_nest(IFLA_AF_SPEC);
  nlattr* const inet6 = quiet.begin_nest(AF_INET6);
  quiet.put_u8(IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
  quiet.end_nest(inet6);
  quiet.end_nest(spec);
  // Without IPv6 there is nothing to switch off.
  static_cast<void>(netlink_.ask(quiet));
  NetlinkRequest up(RTM_NEWLINK, 0, sizeof(ifinfomsg));
  up.header<ifinfomsg>().ifi_index = static_cast<int>(tun_index_);
  up.header<ifinfomsg>().ifi_flags = IFF_UP;
  up.header<ifinfomsg>().ifi_change = IFF_UP;
  return netlink_.request(up, "bring up " + tun_name);
}

Status Routes::add_rules() {
  CYGNET_CHECK_OK(change_rule(false, true));
  return change_rule(true, true);
}

Status Routes::add_address(const IpAddress& address) {
  NetlinkRequest request(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, sizeof(ifaddrmsg));
  auto& header = request.header<ifaddrmsg>();
  header.ifa_family = family(address.is_v6);
  header.ifa_prefixlen = address_bits(address);
  header.ifa_flags = IFA_F_NODAD;
  header.ifa_index = tun_index_;
  request.put_address(IFA_LOCAL, address);
  const int error = netlink_.ask(request);
  if (error == 0) return {};
  if (address.is_v6 && (no_such_family(error) || error == EACCES || error == EPERM)) {
    return fail(kErrNoIpv6,
                "the mesh address " + to_string(address) + " cannot be set: IPv6 is switched off",
                tun_name_, "sysctl -w net.ipv6.conf.all.disable_ipv6=0 (in a container: --sysctl)");
  }
  return fail(netlink_error("add address " + to_string(address), error));
}

Status Routes::remove_address(const IpAddress& address) {
  NetlinkRequest request(RTM_DELADDR, 0, sizeof(ifaddrmsg));
  auto& header = request.header<ifaddrmsg>();
  header.ifa_family = family(address.is_v6);
  header.ifa_prefixlen = address_bits(address);
  header.ifa_index = tun_index_;
  request.put_address(IFA_LOCAL, address);
  const int error = netlink_.ask(request);
  if (error == 0 || error == EADDRNOTAVAIL || no_such_family(error)) return {};
  return fail(netlink_error("remove address " + to_string(address), error));
}

Status Routes::change(Kind kind, const IpPrefix& prefix, bool add,
                      const std::optional<IpAddress>& source) {
  const bool v6 = prefix.address.is_v6;
  NetlinkRequest request(add ? RTM_NEWROUTE : RTM_DELROUTE, add ? NLM_F_CREATE | NLM_F_REPLACE : 0,
                         sizeof(rtmsg));
  auto& header = request.header<rtmsg>();
  header.rtm_family = family(v6);
  header.rtm_dst_len = prefix.length;
  header.rtm_table = RT_TABLE_UNSPEC;
  header.rtm_protocol = config_.protocol;
  header.rtm_scope = RT_SCOPE_UNIVERSE;
  request.put_u32(RTA_TABLE, config_.table);
  if (prefix.length != 0) request.put_address(RTA_DST, prefix.address);
  std::string what = add ? "add" : "remove";
  switch (kind) {
    case Kind::kTun:
      header.rtm_type = RTN_UNICAST;
      // The metric tells it from the fail-closed route of the same prefix.
      request.put_u32(RTA_PRIORITY, kTunMetric);
      header.rtm_scope = v6 ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
      request.put_u32(RTA_OIF, tun_index_);
      if (source) request.put_address(RTA_PREFSRC, *source);
      what += " the route of ";
      break;
    case Kind::kUnreachable:
      header.rtm_type = RTN_UNREACHABLE;
      request.put_u32(RTA_PRIORITY, kUnreachableMetric);
      what += " the fail-closed route of ";
      break;
    case Kind::kThrow:
      header.rtm_type = RTN_THROW;
      request.put_u32(RTA_PRIORITY, kThrowMetric);
      what += " the exemption of ";
      break;
  }
  const int error = netlink_.ask(request);
  if (error == 0 || (!add && (error == ESRCH || error == ENOENT || error == ENODEV))) return {};
  if (v6 && no_such_family(error)) return {};
  return fail(netlink_error(what + to_string(prefix), error));
}

Status Routes::block(const IpPrefix& prefix) {
  return change(Kind::kUnreachable, prefix, true, std::nullopt);
}
Status Routes::unblock(const IpPrefix& prefix) {
  return change(Kind::kUnreachable, prefix, false, std::nullopt);
}
Status Routes::route(const IpPrefix& prefix, const std::optional<IpAddress>& source) {
  return change(Kind::kTun, prefix, true, source);
}
Status Routes::unroute(const IpPrefix& prefix) {
  return change(Kind::kTun, prefix, false, std::nullopt);
}
Status Routes::exempt(const IpPrefix& prefix) {
  return change(Kind::kThrow, prefix, true, std::nullopt);
}
Status Routes::unexempt(const IpPrefix& prefix) {
  return change(Kind::kThrow, prefix, false, std::nullopt);
}

Status Routes::change_rule(bool v6, bool add) {
  NetlinkRequest request(add ? RTM_NEWRULE : RTM_DELRULE, add ? NLM_F_CREATE | NLM_F_EXCL : 0,
                         sizeof(fib_rule_hdr));
  auto& header = request.header<fib_rule_hdr>();
  header.family = family(v6);
  header.action = FR_ACT_TO_TBL;
  header.table = RT_TABLE_UNSPEC;
  // "not fwmark M lookup T"
  header.flags = FIB_RULE_INVERT;
  request.put_u32(FRA_TABLE, config_.table);
  request.put_u32(FRA_PRIORITY, config_.rule_priority);
  request.put_u32(FRA_FWMARK, config_.fwmark);
  request.put_u32(FRA_FWMASK, 0xffffffff);
  request.put_u8(FRA_PROTOCOL, config_.protocol);
  const int error = netlink_.ask(request);
  if (error == 0 || (add && error == EEXIST) || (!add && error == ENOENT)) return {};
  if (v6 && no_such_family(error)) return {};
  return fail(netlink_error(
      std::string(add ? "add" : "remove") + " the rule for table " + std::to_string(config_.table),
      error));
}

Result<std::vector<Routes::Entry>> Routes::list(std::uint32_t table) {
  std::vector<Entry> entries;
  for (const bool v6 : {false, true}) {
    NetlinkRequest request(RTM_GETROUTE, 0, sizeof(rtmsg));
    request.header<rtmsg>().rtm_family = family(v6);
    CYGNET_CHECK_OK(netlink_.dump(request, "list routes", [&](const nlmsghdr* message) {
      if (message->nlmsg_type != RTM_NEWROUTE) return;
      const auto* const route = static_cast<const rtmsg*>(mnl_nlmsg_get_payload(message));
      if (route->rtm_family != family(v6) || (route->rtm_flags & RTM_F_CLONED) != 0) return;
      const NetlinkAttributes attributes(message, sizeof(rtmsg), RTA_MAX);
      if (attributes.u32(RTA_TABLE, route->rtm_table) != table) return;
      Entry& entry = entries.emplace_back();
      entry.prefix = {attributes.address(RTA_DST, v6), route->rtm_dst_len};
      entry.type = route->rtm_type;
      entry.protocol = route->rtm_protocol;
      entry.metric = attributes.u32(RTA_PRIORITY);
      entry.interface = attributes.u32(RTA_OIF);
      if (attributes.has(RTA_GATEWAY)) entry.gateway = attributes.address(RTA_GATEWAY, v6);
    }));
  }
  return entries;
}

Result<std::string> Routes::conflict(const IpPrefix& prefix) {
  if (prefix.length == 0) return std::string();
  CYGNET_TRY(const std::vector<Entry> entries, list(RT_TABLE_MAIN));
  for (const Entry& entry : entries) {
    if (entry.prefix != prefix || entry.protocol == config_.protocol) continue;
    std::string text;
    if (entry.gateway) text += "via " + to_string(*entry.gateway) + " ";
    char name[IF_NAMESIZE] = {};
    if (if_indextoname(entry.interface, name) != nullptr) text += std::string("dev ") + name;
    return text.empty() ? std::string("of type ") + std::to_string(entry.type) : text;
  }
  return std::string();
}

Result<std::vector<IpPrefix>> Routes::blocked() {
  CYGNET_TRY(const std::vector<Entry> entries, list(config_.table));
  std::vector<IpPrefix> out;
  for (const Entry& entry : entries) {
    if (entry.protocol == config_.protocol && entry.type == RTN_UNREACHABLE) {
      out.push_back(entry.prefix);
    }
  }
  return out;
}

Result<std::optional<IpAddress>> Routes::local_address(const std::vector<IpPrefix>& in, bool v6) {
  std::optional<IpAddress> found;
  NetlinkRequest request(RTM_GETADDR, 0, sizeof(ifaddrmsg));
  request.header<ifaddrmsg>().ifa_family = family(v6);
  CYGNET_CHECK_OK(netlink_.dump(request, "list addresses", [&](const nlmsghdr* message) {
    if (message->nlmsg_type != RTM_NEWADDR || found) return;
    const auto* const header = static_cast<const ifaddrmsg*>(mnl_nlmsg_get_payload(message));
    if (header->ifa_family != family(v6)) return;
    const NetlinkAttributes attributes(message, sizeof(ifaddrmsg), IFA_MAX);
    const std::uint16_t type = attributes.has(IFA_LOCAL) ? IFA_LOCAL : IFA_ADDRESS;
    if (!attributes.has(type)) return;
    const IpAddress address = attributes.address(type, v6);
    for (const IpPrefix& prefix : in) {
      if (contains(prefix, address)) found = address;
    }
  }));
  return found;
}

std::optional<IpAddress> Routes::source_towards(const IpAddress& destination) {
  std::optional<IpAddress> found;
  NetlinkRequest request(RTM_GETROUTE, 0, sizeof(rtmsg));
  request.header<rtmsg>().rtm_family = family(destination.is_v6);
  request.header<rtmsg>().rtm_dst_len = address_bits(destination);
  request.put_address(RTA_DST, destination);
  request.put_u32(RTA_MARK, config_.fwmark);
  // An error says that nothing leads there.
  static_cast<void>(netlink_.get(request, [&](const nlmsghdr* message) {
    if (message->nlmsg_type != RTM_NEWROUTE) return;
    const NetlinkAttributes attributes(message, sizeof(rtmsg), RTA_MAX);
    if (attributes.has(RTA_PREFSRC)) found = attributes.address(RTA_PREFSRC, destination.is_v6);
  }));
  return found;
}

bool Routes::is_local(const IpAddress& address) {
  const auto found = local_address({{address, address_bits(address)}}, address.is_v6);
  return found && found->has_value();
}

std::uint64_t Routes::tun_dropped() {
  std::uint64_t dropped = 0;
  NetlinkRequest request(RTM_GETLINK, 0, sizeof(ifinfomsg));
  request.header<ifinfomsg>().ifi_index = static_cast<int>(tun_index_);
  // A statistic: when the kernel does not tell, nothing is known to be lost.
  static_cast<void>(netlink_.get(request, [&](const nlmsghdr* message) {
    const NetlinkAttributes attributes(message, sizeof(ifinfomsg), IFLA_MAX);
    rtnl_link_stats64 stats{};
    if (attributes.copy(IFLA_STATS64, &stats, sizeof stats)) dropped = stats.tx_dropped;
  }));
  return dropped;
}

Status Routes::remove_everything() {
  CYGNET_TRY(const std::vector<Entry> entries, list(config_.table));
  // Rules first: from then on no packet is refused any more by routes that are still there.
  CYGNET_CHECK_OK(change_rule(false, false));
  CYGNET_CHECK_OK(change_rule(true, false));
  for (const Entry& entry : entries) {
    if (entry.protocol != config_.protocol) continue;
    const Kind kind = entry.type == RTN_UNREACHABLE ? Kind::kUnreachable
                      : entry.type == RTN_THROW     ? Kind::kThrow
                                                    : Kind::kTun;
    if (kind == Kind::kTun) tun_index_ = entry.interface;
    CYGNET_CHECK_OK(change(kind, entry.prefix, false, std::nullopt));
  }
  return {};
}

}  // namespace cygnet::agent
