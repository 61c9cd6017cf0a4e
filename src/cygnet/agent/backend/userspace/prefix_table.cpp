// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/backend/userspace/prefix_table.h"

#include <algorithm>
#include <bit>

#include "cygnet/base/assert.h"

namespace cygnet::agent::userspace {

PrefixTable::Key PrefixTable::key_of(const IpAddress& address) {
  // IPv4 stands in the top 32 bits, so that bit 0 is the first of both families.
  if (!address.is_v6) return {std::uint64_t{load_be32(address.octets.data())} << 32, 0};
  return {load_be64(address.octets.data()), load_be64(address.octets.data() + 8)};
}

PrefixTable::Key PrefixTable::mask(Key key, unsigned length) {
  constexpr std::uint64_t kAll = ~std::uint64_t{0};
  if (length == 0) return {};
  if (length < 64) return {key.high & (kAll << (64 - length)), 0};
  if (length == 64) return {key.high, 0};
  if (length < 128) return {key.high, key.low & (kAll << (128 - length))};
  return key;
}

unsigned PrefixTable::bit(Key key, unsigned position) {
  const std::uint64_t word = position < 64 ? key.high : key.low;
  return static_cast<unsigned>(word >> (63 - position % 64)) & 1;
}

unsigned PrefixTable::common_length(Key a, Key b, unsigned limit) {
  unsigned common = static_cast<unsigned>(std::countl_zero(a.high ^ b.high));
  if (common == 64) common += static_cast<unsigned>(std::countl_zero(a.low ^ b.low));
  return std::min(common, limit);
}

PrefixTable::NodeIndex PrefixTable::make_node(Key key, unsigned length, Owner owner) {
  const Node node{key, owner, static_cast<std::uint8_t>(length), {kNone, kNone}};
  if (!free_.empty()) {
    const NodeIndex index = free_.back();
    free_.pop_back();
    nodes_[index] = node;
    return index;
  }
  nodes_.push_back(node);
  return static_cast<NodeIndex>(nodes_.size() - 1);
}

PrefixTable::NodeIndex PrefixTable::insert(NodeIndex at, Key key, unsigned length, Owner owner) {
  if (at == kNone) {
    ++prefixes_;
    return make_node(key, length, owner);
  }
  const unsigned here = nodes_[at].length;
  const unsigned common = common_length(nodes_[at].key, key, std::min(here, length));
  if (common == here && common == length) {
    if (nodes_[at].owner == kNobody) ++prefixes_;
    nodes_[at].owner = owner;
    return at;
  }
  if (common == here) {
    const unsigned side = bit(key, here);
    const NodeIndex child = insert(nodes_[at].child[side], key, length, owner);
    nodes_[at].child[side] = child;
    return at;
  }
  // The two part before this node's end: a fork above it, which is the new prefix itself when
  // that ends there.
  ++prefixes_;
  const unsigned old_side = bit(nodes_[at].key, common);
  NodeIndex fork = kNone;
  if (common == length) {
    fork = make_node(key, length, owner);
  } else {
    fork = make_node(mask(key, common), common, kNobody);
    const NodeIndex leaf = make_node(key, length, owner);
    nodes_[fork].child[1 - old_side] = leaf;
  }
  nodes_[fork].child[old_side] = at;
  return fork;
}

PrefixTable::NodeIndex PrefixTable::remove(NodeIndex at, Key key, unsigned length) {
  if (at == kNone) return kNone;
  const unsigned here = nodes_[at].length;
  if (here > length || mask(key, here) != nodes_[at].key) return at;
  if (here < length) {
    const unsigned side = bit(key, here);
    const NodeIndex child = remove(nodes_[at].child[side], key, length);
    nodes_[at].child[side] = child;
  } else if (nodes_[at].owner != kNobody) {
    nodes_[at].owner = kNobody;
    --prefixes_;
  }
  // A node without owner and without a fork has no purpose.
  Node& node = nodes_[at];
  if (node.owner == kNobody && (node.child[0] == kNone || node.child[1] == kNone)) {
    const NodeIndex rest = node.child[0] != kNone ? node.child[0] : node.child[1];
    free_.push_back(at);
    return rest;
  }
  return at;
}

void PrefixTable::set(const IpPrefix& prefix, Owner owner) {
  CYGNET_ASSERT(owner != kNobody);
  const Key key = mask(key_of(prefix.address), prefix.length);
  const NodeIndex top = insert(root(prefix.address.is_v6), key, prefix.length, owner);
  root(prefix.address.is_v6) = top;
}

void PrefixTable::erase(const IpPrefix& prefix) {
  const Key key = mask(key_of(prefix.address), prefix.length);
  const NodeIndex top = remove(root(prefix.address.is_v6), key, prefix.length);
  root(prefix.address.is_v6) = top;
}

PrefixTable::Owner PrefixTable::find(const IpAddress& address) const {
  const Key key = key_of(address);
  const unsigned bits = address.is_v6 ? 128 : 32;
  Owner best = kNobody;
  for (NodeIndex at = roots_[address.is_v6 ? 1 : 0]; at != kNone;) {
    const Node& node = nodes_[at];
    if (mask(key, node.length) != node.key) break;
    if (node.owner != kNobody) best = node.owner;
    if (node.length == bits) break;
    at = node.child[bit(key, node.length)];
  }
  return best;
}

PrefixTable::Owner PrefixTable::exact(const IpPrefix& prefix) const {
  const Key key = mask(key_of(prefix.address), prefix.length);
  for (NodeIndex at = roots_[prefix.address.is_v6 ? 1 : 0]; at != kNone;) {
    const Node& node = nodes_[at];
    if (node.length > prefix.length || mask(key, node.length) != node.key) break;
    if (node.length == prefix.length) return node.owner;
    at = node.child[bit(key, node.length)];
  }
  return kNobody;
}

}  // namespace cygnet::agent::userspace
