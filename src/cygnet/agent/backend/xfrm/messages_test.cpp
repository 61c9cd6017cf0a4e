// SPDX-License-Identifier: Apache-2.0
// Messages to the kernel, judged by iproute2: `ip xfrm` is run with its words to the kernel tapped,
// and ours must say the same. What the kernel answers does not matter here.

#include "cygnet/agent/backend/xfrm/messages.h"

#include <gtest/gtest.h>
#include <libmnl/libmnl.h>
#include <linux/xfrm.h>
#include <netinet/in.h>

#include <cstdio>
#include <fstream>
#include <map>
#include <set>

#include "cygnet/agent/backend/api/ip_text.h"
#include "cygnet/agent/backend/xfrm/wire.h"

namespace cygnet::agent::xfrm {
namespace {

IpAddress ip(const std::string& text) { return *parse_ip_address(text); }
IpPrefix net(const std::string& text) { return *parse_ip_prefix(text); }

std::string hex(const void* data, std::size_t size) {
  return to_hex(ByteView(static_cast<const std::uint8_t*>(data), size));
}

/// A message in parts that can be compared: type, the family's header, attributes by type.
struct Said {
  std::uint16_t type = 0;
  std::string header;
  std::map<int, std::string> attributes;
};

Said parts(const nlmsghdr* message, std::size_t header) {
  Said said;
  said.type = message->nlmsg_type;
  said.header = hex(mnl_nlmsg_get_payload(message), header);
  const auto* attribute = static_cast<const nlattr*>(mnl_nlmsg_get_payload_offset(message, header));
  const auto* const end = static_cast<const char*>(mnl_nlmsg_get_payload_tail(message));
  while (mnl_attr_ok(attribute, static_cast<int>(end - reinterpret_cast<const char*>(attribute)))) {
    said.attributes[mnl_attr_get_type(attribute)] =
        hex(mnl_attr_get_payload(attribute), mnl_attr_get_payload_len(attribute));
    attribute = mnl_attr_next(attribute);
  }
  return said;
}

class Iproute2 : public testing::Test {
 protected:
  /// What `ip xfrm <words>` says to the kernel, in a network namespace of its own.
  Said said(const std::string& words, std::uint16_t type, std::size_t header) {
    const std::string path = testing::TempDir() + "cygnet-tap-" + std::to_string(getpid());
    std::remove(path.c_str());
    const std::string command =
        "unshare -n env LD_PRELOAD=" CYGNET_TAP_LIBRARY " CYGNET_TAP=" + path + " ip xfrm " +
        words + " >/dev/null 2>" + path + ".err";
    // The kernel may refuse it: this one need not have ESP.
    [[maybe_unused]] const int status = std::system(command.c_str());
    std::ifstream file(path);
    std::string line;
    while (std::getline(file, line)) {
      auto octets = from_hex(line);
      if (!octets) continue;
      storage_.assign((octets->size() + 7) / 8, 0);
      std::copy(octets->begin(), octets->end(), reinterpret_cast<std::uint8_t*>(storage_.data()));
      const auto* const message = reinterpret_cast<const nlmsghdr*>(storage_.data());
      if (message->nlmsg_type == type) {
        std::remove(path.c_str());
        return parts(message, header);
      }
    }
    std::ifstream errors(path + ".err");
    std::string why((std::istreambuf_iterator<char>(errors)), {});
    ADD_FAILURE() << "ip xfrm " << words << " said nothing of that kind: " << why;
    return {};
  }
  static Said ours(MessageBatch& batch, std::size_t header) {
    return parts(batch.message(0), header);
  }
  /// The same words, but for attributes that iproute2 cannot say, and for the source that it names
  /// where it was given none.
  static void expect_same(const Said& ours, const Said& theirs,
                          const std::set<int>& only_ours = {}) {
    EXPECT_EQ(ours.type, theirs.type);
    EXPECT_EQ(ours.header, theirs.header);
    for (const auto& [type, value] : theirs.attributes) {
      if (type == XFRMA_SRCADDR && value == std::string(32, '0')) continue;
      const auto it = ours.attributes.find(type);
      ASSERT_NE(it, ours.attributes.end()) << "attribute " << type << " is missing: " << value;
      EXPECT_EQ(it->second, value) << "attribute " << type;
    }
    for (const auto& [type, value] : ours.attributes) {
      EXPECT_TRUE(theirs.attributes.contains(type) || only_ours.contains(type))
          << "attribute " << type << " is ours alone: " << value;
    }
  }

