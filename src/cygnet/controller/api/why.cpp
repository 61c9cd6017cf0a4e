// SPDX-License-Identifier: Apache-2.0
// "Why is this pair as it is?", as far as the controller knows (operators: `cygnet why A B`).
#include "cygnet/controller/api/api.h"
#include "cygnet/controller/api/views.h"
#include "cygnet/proto/negotiate/negotiate.h"
#include "cygnet/rt/text.h"

namespace cygnet::controller {
namespace {

class Story {
 public:
  void step(const char* name, const char* outcome, std::string text) {
    steps_.push_back({{"name", name}, {"outcome", outcome}, {"text", std::move(text)}});
  }
  /// The first thing that stands in the way decides verdict and advice.
  void blame(std::string verdict, std::string next_step) {
    if (!verdict_.empty()) return;
    verdict_ = std::move(verdict);
    next_step_ = std::move(next_step);
  }
  [[nodiscard]] std::string finish(const std::string& a, const std::string& b) {
    blame("as far as the controller knows this pair is fine",
          "if traffic does not pass, ask on a device: cygnet why " + b);
    Json out;
    out["a"] = a;
    out["b"] = b;
    out["verdict"] = verdict_;
    out["next_step"] = next_step_;
    out["steps"] = std::move(steps_);
    return rt::dump_json(out);
  }

