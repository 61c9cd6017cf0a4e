// SPDX-License-Identifier: Apache-2.0
// AgentCore and the size of packets: PMTU datagrams and one PathMtu a peer with traffic
// (docs/protocol.md section 6.6, RFC 8899). No rekey decision hangs on any of it.
#include <algorithm>

#include "cygnet/agent/core/agent_core.h"
#include "cygnet/base/assert.h"

namespace cygnet::agent {
namespace {

// Probes go between mesh addresses: IPv6 and UDP in front of the payload.
constexpr std::size_t kInnerHeaders = 40 + 8;
constexpr std::size_t kTlvHeader = 4;
constexpr unsigned kAnswersASecond = 10;

Bytes path_probe(const PathMtu::Probe& probe) {
  proto::Probe datagram;
  datagram.type = proto::ProbeType::kPmtu;
  store_be64(datagram.cookie.data(), probe.number);
  constexpr std::size_t kLeast = kInnerHeaders + proto::kProbeHeaderLength + kTlvHeader;
  if (probe.size >= kLeast) {
    datagram.tlvs.push_back({proto::kTlvPadding, Bytes(probe.size - kLeast, 0)});
  }
  Result<Bytes> payload = proto::encode_probe(datagram);
  CYGNET_ASSERT(payload.has_value());
  return std::move(*payload);
}

}  // namespace

std::optional<Timestamp> AgentCore::next_deadline() const {
  const auto rekey = rekey_.next_deadline();
  if (path_deadlines_.empty()) return rekey;
  const Timestamp path = path_deadlines_.begin()->first;
  return rekey ? std::min(*rekey, path) : path;
}

template <class Event>
void AgentCore::with_path(proto::PeerId peer, const Event& event) {
  const auto it = paths_.find(peer);
  if (it == paths_.end() || !it->second.mtu) return;
  PathMtu& mtu = *it->second.mtu;
  const auto deadline = mtu.next_deadline();
  const PathMtuLimit before = mtu.limit();
  const std::optional<PathMtu::Probe> probe = event(mtu);
  if (mtu.limit() != before) out_.emplace_back(SetPathMtu{peer, mtu.limit()});
  if (probe) {
    // Only what traffic goes out on is probed. Without any, the probe counts as lost.
    const auto status = rekey_.peer_status(peer);
    if (status && status->outbound) {
      out_.emplace_back(SendPathProbe{peer, *status->outbound, path_probe(*probe)});
    }
  }
  if (deadline) path_deadlines_.erase({*deadline, peer});
  if (const auto next = mtu.next_deadline()) path_deadlines_.insert({*next, peer});
}

void AgentCore::note_path_traffic(proto::PeerId peer, Now now) {
  const Peer* const known = find_peer(peer);
  if (features_.path_mtu_bound == 0 || known == nullptr || !known->allowed) return;
  // A packet that waits for an SA is no use of the path yet.
  const auto status = rekey_.peer_status(peer);
  if (!status || !status->outbound) return;
  Path& path = paths_[peer];
  if (!path.mtu) {
    path.mtu.emplace(PathMtu::Settings{features_.path_mtu_bound, features_.path_mtu_raise});
  }
  with_path(peer, [&](PathMtu& mtu) { return mtu.on_traffic(now.mono); });
}

void AgentCore::on_path_mtu_datagram(proto::PeerId peer, const proto::Probe& probe,
                                     std::size_t length, Now now) {
  if (const proto::ProbeTlv* const received = probe.find(proto::kTlvReceived)) {
    if (received->value.size() != 2) {
      ++refusals_[std::string(proto::kErrProbe.name())];
      return;
    }
    with_path(peer, [&](PathMtu& mtu) {
      return mtu.on_answer(load_be64(probe.cookie.data()), load_be16(received->value.data()),
                           now.mono);
    });
    return;
  }
  const Peer* const known = find_peer(peer);
  const auto status = rekey_.peer_status(peer);
  if (known == nullptr || !known->allowed || !status || !status->outbound) return;
  Path& path = paths_[peer];
  if (now.mono - path.answers_since >= std::chrono::seconds(1)) {
    path.answers_since = now.mono;
    path.answers = 0;
  }
  if (++path.answers > kAnswersASecond) return;
  const std::size_t size = std::min<std::size_t>(kInnerHeaders + length, 0xffff);
  proto::Probe answer;
  answer.type = proto::ProbeType::kPmtu;
  answer.cookie = probe.cookie;
  answer.tlvs.push_back({proto::kTlvReceived, Bytes(2)});
  store_be16(answer.tlvs.front().value.data(), static_cast<std::uint16_t>(size));
  Result<Bytes> payload = proto::encode_probe(answer);
  CYGNET_ASSERT(payload.has_value());
  out_.emplace_back(SendProbePayload{peer, *status->outbound, std::move(*payload)});
}

void AgentCore::pass_path_time(Now now) {
  while (!path_deadlines_.empty() && path_deadlines_.begin()->first <= now.mono) {
    with_path(path_deadlines_.begin()->second, [&](PathMtu& mtu) { return mtu.on_time(now.mono); });
  }
}

void AgentCore::forget_path(proto::PeerId peer) {
  const auto it = paths_.find(peer);
  if (it == paths_.end()) return;
  if (it->second.mtu) {
    if (const auto deadline = it->second.mtu->next_deadline()) {
      path_deadlines_.erase({*deadline, peer});
    }
  }
  paths_.erase(it);
}

Effects AgentCore::on_path_probe_too_large(proto::PeerId peer, std::uint32_t inner, Now now) {
  with_path(peer, [&](PathMtu& mtu) { return mtu.on_too_large(inner, now.mono); });
  return finish(now);
}

Effects AgentCore::on_peer_moved(proto::PeerId peer, Now now) {
  with_path(peer, [](PathMtu& mtu) {
    mtu.on_path_changed();
    return std::optional<PathMtu::Probe>();
  });
  return finish(now);
}

}  // namespace cygnet::agent
