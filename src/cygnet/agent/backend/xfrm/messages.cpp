// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/backend/xfrm/messages.h"

#include <libmnl/libmnl.h>
#include <linux/udp.h>
#include <linux/xfrm.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>

#include "cygnet/agent/backend/xfrm/wire.h"
#include "cygnet/base/assert.h"
#include "cygnet/base/secret.h"

namespace cygnet::agent::xfrm {
namespace {

constexpr std::uint32_t kLegacyWindow = 32;
constexpr std::uint32_t kWindowMax = XFRMA_REPLAY_ESN_MAX;
constexpr std::uint32_t kMappingSeconds = 60;
constexpr std::uint32_t kExactMark = 0xffffffff;

void unlimited(xfrm_lifetime_cfg& limits) {
  limits.soft_byte_limit = XFRM_INF;
  limits.hard_byte_limit = XFRM_INF;
  limits.soft_packet_limit = XFRM_INF;
  limits.hard_packet_limit = XFRM_INF;
}

/// `Algorithm` is one of the kernel's, with a key of variable length at its end.
template <class Algorithm>
void put_algorithm(nlmsghdr* message, std::uint16_t attribute, const char* name, ByteView key,
                   const Algorithm& sizes) {
  constexpr std::size_t kKeyMax = 128;
  CYGNET_ASSERT(key.size() <= kKeyMax);
  alignas(Algorithm) std::array<std::uint8_t, sizeof(Algorithm) + kKeyMax> value{};
  Algorithm head = sizes;
  std::strncpy(head.alg_name, name, sizeof head.alg_name - 1);
  head.alg_key_len = static_cast<unsigned>(key.size() * 8);
  std::memcpy(value.data(), &head, sizeof head);
  std::copy(key.begin(), key.end(), value.begin() + sizeof head);
  mnl_attr_put(message, attribute, sizeof head + key.size(), value.data());
  secure_zero(value.data(), value.size());
}

void put_suite(nlmsghdr* message, const SaConfig& sa) {
  const SuiteNames names = suite_names(sa.suite);
  if (sa.suite.is_aead()) {
    xfrm_algo_aead sizes{};
    sizes.alg_icv_len = static_cast<unsigned>(sa.suite.icv_length() * 8);
    put_algorithm(message, XFRMA_ALG_AEAD, names.encr, sa.encr, sizes);
    return;
  }
  put_algorithm(message, XFRMA_ALG_CRYPT, names.encr, sa.encr, xfrm_algo{});
  xfrm_algo_auth sizes{};
  sizes.alg_trunc_len = static_cast<unsigned>(sa.suite.icv_length() * 8);
  put_algorithm(message, XFRMA_ALG_AUTH_TRUNC, names.integ, sa.integ, sizes);
}

void put_window(nlmsghdr* message, std::uint32_t window) {
  // The bitmap behind it begins empty: the kernel makes it.
  xfrm_replay_state_esn value{};
  value.replay_window = window;
  value.bmp_len = (window + 31) / 32;
  mnl_attr_put(message, XFRMA_REPLAY_ESN_VAL, sizeof value, &value);
}

void put_mark(nlmsghdr* message, std::uint32_t mark) {
  if (mark == 0) return;
  const xfrm_mark value{mark, kExactMark};
  mnl_attr_put(message, XFRMA_MARK, sizeof value, &value);
}

void put_encapsulation(nlmsghdr* message, const Encapsulation& encapsulation) {
  xfrm_encap_tmpl value{};
  value.encap_type = UDP_ENCAP_ESPINUDP;
  value.encap_sport = htons(encapsulation.source_port);
  value.encap_dport = htons(encapsulation.destination_port);
  mnl_attr_put(message, XFRMA_ENCAP, sizeof value, &value);
}

xfrm_selector selector_to_wire(const Selector& selector) {
  xfrm_selector out{};
  out.family = family_of(selector.destination.address);
  out.daddr = to_wire(selector.destination.address);
  out.saddr = to_wire(selector.source.address);
  out.prefixlen_d = selector.destination.length;
  out.prefixlen_s = selector.source.length;
  out.proto = selector.protocol;
  if (selector.icmp_type) {
    out.sport = htons(*selector.icmp_type);
    out.sport_mask = 0xffff;
  }
  return out;
}

xfrm_usersa_id key_to_wire(const SaKey& key) {
  xfrm_usersa_id id{};
  id.daddr = to_wire(key.destination);
  id.spi = htonl(key.spi);
  id.family = family_of(key.destination);
  id.proto = IPPROTO_ESP;
  return id;
}

xfrm_user_tmpl template_to_wire(const Template& protect) {
  xfrm_user_tmpl out{};
  out.id.daddr = to_wire(protect.destination);
  out.id.spi = htonl(protect.spi);
  out.id.proto = IPPROTO_ESP;
  out.family = family_of(protect.destination);
  out.saddr = to_wire(protect.source);
  out.reqid = protect.reqid;
  out.mode = XFRM_MODE_TUNNEL;
  // Which algorithms is decided where SAs are made; a template names its SA by reqid and SPI.
  out.aalgos = ~0U;
  out.ealgos = ~0U;
  out.calgos = ~0U;
  return out;
}

/// Copied, not filled in where it goes: netlink aligns to four octets, the kernel's structures to
/// eight.
template <class Header>
void put_header(nlmsghdr* message, const Header& header) {
  std::memcpy(mnl_nlmsg_put_extra_header(message, sizeof header), &header, sizeof header);
}

}  // namespace

MessageBatch::MessageBatch() : buffer_(std::make_unique<std::uint8_t[]>(kCapacity)) {}
MessageBatch::~MessageBatch() { clear(); }

void MessageBatch::clear() {
  secure_zero(buffer_.get(), used_);
  used_ = 0;
  starts_.clear();
}

nlmsghdr* MessageBatch::message(std::size_t index) {
  return reinterpret_cast<nlmsghdr*>(buffer_.get() + starts_[index]);
}

nlmsghdr* MessageBatch::begin(std::uint16_t type, std::uint16_t flags) {
  CYGNET_ASSERT(!full());
  starts_.push_back(used_);
  nlmsghdr* const message = mnl_nlmsg_put_header(buffer_.get() + used_);
  message->nlmsg_type = type;
  message->nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | flags);
  return message;
}