  Bytes key(std::size_t size) const {
    Bytes out(size);
    for (std::size_t i = 0; i < size; ++i) out[i] = static_cast<std::uint8_t>(i + 1);
    return out;
  }
  std::vector<std::uint64_t> storage_;
  MessageBatch batch_;
  // `ip` has no words for these.
  const std::set<int> events_{XFRMA_REPLAY_THRESH, XFRMA_ETIMER_THRESH, XFRMA_MTIMER_THRESH};
};

TEST_F(Iproute2, SaysTheSameOfAnEsnSaInUdp) {
  const Bytes encr = key(36);
  SaConfig sa;
  sa.key = {ip("192.0.2.1"), 0x1234};
  sa.source = ip("192.0.2.2");
  sa.reqid = 77;
  sa.suite = {crypto::EncrId::kAesGcm16, 256, crypto::IntegId::kNone};
  sa.encr = encr;
  sa.replay_window = 1000;
  sa.encapsulation = Encapsulation{4501, 4500};
  sa.watch = true;
  batch_.add_sa(sa);
  expect_same(
      ours(batch_, sizeof(xfrm_usersa_info)),
      said("state add src 192.0.2.2 dst 192.0.2.1 proto esp spi 0x1234 reqid 77 mode tunnel "
           "replay-window 1000 flag af-unspec flag esn aead 'rfc4106(gcm(aes))' 0x" +
               to_hex(encr) + " 128 encap espinudp 4501 4500 0.0.0.0",
           XFRM_MSG_NEWSA, sizeof(xfrm_usersa_info)),
      events_);
}

TEST_F(Iproute2, SaysTheSameOfAnIpv6SaWithAMarkAndTwoAlgorithms) {
  const Bytes encr = key(32);
  const Bytes integ = key(64);
  SaConfig sa;
  sa.key = {ip("2001:db8::1"), 0x87654321};
  sa.source = ip("2001:db8::2");
  sa.reqid = 0x43530007;
  sa.suite = {crypto::EncrId::kAesCbc, 256, crypto::IntegId::kHmacSha2_512_256};
  sa.encr = encr;
  sa.integ = integ;
  sa.esn = false;
  sa.replay_window = 32;
  sa.output_mark = 0x4379;
  batch_.add_sa(sa);
  expect_same(ours(batch_, sizeof(xfrm_usersa_info)),
              said("state add src 2001:db8::2 dst 2001:db8::1 proto esp spi 0x87654321 reqid " +
                       std::to_string(sa.reqid) +
                       " mode tunnel replay-window 32 flag af-unspec enc 'cbc(aes)' 0x" +
                       to_hex(encr) + " auth-trunc 'hmac(sha512)' 0x" + to_hex(integ) +
                       " 256 output-mark 0x4379 mask 0xffffffff",
                   XFRM_MSG_NEWSA, sizeof(xfrm_usersa_info)),
              events_);
}

TEST_F(Iproute2, SaysTheSameOfChaCha20Poly1305) {
  const Bytes encr = key(36);
  SaConfig sa;
  sa.key = {ip("192.0.2.1"), 0x1234};
  sa.source = ip("192.0.2.2");
  sa.suite = {crypto::EncrId::kChaCha20Poly1305, 256, crypto::IntegId::kNone};
  sa.encr = encr;
  sa.replay_window = 4096;
  batch_.add_sa(sa);
  expect_same(ours(batch_, sizeof(xfrm_usersa_info)),
              said("state add src 192.0.2.2 dst 192.0.2.1 proto esp spi 0x1234 mode tunnel "
                   "replay-window 4096 flag af-unspec flag esn aead "
                   "'rfc7539esp(chacha20,poly1305)' 0x" +
                       to_hex(encr) + " 128",
                   XFRM_MSG_NEWSA, sizeof(xfrm_usersa_info)),
              events_);
}

TEST_F(Iproute2, SaysTheSameToFillInAPlaceThatIsKeptForAnSa) {
  const Bytes encr = key(20);
  SaConfig sa;
  sa.key = {ip("192.0.2.1"), 0x1234};
  sa.source = ip("192.0.2.2");
  sa.suite = {crypto::EncrId::kAesGcm16, 128, crypto::IntegId::kNone};
  sa.encr = encr;
  sa.replay_window = 64;
  sa.soft_packet_limit = 1000;
  batch_.update_sa(sa);
  expect_same(ours(batch_, sizeof(xfrm_usersa_info)),
              said("state update src 192.0.2.2 dst 192.0.2.1 proto esp spi 0x1234 mode tunnel "
                   "replay-window 64 flag af-unspec flag esn aead 'rfc4106(gcm(aes))' 0x" +
                       to_hex(encr) + " 128 limit packet-soft 1000",
                   XFRM_MSG_UPDSA, sizeof(xfrm_usersa_info)),
              events_);
}

TEST_F(Iproute2, SaysTheSameToAskForAnSa) {
  batch_.get_sa({ip("192.0.2.1"), 0x1234});
  expect_same(
      ours(batch_, sizeof(xfrm_usersa_id)),
      said("state get dst 192.0.2.1 proto esp spi 0x1234", XFRM_MSG_GETSA, sizeof(xfrm_usersa_id)));
}

TEST_F(Iproute2, SaysTheSameToRemoveAnSa) {
  batch_.remove_sa({ip("2001:db8::1"), 0x1234});
  expect_same(ours(batch_, sizeof(xfrm_usersa_id)),
              said("state delete dst 2001:db8::1 proto esp spi 0x1234", XFRM_MSG_DELSA,
                   sizeof(xfrm_usersa_id)));
}

TEST_F(Iproute2, SaysTheSameOfAPolicyThatProtectsByOneSa) {
  PolicyConfig policy;
  policy.key.direction = Direction::kOut;
  policy.key.selector = {net("0.0.0.0/0"), net("10.2.0.0/16"), 0, {}};
  policy.priority = 17400;
  policy.action = Action::kProtect;
  policy.protect = Template{ip("192.0.2.1"), ip("192.0.2.2"), 0x1234, 77};
  batch_.set_policy(policy);
  expect_same(ours(batch_, sizeof(xfrm_userpolicy_info)),
              said("policy update src 0.0.0.0/0 dst 10.2.0.0/16 dir out priority 17400 tmpl src "
                   "192.0.2.1 dst 192.0.2.2 proto esp spi 0x1234 reqid 77 mode tunnel",
                   XFRM_MSG_UPDPOLICY, sizeof(xfrm_userpolicy_info)));
}

TEST_F(Iproute2, SaysTheSameOfABlockingPolicyAndOfOneForAMark) {
  PolicyConfig policy;
  policy.key.direction = Direction::kForward;
  policy.key.selector = {net("2001:db8:2::/64"), net("::/0"), 0, {}};
  policy.priority = 17018;
  policy.index = (851U << 19) | (3U << 3) | 2U;
  policy.action = Action::kBlock;
  batch_.add_policy(policy);
  expect_same(ours(batch_, sizeof(xfrm_userpolicy_info)),
              said("policy add src 2001:db8:2::/64 dst ::/0 dir fwd index " +
                       std::to_string(policy.index) + " priority 17018 action block",
                   XFRM_MSG_NEWPOLICY, sizeof(xfrm_userpolicy_info)));
  batch_.clear();
  policy.key.direction = Direction::kOut;
  policy.key.selector = {net("0.0.0.0/0"), net("0.0.0.0/0"), 0, {}};
  policy.key.mark = 0x4379;
  policy.index = 0;
  policy.action = Action::kPass;
  batch_.add_policy(policy);
  expect_same(ours(batch_, sizeof(xfrm_userpolicy_info)),
              said("policy add src 0.0.0.0/0 dst 0.0.0.0/0 dir out mark 0x4379 mask 0xffffffff "
                   "priority 17018 action allow",
                   XFRM_MSG_NEWPOLICY, sizeof(xfrm_userpolicy_info)));
}

TEST_F(Iproute2, SaysTheSameOfAPolicyForOneIcmpType) {
  PolicyConfig policy;
  policy.key.direction = Direction::kIn;
  policy.key.selector = {net("::/0"), net("::/0"), IPPROTO_ICMPV6, 135};
  policy.priority = 17001;
  policy.action = Action::kPass;
  batch_.add_policy(policy);
  expect_same(ours(batch_, sizeof(xfrm_userpolicy_info)),
              said("policy add src ::/0 dst ::/0 proto ipv6-icmp type 135 dir in priority 17001 "
                   "action allow",
                   XFRM_MSG_NEWPOLICY, sizeof(xfrm_userpolicy_info)));
}

TEST_F(Iproute2, SaysTheSameToRemoveAPolicy) {
  PolicyKey key;
  key.direction = Direction::kOut;
  key.selector = {net("0.0.0.0/0"), net("10.2.0.0/16"), 0, {}};
  batch_.remove_policy(key);
  expect_same(ours(batch_, sizeof(xfrm_userpolicy_id)),
              said("policy delete src 0.0.0.0/0 dst 10.2.0.0/16 dir out", XFRM_MSG_DELPOLICY,
                   sizeof(xfrm_userpolicy_id)));
}

// ---- Without an oracle ----

SaConfig small_sa(ByteView encr) {
  SaConfig sa;
  sa.key = {ip("192.0.2.1"), 0x1234};
  sa.source = ip("192.0.2.2");
  sa.reqid = 77;
  sa.encr = encr;
  return sa;
}

TEST(MessageBatch, AsksForTheFirstPacketOfAWatchedSaOnlyAndSilencesTheOthers) {
  const Bytes encr(36, 1);
  MessageBatch batch;
  SaConfig sa = small_sa(encr);
  sa.encapsulation = Encapsulation{4500, 4500};
  batch.add_sa(sa);
  sa.watch = true;
  batch.add_sa(sa);
  const Said silent = parts(batch.message(0), sizeof(xfrm_usersa_info));
  const Said watched = parts(batch.message(1), sizeof(xfrm_usersa_info));
  EXPECT_EQ(silent.attributes.at(XFRMA_REPLAY_THRESH), "00000000");
  EXPECT_EQ(silent.attributes.at(XFRMA_ETIMER_THRESH), "00000000");
  EXPECT_FALSE(silent.attributes.contains(XFRMA_MTIMER_THRESH));
  EXPECT_EQ(watched.attributes.at(XFRMA_REPLAY_THRESH), "01000000");
  EXPECT_EQ(watched.attributes.at(XFRMA_ETIMER_THRESH), "00000000");
  EXPECT_EQ(watched.attributes.at(XFRMA_MTIMER_THRESH), "3c000000");
}

TEST(MessageBatch, EndsTheWatchWithAReplacingEventMessage) {
  MessageBatch batch;
  batch.unwatch_sa({ip("192.0.2.1"), 0x1234}, ip("192.0.2.2"), 77);
  const nlmsghdr* const message = batch.message(0);
  EXPECT_EQ(message->nlmsg_type, XFRM_MSG_NEWAE);
  EXPECT_NE(message->nlmsg_flags & NLM_F_REPLACE, 0);
  const Said said = parts(message, sizeof(xfrm_aevent_id));
  EXPECT_EQ(said.attributes.at(XFRMA_REPLAY_THRESH), "00000000");
  const auto event = parse_replay_event(message);
  ASSERT_TRUE(event.has_value());
  EXPECT_EQ(event->key, (SaKey{ip("192.0.2.1"), 0x1234}));
  EXPECT_EQ(event->reqid, 77U);
  EXPECT_FALSE(event->advanced);
}

TEST(MessageBatch, ReadsBackTheSasAndPoliciesItWrites) {
  const Bytes encr(36, 1);
  MessageBatch batch;
  SaConfig sa = small_sa(encr);
  sa.encapsulation = Encapsulation{4501, 4500};
  batch.add_sa(sa);
  const auto state = parse_sa(batch.message(0));
  ASSERT_TRUE(state.has_value());
  EXPECT_EQ(state->key, sa.key);
  EXPECT_EQ(state->source, sa.source);
  EXPECT_EQ(state->reqid, sa.reqid);
  EXPECT_TRUE(state->has_keys);
  EXPECT_EQ(state->encapsulation, sa.encapsulation);
  PolicyConfig policy;
  policy.key.direction = Direction::kIn;
  policy.key.selector = {net("10.2.0.0/16"), net("10.1.0.0/16"), 0, {}};
  policy.key.mark = 5;
  policy.priority = 17400;
  policy.action = Action::kProtect;
  policy.protect = Template{{}, {}, 0, 77};
  batch.set_policy(policy);
  const auto read = parse_policy(batch.message(1));
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->key, policy.key);
  EXPECT_EQ(read->priority, policy.priority);
  EXPECT_EQ(read->action, policy.action);
  EXPECT_EQ(read->protect, policy.protect);
}

TEST(MessageBatch, TakesAFullBatchOfTheLargestSas) {
  const Bytes encr(32, 1);
  const Bytes integ(64, 2);
  SaConfig sa = small_sa(encr);
  sa.suite = {crypto::EncrId::kAesCbc, 256, crypto::IntegId::kHmacSha2_512_256};
  sa.integ = integ;
  sa.replay_window = 4096;
  sa.encapsulation = Encapsulation{4500, 4500};
  sa.output_mark = 1;
  sa.watch = true;
  MessageBatch batch;
  while (!batch.full()) batch.add_sa(sa);
  EXPECT_GE(batch.size(), 80U);
  EXPECT_LE(batch.octets().size(), MessageBatch::kCapacity);
}

TEST(MessageBatch, ForgetsKeysWhenItIsCleared) {
  const Bytes encr(36, 0xab);
  MessageBatch batch;
  batch.add_sa(small_sa(encr));
  const ByteView octets = batch.octets();
  const auto found = [&] {
    return std::search(octets.begin(), octets.end(), encr.begin(), encr.end()) != octets.end();
  };
  ASSERT_TRUE(found());
  batch.clear();
  EXPECT_FALSE(found());
}

/// A message of the kernel, made by hand.
template <class Header>
class Told {
 public:
  explicit Told(std::uint16_t type) : storage_(128) {
    message_ = mnl_nlmsg_put_header(storage_.data());
    message_->nlmsg_type = type;
    header = static_cast<Header*>(mnl_nlmsg_put_extra_header(message_, sizeof(Header)));
  }
  nlmsghdr* message() { return message_; }
  Header* header;

