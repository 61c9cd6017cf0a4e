// SPDX-License-Identifier: Apache-2.0
// What the kernel's IPsec sends: dumps and events.
#include <libmnl/libmnl.h>
#include <linux/xfrm.h>
#include <netinet/in.h>

#include <cstring>
#include <optional>

#include "cygnet/agent/backend/common/netlink.h"
#include "cygnet/agent/backend/xfrm/messages.h"
#include "cygnet/agent/backend/xfrm/wire.h"

namespace cygnet::agent::xfrm {
namespace {

/// The family's header of a message, copied (netlink aligns to four octets, these structures to
/// eight); nothing when the message is of another type or too short.
template <class Header>
std::optional<Header> header_of(const nlmsghdr* message, std::initializer_list<int> types) {
  bool known = false;
  for (const int type : types) known = known || message->nlmsg_type == type;
  if (!known || mnl_nlmsg_get_payload_len(message) < sizeof(Header)) return std::nullopt;
  Header header;
  std::memcpy(&header, mnl_nlmsg_get_payload(message), sizeof header);
  return header;
}

Selector selector_from(const xfrm_selector& in) {
  Selector out;
  out.source = {from_wire(in.saddr, in.family), in.prefixlen_s};
  out.destination = {from_wire(in.daddr, in.family), in.prefixlen_d};
  out.protocol = in.proto;
  if (in.sport_mask != 0 && (in.proto == IPPROTO_ICMP || in.proto == IPPROTO_ICMPV6)) {
    out.icmp_type = ntohs(in.sport);
  }
  return out;
}

SaState sa_from(const xfrm_usersa_info& info, const NetlinkAttributes& attributes) {
  SaState out;
  out.key = {from_wire(info.id.daddr, info.family), ntohl(info.id.spi)};
  out.source = from_wire(info.saddr, info.family);
  out.reqid = info.reqid;
  out.has_keys = attributes.has(XFRMA_ALG_AEAD) || attributes.has(XFRMA_ALG_CRYPT);
  out.packets = info.curlft.packets;
  out.octets = info.curlft.bytes;
  out.replays = info.stats.replay;
  out.behind_window = info.stats.replay_window;
  out.integrity_failed = info.stats.integrity_failed;
  xfrm_encap_tmpl encapsulation{};
  if (attributes.copy(XFRMA_ENCAP, &encapsulation, sizeof encapsulation)) {
    out.encapsulation = {ntohs(encapsulation.encap_sport), ntohs(encapsulation.encap_dport)};
  }
  xfrm_replay_state_esn wide{};
  xfrm_replay_state narrow{};
  if (attributes.copy(XFRMA_REPLAY_ESN_VAL, &wide, sizeof wide)) {
    out.highest_in = (std::uint64_t{wide.seq_hi} << 32) | wide.seq;
    out.highest_out = (std::uint64_t{wide.oseq_hi} << 32) | wide.oseq;
  } else if (attributes.copy(XFRMA_REPLAY_VAL, &narrow, sizeof narrow)) {
    out.highest_in = narrow.seq;
    out.highest_out = narrow.oseq;
  }
  return out;
}

}  // namespace

std::optional<SaState> parse_sa(const nlmsghdr* message) {
  const auto info = header_of<xfrm_usersa_info>(message, {XFRM_MSG_NEWSA, XFRM_MSG_UPDSA});
  if (!info || info->id.proto != IPPROTO_ESP) return std::nullopt;
  return sa_from(*info, NetlinkAttributes(message, sizeof *info, XFRMA_MAX));
}

std::optional<PolicyConfig> parse_policy(const nlmsghdr* message) {
  const auto info =
      header_of<xfrm_userpolicy_info>(message, {XFRM_MSG_NEWPOLICY, XFRM_MSG_UPDPOLICY});
  // Policies of sockets have higher numbers.
  if (!info || info->dir > XFRM_POLICY_FWD) return std::nullopt;
  const NetlinkAttributes attributes(message, sizeof *info, XFRMA_MAX);
  PolicyConfig out;
  out.index = info->index;
  out.key.direction = static_cast<Direction>(info->dir);
  out.key.selector = selector_from(info->sel);
  out.priority = info->priority;
  out.action = info->action == XFRM_POLICY_BLOCK ? Action::kBlock : Action::kPass;
  xfrm_mark mark{};
  if (attributes.copy(XFRMA_MARK, &mark, sizeof mark)) out.key.mark = mark.v;
  xfrm_user_tmpl protect{};
  if (attributes.copy(XFRMA_TMPL, &protect, sizeof protect)) {
    if (out.action == Action::kPass) out.action = Action::kProtect;
    out.protect =
        Template{from_wire(protect.saddr, protect.family),
                 from_wire(protect.id.daddr, protect.family), ntohl(protect.id.spi), protect.reqid};
  }
  return out;
}

std::optional<ReplayEvent> parse_replay_event(const nlmsghdr* message) {
  const auto id = header_of<xfrm_aevent_id>(message, {XFRM_MSG_NEWAE});
  if (!id || id->sa_id.proto != IPPROTO_ESP) return std::nullopt;
  ReplayEvent out;
  out.key = {from_wire(id->sa_id.daddr, id->sa_id.family), ntohl(id->sa_id.spi)};
  out.source = from_wire(id->saddr, id->sa_id.family);
  out.reqid = id->reqid;
  out.advanced = (id->flags & XFRM_AE_CR) != 0;
  return out;
}

std::optional<ExpireEvent> parse_expire(const nlmsghdr* message) {
  const auto expire = header_of<xfrm_user_expire>(message, {XFRM_MSG_EXPIRE});
  if (!expire || expire->state.id.proto != IPPROTO_ESP) return std::nullopt;
  ExpireEvent out;
  out.sa = sa_from(expire->state, NetlinkAttributes(message, sizeof *expire, XFRMA_MAX));
  out.hard = expire->hard != 0;
  return out;
}

std::optional<MappingEvent> parse_mapping(const nlmsghdr* message) {
  const auto mapping = header_of<xfrm_user_mapping>(message, {XFRM_MSG_MAPPING});
  if (!mapping) return std::nullopt;
  MappingEvent out;
  out.key = {from_wire(mapping->id.daddr, mapping->id.family), ntohl(mapping->id.spi)};
  out.reqid = mapping->reqid;
  out.source.address = from_wire(mapping->new_saddr, mapping->id.family);
  out.source.port = ntohs(mapping->new_sport);
  return out;
}

std::optional<AcquireEvent> parse_acquire(const nlmsghdr* message) {
  const auto acquire = header_of<xfrm_user_acquire>(message, {XFRM_MSG_ACQUIRE});
  if (!acquire || acquire->id.proto != IPPROTO_ESP) return std::nullopt;
  const NetlinkAttributes attributes(message, sizeof *acquire, XFRMA_MAX);
  AcquireEvent out;
  out.packet = selector_from(acquire->sel);
  xfrm_user_tmpl protect{};
  std::uint16_t family = acquire->sel.family;
  if (attributes.copy(XFRMA_TMPL, &protect, sizeof protect)) {
    out.reqid = protect.reqid;
    family = protect.family;
  }
  out.key = {from_wire(acquire->id.daddr, family), ntohl(acquire->id.spi)};
  return out;
}

}  // namespace cygnet::agent::xfrm
