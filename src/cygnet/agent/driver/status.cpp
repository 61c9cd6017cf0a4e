// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/driver/status.h"

#include <algorithm>
#include <cstdio>

#include "cygnet/agent/driver/address_text.h"
#include "cygnet/proto/ids/device_name.h"
#include "cygnet/rt/http.h"
#include "cygnet/rt/json.h"
#include "cygnet/rt/text.h"

namespace cygnet::agent {
namespace {

namespace rekey = proto::rekey;
using rt::Json;

constexpr Duration kProvenWithin = std::chrono::seconds(30);

std::int64_t ms(Duration duration) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
}
std::int64_t ms_since_1970(ServerTime time) { return time.time_since_epoch().count(); }
/// A point on our monotonic clock, on the wall clock.
std::int64_t wall_ms(const Agent& agent, Timestamp at) {
  const Now now = agent.now();
  return ms_since_1970(now.wall) - ms(now.mono - at);
}
template <class T, class F>
Json or_null(const std::optional<T>& value, F text) {
  return value ? Json(text(*value)) : Json(nullptr);
}

Json drops_object(const DataPlaneView& view) {
  Json drops = Json::object();
  for (const DropCounter& drop : view.drops) {
    if (drop.loss) drops[drop.name] = drop.count;
  }
  return drops;
}

const char* controller_state(const ControllerLink& link) {
  switch (link.state()) {
    case ControllerLink::State::kUp:
      return "connected";
    case ControllerLink::State::kConnecting:
    case ControllerLink::State::kHello:
      return link.last_error() ? "away" : "connecting";
    case ControllerLink::State::kWaiting:
    case ControllerLink::State::kStopped:
      break;
  }
  return "away";
}

// The newest own generation. One that was ordered and is not drawn yet counts as waiting too.
Json generation_json(const Agent& agent) {
  const rekey::DeviceStatus status = agent.core().rekey().device_status();
  Json json{{"counter", nullptr}, {"age_ms", nullptr}, {"state", "none"}};
  if (status.generations.empty()) return json;
  const rekey::OwnGeneration& newest = status.generations.back();
  json["counter"] = proto::to_string(newest.counter);
  if (newest.accepted_at) {
    json["age_ms"] = std::max<std::int64_t>(0, ms(agent.now().mono - *newest.accepted_at));
  }
  switch (newest.phase) {
    case rekey::GenerationPhase::kDrawing:
    case rekey::GenerationPhase::kInstalling:
      json["state"] = "installing";
      break;
    case rekey::GenerationPhase::kPublishing:
      json["state"] = "publishing";
      break;
    case rekey::GenerationPhase::kAccepted:
      json["state"] = status.rekey_wanted ? "waiting" : "accepted";
      break;
  }
  return json;
}

std::string pair_state(rekey::PairState state, bool chosen) {
  switch (state) {
    case rekey::PairState::kInstalling:
      return "installing";
    case rekey::PairState::kInstalled:
      return chosen ? "chosen" : "installed";
    case rekey::PairState::kDraining:
      return "draining";
    case rekey::PairState::kFailed:
      return "failed";
    case rekey::PairState::kNoProposal:
      return "no-proposal";
    case rekey::PairState::kSpent:
      break;
  }
  return "spent";
}

bool exists(rekey::PairState state) {
  return state == rekey::PairState::kInstalling || state == rekey::PairState::kInstalled ||
         state == rekey::PairState::kDraining;
}

std::string spi_text(std::uint32_t spi) {
  char text[16];
  std::snprintf(text, sizeof text, "0x%08x", spi);
  return text;
}

/// How large packets to a peer may be, and how that is known.
Json path_mtu_json(const PeerView& peer) {
  if (!peer.path_mtu) return nullptr;
  const PathMtuLimit limit = peer.path_mtu->limit();
  return Json{{"inner", limit.inner},
              {"state", to_string(peer.path_mtu->state())},
              {"whole", limit.whole},
              {"black_holes", peer.path_mtu->black_holes()}};
}

/// Acceptance of the younger of a pair's two DIMs, on our clock.
std::optional<Timestamp> born_at(const Agent& agent, const PeerView& view, proto::SaPairId pair) {
  std::optional<Timestamp> local;
  for (const auto& generation : agent.core().rekey().device_status().generations) {
    if (generation.counter == pair.local) local = generation.accepted_at;
  }
  if (!view.rekey) return local;
  for (const auto& remote : view.rekey->remotes) {
    if (remote.counter != pair.remote) continue;
    return local ? std::max(*local, remote.accepted_at) : remote.accepted_at;
  }
  return local;
}

}  // namespace

