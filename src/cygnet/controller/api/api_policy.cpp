// SPDX-License-Identifier: Apache-2.0
// Policy: show, plan, apply, roll back.
#include "cygnet/controller/api/api.h"
#include "cygnet/controller/api/views.h"
#include "cygnet/controller/policy/parse.h"
#include "cygnet/controller/policy/plan.h"

namespace cygnet::controller {
namespace {

/// A document judged against what is in force.
struct Judged {
  Json plan;
  std::optional<policy::CompiledPolicy> compiled;  ///< present when it may be applied
  bool changes = false;
};

Judged judge(const Core& core, const std::string& yaml, const std::string& source) {
  Judged out;
  Json& json = out.plan;
  json["changes"] = false;
  json["pairs_added"] = Json::array();
  json["pairs_removed"] = Json::array();
  json["pairs_changed"] = Json::array();
  json["devices_touched"] = Json::array();
  json["settings"] = Json::array();
  json["tests"] = Json::array();
  json["errors"] = Json::array();

  auto parsed = policy::parse_all(yaml, source);
  if (!parsed.problems.empty()) {
    for (const Error& error : parsed.problems) json["errors"].push_back(problem_of(error));
    return out;
  }
  if (parsed.document.mesh != core.mesh().name) {
    json["errors"].push_back(
        problem_of(Error{policy::kErrMeshRenamed,
                         "the document is of mesh \"" + parsed.document.mesh + "\", this is \"" +
                             core.mesh().name + "\"",
                         policy::where(parsed.document, parsed.document.mesh_place),
                         "write mesh: " + core.mesh().name}));
    return out;
  }
  const auto specs = core.enrolled_specs();
  policy::CompileOptions options = core.compile_options();
  options.enrolled = specs;
  const auto problems = policy::check(parsed.document, options);
  if (!problems.empty()) {
    for (const Error& error : problems) json["errors"].push_back(problem_of(error));
    return out;
  }
  auto compiled =
      policy::CompiledPolicy::compile(std::move(parsed.document), options, core.names());
  if (!compiled) {
    json["errors"].push_back(problem_of(compiled.error()));
    return out;
  }
  const policy::Plan plan = policy::make_plan(core.policy(), *compiled);
  out.changes = plan.changes_anything();
  json["changes"] = out.changes;
  for (const auto& change : plan.pairs) {
    const char* list = change.kind == policy::PairChange::Kind::kAdded     ? "pairs_added"
                       : change.kind == policy::PairChange::Kind::kRemoved ? "pairs_removed"
                                                                           : "pairs_changed";
    json[list].push_back(Json::array({full(core, change.a), full(core, change.b)}));
  }
  json["pairs_added_total"] = plan.pairs_added;
  json["pairs_removed_total"] = plan.pairs_removed;
  json["pairs_changed_total"] = plan.pairs_changed;
  json["pairs_before"] = plan.pairs_before;
  json["pairs_after"] = plan.pairs_after;
  for (const auto& device : plan.devices) {
    json["devices_touched"].push_back(full(core, device.name));
  }
  for (const auto& setting : plan.settings) {
    json["settings"].push_back(
        {{"key", setting.key}, {"before", setting.before}, {"after", setting.after}});
  }
  json["rolls_over_everyone"] = plan.rolls_over_everyone;
  for (const auto& test : plan.tests) {
    json["tests"].push_back({{"from", test.from},
                             {"to", test.to},
                             {"expect", policy::to_string(test.expect)},
                             {"ok", test.passed},
                             {"reason", test.reason}});
  }
  for (const Error& error : plan.refusals) json["errors"].push_back(problem_of(error));
  if (plan.applicable()) out.compiled = std::move(*compiled);
  return out;
}

/// A refused document: a problem with every error in it.
void refuse(rt::Responder& reply, const Json& plan) {
  Error first{policy::kErrValue, "the policy is refused", "policy", "see errors"};
  const Json& errors = plan["errors"];
  if (!errors.empty()) {
    first.message = errors.front()["message"].get<std::string>();
    first.cure = errors.front()["cure"].get<std::string>();
    if (errors.front()["line"].is_number()) {
      first.where = std::to_string(errors.front()["line"].get<unsigned>()) + ":" +
                    std::to_string(errors.front()["column"].get<unsigned>());
    }
  }
  auto problem = rt::parse_json(rt::problem_json(first, 422));
  if (!problem) return reply.problem(first, 422);
  (*problem)["errors"] = errors;
  (*problem)["tests"] = plan["tests"];
  reply.text(rt::dump_json(*problem), "application/problem+json", 422);
}

}  // namespace

void Api::policy(rt::HttpServer& server) {
  server.on("GET", "/api/v1/policy", [this](const Request& request, rt::Responder reply) {
    const Core& core = controller_.core();
    Json out;
    out["version"] = core.policy_version();
    out["yaml"] = core.policy_yaml();
    out["applied_at"] = nullptr;
    out["history"] = Json::array();
    for (const auto& header : core.policy_history()) {
      out["applied_at"] = ms(header.applied_at);
      out["history"].push_back({{"version", header.version},
                                {"applied_at", ms(header.applied_at)},
                                {"by", header.applied_by},
                                {"summary", header.comment}});
    }
    const std::string wanted = request.query_or("version", "");
    if (wanted.empty() || wanted == std::to_string(core.policy_version())) {
      return reply.json(rt::dump_json(out));
    }
    if (wanted.find_first_not_of("0123456789") != std::string::npos || wanted.size() > 18) {
      return reply.problem(Error{rt::kErrBadRequest, "\"" + wanted + "\" is no version", "version",
                                 "ask for a version of the history"});
    }
    auto held = std::make_shared<rt::Responder>(std::move(reply));
    controller_.store().read_policy(
        core.mesh().id, std::stoull(wanted),
        [held, out, wanted, &loop = controller_.loop()](Result<store::PolicyRecord> record) {
          loop.post([held, out, wanted, record = std::move(record)]() mutable {
            if (!record) {
              return held->problem(Error{rt::kErrNotFound, "there is no policy version " + wanted,
                                         "policy", "GET /api/v1/policy lists the history"});
            }
            out["version"] = record->header.version;
            out["yaml"] = record->yaml;
            out["applied_at"] = ms(record->header.applied_at);
            held->json(rt::dump_json(out));
          });
        });
  });
  server.on("POST", "/api/v1/policy/plan", [this](const Request& request, rt::Responder reply) {
    const auto body = rt::parse_json(request.body);
    if (!body) return reply.problem(body.error());
    const auto yaml = rt::json_string(*body, "yaml");
    if (!yaml) return reply.problem(yaml.error());
    const auto source = rt::json_string(*body, "source");
    if (!source) return reply.problem(source.error());
    if (!*yaml) {
      return reply.problem(Error{rt::kErrBadRequest, "there is no policy in the request", "yaml",
                                 "send {\"yaml\": \"mesh: …\"}"});
    }
    reply.json(
        rt::dump_json(judge(controller_.core(), **yaml, source->value_or("mesh.yaml")).plan));
  });
  server.on("POST", "/api/v1/policy/apply", [this](const Request& request, rt::Responder reply) {
    const auto body = rt::parse_json(request.body);
    if (!body) return reply.problem(body.error());
    const auto yaml = rt::json_string(*body, "yaml");
    if (!yaml) return reply.problem(yaml.error());
    const auto source = rt::json_string(*body, "source");
    if (!source) return reply.problem(source.error());
    const auto expect = rt::json_uint(*body, "expect_version");
    if (!expect) return reply.problem(expect.error());
    if (!*yaml) {
      return reply.problem(Error{rt::kErrBadRequest, "there is no policy in the request", "yaml",
                                 "send {\"yaml\": \"mesh: …\"}"});
    }
    apply(request, **yaml, source->value_or("mesh.yaml"), *expect, "apply", std::move(reply));
  });
  server.on("POST", "/api/v1/policy/rollback", [this](const Request& request, rt::Responder reply) {
    rollback(request, std::move(reply));
  });
}

void Api::apply(const Request& request, std::string yaml, std::string source,
                std::optional<std::uint64_t> expect_version, std::string comment,
                rt::Responder reply) {
  const Core& core = controller_.core();
  if (expect_version && *expect_version != core.policy_version()) {
    return reply.problem(Error{rt::kErrConflict,
                               "the policy in force is version " +
                                   std::to_string(core.policy_version()) + ", not " +
                                   std::to_string(*expect_version),
                               "policy", "plan against the present one, then apply again"});
  }
  Judged judged = judge(core, yaml, source);
  if (!judged.compiled) {
    controller_.count("policies-refused");
    return refuse(reply, judged.plan);
  }
  if (yaml == core.policy_yaml() && core.policy_version() != 0) {
    judged.plan["version"] = core.policy_version();
    return reply.json(rt::dump_json(judged.plan));
  }
  auto held = std::make_shared<rt::Responder>(std::move(reply));
  controller_.apply_policy(
      std::move(yaml), std::move(*judged.compiled), expect_version, std::move(comment),
      who(request), [this, held, plan = judged.plan](Status done) mutable {
        if (!done) {
          return done.error().code == kErrPolicyVersion ? held->problem(done.error(), 409)
                                                        : held->problem(done.error());
        }
        plan["version"] = controller_.core().policy_version();
        held->json(rt::dump_json(plan));
      });
}

void Api::rollback(const Request& request, rt::Responder reply) {
  const Core& core = controller_.core();
  std::optional<std::uint64_t> version;
  if (!request.body.empty()) {
    const auto body = rt::parse_json(request.body);
    if (!body) return reply.problem(body.error());
    const auto given = rt::json_uint(*body, "version");
    if (!given) return reply.problem(given.error());
    version = *given;
  }
  const std::uint64_t present = core.policy_version();
  if (!version && present < 2) {
    return reply.problem(Error{rt::kErrNotFound, "there is no policy before the present one",
                               "policy", "apply one first"});
  }
  const std::uint64_t wanted = version.value_or(present - 1);
  auto held = std::make_shared<rt::Responder>(std::move(reply));
  auto asked = std::make_shared<Request>(request);
  controller_.store().read_policy(
      core.mesh().id, wanted,
      [this, held, asked, wanted, &loop = controller_.loop()](Result<store::PolicyRecord> record) {
        loop.post([this, held, asked, wanted, record = std::move(record)]() mutable {
          if (!record) {
            return held->problem(Error{rt::kErrNotFound,
                                       "there is no policy version " + std::to_string(wanted),
                                       "policy", "GET /api/v1/policy lists the history"});
          }
          apply(*asked, std::move(record->yaml), "version " + std::to_string(wanted), std::nullopt,
                "rollback to " + std::to_string(wanted), std::move(*held));
        });
      });
}

}  // namespace cygnet::controller
