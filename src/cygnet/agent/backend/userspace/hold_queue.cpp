// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/backend/userspace/hold_queue.h"

namespace cygnet::agent::userspace {

std::size_t HoldQueue::push(Timestamp now, ByteView packet) {
  std::size_t dropped = expire(now);
  if (packets_.size() == kMaxPackets) {
    packets_.pop_front();
    ++dropped;
  }
  packets_.push_back({now, Bytes(packet.begin(), packet.end())});
  return dropped;
}

std::size_t HoldQueue::expire(Timestamp now) {
  std::size_t dropped = 0;
  while (!packets_.empty() && now - packets_.front().since > kMaxAge) {
    packets_.pop_front();
    ++dropped;
  }
  return dropped;
}

std::optional<Bytes> HoldQueue::pop() {
  if (packets_.empty()) return std::nullopt;
  Bytes packet = std::move(packets_.front().packet);
  packets_.pop_front();
  return packet;
}

std::size_t HoldQueue::clear() {
  const std::size_t dropped = packets_.size();
  packets_.clear();
  return dropped;
}

}  // namespace cygnet::agent::userspace
