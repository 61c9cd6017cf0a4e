// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Which policies the kernel needs for a prefix (RFC 4301 section 4.4.1), and the numbers by which
/// we know ours again. Pure: what is to be, not what the kernel has.
///
/// | packet                     | policy                                    |
/// |----------------------------|-------------------------------------------|
/// | to a peer's prefix         | out: protect by one SA, hold, or block    |
/// | from it, to us             | in, fwd: must have come through the peer's SAs |
/// | from it, to anywhere else  | in, fwd: block (wider, and worse in rank)  |
/// | to or from our own prefix  | pass                                      |
/// | of our own sockets (mark)  | out: pass                                 |
///
/// A prefix inside another goes first. A policy is never removed to be replaced: the kernel changes
/// one in a single step, so that nothing leaves in clear between.

#include <algorithm>
#include <array>
#include <optional>
#include <vector>

#include "cygnet/agent/backend/xfrm/messages.h"

namespace cygnet::agent::xfrm {

/// How a peer's packets leave.
struct Outbound {
  enum class Kind : std::uint8_t { kHold, kBlock, kProtect };
  Kind kind = Kind::kHold;
  std::uint32_t reqid = 0;  ///< kHold: the peer's; kProtect: the SA's
  Template protect;         ///< kProtect
};

[[nodiscard]] PolicyConfig outbound_policy(const IpPrefix& prefix, const Outbound& how);
/// Directions in and forward, towards one of our prefixes of the same family.
[[nodiscard]] std::vector<PolicyConfig> inbound_policies(const IpPrefix& prefix,
                                                         const IpPrefix& own, std::uint32_t reqid);
/// Directions in and forward: whatever else comes from the prefix.
[[nodiscard]] std::vector<PolicyConfig> inbound_blocks(const IpPrefix& prefix);
/// Probes to a peer's mesh address that are sent with this firewall mark: by one SA, whatever the
/// prefix's own policy says.
[[nodiscard]] PolicyConfig probe_policy(const IpAddress& mesh_address, std::uint32_t mark,
                                        const Template& protect);
/// Our own prefix inside a peer's wider one.
[[nodiscard]] std::vector<PolicyConfig> own_policies(const IpPrefix& own);
/// Our own marked sockets, and what a link needs to find its neighbours (RFC 4861).
[[nodiscard]] std::vector<PolicyConfig> base_policies(std::uint32_t mark);

/// Reqids of one agent: its routing table's number above, what it is of below. Foreign SAs and
/// policies have others, and are left alone.
class Reqids {
 public:
  explicit Reqids(std::uint32_t table) : tag_(table << 16) {}
  [[nodiscard]] bool ours(std::uint32_t reqid) const {
    return (reqid & 0xffff0000U) == tag_ && (reqid & 0xffffU) != 0;
  }
  /// Ours, and a peer's: what comes in from it, and packets that wait for an SA.
  [[nodiscard]] bool of_peer(std::uint32_t reqid) const {
    return ours(reqid) && (reqid & 0xffffU) < kOutboundFirst;
  }
  /// One that `used` does not say is taken. Peers and outbound SAs have ranges of their own.
  template <class Used>
  [[nodiscard]] std::optional<std::uint32_t> peer(const Used& used) {
    return next(next_peer_, 1, kOutboundFirst - 1, used);
  }
  template <class Used>
  [[nodiscard]] std::optional<std::uint32_t> outbound(const Used& used) {
    return next(next_outbound_, kOutboundFirst, 0xffff, used);
  }

 private:
  static constexpr std::uint32_t kOutboundFirst = 0x8000;
  template <class Used>
  std::optional<std::uint32_t> next(std::uint32_t& at, std::uint32_t low, std::uint32_t high,
                                    const Used& used) {
    for (std::uint32_t tried = low; tried <= high; ++tried) {
      at = at < low || at >= high ? low : at + 1;
      if (!used(tag_ | at)) return tag_ | at;
    }
    return std::nullopt;
  }
  std::uint32_t tag_;
  std::uint32_t next_peer_ = 0;
  std::uint32_t next_outbound_ = 0;
};

/// Numbers of one agent's policies, by which they are known in a list: its routing table's above.
class PolicyIndexes {
 public:
  explicit PolicyIndexes(std::uint32_t table) : tag_((table & 0x1fffU) << kTagShift) {}
  [[nodiscard]] std::uint32_t next(Direction direction) {
    const auto bits = static_cast<std::uint32_t>(direction);
    return tag_ | ((++used_[bits] & 0xffffU) << 3) | bits;
  }
  [[nodiscard]] bool ours(std::uint32_t index) const {
    return index >> kTagShift == tag_ >> kTagShift;
  }
  /// One that the kernel has: it is not given again.
  void seen(std::uint32_t index) {
    std::uint32_t& used = used_[index & 7U];
    used = std::max(used, (index >> 3) & 0xffffU);
  }

 private:
  static constexpr std::uint32_t kTagShift = 19;
  std::uint32_t tag_;
  std::array<std::uint32_t, 8> used_{};
};

/// Ranks of our policies, a range of the kernel's priorities: before what other IPsec daemons use.
inline constexpr std::uint32_t kPriorityFirst = 17000;

}  // namespace cygnet::agent::xfrm
