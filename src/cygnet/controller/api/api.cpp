// SPDX-License-Identifier: Apache-2.0
// Devices, pairs, DIMs, status, events, test verbs.
#include "cygnet/controller/api/api.h"

#include <algorithm>
#include <charconv>

#include "cygnet/controller/api/views.h"

namespace cygnet::controller {
namespace {

constexpr std::size_t kEventsMax = 1000;
constexpr const char* kVersion = "0.1.0";

std::optional<std::uint64_t> number(const std::string& text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

/// Names of counters that tell of something refused, limited or thrown away.
bool is_drop(std::string_view name) {
  for (const std::string_view word : {"refused", "limited", "ignored", "unknown", "failed"}) {
    if (name.find(word) != std::string_view::npos) return true;
  }
  return false;
}

}  // namespace

Api::Api(Controller& controller, rt::HttpServer& server, ServerTime server_certificate_not_after)
    : controller_(controller),
      started_at_(controller.loop().wall_now()),
      server_certificate_not_after_(server_certificate_not_after) {
  devices(server);
  policy(server);
  tokens(server);
  status(server);
  test_verbs(server);
}

void Api::devices(rt::HttpServer& server) {
  server.on("GET", "/api/v1/devices", [this](const Request& request, rt::Responder reply) {
    const Core& core = controller_.core();
    std::optional<std::pair<std::string, std::string>> wanted;
    if (const std::string label = request.query_or("label", ""); !label.empty()) {
      const auto equals = label.find('=');
      if (equals == std::string::npos) {
        return reply.problem(Error{rt::kErrBadRequest, "\"" + label + "\" is no key=value", "label",
                                   "ask as ?label=role=hub"});
      }
      wanted = {label.substr(0, equals), label.substr(equals + 1)};
    }
    Json list = Json::array();
    for (const auto& view : core.devices()) {
      if (wanted) {
        const auto it = view.labels.find(wanted->first);
        if (it == view.labels.end() || it->second != wanted->second) continue;
      }
      list.push_back(to_json(core, view));
    }
    reply.json(rt::dump_json(items(std::move(list))));
  });
  server.on("GET", "/api/v1/devices/{name}", [this](const Request& request, rt::Responder reply) {
    const Core& core = controller_.core();
    const std::string name = label_of(core, request.param("name"));
    const auto view = core.device(name);
    if (!view) return reply.problem(no_such_device(core, name));
    reply.json(rt::dump_json(to_json(core, *view)));
  });
  server.on("POST", "/api/v1/devices/{name}/rekey",
            [this](const Request& request, rt::Responder reply) {
              rekey(request, label_of(controller_.core(), request.param("name")), std::move(reply));
            });
  server.on("POST", "/api/v1/rekey", [this](const Request& request, rt::Responder reply) {
    rekey(request, std::nullopt, std::move(reply));
  });
  server.on(
      "POST", "/api/v1/devices/{name}/revoke", [this](const Request& request, rt::Responder reply) {
        const std::string name = label_of(controller_.core(), request.param("name"));
        auto held = std::make_shared<rt::Responder>(std::move(reply));
        controller_.revoke(name, "by an operator", who(request), [this, name, held](Status done) {
          if (!done) return held->problem(done.error());
          Json out;
          out["name"] = full(controller_.core(), name);
          out["revocation_number"] = controller_.core().revocation_number();
          held->json(rt::dump_json(out));
        });
      });
  server.on("GET", "/api/v1/pairs", [this](const Request& request, rt::Responder reply) {
    const Core& core = controller_.core();
    const std::string device = label_of(core, request.query_or("device", ""));
    Json list = Json::array();
    for (const auto& view : core.pairs()) {
      if (!device.empty() && view.a != device && view.b != device) continue;
      list.push_back(to_json(core, view));
    }
    reply.json(rt::dump_json(items(std::move(list))));
  });
  server.on("GET", "/api/v1/dims", [this](const Request&, rt::Responder reply) {
    const Core& core = controller_.core();
    Json list = Json::array();
    for (const auto& view : core.dims()) list.push_back(to_json(core, view));
    reply.json(rt::dump_json(items(std::move(list))));
  });
  server.on("GET", "/api/v1/dims/{name}", [this](const Request& request, rt::Responder reply) {
    const Core& core = controller_.core();
    const std::string name = label_of(core, request.param("name"));
    for (const auto& view : core.dims()) {
      if (view.name == name) return reply.json(rt::dump_json(to_json(core, view)));
    }
    reply.problem(Error{rt::kErrNotFound, "no DIM of \"" + name + "\" is stored", "dims",
                        "see whether the device is attached: cygnet get devices"});
  });
  server.on("GET", "/api/v1/why", [this](const Request& request, rt::Responder reply) {
    const Core& core = controller_.core();
    auto text =
        explain_pair(core, label_of(core, request.query_or("a", "")),
                     label_of(core, request.query_or("b", "")), controller_.loop().wall_now());
    if (!text) return reply.problem(text.error());
    reply.json(std::move(*text));
  });
}

void Api::rekey(const Request& request, std::optional<std::string> name, rt::Responder reply) {
  const Core& core = controller_.core();
  Json out;
  out["ordered"] = Json::array();
  out["deferred"] = Json::array();
  for (const auto& view : core.devices()) {
    if (name && view.name != *name) continue;
    if (view.status == Core::DeviceStatus::kAttached) {
      out["ordered"].push_back(full(core, view.name));
    } else if (view.status == Core::DeviceStatus::kAway) {
      out["deferred"].push_back(full(core, view.name));
    }
  }
  auto held = std::make_shared<rt::Responder>(std::move(reply));
  controller_.rekey(std::move(name), who(request), [held, out](Status done) {
    if (!done) return held->problem(done.error());
    held->json(rt::dump_json(out), 202);
  });
}

std::string Api::status_json() const {
  const Core& core = controller_.core();
  std::size_t enrolled = 0;
  std::size_t attached = 0;
  std::size_t revoked = 0;
  for (const auto& view : core.devices()) {
    if (view.enrolled) ++enrolled;
    if (view.status == Core::DeviceStatus::kAttached) ++attached;
    if (view.status == Core::DeviceStatus::kRevoked) ++revoked;
  }
  Json out;
  out["version"] = kVersion;
  out["mesh"] = core.mesh().name;
  out["mesh_id"] = to_hex(core.mesh().id);
  out["started_at"] = ms(started_at_);
  out["devices"] = {{"enrolled", enrolled}, {"attached", attached}, {"revoked", revoked}};
  out["pairs"] = {{"allowed", core.policy() != nullptr ? core.policy()->pair_count() : 0},
                  {"ready", core.ready_pairs()}};
  out["policy_version"] = core.policy_version();
  out["revocation_number"] = core.revocation_number();
  out["cursor"] = core.relay().head();
  out["store"] = {{"engine", "sqlite"}, {"state", controller_.store_failing() ? "failing" : "ok"}};
  out["certificate_not_after"] = ms(server_certificate_not_after_);
  out["test_verbs"] = controller_.options().test_verbs;
  out["relay_held"] = core.relay_held();
  out["drops"] = Json::object();
  out["counters"] = Json::object();
  const Counters counters = controller_.counters();
  for (const auto& [name, value] : counters.all()) {
    out["counters"][name] = value;
    if (is_drop(name)) out["drops"][name] = value;
  }
  return rt::dump_json(out);
}

void Api::status(rt::HttpServer& server) {
  server.on("GET", "/healthz",
            [](const Request&, rt::Responder reply) { reply.json("{\"ok\":true}"); });
  server.on("GET", "/api/v1/status",
            [this](const Request&, rt::Responder reply) { reply.json(status_json()); });
  server.on("GET", "/api/v1/events", [this](const Request& request, rt::Responder reply) {
    const auto after = number(request.query_or("after", "0"));
    const auto limit = number(request.query_or("limit", "200"));
    if (!after || !limit) {
      return reply.problem(Error{rt::kErrBadRequest, "after and limit are numbers", "query",
                                 "pass the `next` of the answer before"});
    }
    Json list = Json::array();
    std::uint64_t next = *after;
    for (const auto& event : controller_.events().after(
             *after, std::min<std::size_t>(kEventsMax, static_cast<std::size_t>(*limit)))) {
      Json item;
      item["sequence"] = event.id;
      item["time"] = ms(event.at);
      item["level"] = event.event.level == Event::Level::kInfo      ? "info"
                      : event.event.level == Event::Level::kWarning ? "warning"
                                                                    : "alarm";
      item["kind"] = event.event.kind;
      item["device"] = event.event.device.empty() ? Json(nullptr) : Json(event.event.device);
      item["peer"] = event.event.peer.empty() ? Json(nullptr) : Json(event.event.peer);
      item["text"] = event.event.text;
      next = event.id;
      list.push_back(std::move(item));
    }
    Json out = items(std::move(list));
    out["next"] = next;
    reply.json(rt::dump_json(out));
  });
}

void Api::test_verbs(rt::HttpServer& server) {
  if (!controller_.options().test_verbs) return;
  const auto answer = [](rt::Responder& reply, const Status& status) {
    if (!status) return reply.problem(status.error());
    reply.json("{\"ok\":true}");
  };
  server.on("POST", "/api/v1/test/hold-relay",
            [this, answer](const Request& request, rt::Responder reply) {
              std::uint64_t publishes = 0;
              if (!request.body.empty()) {
                const auto body = rt::parse_json(request.body);
                if (!body) return reply.problem(body.error());
                const auto given = rt::json_uint(*body, "publishes");
                if (!given) return reply.problem(given.error());
                publishes = given->value_or(0);
              }
              answer(reply, controller_.hold_relay(static_cast<std::size_t>(publishes)));
            });
  server.on("GET", "/api/v1/test/hold-relay", [this](const Request&, rt::Responder reply) {
    Json out;
    out["held"] = controller_.core().relay_held();
    out["publishes"] = controller_.core().held_publishes();
    reply.json(rt::dump_json(out));
  });
  server.on("POST", "/api/v1/test/release-relay",
            [this, answer](const Request&, rt::Responder reply) {
              answer(reply, controller_.release_relay());
            });
  server.on("POST", "/api/v1/test/crash-after-durable",
            [this, answer](const Request&, rt::Responder reply) {
              answer(reply, controller_.crash_after_durable());
            });
}

}  // namespace cygnet::controller
