// SPDX-License-Identifier: Apache-2.0

/// What the kernel's IPsec sends (netlink(7), XFRM). Whatever the lengths in it claim, nothing
/// outside the datagram is read, and a message is understood as one thing at most. What we write of
/// an SA or a policy, the kernel lists in the same structures: it reads back as it was meant.

#include <libmnl/libmnl.h>
#include <linux/netlink.h>
#include <linux/xfrm.h>

#include <cstring>
#include <memory>

#include "cygnet/agent/backend/xfrm/answers.h"
#include "cygnet/agent/backend/xfrm/messages.h"
#include "fuzz.h"

using namespace cygnet;
using namespace cygnet::agent;
using namespace cygnet::agent::xfrm;

namespace {

constexpr std::uint16_t kTypes[] = {
    XFRM_MSG_NEWSA,  XFRM_MSG_UPDSA,   XFRM_MSG_NEWPOLICY, XFRM_MSG_UPDPOLICY, XFRM_MSG_NEWAE,
    XFRM_MSG_EXPIRE, XFRM_MSG_MAPPING, XFRM_MSG_ACQUIRE,   NLMSG_ERROR,        NLMSG_DONE};

void understand(const nlmsghdr* message) {
  const int meanings =
      int{parse_sa(message).has_value()} + int{parse_policy(message).has_value()} +
      int{parse_replay_event(message).has_value()} + int{parse_expire(message).has_value()} +
      int{parse_mapping(message).has_value()} + int{parse_acquire(message).has_value()} +
      int{parse_error(message).has_value()};
  FUZZ_REQUIRE(meanings <= 1);
}

/// Octets in a place of exactly their size, aligned as the kernel aligns them.
class Datagram {
 public:
  explicit Datagram(ByteView octets) : size_(octets.size()), octets_(new std::uint8_t[size_]) {
    if (size_ != 0) std::memcpy(octets_.get(), octets.data(), size_);
  }
  [[nodiscard]] ByteView view() const { return {octets_.get(), size_}; }

 private:
  std::size_t size_;
  std::unique_ptr<std::uint8_t[]> octets_;
};

void understand_all(ByteView octets) {
  const Datagram datagram(octets);
  std::size_t seen = 0;
  each_message(datagram.view(), [&](const nlmsghdr* message) {
    seen += message->nlmsg_len;
    FUZZ_REQUIRE(seen <= datagram.view().size());
    understand(message);
    return true;
  });
}

/// Messages with a sensible header each, and octets as they come behind it.
Bytes framed(fuzz::Input& in) {
  Bytes out;
  while (!in.empty() && out.size() < 8192) {
    const std::size_t length = in.u16() % 700;
    nlmsghdr header{};
    header.nlmsg_type = kTypes[in.below(std::size(kTypes))];
    header.nlmsg_flags = in.flag() ? NLM_F_ACK_TLVS : 0;
    const Bytes payload = in.exactly(length);
    header.nlmsg_len = static_cast<std::uint32_t>(sizeof header + payload.size());
    const auto* const octets = reinterpret_cast<const std::uint8_t*>(&header);
    out.insert(out.end(), octets, octets + sizeof header);
    out.insert(out.end(), payload.begin(), payload.end());
    out.resize((out.size() + 3) & ~std::size_t{3});
  }
  return out;
}

IpAddress address(fuzz::Input& in, bool v6) {
  IpAddress out;
  out.is_v6 = v6;
  const Bytes octets = in.exactly(v6 ? 16 : 4);
  std::copy(octets.begin(), octets.end(), out.octets.begin());
  return out;
}

/// The first message of the batch, with some octets changed behind its header.
void damage(MessageBatch& batch, fuzz::Input& in) {
  const nlmsghdr* const message = batch.message(0);
  const auto* const begin = reinterpret_cast<const std::uint8_t*>(message);
  Bytes octets(begin, begin + message->nlmsg_len);
  while (!in.empty()) {
    const std::size_t where = sizeof(nlmsghdr) + in.u16() % (octets.size() - sizeof(nlmsghdr));
    octets[where] ^= in.u8();
  }
  understand_all(octets);
}

void write_and_read_sa(fuzz::Input& in) {
  const bool v6 = in.flag();
  SaConfig sa;
  sa.key = {address(in, v6), in.u32()};
  sa.source = address(in, v6);
  sa.reqid = in.u32();
  sa.suite = crypto::EspSuite{crypto::EncrId::kAesGcm16, 256, crypto::IntegId::kNone};
  const Bytes key = in.exactly(36);
  sa.encr = key;
  sa.esn = in.flag();
  sa.replay_window = 1 + in.u16() % 4096;
  if (in.flag()) sa.encapsulation = Encapsulation{in.u16(), in.u16()};
  sa.output_mark = in.u32();
  sa.soft_packet_limit = in.u64();
  sa.watch = in.flag();
  MessageBatch batch;
  batch.add_sa(sa);
  FUZZ_REQUIRE(batch.size() == 1 && batch.octets().size() <= MessageBatch::kMaxMessage);
  const auto read = parse_sa(batch.message(0));
  FUZZ_REQUIRE(read.has_value());
  FUZZ_REQUIRE(read->key == sa.key && read->source == sa.source && read->reqid == sa.reqid);
  FUZZ_REQUIRE(read->has_keys && read->encapsulation == sa.encapsulation);
  FUZZ_REQUIRE(read->highest_in == 0 && read->highest_out == 0 && read->packets == 0);
  damage(batch, in);
}

void write_and_read_policy(fuzz::Input& in) {
  const bool v6 = in.flag();
  const auto prefix = [&] {
    return IpPrefix{address(in, v6), static_cast<std::uint8_t>(in.below(v6 ? 129 : 33))};
  };
  PolicyConfig policy;
  policy.key.direction = static_cast<Direction>(in.below(3));
  policy.key.selector.source = prefix();
  policy.key.selector.destination = prefix();
  policy.key.mark = in.u32();
  policy.priority = in.u32();
  policy.action = static_cast<Action>(in.below(3));
  if (policy.action == Action::kProtect) {
    const bool outer_v6 = in.flag();
    policy.protect = Template{address(in, outer_v6), address(in, outer_v6), in.u32(), in.u32()};
  }
  MessageBatch batch;
  batch.set_policy(policy);
  const auto read = parse_policy(batch.message(0));
  FUZZ_REQUIRE(read.has_value());
  FUZZ_REQUIRE(read->key == policy.key && read->priority == policy.priority);
  FUZZ_REQUIRE(read->action == policy.action && read->protect == policy.protect);
  damage(batch, in);
}

}  // namespace

FUZZ_TARGET(netlink_messages) {
  fuzz::Input in(octets);
  switch (in.below(4)) {
    case 0:
      return understand_all(in.rest());
    case 1:
      return understand_all(framed(in));
    case 2:
      return write_and_read_sa(in);
    default:
      return write_and_read_policy(in);
  }
}