void MessageBatch::end(nlmsghdr* message) {
  CYGNET_ASSERT(message->nlmsg_len <= kMaxMessage);
  used_ += (std::size_t{message->nlmsg_len} + 3) & ~std::size_t{3};
}

void MessageBatch::put_sa(std::uint16_t type, const SaConfig& sa) {
  nlmsghdr* const message =
      begin(type, type == XFRM_MSG_NEWSA ? NLM_F_CREATE | NLM_F_EXCL : NLM_F_REPLACE);
  xfrm_usersa_info header{};
  header.id.daddr = to_wire(sa.key.destination);
  header.id.spi = htonl(sa.key.spi);
  header.id.proto = IPPROTO_ESP;
  header.saddr = to_wire(sa.source);
  unlimited(header.lft);
  if (sa.soft_packet_limit != 0) header.lft.soft_packet_limit = sa.soft_packet_limit;
  header.reqid = sa.reqid;
  header.family = family_of(sa.key.destination);
  header.mode = XFRM_MODE_TUNNEL;
  // Packets of either family go inside, whichever the outer one is: the selector has no family.
  header.flags = XFRM_STATE_AF_UNSPEC;
  if (sa.esn) header.flags |= XFRM_STATE_ESN;
  const std::uint32_t window = std::min(sa.replay_window, kWindowMax);
  const bool wide = sa.esn || window > kLegacyWindow;
  if (!wide) header.replay_window = static_cast<std::uint8_t>(window);
  put_header(message, header);
  put_suite(message, sa);
  if (wide) put_window(message, std::max(window, std::uint32_t{1}));
  if (sa.encapsulation) put_encapsulation(message, *sa.encapsulation);
  if (sa.output_mark != 0) {
    mnl_attr_put_u32(message, XFRMA_SET_MARK, sa.output_mark);
    mnl_attr_put_u32(message, XFRMA_SET_MARK_MASK, kExactMark);
  }
  // Said for every SA: without them the system's defaults apply, and a busy SA talks all the time.
  mnl_attr_put_u32(message, XFRMA_REPLAY_THRESH, sa.watch ? 1 : 0);
  mnl_attr_put_u32(message, XFRMA_ETIMER_THRESH, 0);
  if (sa.watch && sa.encapsulation) {
    mnl_attr_put_u32(message, XFRMA_MTIMER_THRESH, kMappingSeconds);
  }
  end(message);
}

