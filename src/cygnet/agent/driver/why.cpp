// SPDX-License-Identifier: Apache-2.0
// `cygnet why` from this device's side: policy, identities, both DIMs, negotiation, SA pairs, data
// plane, path, then a verdict and the next step. Works for pairs that are down, denied, idle or
// fine.
#include <algorithm>

#include "cygnet/agent/driver/address_text.h"
#include "cygnet/agent/driver/status.h"
#include "cygnet/rt/json.h"
#include "cygnet/rt/text.h"

namespace cygnet::agent {
namespace {

namespace rekey = proto::rekey;
using rt::Json;

/// Longer than an idle peer is silent: its keepalives come every 20 s.
constexpr Duration kHeardLately = std::chrono::seconds(30);

class Steps {
 public:
  void add(const char* name, const char* outcome, const std::string& text) {
    json_.push_back(Json{{"name", name}, {"outcome", outcome}, {"text", text}});
    if (std::string_view(outcome) == "fail" && first_failure_.empty()) first_failure_ = name;
  }
  Json json_ = Json::array();
  std::string first_failure_;
};

std::string age_text(Duration age) {
  return rt::format_duration_short(std::max<Duration>(age, Duration(0))) + " ago";
}

void policy_step(Steps& steps, const PeerView& peer) {
  if (peer.allowed) {
    std::string text = "the mesh policy allows the pair";
    if (peer.policy.on_demand) text += ", on demand";
    steps.add(
        "policy", peer.unconfirmed ? "warn" : "ok",
        peer.unconfirmed ? text + ", but the controller's last list did not name the peer" : text);
  } else if (peer.revoked) {
    steps.add("policy", "fail", "the peer's key or certificate is revoked");
  } else {
    steps.add("policy", "fail", "the mesh policy does not allow the pair (any more)");
  }
}

void controller_step(Steps& steps, const Agent& agent) {
  const ControllerLink& link = agent.link();
  const std::string since =
      rt::format_duration_short(std::max<Duration>(agent.now().mono - link.since(), Duration(0)));
  if (link.state() == ControllerLink::State::kUp) {
    steps.add("controller", "ok",
              "connected to " + link.controller().to_string() + " for " + since);
    return;
  }
  std::string text = "not connected to " + link.controller().to_string();
  if (link.last_error()) text += ": " + link.last_error()->to_string();
  steps.add("controller", "warn", text + "; SAs stay, rekeys wait");
}

void dim_steps(Steps& steps, const Agent& agent, const PeerView& peer) {
  const auto device = agent.core().rekey().device_status();
  const Timestamp now = agent.now().mono;
  if (device.generations.empty()) {
    steps.add("own DIM", "fail", "this device has no generation yet: it waits for its settings");
  } else {
    const auto& own = device.generations.back();
    const std::string name = "generation " + proto::to_string(own.counter);
    if (own.accepted_at) {
      steps.add("own DIM", "ok", name + ", accepted " + age_text(now - *own.accepted_at));
    } else {
      steps.add("own DIM", "warn", name + " is not accepted by the controller yet");
    }
  }
  if (peer.last_refusal) {
    steps.add("peer's DIM", peer.newest ? "warn" : "fail",
              "the newest one was refused: " + peer.last_refusal->to_string());
  }
  if (peer.newest) {
    const auto remote = std::find_if(peer.rekey->remotes.begin(), peer.rekey->remotes.end(),
                                     [&](const auto& r) { return r.counter == *peer.newest; });
    std::string text = "generation " + proto::to_string(*peer.newest);
    if (remote != peer.rekey->remotes.end()) {
      text += ", accepted " + age_text(now - remote->accepted_at);
    }
    steps.add("peer's DIM", "ok", text);
  } else if (peer.policy.on_demand && !peer.last_refusal) {
    steps.add("peer's DIM", "info", "none asked for: the pair is on demand and had no packet yet");
  } else if (!peer.last_refusal) {
    steps.add("peer's DIM", "fail", "none has come: the peer has not published one yet");
  }
}

void negotiation_step(Steps& steps, const PeerView& peer) {
  if (peer.agreement) {
    const bool initiator = peer.agreement->local_role == proto::Role::kInitiator;
    steps.add("negotiation", "ok",
              proto::to_string(peer.agreement->policy) + ", this device is the " +
                  (initiator ? "initiator" : "responder") + ", " +
                  std::to_string(peer.agreement->lanes) + " lane(s)");
  } else if (peer.no_agreement) {
    steps.add("negotiation", "fail", peer.no_agreement->to_string());
  } else {
    steps.add("negotiation", "info", "needs both DIMs");
  }
}

struct Reason {
  const char* outcome;
  const char* text;
  const char* next;
};

Reason reason_of(rekey::WhyNot why) {
  switch (why) {
    case rekey::WhyNot::kSettled:
      return {"ok", "both ends use the newest generations of both", "nothing to do"};
    case rekey::WhyNot::kNotAllowed:
      return {"fail", "policy does not allow this peer", "allow the pair in the mesh policy"};
    case rekey::WhyNot::kNoDim:
      return {"fail", "the peer's DIM is not known",
              "look whether the peer runs and reaches its controller"};
    case rekey::WhyNot::kNoProposal:
      return {"fail", "the two DIMs share no proposal",
              "give both devices a proposal in common (`cygnet plan`)"};
    case rekey::WhyNot::kInstalling:
      return {"info", "SA pairs are being installed", "wait a moment"};
    case rekey::WhyNot::kInstallFailed:
      return {"fail", "an SA pair could not be installed; it is tried again",
              "look into the agent's log"};
    case rekey::WhyNot::kNotAccepted:
      return {"warn", "this device's DIM is not accepted by the controller yet",
              "look at the connection to the controller"};
    case rekey::WhyNot::kWaitsForMark:
      return {"info", "the first packet waits until the peer has our DIM", "wait a moment"};
    case rekey::WhyNot::kPairUsedUp:
      return {"warn", "the pair newest x newest was used before; the device rolls over",
              "wait a moment"};
    case rekey::WhyNot::kPeerNotSeen:
      return {"info", "the peer was not yet heard on our newest generation",
              "if this stays: look whether the peer runs and whether UDP between the two passes"};
    case rekey::WhyNot::kUnconfirmed:
      return {"warn", "chosen, but nothing came back on it yet",
              "look whether UDP between the two endpoints passes"};
  }
  return {"info", "", ""};
}

void pair_steps(Steps& steps, const Agent& agent, const PeerView& peer,
                const PeerSummary& summary) {
  if (!peer.rekey) {
    steps.add("SA pairs", "info", "none");
    return;
  }
  if (summary.state == "asleep") {
    steps.add("SA pairs", "info", "none: the pair is on demand");
    return;
  }
  const Reason reason = reason_of(peer.rekey->why_not);
  std::string text = std::to_string(summary.pairs) + " pair(s)";
  if (summary.outbound) {
    text += ", sending on " + tx_name(*summary.outbound);
    text += summary.confirmed ? " (confirmed)" : " (not confirmed yet)";
  }
  steps.add("SA pairs", reason.outcome, text + ": " + reason.text);
  const InstalledPair* chosen =
      summary.outbound ? agent.installed(peer.id, *summary.outbound) : nullptr;
  if (chosen != nullptr) {
    steps.add("keys", chosen->keyed ? "ok" : "info",
              chosen->keyed ? "derived" : "claimed: derived when the first packet needs them");
  }
  const auto heard = agent.last_heard(peer.id);
  const PeerTotals totals = agent.totals(peer.id);
  steps.add("traffic", heard ? "ok" : "info",
            "received " + std::to_string(totals.in.packets) + " packets, sent " +
                std::to_string(totals.out.packets) +
                (heard ? ", last heard " + age_text(agent.now().mono - *heard) : ", never heard"));
}

void path_mtu_step(Steps& steps, const Agent& agent, const PeerView& peer) {
  if (agent.features().path_mtu_bound == 0) {
    steps.add("path MTU", "info",
              "not probed, by setting or by this data plane: packets are as large as the tunnel "
              "device takes");
    return;
  }
  if (!peer.path_mtu) {
    steps.add("path MTU", "info", "not probed yet: no user packet has gone to the peer or come");
    return;
  }
  const PathMtuLimit limit = peer.path_mtu->limit();
  const std::string inner = std::to_string(limit.inner) + " octets inside the tunnel";
  std::string text;
  switch (peer.path_mtu->state()) {
    case PathMtuState::kDisabled:
      text = inner + ", assumed: the peer has not answered a path probe";
      break;
    case PathMtuState::kBase:
    case PathMtuState::kSearching:
      text = inner + " for now: the search is under way";
      break;
    case PathMtuState::kSearchComplete:
      text = inner + ", found by probes";
      break;
    case PathMtuState::kError:
      text = inner +
             ": the path does not carry even such packets whole, so sealed ones travel in "
             "fragments";
      break;
  }
  if (const std::uint32_t holes = peer.path_mtu->black_holes(); holes != 0) {
    text += "; it has shrunk without a word " + std::to_string(holes) + " time(s)";
  }
  const bool bad = peer.path_mtu->state() == PathMtuState::kError;
  steps.add("path MTU", bad ? "warn" : "ok", text);
}

void path_step(Steps& steps, const Agent& agent, const DataPlaneView& view, const PeerView& peer,
               const PeerSummary& summary) {
  const auto path = view.paths.find(peer.id);
  if (path != view.paths.end() && path->second.endpoint) {
    steps.add("path", "ok",
              "to " + to_text(*path->second.endpoint) +
                  (path->second.endpoint_learned ? ", learned from its packets" : ", as told"));
  } else if (summary.state == "asleep") {
    steps.add("path", "info", "its endpoints are told when the pair wakes");
  } else if (!peer.endpoints.empty()) {
    steps.add("path", "info", std::to_string(peer.endpoints.size()) + " endpoint(s) to try");
  } else {
    steps.add("path", "warn",
              "no endpoint is known: the peer has to send first (it is behind a NAT, or has no "
              "configured endpoint)");
  }
  if (const auto problem = agent.peer_problems().find(peer.id);
      problem != agent.peer_problems().end()) {
    steps.add("routes", "warn", problem->second.to_string());
  } else {
    std::string text = std::to_string(peer.prefixes.size()) + " prefix(es)";
    for (const IpPrefix& prefix : peer.prefixes) text += " " + to_text(prefix);
    steps.add("routes", "ok", text);
  }
}

void probe_step(Steps& steps, const PingResult* probes) {
  if (probes == nullptr) return;
  std::string text = std::to_string(probes->rtt_ms.size()) + " of " + std::to_string(probes->sent) +
                     " probes through the tunnel answered";
  const std::size_t answered = probes->rtt_ms.size();
  steps.add("probe", answered == 0 ? "fail" : answered < probes->sent ? "warn" : "ok", text);
}

struct Verdict {
  std::string text;
  std::string next;
};

std::string cure_of(const Error& error) {
  return error.cure.empty() ? "look into the agent's log" : error.cure;
}

/// What stands between this device and a fresh word from its controller; nullopt when nothing does.
std::optional<Verdict> without_controller(const Agent& agent, const std::string& what) {
  const ControllerLink& link = agent.link();
  if (link.state() == ControllerLink::State::kUp) return std::nullopt;
  if (!link.last_error())
    return Verdict{what + ": the controller is being called", "wait a moment"};
  const Error& error = *link.last_error();
  const std::string where = error.where.empty() ? std::string() : error.where + ": ";
  return Verdict{what + ", and the controller is not reached: " + where + error.message,
                 cure_of(error)};
}

/// Keys are in place, but nothing answers: where to look.
Verdict unanswered(const Agent& agent, const DataPlaneView& view, const PeerView& peer) {
  const auto path = view.paths.find(peer.id);
  const bool known = path != view.paths.end() && path->second.endpoint.has_value();
  if (!known && peer.endpoints.empty()) {
    return {"down: no endpoint of the peer is known, and it has not sent anything",
            "give one of the two an endpoint: `endpoints` in the policy, or --endpoint on the "
            "device; or let its discovery datagrams reach the controller over UDP"};
  }
  const std::string to = known ? to_text(*path->second.endpoint) : "its endpoints";
  const auto heard = agent.last_heard(peer.id);
  const Duration silence = heard ? agent.now().mono - *heard : Duration::max();
  if (silence < kHeardLately) {
    return {
        "down: the peer was heard " + age_text(silence) + ", but it does not answer",
        "its agent has just stopped, or one direction is blocked: look whether it runs, then for "
        "a firewall that drops UDP to " +
            to};
  }
  const std::string since = heard ? "for " + rt::format_duration_short(silence) : "ever";
  return {"down: the keys are in place, but nothing was heard from the peer " + since,
          "look whether the peer's agent runs (`cygnet status` there) and whether UDP passes "
          "between this device and " +
              to + " (firewall, NAT, route)"};
}

Verdict verdict_of(const Agent& agent, const DataPlaneView& view, const PeerView& peer,
                   const PeerSummary& summary, const PingResult* probes) {
  if (!peer.allowed) {
    if (peer.revoked) {
      return {"denied: the peer is revoked",
              "enrol the device anew under another name, with a new key"};
    }
    return {"denied: policy does not allow the pair", "allow the pair in the mesh policy"};
  }
  if (peer.last_refusal && !summary.outbound) {
    return {"down: the peer's DIM is refused: " + peer.last_refusal->message,
            cure_of(*peer.last_refusal)};
  }
  const bool silent = probes != nullptr && probes->sent != 0 && probes->rtt_ms.empty();
  if (silent) return unanswered(agent, view, peer);
  if (peer.last_refusal) {
    return {"works, on old keys: the peer's newest DIM is refused: " + peer.last_refusal->message,
            cure_of(*peer.last_refusal)};
  }
  if (summary.state == "asleep") {
    if (const auto away = without_controller(agent, "idle: on demand, and it cannot be woken")) {
      return *away;
    }
    return {"idle: on demand; the first packet for the peer wakes the pair", "nothing to do"};
  }
  if (summary.state == "dormant") return {"idle: the next packet wakes the pair", "nothing to do"};
  if (summary.state == "up" && summary.newest_on_newest && summary.confirmed) {
    if (const auto away = without_controller(agent, "no rekey can happen")) {
      return {"fine: traffic passes on the newest keys of both; but " + away->text, away->next};
    }
    return {"fine: traffic passes on the newest keys of both", "nothing to do"};
  }
  const rekey::WhyNot why = peer.rekey ? peer.rekey->why_not : rekey::WhyNot::kNoDim;
  const Reason reason = reason_of(why);
  const std::string text =
      (summary.state == "up" ? "up, not settled: " : "down: ") + std::string(reason.text);
  if (why == rekey::WhyNot::kNoDim || why == rekey::WhyNot::kNotAccepted) {
    if (const auto away = without_controller(agent, text)) return *away;
  }
  if (why == rekey::WhyNot::kNoProposal && peer.no_agreement) {
    return {"down: " + peer.no_agreement->message, reason.next};
  }
  if (why == rekey::WhyNot::kUnconfirmed) return unanswered(agent, view, peer);
  return {text, reason.next};
}

}  // namespace

std::string why_json(const Agent& agent, const DataPlaneView& view, proto::PeerId id,
                     const PingResult* probes) {
  const PeerView peer = *agent.core().view(id);
  const PeerSummary summary = summarize(agent, peer);
  Steps steps;
  policy_step(steps, peer);
  controller_step(steps, agent);
  if (peer.allowed) {
    dim_steps(steps, agent, peer);
    negotiation_step(steps, peer);
    pair_steps(steps, agent, peer, summary);
    path_step(steps, agent, view, peer, summary);
    path_mtu_step(steps, agent, peer);
    probe_step(steps, probes);
  }
  const Verdict verdict = verdict_of(agent, view, peer, summary, probes);
  return rt::dump_json(Json{{"a", agent.mesh().device.value()},
                            {"b", peer.device.value()},
                            {"peer", peer.device.value()},
                            {"verdict", verdict.text},
                            {"next_step", verdict.next},
                            {"steps", std::move(steps.json_)}});
}

}  // namespace cygnet::agent