std::string suite_text(const crypto::EspSuite& suite) {
  std::string text(crypto::encr_name(suite));
  if (suite.integ != crypto::IntegId::kNone) {
    text += "/" + std::string(crypto::to_string(suite.integ));
  }
  return text;
}

PeerSummary summarize(const Agent& agent, const PeerView& view) {
  PeerSummary summary;
  if (view.rekey) {
    summary.outbound = view.rekey->outbound;
    summary.confirmed = view.rekey->confirmed;
    summary.pairs = static_cast<std::size_t>(
        std::count_if(view.rekey->pairs.begin(), view.rekey->pairs.end(),
                      [](const auto& pair) { return exists(pair.state); }));
  }
  const auto device = agent.core().rekey().device_status();
  const auto own =
      std::find_if(device.generations.rbegin(), device.generations.rend(),
                   [](const auto& g) { return g.phase == rekey::GenerationPhase::kAccepted; });
  if (summary.outbound) {
    summary.newest_on_newest =
        own == device.generations.rbegin() && own != device.generations.rend() &&
        summary.outbound->local == own->counter && view.newest == summary.outbound->remote;
    if (const auto born = born_at(agent, view, *summary.outbound)) {
      summary.key_age = std::max<Duration>(Duration(0), agent.now().mono - *born);
    }
  }
  const auto heard = agent.last_heard(view.id);
  const bool recent = heard && agent.now().mono - *heard < kProvenWithin;
  summary.proven = summary.confirmed && recent;
  if (!view.allowed) {
    summary.state = view.revoked ? "revoked" : "removed";
  } else if (view.unconfirmed) {
    summary.state = "unconfirmed";
  } else if (view.last_refusal && !summary.outbound) {
    summary.state = "refused";
  } else if (view.no_agreement && !summary.outbound) {
    summary.state = "no-proposal";
  } else if (view.rekey && view.rekey->dormant) {
    summary.state = "dormant";
  } else if (summary.outbound && !view.rekey->live.empty()) {
    summary.state = "up";
  } else if (view.policy.on_demand && !view.newest) {
    summary.state = "asleep";
  } else {
    summary.state = "starting";
  }
  return summary;
}

