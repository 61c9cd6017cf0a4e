// SPDX-License-Identifier: Apache-2.0
// Join tokens, and requests that wait for an external CA.
#include "cygnet/controller/api/api.h"
#include "cygnet/controller/api/views.h"
#include "cygnet/controller/driver/state_dir.h"
#include "cygnet/proto/ids/device_name.h"
#include "cygnet/rt/text.h"

namespace cygnet::controller {
namespace {

constexpr std::chrono::hours kTokenLifetime{24};
constexpr std::chrono::hours kTokenLifetimeMax{24 * 90};
constexpr std::uint64_t kTokenUsesMax = 100'000;

Error bad(const char* member, std::string message, std::string cure) {
  return Error{rt::kErrBadRequest, std::move(message), member, std::move(cure)};
}

}  // namespace

void Api::tokens(rt::HttpServer& server) {
  server.on("GET", "/api/v1/tokens", [this](const Request&, rt::Responder reply) {
    Json list = Json::array();
    for (const auto& token : controller_.core().tokens()) {
      list.push_back(to_json(token, controller_.loop().wall_now()));
    }
    reply.json(rt::dump_json(items(std::move(list))));
  });
  server.on("POST", "/api/v1/tokens", [this](const Request& request, rt::Responder reply) {
    create_token(request, std::move(reply));
  });
  server.on("GET", "/api/v1/csrs", [this](const Request&, rt::Responder reply) {
    const Core& core = controller_.core();
    Json list = Json::array();
    for (const auto& csr : core.csrs()) {
      list.push_back({{"name", full(core, csr.device)},
                      {"csr", to_hex(csr.csr)},
                      {"queued_at", ms(csr.queued_at)}});
    }
    reply.json(rt::dump_json(items(std::move(list))));
  });
  server.on("POST", "/api/v1/csrs/{name}/certificate",
            [this](const Request& request, rt::Responder reply) {
              const auto body = rt::parse_json(request.body);
              if (!body) return reply.problem(body.error());
              const auto pem = rt::json_string(*body, "certificate_pem");
              if (!pem) return reply.problem(pem.error());
              const auto list = crypto::Certificate::list_from_pem(pem->value_or(""));
              if (!list) return reply.problem(list.error());
              if (list->empty()) {
                return reply.problem(bad("certificate_pem", "there is no certificate in it",
                                         "send the certificate as PEM"));
              }
              auto held = std::make_shared<rt::Responder>(std::move(reply));
              controller_.import_certificate(label_of(controller_.core(), request.param("name")),
                                             list->front().der(), who(request),
                                             [held](Status done) {
                                               if (!done) return held->problem(done.error());
                                               held->json("{\"ok\":true}");
                                             });
            });
}

void Api::create_token(const Request& request, rt::Responder reply) {
  const auto body = rt::parse_json(request.body.empty() ? "{}" : request.body);
  if (!body) return reply.problem(body.error());
  if (!body->is_object()) {
    return reply.problem(bad("body", "the body is no JSON object", "send {\"name\":\"hub-1\"}"));
  }
  for (const auto& [key, value] : body->items()) {
    if (key != "name" && key != "labels" && key != "ttl" && key != "uses") {
      return reply.problem(bad("body", "\"" + key + "\" is no member of a token",
                               "known are name, labels, ttl and uses"));
    }
  }
  const auto name = rt::json_string(*body, "name");
  if (!name) return reply.problem(name.error());
  const auto ttl = rt::json_string(*body, "ttl");
  if (!ttl) return reply.problem(ttl.error());
  const auto uses = rt::json_uint(*body, "uses");
  if (!uses) return reply.problem(uses.error());

  Duration lifetime = kTokenLifetime;
  if (*ttl) {
    const auto parsed = rt::parse_duration(**ttl);
    if (!parsed) return reply.problem(parsed.error());
    lifetime = *parsed;
  }
  if (lifetime <= Duration{0} || lifetime > kTokenLifetimeMax) {
    return reply.problem(bad("ttl", "a token lives longer than nothing and at most 90 days",
                             "use a ttl like \"24h\""));
  }
  const std::uint64_t count = uses->value_or(1);
  if (count == 0 || count > kTokenUsesMax) {
    return reply.problem(bad("uses", "a token is good for 1 to 100000 uses", "use \"uses\": 1"));
  }
  const Core& core = controller_.core();
  FreshToken token = make_token(controller_.loop().wall_now(),
                                std::chrono::duration_cast<std::chrono::milliseconds>(lifetime));
  token.record.uses_left = static_cast<std::uint32_t>(count);
  token.record.created_by = who(request);
  if (*name) {
    const std::string label = label_of(core, **name);
    if (!proto::is_dns_label(label)) {
      return reply.problem(
          bad("name", "\"" + **name + "\" is no device name", "use one lower-case DNS label"));
    }
    if (count != 1) {
      return reply.problem(bad("uses", "a token bound to one device is good for one use",
                               "leave uses out, or bind the token to labels"));
    }
    token.record.device = label;
  }
  if (const auto labels = body->find("labels"); labels != body->end() && !labels->is_null()) {
    if (!labels->is_object()) {
      return reply.problem(bad("labels", "labels are an object of strings",
                               "send {\"labels\":{\"role\":\"branch\"}}"));
    }
    for (const auto& [key, value] : labels->items()) {
      if (!value.is_string() || key == "name" || !policy::is_label_word(key) ||
          !policy::is_label_word(value.get<std::string>())) {
        return reply.problem(bad("labels", "\"" + key + "\" is no label",
                                 "labels are words of letters, digits and . _ - /; the key name "
                                 "is taken"));
      }
      token.record.labels[key] = value.get<std::string>();
    }
  }
  Json out;
  out["id"] = token_id(token.record);
  out["token"] = token.secret;
  out["join_line"] =
      "cygnet-agent join " + controller_.join_line(token.secret, token.record.device);
  out["expires_at"] = ms(token.record.expires_at);
  auto held = std::make_shared<rt::Responder>(std::move(reply));
  controller_.add_token(token.record, token.record.created_by, [held, out](Status done) {
    if (!done) return held->problem(done.error());
    held->json(rt::dump_json(out), 201);
  });
}

}  // namespace cygnet::controller