 private:
  Json steps_ = Json::array();
  std::string verdict_;
  std::string next_step_;
};

std::string ago(ServerTime then, ServerTime now) {
  return rt::format_duration_short(now > then ? now - then : ServerTime::duration{0}) + " ago";
}

void identity(Story& story, const Core::DeviceView& view, const std::string& name, ServerTime now) {
  switch (view.status) {
    case Core::DeviceStatus::kPending:
      story.step("identity", "fail", name + " is in the policy but has not joined");
      story.blame(name + " has not joined yet",
                  "make a token and paste its line there: cygnet token create --name " + view.name);
      return;
    case Core::DeviceStatus::kRevoked:
      story.step("identity", "fail", name + " is revoked");
      story.blame(name + " is revoked", "join the machine under another name if it may return");
      return;
    case Core::DeviceStatus::kAway:
      story.step("identity", "warn",
                 name + " is enrolled and away" +
                     (view.last_seen ? ", last seen " + ago(*view.last_seen, now)
                                     : ", not seen since the controller started"));
      break;
    case Core::DeviceStatus::kAttached:
      story.step("identity", "ok", name + " is enrolled and attached");
      break;
  }
  if (view.certificate_not_after && *view.certificate_not_after < now) {
    story.step("identity", "fail", "the certificate of " + name + " has expired");
    story.blame("the certificate of " + name + " has expired",
                "start its agent within the grace for renewals, or join it again");
  }
}

void dim(Story& story, const Core::DeviceView& view, const std::string& name, ServerTime now) {
  if (!view.counter) {
    story.step("dim", "fail", name + " has published no DIM");
    story.blame("there is no DIM of " + name,
                "look at its agent's log: it publishes as soon as it is attached");
    return;
  }
  story.step("dim", "ok",
             name + " published generation " + to_string(*view.counter) + " " +
                 ago(view.accepted_at, now));
}

}  // namespace

Result<std::string> explain_pair(const Core& core, const std::string& a, const std::string& b,
                                 ServerTime now) {
  if (a.empty() || b.empty()) {
    return fail(rt::kErrBadRequest, "two devices are needed", "query", "ask as ?a=NAME&b=NAME");
  }
  const auto view_a = core.device(a);
  const auto view_b = core.device(b);
  if (!view_a) return fail(no_such_device(core, a));
  if (!view_b) return fail(no_such_device(core, b));
  const std::string name_a = full(core, a);
  const std::string name_b = full(core, b);
  Story story;
  if (a == b) {
    story.step("policy", "info", "a device needs no SA with itself");
    story.blame("both names are the same device", "name two devices");
    return story.finish(name_a, name_b);
  }

  // Policy.
  const policy::CompiledPolicy* policy = core.policy();
  const auto ia = core.names()->find(a);
  const auto ib = core.names()->find(b);
  if (policy == nullptr) {
    story.step("policy", "fail", "no policy was applied yet");
    story.blame("no policy allows anything yet",
                "write one and apply it: cygnet apply -f mesh.yaml");
  } else {
    const auto verdict = policy->verdict(*ia, *ib);
    const std::string rule =
        verdict.rule
            ? " (rule at " +
                  policy::where(policy->document(), policy->document().rules[*verdict.rule].place) +
                  ")"
            : "";
    if (verdict.allowed) {
      story.step("policy", "ok",
                 "version " + std::to_string(core.policy_version()) + " allows the pair" + rule);
    } else {
      story.step("policy", "fail",
                 verdict.rule ? "a deny rule forbids the pair" + rule : "no rule allows the pair");
      story.blame("policy does not allow this pair",
                  "add a rule that allows it and apply: cygnet plan -f mesh.yaml");
    }
  }

  identity(story, *view_a, name_a, now);
  identity(story, *view_b, name_b, now);
  dim(story, *view_a, name_a, now);
  dim(story, *view_b, name_b, now);

  // Agreement of the two DIMs.
  std::shared_ptr<const proto::Dim> dim_a;
  std::shared_ptr<const proto::Dim> dim_b;
  for (const auto& view : core.dims()) {
    if (view.name == a) dim_a = view.dim;
    if (view.name == b) dim_b = view.dim;
  }
  if (dim_a && dim_b) {
    const bool mandatory = policy != nullptr && policy->document().ppk_mandatory;
    const auto agreed = proto::negotiate(*dim_a, *dim_b, mandatory);
    if (agreed) {
      story.step("negotiation", "ok",
                 proto::to_string(agreed->policy) + ", " + std::to_string(agreed->lanes) +
                     (agreed->lanes == 1 ? " lane, " : " lanes, ") +
                     (agreed->local_role == proto::Role::kInitiator ? name_a : name_b) +
                     " is initiator");
    } else {
      story.step("negotiation", "fail", agreed.error().to_string());
      story.blame("the two devices agree on no proposal",
                  "let the policy's proposals name one that both can do");
    }
  }

  // Delivery.
  if (const auto pair = core.pair(a, b)) {
    const auto told = [&](const std::string& to, const std::string& of, bool yes, bool attached) {
      story.step("delivery", yes ? "ok" : "warn",
                 to + (yes ? " holds" : " has not acknowledged") + " the newest DIM of " + of);
      if (!yes) {
        story.blame(to + " lacks the newest DIM of " + of,
                    attached ? "wait a moment; then ask its agent: cygnet why " + of
                             : "bring " + to + " back to the controller");
      }
    };
    if (pair->a_counter && pair->b_counter) {
      const bool same = pair->a == a;
      const bool a_has_b = same ? pair->a_acknowledged_b : pair->b_acknowledged_a;
      const bool b_has_a = same ? pair->b_acknowledged_a : pair->a_acknowledged_b;
      told(name_a, name_b, a_has_b, view_a->status == Core::DeviceStatus::kAttached);
      told(name_b, name_a, b_has_a, view_b->status == Core::DeviceStatus::kAttached);
    }
  }
  // Path.
  for (const auto& [view, name] : {std::pair{&*view_a, name_a}, std::pair{&*view_b, name_b}}) {
    std::string list;
    const Json json = to_json(core, *view);
    for (const auto& endpoint : json["endpoints"]) {
      list += (list.empty() ? "" : ", ") + endpoint.get<std::string>();
    }
    story.step("path", list.empty() ? "warn" : "info",
               list.empty() ? "no endpoint of " + name + " is known; it must speak first"
                            : name + " is reached at " + list);
  }
  for (const auto& [view, name] : {std::pair{&*view_a, name_a}, std::pair{&*view_b, name_b}}) {
    if (view->status != Core::DeviceStatus::kAway) continue;
    story.blame(name + " is away from the controller: what stands goes on, rekeys wait",
                "look whether its agent runs and reaches the controller: cygnet status there");
  }
  return story.finish(name_a, name_b);
}

}  // namespace cygnet::controller
