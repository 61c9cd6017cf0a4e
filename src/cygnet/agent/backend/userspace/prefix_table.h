// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Longest-prefix match over IPv4 and IPv6: who owns an address. One table decides both where a
/// packet goes and whose source address it may carry, so that the two can never differ (RFC 4301
/// section 5.2 step 4). A path-compressed binary trie: a lookup follows at most one branch a
/// stored prefix on the way, allocates nothing. Pure. Not thread-safe.

#include <array>
#include <cstdint>
#include <vector>

#include "cygnet/agent/backend/api/backend.h"

namespace cygnet::agent::userspace {

/// Owners are small numbers, 0 is nobody.
class PrefixTable {
 public:
  using Owner = std::uint32_t;
  static constexpr Owner kNobody = 0;

  /// Gives the prefix an owner, whoever had it before. Bits behind the length are ignored.
  void set(const IpPrefix& prefix, Owner owner);
  /// Forgets the prefix; shorter ones that contain it apply again.
  void erase(const IpPrefix& prefix);
  /// The owner of the longest prefix that contains the address.
  [[nodiscard]] Owner find(const IpAddress& address) const;
  /// The owner of exactly this prefix.
  [[nodiscard]] Owner exact(const IpPrefix& prefix) const;
  [[nodiscard]] std::size_t size() const { return prefixes_; }

 private:
  using NodeIndex = std::uint32_t;
  static constexpr NodeIndex kNone = 0;
  struct Key {
    std::uint64_t high = 0;
    std::uint64_t low = 0;
    friend bool operator==(const Key&, const Key&) = default;
  };
  struct Node {
    Key key;
    Owner owner = kNobody;
    std::uint8_t length = 0;
    std::array<NodeIndex, 2> child{kNone, kNone};
  };

  static Key key_of(const IpAddress& address);
  static Key mask(Key key, unsigned length);
  static unsigned bit(Key key, unsigned position);
  static unsigned common_length(Key a, Key b, unsigned limit);
  NodeIndex make_node(Key key, unsigned length, Owner owner);
  NodeIndex insert(NodeIndex at, Key key, unsigned length, Owner owner);
  NodeIndex remove(NodeIndex at, Key key, unsigned length);
  NodeIndex& root(bool v6) { return roots_[v6 ? 1 : 0]; }

  std::vector<Node> nodes_{Node{}};  ///< [0] stands for "no node"
  std::vector<NodeIndex> free_;
  std::array<NodeIndex, 2> roots_{kNone, kNone};
  std::size_t prefixes_ = 0;
};

}  // namespace cygnet::agent::userspace