std::string status_json(const Agent& agent, const DataPlaneView& view) {
  const AgentCore& core = agent.core();
  std::size_t wanted = 0;
  std::size_t up = 0;
  std::size_t proven = 0;
  std::map<std::string, std::size_t> path_states;
  std::optional<std::uint32_t> smallest;
  std::uint64_t black_holes = 0;
  std::size_t asleep = 0;
  for (const proto::PeerId id : core.known_peers()) {
    const auto peer = core.view(id);
    if (!peer || !peer->allowed) continue;
    const PeerSummary summary = summarize(agent, *peer);
    ++(summary.state == "asleep" ? asleep : wanted);
    up += summary.state == "up" || summary.state == "dormant" ? 1U : 0U;
    proven += summary.proven ? 1U : 0U;
    if (!peer->path_mtu) continue;
    ++path_states[to_string(peer->path_mtu->state())];
    const std::uint32_t inner = peer->path_mtu->limit().inner;
    smallest = std::min(inner, smallest.value_or(inner));
    black_holes += peer->path_mtu->black_holes();
  }
  Json notes = Json::array();
  for (const std::string& note : agent.features().notes) notes.push_back(note);
  for (const std::string& proposal : core.proposals_left_out()) {
    notes.push_back("the proposal " + proposal + " is left out: this device cannot do it");
  }
  for (const auto& [id, error] : agent.peer_problems()) notes.push_back(error.to_string());
  for (const auto& [code, count] : agent.alarms()) {
    notes.push_back("ALARM " + code + " (" + std::to_string(count) +
                    " since the start; see the log)");
  }
  if (agent.link().last_error() && agent.link().state() != ControllerLink::State::kUp) {
    notes.push_back("controller: " + agent.link().last_error()->to_string());
  }
  const auto counts = core.rekey().counts();
  const KeyingCounts keying = agent.keying();
  const auto remote = agent.link().remote_address();
  const Json json{
      {"name", agent.mesh().device.value()},
      {"mesh", agent.mesh().mesh_name},
      {"mesh_address", to_text(agent.self({}).mesh_address)},
      {"version", agent.software()},
      {"backend", agent.features().name},
      {"notes", std::move(notes)},
      {"controller",
       {{"state", controller_state(agent.link())},
        {"since", wall_ms(agent, agent.link().since())},
        {"address", remote ? remote->to_string() : agent.link().controller().to_string()}}},
      {"generation", generation_json(agent)},
      {"dh_private_values_alive", agent.keys().alive()},
      {"dh_private_values_alive_max", agent.keys().alive_max()},
      {"sa_pairs_per_peer_max", counts.sa_pairs_per_peer_max},
      {"sa_pairs",
       {{"installed", keying.pairs},
        {"claimed", keying.claimed},
        {"derivations", keying.derivations},
        {"derivations_by_packets", keying.by_data_plane}}},
      {"peers", {{"wanted", wanted}, {"up", up}, {"proven", proven}, {"asleep", asleep}}},
      {"path_mtu",
       {{"smallest", or_null(smallest, [](std::uint32_t m) { return m; })},
        {"peers", path_states},
        {"black_holes", black_holes}}},
      {"drops", drops_object(view)},
      {"refused", agent.refused()},
      {"alarms", agent.alarms()},
      {"certificate_not_after", ms_since_1970(core.identity().certificate.not_after())},
      {"seen_endpoint",
       or_null(agent.seen_endpoint(), [](const UdpEndpoint& e) { return to_text(e); })},
  };
  return rt::dump_json(json);
}

std::string peers_json(const Agent& agent, const DataPlaneView& view) {
  const AgentCore& core = agent.core();
  Json items = Json::array();
  for (const proto::PeerId id : core.known_peers()) {
    const auto peer = core.view(id);
    if (!peer || (!peer->allowed && !peer->revoked)) continue;
    const PeerSummary summary = summarize(agent, *peer);
    const PeerTotals totals = agent.totals(id);
    const auto path = view.paths.find(id);
    const auto heard = agent.last_heard(id);
    Json prefixes = Json::array();
    for (const IpPrefix& prefix : peer->prefixes) prefixes.push_back(to_text(prefix));
    const bool at = path != view.paths.end() && path->second.endpoint.has_value();
    items.push_back(Json{
        {"name", peer->device.value()},
        {"mesh_address", to_text(peer->mesh_address)},
        {"prefixes", std::move(prefixes)},
        {"state", summary.state},
        {"endpoint", at ? Json(to_text(*path->second.endpoint)) : Json(nullptr)},
        {"endpoint_learned", at && path->second.endpoint_learned},
        {"path_mtu", path_mtu_json(*peer)},
        {"outbound", or_null(summary.outbound, [](proto::SaPairId p) { return tx_name(p); })},
        {"confirmed", summary.confirmed},
        {"newest_on_newest", summary.newest_on_newest},
        {"last_heard_ms", or_null(heard, [&](Timestamp t) { return ms(agent.now().mono - t); })},
        {"key_age_ms", or_null(summary.key_age, [](Duration d) { return ms(d); })},
        {"rx_packets", totals.in.packets},
        {"rx_octets", totals.in.octets},
        {"tx_packets", totals.out.packets},
        {"tx_octets", totals.out.octets},
        {"pairs", summary.pairs},
        {"remote_counter",
         or_null(peer->newest, [](proto::RekeyCounter c) { return proto::to_string(c); })},
    });
  }
  return rt::dump_json(Json{{"items", std::move(items)}});
}

