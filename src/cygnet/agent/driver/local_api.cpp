// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/driver/local_api.h"

#include <algorithm>

#include "cygnet/agent/driver/status.h"
#include "cygnet/proto/ids/device_name.h"
#include "cygnet/rt/json.h"

namespace cygnet::agent {
namespace {

using rt::Json;

constexpr std::uint64_t kPingCountMax = 1000;
constexpr std::uint64_t kPingIntervalMinMs = 10;
constexpr std::uint64_t kPingIntervalMaxMs = 60'000;

// Responders cannot be copied, callbacks of the agent can.
std::shared_ptr<rt::Responder> shared(rt::Responder reply) {
  return std::make_shared<rt::Responder>(std::move(reply));
}

}  // namespace

Result<std::unique_ptr<LocalApi>> LocalApi::create(rt::Loop& loop, Agent& agent,
                                                   const std::string& socket_path,
                                                   std::function<void(bool open)> on_stop) {
  CYGNET_TRY(auto server, rt::HttpServer::listen_unix(loop, socket_path, 0660));
  return std::unique_ptr<LocalApi>(new LocalApi(agent, std::move(server), std::move(on_stop)));
}

LocalApi::LocalApi(Agent& agent, std::unique_ptr<rt::HttpServer> server,
                   std::function<void(bool open)> on_stop)
    : agent_(agent), on_stop_(std::move(on_stop)), server_(std::move(server)) {
  routes();
}

void LocalApi::routes() {
  using Render = std::function<std::string(const Agent&, const DataPlaneView&)>;
  const auto view = [this](rt::Responder reply, Render render) {
    agent_.with_data_plane([this, reply = shared(std::move(reply)), render = std::move(render)](
                               const DataPlaneView& data) { reply->json(render(agent_, data)); });
  };
  server_->on("GET", "/healthz",
              [](const rt::HttpRequest&, rt::Responder reply) { reply.json(R"({"ok":true})"); });
  server_->on("GET", "/api/v1/status", [view](const rt::HttpRequest&, rt::Responder reply) {
    view(std::move(reply), status_json);
  });
  server_->on("GET", "/api/v1/peers", [view](const rt::HttpRequest&, rt::Responder reply) {
    view(std::move(reply), peers_json);
  });
  server_->on("GET", "/api/v1/drops", [view](const rt::HttpRequest&, rt::Responder reply) {
    view(std::move(reply), drops_json);
  });
  server_->on("GET", "/api/v1/sa",
              [this, view](const rt::HttpRequest& request, rt::Responder reply) {
                std::optional<proto::PeerId> only;
                if (const std::string name = request.query_or("peer", ""); !name.empty()) {
                  const auto peer = find_peer(agent_, name);
                  if (!peer) return reply.problem(peer.error());
                  only = *peer;
                }
                view(std::move(reply), [only](const Agent& agent, const DataPlaneView& data) {
                  return sa_json(agent, data, only);
                });
              });
  server_->on("GET", "/api/v1/why",
              [this, view](const rt::HttpRequest& request, rt::Responder reply) {
                const auto peer = find_peer(agent_, request.query_or("peer", ""));
                if (!peer) return reply.problem(peer.error());
                if (request.query_or("probe", "false") == "true" && can_be_sent_to(*peer)) {
                  return probe_and_explain(*peer, std::move(reply));
                }
                view(std::move(reply), [id = *peer](const Agent& agent, const DataPlaneView& data) {
                  return why_json(agent, data, id);
                });
              });
  server_->on("POST", "/api/v1/ping", [this](const rt::HttpRequest& request, rt::Responder reply) {
    ping(request, std::move(reply));
  });
  server_->on("POST", "/api/v1/rekey", [this](const rt::HttpRequest&, rt::Responder reply) {
    agent_.order_rekey();
    const auto status = agent_.core().rekey().device_status();
    reply.json(rt::dump_json(Json{
                   {"ordered", true},
                   {"counter", status.generations.empty()
                                   ? Json(nullptr)
                                   : Json(proto::to_string(status.generations.back().counter))}}),
               202);
  });
  server_->on("POST", "/api/v1/flush", [this](const rt::HttpRequest&, rt::Responder reply) {
    agent_.flush();
    reply.json(R"({"flushed":true})", 202);
  });
  server_->on("POST", "/api/v1/confirm-key",
              [this](const rt::HttpRequest& request, rt::Responder reply) {
                confirm_key(request, std::move(reply));
              });
  server_->on("POST", "/api/v1/stop", [this](const rt::HttpRequest& request, rt::Responder reply) {
    const bool open = request.query_or("open", "false") == "true";
    reply.json(R"({"stopping":true})", 202);
    on_stop_(open);
  });
}

bool LocalApi::can_be_sent_to(proto::PeerId peer) const {
  const auto view = agent_.core().view(peer);
  return view && view->allowed && view->rekey && view->rekey->outbound;
}

// What stands in the tables may be long out of date at the other end; a probe asks the path itself.
void LocalApi::probe_and_explain(proto::PeerId peer, rt::Responder reply) {
  constexpr std::uint32_t kProbes = 3;
  constexpr Duration kBetween = std::chrono::milliseconds(100);
  agent_.ping(peer, kProbes, kBetween,
              [this, peer, reply = shared(std::move(reply))](Result<PingResult> result) {
                agent_.with_data_plane(
                    [this, peer, reply, result = std::move(result)](const DataPlaneView& data) {
                      reply->json(why_json(agent_, data, peer, result ? &*result : nullptr));
                    });
              });
}

void LocalApi::ping(const rt::HttpRequest& request, rt::Responder reply) {
  struct Asked {
    std::string name;
    proto::PeerId peer;
    std::uint64_t count = 3;
    std::uint64_t interval_ms = 200;
  };
  const auto parse = [&]() -> Result<Asked> {
    Asked asked;
    CYGNET_TRY(const Json body, rt::parse_json(request.body));
    CYGNET_TRY(const auto name, rt::json_string(body, "peer"));
    if (!name) return fail(rt::kErrBadRequest, "\"peer\" is missing", "body", "name a peer");
    CYGNET_TRY(asked.peer, find_peer(agent_, *name));
    asked.name = agent_.core().view(asked.peer)->device.value();
    CYGNET_TRY(const auto count, rt::json_uint(body, "count"));
    CYGNET_TRY(const auto interval, rt::json_uint(body, "interval_ms"));
    CYGNET_TRY(const auto lane, rt::json_uint(body, "lane"));
    asked.count = count.value_or(asked.count);
    asked.interval_ms = interval.value_or(asked.interval_ms);
    if (asked.count == 0 || asked.count > kPingCountMax) {
      return fail(rt::kErrBadRequest, "\"count\" is not 1 to 1000", "body");
    }
    if (asked.interval_ms < kPingIntervalMinMs || asked.interval_ms > kPingIntervalMaxMs) {
      return fail(rt::kErrBadRequest, "\"interval_ms\" is not 10 to 60000", "body");
    }
    if (lane.value_or(0) != 0) {
      return fail(kErrPing, "this data plane sends probes on lane 0 only", "lane",
                  "leave \"lane\" out");
    }
    return asked;
  };
  const Result<Asked> asked = parse();
  if (!asked) {
    if (asked.error().code == rt::kErrJson) return reply.problem(asked.error(), 400);
    return reply.problem(asked.error());
  }
  agent_.ping(asked->peer, static_cast<std::uint32_t>(asked->count),
              std::chrono::milliseconds(asked->interval_ms),
              [reply = shared(std::move(reply)), name = asked->name](Result<PingResult> result) {
                if (!result) return reply->problem(result.error());
                Json rtts = Json::array();
                for (const double rtt : result->rtt_ms) rtts.push_back(rtt);
                for (std::size_t i = result->rtt_ms.size(); i < result->sent; ++i) {
                  rtts.push_back(nullptr);
                }
                reply->json(rt::dump_json(Json{{"peer", name},
                                               {"sent", result->sent},
                                               {"received", result->rtt_ms.size()},
                                               {"rtt_ms", std::move(rtts)}}));
              });
}

// "an operator confirmed the change on the device"
void LocalApi::confirm_key(const rt::HttpRequest& request, rt::Responder reply) {
  const auto act = [&]() -> Status {
    CYGNET_TRY(const Json body, rt::parse_json(request.body));
    CYGNET_TRY(const auto name, rt::json_string(body, "peer"));
    CYGNET_TRY(const auto key, rt::json_string(body, "spki_sha256"));
    if (!name || !key) {
      return fail(rt::kErrBadRequest, "\"peer\" and \"spki_sha256\" are needed", "body");
    }
    CYGNET_TRY(const proto::PeerId peer, find_peer(agent_, *name));
    const auto octets = from_hex(*key);
    crypto::Sha256 hash{};
    if (!octets || octets->size() != hash.size()) {
      return fail(rt::kErrBadRequest, "\"spki_sha256\" is not 64 hex digits", "body");
    }
    std::copy(octets->begin(), octets->end(), hash.begin());
    return agent_.confirm_key(agent_.core().view(peer)->device, hash);
  };
  if (const Status status = act(); !status) return reply.problem(status.error());
  reply.json(R"({"confirmed":true})");
}

}  // namespace cygnet::agent
