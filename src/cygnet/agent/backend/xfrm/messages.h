// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Messages to the kernel's IPsec (NETLINK_XFRM): SAs, policies, replay events (RFC 4301 SAD and
/// SPD). Built into one buffer, so that many go with one system call. No socket here: the same
/// input gives the same octets. Addresses are of the outer packet unless a selector says otherwise.

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "cygnet/agent/backend/api/backend.h"
#include "cygnet/base/bytes.h"
#include "cygnet/crypto/ids.h"

struct nlmsghdr;

namespace cygnet::agent::xfrm {

/// How the kernel finds an SA: it does not look at the source.
struct SaKey {
  IpAddress destination;
  std::uint32_t spi = 0;
  friend auto operator<=>(const SaKey&, const SaKey&) = default;
};

/// ESP in UDP (RFC 3948).
struct Encapsulation {
  std::uint16_t source_port = 0;
  std::uint16_t destination_port = 0;
  friend bool operator==(const Encapsulation&, const Encapsulation&) = default;
};

/// One ESP SA in tunnel mode.
struct SaConfig {
  SaKey key;
  IpAddress source;
  std::uint32_t reqid = 0;
  crypto::EspSuite suite;
  ByteView encr;   ///< with the salt, as KEYMAT gives it
  ByteView integ;  ///< empty for an AEAD
  bool esn = true;
  std::uint32_t replay_window = 32;  ///< 1 to 4096
  std::optional<Encapsulation> encapsulation;
  /// Firewall mark of the packets it makes: how the routing rule tells them from user packets.
  std::uint32_t output_mark = 0;
  std::uint64_t soft_packet_limit = 0;  ///< told once when it is passed (XFRM_MSG_EXPIRE); 0: none
  /// Report the first packet that verifies (XFRM_MSG_NEWAE), and a new source at most once a
  /// minute.
  bool watch = false;
};

enum class Direction : std::uint8_t { kIn = 0, kOut = 1, kForward = 2 };
/// kProtect needs a template.
enum class Action : std::uint8_t { kProtect, kBlock, kPass };

struct Selector {
  IpPrefix source;
  IpPrefix destination;
  std::uint8_t protocol = 0;               ///< 0: any
  std::optional<std::uint16_t> icmp_type;  ///< of ICMP and ICMPv6
  friend auto operator<=>(const Selector&, const Selector&) = default;
};
/// What an SA must be to carry (or have carried) a packet.
struct Template {
  IpAddress source;       ///< all zero: any (inbound)
  IpAddress destination;  ///< all zero: any (inbound)
  std::uint32_t spi = 0;  ///< 0: any
  std::uint32_t reqid = 0;
  friend bool operator==(const Template&, const Template&) = default;
};
/// How the kernel finds a policy. Priority is not part of it.
struct PolicyKey {
  Direction direction = Direction::kOut;
  Selector selector;
  std::uint32_t mark = 0;  ///< not 0: packets with exactly this firewall mark
  friend auto operator<=>(const PolicyKey&, const PolicyKey&) = default;
};
struct PolicyConfig {
  PolicyKey key;
  std::uint32_t priority = 0;  ///< the lowest number wins
  /// The kernel's number of it, its direction in the lowest three bits; 0: the kernel chooses. Only
  /// a new policy can be given one.
  std::uint32_t index = 0;
  Action action = Action::kBlock;
  std::optional<Template> protect;
};

/// Several messages behind each other in one buffer. Holds keys until clear() or destruction, which
/// zero it.
class MessageBatch {
 public:
  static constexpr std::size_t kMaxMessages = 128;
  static constexpr std::size_t kCapacity = 128U * 1024;
  static constexpr std::size_t kMaxMessage = 2048;

  MessageBatch();
  ~MessageBatch();
  MessageBatch(const MessageBatch&) = delete;
  MessageBatch& operator=(const MessageBatch&) = delete;

  /// Refused with EEXIST when the key is taken.
  void add_sa(const SaConfig& sa);
  /// Fills in an SPI that the kernel holds without keys; refused with ESRCH when there is none.
  void update_sa(const SaConfig& sa);
  void remove_sa(const SaKey& key);
  void get_sa(const SaKey& key);
  /// Every SA the kernel has; goes alone.
  void list_sas();
  /// Makes the policy or replaces the one of the same key in one step.
  void set_policy(const PolicyConfig& policy);
  /// Refused with EEXIST when the key is taken.
  void add_policy(const PolicyConfig& policy);
  void remove_policy(const PolicyKey& key);
  void list_policies();
  /// Ends the events of SaConfig::watch; counters and replay window stay as they are.
  void unwatch_sa(const SaKey& key, const IpAddress& source, std::uint32_t reqid);

  [[nodiscard]] std::size_t size() const { return starts_.size(); }
  [[nodiscard]] bool empty() const { return starts_.empty(); }
  [[nodiscard]] bool full() const {
    return starts_.size() >= kMaxMessages || kCapacity - used_ < kMaxMessage;
  }
  [[nodiscard]] ByteView octets() const { return {buffer_.get(), used_}; }
  [[nodiscard]] nlmsghdr* message(std::size_t index);
  void clear();

 private:
  [[nodiscard]] nlmsghdr* begin(std::uint16_t type, std::uint16_t flags);
  void end(nlmsghdr* message);
  void put_sa(std::uint16_t type, const SaConfig& sa);
  void put_policy(std::uint16_t type, const PolicyConfig& policy);

  std::unique_ptr<std::uint8_t[]> buffer_;
  std::size_t used_ = 0;
  std::vector<std::size_t> starts_;
};

// What the kernel sends. Parsers return nullopt for a message of another type, of another protocol
// than ESP, or too short.

struct SaState {
  SaKey key;
  IpAddress source;
  std::uint32_t reqid = 0;
  bool has_keys = false;  ///< false: a place kept for keys to come
  std::optional<Encapsulation> encapsulation;
  std::uint64_t packets = 0;  ///< that verified, or were sent
  std::uint64_t octets = 0;
  std::uint64_t highest_in = 0;
  std::uint64_t highest_out = 0;
  std::uint32_t replays = 0;           ///< dropped: seen already
  std::uint32_t behind_window = 0;     ///< dropped: too old
  std::uint32_t integrity_failed = 0;  ///< dropped: ICV
};
[[nodiscard]] std::optional<SaState> parse_sa(const nlmsghdr* message);

[[nodiscard]] std::optional<PolicyConfig> parse_policy(const nlmsghdr* message);

struct ReplayEvent {
  SaKey key;
  IpAddress source;
  std::uint32_t reqid = 0;
  bool advanced = false;  ///< a packet that verified moved the window
};
[[nodiscard]] std::optional<ReplayEvent> parse_replay_event(const nlmsghdr* message);

struct ExpireEvent {
  SaState sa;
  bool hard = false;
};
[[nodiscard]] std::optional<ExpireEvent> parse_expire(const nlmsghdr* message);

struct MappingEvent {
  SaKey key;
  std::uint32_t reqid = 0;
  UdpEndpoint source;  ///< where a packet that verified came from
};
[[nodiscard]] std::optional<MappingEvent> parse_mapping(const nlmsghdr* message);

struct AcquireEvent {
  std::uint32_t reqid = 0;  ///< of the template; 0 when the kernel did not tell
  SaKey key;                ///< of the place it keeps
  Selector packet;          ///< the packet that waits
};
[[nodiscard]] std::optional<AcquireEvent> parse_acquire(const nlmsghdr* message);

}  // namespace cygnet::agent::xfrm