std::string sa_json(const Agent& agent, const DataPlaneView& view,
                    std::optional<proto::PeerId> only) {
  const AgentCore& core = agent.core();
  Json items = Json::array();
  for (const proto::PeerId id : core.known_peers()) {
    if (only && *only != id) continue;
    const auto peer = core.view(id);
    if (!peer || !peer->rekey) continue;
    for (const rekey::PairStatus& pair : peer->rekey->pairs) {
      const InstalledPair* installed = agent.installed(id, pair.id);
      if (!exists(pair.state)) continue;
      const auto counted =
          std::find_if(view.pairs.begin(), view.pairs.end(),
                       [&](const PairCounters& c) { return c.peer == id && c.pair == pair.id; });
      const PairCounters counters = counted == view.pairs.end() ? PairCounters{} : *counted;
      const auto born = born_at(agent, *peer, pair.id);
      const std::size_t lanes = installed == nullptr ? 1 : installed->spis.size();
      for (std::size_t lane = 0; lane < lanes; ++lane) {
        Json item{
            {"peer", peer->device.value()},
            {"pair", pair_name(pair.id)},
            {"local", proto::to_string(pair.id.local)},
            {"remote", proto::to_string(pair.id.remote)},
            {"lane", lane},
            {"spi_in", nullptr},
            {"spi_out", nullptr},
            {"suite", nullptr},
            {"state", pair_state(pair.state, peer->rekey->outbound == pair.id)},
            {"keys", nullptr},
            {"in",
             {{"packets", counters.in.packets},
              {"octets", counters.in.octets},
              {"highest_sequence", counters.highest_seq_in}}},
            {"out",
             {{"packets", counters.out.packets},
              {"octets", counters.out.octets},
              {"highest_sequence", counters.highest_seq_out}}},
            {"installed_at_ms", nullptr},
            {"expires_in_ms", nullptr},
        };
        if (installed != nullptr) {
          item["spi_in"] = spi_text(installed->spis[lane].first.value());
          item["spi_out"] = spi_text(installed->spis[lane].second.value());
          item["suite"] = suite_text(installed->suite);
          item["keys"] = installed->keyed ? "derived" : "claimed";
          if (installed->installed_at) {
            item["installed_at_ms"] = wall_ms(agent, *installed->installed_at);
          }
        }
        if (born) {
          item["expires_in_ms"] =
              std::max<std::int64_t>(0, ms(*born + core.rekey().params().hard - agent.now().mono));
        }
        items.push_back(std::move(item));
      }
    }
  }
  return rt::dump_json(Json{{"items", std::move(items)}});
}

std::string drops_json(const Agent& agent, const DataPlaneView& view) {
  Json items = Json::array();
  for (const DropCounter& drop : view.drops) {
    items.push_back(Json{
        {"name", drop.name},
        {"count", drop.count},
        {"text", drop.loss ? "packets lost" : "discarded by design, no traffic of anybody's"}});
  }
  for (const auto& [code, count] : agent.refused()) {
    items.push_back(Json{{"name", "refused." + code},
                         {"count", count},
                         {"text", "DIMs, probes or messages refused: they changed nothing"}});
  }
  return rt::dump_json(Json{{"items", std::move(items)}});
}

Result<proto::PeerId> find_peer(const Agent& agent, const std::string& name) {
  const std::string full = name.find('.') == std::string::npos
                               ? name + "." + std::string(proto::mesh_label(agent.mesh().device))
                               : name;
  const auto id = agent.core().find(proto::DeviceName(full));
  if (id) return *id;
  std::vector<std::string> known;
  for (const proto::PeerId peer : agent.core().known_peers()) {
    known.push_back(agent.core().view(peer)->device.value());
  }
  const auto near = rt::nearest(full, known);
  return fail(rt::kErrNotFound, "there is no peer \"" + name + "\"", "peers",
              near ? "did you mean " + *near + "?" : "`cygnet peers` lists them");
}

}  // namespace cygnet::agent