void MessageBatch::add_sa(const SaConfig& sa) { put_sa(XFRM_MSG_NEWSA, sa); }
void MessageBatch::update_sa(const SaConfig& sa) { put_sa(XFRM_MSG_UPDSA, sa); }

void MessageBatch::remove_sa(const SaKey& key) {
  nlmsghdr* const message = begin(XFRM_MSG_DELSA, 0);
  put_header(message, key_to_wire(key));
  end(message);
}

void MessageBatch::get_sa(const SaKey& key) {
  nlmsghdr* const message = begin(XFRM_MSG_GETSA, 0);
  put_header(message, key_to_wire(key));
  end(message);
}

void MessageBatch::list_sas() {
  nlmsghdr* const message = begin(XFRM_MSG_GETSA, NLM_F_DUMP);
  end(message);
}

void MessageBatch::put_policy(std::uint16_t type, const PolicyConfig& policy) {
  nlmsghdr* const message =
      begin(type, type == XFRM_MSG_NEWPOLICY ? NLM_F_CREATE | NLM_F_EXCL : NLM_F_REPLACE);
  xfrm_userpolicy_info header{};
  header.sel = selector_to_wire(policy.key.selector);
  unlimited(header.lft);
  header.priority = policy.priority;
  header.index = policy.index;
  header.dir = static_cast<std::uint8_t>(policy.key.direction);
  header.action = policy.action == Action::kBlock ? XFRM_POLICY_BLOCK : XFRM_POLICY_ALLOW;
  put_header(message, header);
  CYGNET_ASSERT((policy.action == Action::kProtect) == policy.protect.has_value());
  if (policy.protect) {
    const xfrm_user_tmpl value = template_to_wire(*policy.protect);
    mnl_attr_put(message, XFRMA_TMPL, sizeof value, &value);
  }
  put_mark(message, policy.key.mark);
  end(message);
}

void MessageBatch::set_policy(const PolicyConfig& policy) {
  put_policy(XFRM_MSG_UPDPOLICY, policy);
}
void MessageBatch::add_policy(const PolicyConfig& policy) {
  put_policy(XFRM_MSG_NEWPOLICY, policy);
}

void MessageBatch::remove_policy(const PolicyKey& key) {
  nlmsghdr* const message = begin(XFRM_MSG_DELPOLICY, 0);
  xfrm_userpolicy_id header{};
  header.sel = selector_to_wire(key.selector);
  header.dir = static_cast<std::uint8_t>(key.direction);
  put_header(message, header);
  put_mark(message, key.mark);
  end(message);
}

void MessageBatch::list_policies() {
  nlmsghdr* const message = begin(XFRM_MSG_GETPOLICY, NLM_F_DUMP);
  end(message);
}

void MessageBatch::unwatch_sa(const SaKey& key, const IpAddress& source, std::uint32_t reqid) {
  nlmsghdr* const message = begin(XFRM_MSG_NEWAE, NLM_F_REPLACE);
  xfrm_aevent_id header{};
  header.sa_id = key_to_wire(key);
  header.saddr = to_wire(source);
  header.reqid = reqid;
  put_header(message, header);
  mnl_attr_put_u32(message, XFRMA_REPLAY_THRESH, 0);
  mnl_attr_put_u32(message, XFRMA_ETIMER_THRESH, 0);
  end(message);
}

}  // namespace cygnet::agent::xfrm