 private:
  std::vector<std::uint64_t> storage_;
  nlmsghdr* message_;
};

TEST(Events, AFirstPacketIsTheReplayThresholdNotTheTimer) {
  Told<xfrm_aevent_id> told(XFRM_MSG_NEWAE);
  told.header->sa_id.family = AF_INET;
  told.header->sa_id.proto = IPPROTO_ESP;
  told.header->sa_id.spi = htonl(0x1234);
  told.header->flags = XFRM_AE_CE;
  EXPECT_FALSE(parse_replay_event(told.message())->advanced);
  told.header->flags = XFRM_AE_CR;
  EXPECT_TRUE(parse_replay_event(told.message())->advanced);
  told.header->sa_id.proto = IPPROTO_AH;
  EXPECT_FALSE(parse_replay_event(told.message()).has_value());
}

TEST(Events, AMappingSaysWhereThePeerIsNow) {
  Told<xfrm_user_mapping> told(XFRM_MSG_MAPPING);
  told.header->id.family = AF_INET;
  told.header->id.spi = htonl(0x1234);
  told.header->reqid = 77;
  told.header->new_saddr = to_wire(ip("203.0.113.5"));
  told.header->new_sport = htons(4510);
  const auto event = parse_mapping(told.message());
  ASSERT_TRUE(event.has_value());
  EXPECT_EQ(to_string(event->source), "203.0.113.5:4510");
  EXPECT_EQ(event->reqid, 77U);
}

TEST(Events, AnAcquireNamesThePolicysTemplate) {
  Told<xfrm_user_acquire> told(XFRM_MSG_ACQUIRE);
  told.header->id.proto = IPPROTO_ESP;
  told.header->sel.family = AF_INET6;
  xfrm_user_tmpl protect{};
  protect.reqid = 77;
  protect.family = AF_INET;
  told.header->id.daddr = to_wire(ip("127.67.0.1"));
  mnl_attr_put(told.message(), XFRMA_TMPL, sizeof protect, &protect);
  const auto event = parse_acquire(told.message());
  ASSERT_TRUE(event.has_value());
  EXPECT_EQ(event->reqid, 77U);
  EXPECT_EQ(to_string(event->key.destination), "127.67.0.1");
}

TEST(Events, AnExpirySaysWhichKind) {
  Told<xfrm_user_expire> told(XFRM_MSG_EXPIRE);
  told.header->state.id.proto = IPPROTO_ESP;
  told.header->state.family = AF_INET;
  told.header->state.reqid = 77;
  told.header->hard = 1;
  const auto event = parse_expire(told.message());
  ASSERT_TRUE(event.has_value());
  EXPECT_TRUE(event->hard);
  EXPECT_EQ(event->sa.reqid, 77U);
}

TEST(Events, MessagesCutShortOrOfAnotherTypeAreNobodys) {
  Told<xfrm_user_expire> told(XFRM_MSG_EXPIRE);
  told.message()->nlmsg_len -= 8;
  EXPECT_FALSE(parse_expire(told.message()).has_value());
  EXPECT_FALSE(parse_mapping(told.message()).has_value());
  EXPECT_FALSE(parse_sa(told.message()).has_value());
  EXPECT_FALSE(parse_policy(told.message()).has_value());
  EXPECT_FALSE(parse_acquire(told.message()).has_value());
}

}  // namespace
}  // namespace cygnet::agent::xfrm
