// SPDX-License-Identifier: Apache-2.0
// Agent: what the data plane tells.
#include "cygnet/agent/driver/agent.h"
#include "cygnet/agent/link/discovery.h"
#include "cygnet/rt/log.h"

namespace cygnet::agent {

void Agent::on_evidence(proto::PeerId peer, proto::SaPairId pair, EvidenceKind kind) {
  heard_[peer] = loop_.now();
  event([peer, pair, kind](AgentCore& core, Now now) {
    return core.on_evidence(peer, pair, kind, now);
  });
}

// Where packets flow, no pair waits for the first one: a change of the choice must not hold them
// up.
void Agent::on_user_traffic(proto::PeerId peer) {
  derive_claimed_of(peer);
  event([peer](AgentCore& core, Now now) { return core.on_user_traffic(peer, now); });
}

void Agent::on_packet_waiting(proto::PeerId peer) {
  derive_claimed_of(peer);
  event([peer](AgentCore& core, Now now) { return core.on_packet_waiting(peer, now); });
}

void Agent::on_soft_limit(proto::PeerId peer, proto::SaPairId pair) {
  event([peer, pair](AgentCore& core, Now now) { return core.on_soft_limit(peer, pair, now); });
}

void Agent::on_unknown_spi(std::uint32_t spi, const UdpEndpoint& source, std::uint64_t count) {
  event([spi, source, count](AgentCore& core, Now now) {
    return core.on_unknown_spi(spi, source, count, now);
  });
}

void Agent::on_peer_moved(proto::PeerId peer, const UdpEndpoint& endpoint) {
  const auto view = core_->view(peer);
  rt::log_info("the peer is at another address",
               {{"peer", view ? view->device.value() : std::string()}, {"port", endpoint.port}});
  event([peer](AgentCore& core, Now now) { return core.on_peer_moved(peer, now); });
}

void Agent::on_path_probe_too_large(proto::PeerId peer, std::uint32_t inner) {
  event([peer, inner](AgentCore& core, Now now) {
    return core.on_path_probe_too_large(peer, inner, now);
  });
}

void Agent::on_probe(proto::PeerId peer, proto::SaPairId pair, Bytes payload) {
  heard_[peer] = loop_.now();
  event([peer, pair, payload = std::move(payload)](AgentCore& core, Now now) {
    return core.on_probe(peer, pair, payload, now);
  });
}

// Only the controller of the stream knows the cookie; anything else is not for us.
void Agent::on_control_datagram(const UdpEndpoint&, Bytes payload) {
  const auto answer = decode_discovery_answer(payload);
  if (!answer || !discovery_ || answer->cookie != discovery_->cookie) return;
  seen_endpoint_ = answer->seen;
  discovery_tries_ = 0;
}

void Agent::on_states_lost(const Error& error) {
  rt::log_warning("the data plane lost SAs; rolling over", error);
  flush();
}

void Agent::on_fault(const Error& error) {
  rt::log_error("the agent cannot go on", error);
  if (options_.on_fault) options_.on_fault(error);
}

}  // namespace cygnet::agent
