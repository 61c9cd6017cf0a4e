// SPDX-License-Identifier: Apache-2.0
#include "cygnet/controller/api/views.h"

#include <arpa/inet.h>
#include <pwd.h>

#include <array>

#include "cygnet/proto/dim/dim.h"
#include "cygnet/rt/text.h"

namespace cygnet::controller {
namespace {

std::string address_text(ByteView address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  inet_ntop(address.size() == 4 ? AF_INET : AF_INET6, address.data(), text.data(), text.size());
  return text.data();
}

Json counter_json(const std::optional<proto::RekeyCounter>& counter) {
  return counter ? Json(to_string(*counter)) : Json(nullptr);
}

Json labels_json(const std::map<std::string, std::string>& labels) {
  Json out = Json::object();
  for (const auto& [key, value] : labels) out[key] = value;
  return out;
}

std::string_view status_text(Core::DeviceStatus status) {
  switch (status) {
    case Core::DeviceStatus::kAttached:
      return "attached";
    case Core::DeviceStatus::kAway:
      return "away";
    case Core::DeviceStatus::kPending:
      return "pending";
    case Core::DeviceStatus::kRevoked:
      return "revoked";
  }
  return "pending";
}

}  // namespace

std::int64_t ms(ServerTime time) { return time.time_since_epoch().count(); }

Json items(Json list) {
  Json out;
  out["items"] = std::move(list);
  return out;
}

std::string full(const Core& core, const std::string& name) {
  return name + "." + core.mesh().name;
}

std::string label_of(const Core& core, std::string name) {
  const std::string suffix = "." + core.mesh().name;
  if (name.size() > suffix.size() && name.ends_with(suffix)) {
    name.resize(name.size() - suffix.size());
  }
  return name;
}

std::string who(const rt::HttpRequest& request) {
  if (!request.peer) return "unknown";
  std::array<char, 1024> buffer{};
  passwd entry{};
  passwd* found = nullptr;
  const bool named =
      getpwuid_r(request.peer->uid, &entry, buffer.data(), buffer.size(), &found) == 0 &&
      found != nullptr;
  return (named ? std::string(found->pw_name) : std::string("someone")) + " (uid " +
         std::to_string(request.peer->uid) + ", pid " + std::to_string(request.peer->pid) + ")";
}

Error no_such_device(const Core& core, const std::string& name) {
  return Error{rt::kErrNotFound, "there is no device \"" + name + "\" in mesh " + core.mesh().name,
               "devices", "cygnet get devices lists them"};
}

std::string token_id(const store::TokenRecord& token) {
  return to_hex(ByteView(token.hash).first(6));
}

Json to_json(const Core& core, const Core::DeviceView& view) {
  Json out;
  out["name"] = full(core, view.name);
  out["labels"] = labels_json(view.labels);
  out["state"] = status_text(view.status);
  out["counter"] = counter_json(view.counter);
  out["boot_count"] = view.counter ? Json(view.counter->boot_count()) : Json(nullptr);
  out["sequence"] = view.counter ? Json(view.counter->sequence()) : Json(nullptr);
  out["accepted_at"] = view.counter ? Json(ms(view.accepted_at)) : Json(nullptr);
  out["prefixes"] = Json::array();
  for (const auto& prefix : view.prefixes) out["prefixes"].push_back(to_string(prefix.net));
  out["endpoints"] = Json::array();
  for (const auto& endpoint : view.endpoints) {
    out["endpoints"].push_back(
        rt::HostPort{address_text(endpoint.address), endpoint.port}.to_string());
  }
  out["last_seen"] = view.last_seen ? Json(ms(*view.last_seen)) : Json(nullptr);
  out["certificate_not_after"] =
      view.certificate_not_after ? Json(ms(*view.certificate_not_after)) : Json(nullptr);
  out["acknowledged_cursor"] = view.acknowledged_cursor;
  out["software"] = view.software.empty() ? Json(nullptr) : Json(view.software);
  return out;
}

Json to_json(const Core& core, const Core::PairView& view) {
  Json out;
  out["a"] = full(core, view.a);
  out["b"] = full(core, view.b);
  out["policy"] = "allow";
  out["mode"] = view.policy.on_demand ? "on-demand" : "always";
  out["via"] = view.policy.via.empty() ? Json(nullptr) : Json(view.policy.via);
  switch (view.state) {
    case Core::PairView::State::kReady:
      out["state"] = "ready";
      break;
    case Core::PairView::State::kWaitingDim:
      out["state"] = "waiting-dim";
      break;
    case Core::PairView::State::kRevoked:
      out["state"] = "revoked";
      break;
  }
  out["a_counter"] = counter_json(view.a_counter);
  out["b_counter"] = counter_json(view.b_counter);
  out["a_acknowledged_b"] = view.a_acknowledged_b;
  out["b_acknowledged_a"] = view.b_acknowledged_a;
  return out;
}

Json to_json(const Core& core, const Core::DimView& view) {
  const proto::Dim& dim = *view.dim;
  Json out;
  out["name"] = full(core, view.name);
  out["counter"] = to_string(dim.counter);
  out["boot_count"] = dim.counter.boot_count();
  out["sequence"] = dim.counter.sequence();
  out["initial_contact"] = dim.initial_contact;
  out["accepted_at"] = ms(view.stored.accepted_at);
  out["groups"] = Json::array();
  for (const auto& ke : dim.kes) {
    const auto group = crypto::dh_group_from(ke.group);
    out["groups"].push_back(group ? std::string(crypto::to_string(*group))
                                  : std::to_string(ke.group));
  }
  out["proposals"] = Json::array();
  for (const auto& proposal : dim.proposals) {
    const auto meaning = proto::interpret(proposal);
    out["proposals"].push_back(meaning ? proto::to_string(*meaning) : std::string("unknown"));
  }
  out["nonce"] = to_hex(dim.nonce);
  out["lanes"] = dim.lanes;
  out["size"] = view.stored.dim->size();
  out["digest"] = to_hex(proto::dim_digest(*view.stored.dim));
  out["dim"] = to_hex(*view.stored.dim);
  return out;
}

Json to_json(const store::TokenRecord& token, ServerTime now) {
  Json out;
  out["id"] = token_id(token);
  out["name"] = token.device ? Json(*token.device) : Json(nullptr);
  out["labels"] = labels_json(token.labels);
  out["state"] = token.uses_left == 0 ? "used" : token.expires_at <= now ? "expired" : "valid";
  out["created_at"] = ms(token.created_at);
  out["expires_at"] = ms(token.expires_at);
  out["uses_left"] = token.uses_left;
  out["created_by"] = token.created_by;
  return out;
}

Json problem_of(const Error& error) {
  // `where` is "mesh.yaml:14:7".
  Json out;
  out["line"] = nullptr;
  out["column"] = nullptr;
  const auto parts = rt::split(error.where, ':');
  const auto digits = [](std::string_view text) {
    return !text.empty() && text.size() < 9 &&
           text.find_first_not_of("0123456789") == std::string_view::npos;
  };
  if (parts.size() >= 3 && digits(parts[parts.size() - 1]) && digits(parts[parts.size() - 2])) {
    out["line"] = std::stoul(parts[parts.size() - 2]);
    out["column"] = std::stoul(parts[parts.size() - 1]);
  }
  out["message"] = error.message;
  out["cure"] = error.cure;
  out["code"] = error.code.name();
  return out;
}

}  // namespace cygnet::controller
