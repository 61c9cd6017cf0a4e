// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/backend/xfrm/policies.h"

#include <netinet/in.h>

namespace cygnet::agent::xfrm {
namespace {

constexpr std::uint32_t kRankMark = 0;
constexpr std::uint32_t kRankNeighbours = 1;
constexpr std::uint32_t kRankProbes = 2;
constexpr std::uint32_t kRankPrefixes = 16;

// Within prefixes of one length.
constexpr std::uint32_t kProtectRank = 0;
constexpr std::uint32_t kPassRank = 1;
constexpr std::uint32_t kBlockRank = 2;

/// The longer the prefix the better the rank, as in a routing table.
std::uint32_t priority(const IpPrefix& prefix, std::uint32_t rank) {
  return kPriorityFirst + kRankPrefixes + (128U - prefix.length) * 4 + rank;
}

IpPrefix anywhere(bool v6) { return {IpAddress{v6, {}}, 0}; }

/// Where SAs that are to come are said to end: an address of this host that is never used.
IpAddress placeholder() {
  IpAddress address;
  address.octets = {127, 67, 0, 1};
  return address;
}

PolicyConfig make(Direction direction, const IpPrefix& source, const IpPrefix& destination,
                  std::uint32_t priority, Action action) {
  PolicyConfig policy;
  policy.key.direction = direction;
  policy.key.selector.source = source;
  policy.key.selector.destination = destination;
  policy.priority = priority;
  policy.action = action;
  return policy;
}

}  // namespace

PolicyConfig outbound_policy(const IpPrefix& prefix, const Outbound& how) {
  PolicyConfig policy = make(Direction::kOut, anywhere(prefix.address.is_v6), prefix,
                             priority(prefix, kProtectRank), Action::kProtect);
  switch (how.kind) {
    case Outbound::Kind::kBlock:
      policy.action = Action::kBlock;
      break;
    case Outbound::Kind::kHold:
      // No SA ever has these addresses: the kernel asks for one, and keeps the packet.
      policy.protect = Template{placeholder(), placeholder(), 0, how.reqid};
      break;
    case Outbound::Kind::kProtect:
      policy.protect = how.protect;
      break;
  }
  return policy;
}

PolicyConfig probe_policy(const IpAddress& mesh_address, std::uint32_t mark,
                          const Template& protect) {
  PolicyConfig policy = make(Direction::kOut, anywhere(true), {mesh_address, 128},
                             kPriorityFirst + kRankProbes, Action::kProtect);
  policy.key.mark = mark;
  policy.protect = protect;
  return policy;
}

std::vector<PolicyConfig> inbound_policies(const IpPrefix& prefix, const IpPrefix& own,
                                           std::uint32_t reqid) {
  std::vector<PolicyConfig> out;
  for (const Direction direction : {Direction::kIn, Direction::kForward}) {
    PolicyConfig policy =
        make(direction, prefix, own, priority(prefix, kProtectRank), Action::kProtect);
    // Any addresses outside: a peer behind a NAT moves. The reqid says whose SA it was.
    policy.protect = Template{{}, {}, 0, reqid};
    out.push_back(policy);
  }
  return out;
}

std::vector<PolicyConfig> inbound_blocks(const IpPrefix& prefix) {
  std::vector<PolicyConfig> out;
  for (const Direction direction : {Direction::kIn, Direction::kForward}) {
    out.push_back(make(direction, prefix, anywhere(prefix.address.is_v6),
                       priority(prefix, kBlockRank), Action::kBlock));
  }
  return out;
}

std::vector<PolicyConfig> own_policies(const IpPrefix& own) {
  const IpPrefix any = anywhere(own.address.is_v6);
  const std::uint32_t rank = priority(own, kPassRank);
  return {make(Direction::kOut, any, own, rank, Action::kPass),
          make(Direction::kIn, own, any, rank, Action::kPass),
          make(Direction::kForward, own, any, rank, Action::kPass)};
}

std::vector<PolicyConfig> base_policies(std::uint32_t mark) {
  constexpr std::uint16_t kFirstNeighbourType = 133;
  constexpr std::uint16_t kLastNeighbourType = 136;
  std::vector<PolicyConfig> out;
  for (const bool v6 : {false, true}) {
    PolicyConfig policy = make(Direction::kOut, anywhere(v6), anywhere(v6),
                               kPriorityFirst + kRankMark, Action::kPass);
    policy.key.mark = mark;
    out.push_back(policy);
  }
  for (const Direction direction : {Direction::kOut, Direction::kIn}) {
    for (std::uint16_t type = kFirstNeighbourType; type <= kLastNeighbourType; ++type) {
      PolicyConfig policy = make(direction, anywhere(true), anywhere(true),
                                 kPriorityFirst + kRankNeighbours, Action::kPass);
      policy.key.selector.protocol = IPPROTO_ICMPV6;
      policy.key.selector.icmp_type = type;
      out.push_back(policy);
    }
  }
  return out;
}

}  // namespace cygnet::agent::xfrm
