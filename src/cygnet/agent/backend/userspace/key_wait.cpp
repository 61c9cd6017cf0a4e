// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/backend/userspace/key_wait.h"

namespace cygnet::agent::userspace {

KeyWait::~KeyWait() { octets_ -= own_octets_; }

bool KeyWait::push(Timestamp now, const OuterAddress& source, std::uint8_t tos, ByteView packet) {
  const std::size_t more = cost(packet.size());
  if (packets_.size() == kMaxPackets || octets_ + more > kMaxOctets) return false;
  packets_.push_back({now, source, tos, Bytes(packet.begin(), packet.end())});
  own_octets_ += more;
  octets_ += more;
  return true;
}

bool KeyWait::push_probe(ByteView payload) {
  if (probes_.size() == kMaxProbes) return false;
  probes_.emplace_back(payload.begin(), payload.end());
  return true;
}

std::size_t KeyWait::expire(Timestamp now) {
  std::size_t gone = 0;
  while (gone < packets_.size() && now - packets_[gone].since > kMaxAge) {
    const std::size_t less = cost(packets_[gone].octets.size());
    own_octets_ -= less;
    octets_ -= less;
    ++gone;
  }
  packets_.erase(packets_.begin(), packets_.begin() + static_cast<std::ptrdiff_t>(gone));
  return gone;
}

}  // namespace cygnet::agent::userspace
