// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <istream>
#include <map>
#include <ostream>

#include "commands.h"
#include "cygnet/rt/http_client.h"
#include "cygnet/rt/text.h"
#include "exit_codes.h"

namespace cygnet::cli {
namespace {

using rt::Json;
using rt::percent_encode;

struct Kind {
  const char* path;
  std::vector<Column> columns;
  const char* empty;
  bool named;  ///< has /{name}
};

const std::map<std::string, Kind>& kinds() {
  static const std::map<std::string, Kind> all{
      {"devices",
       {"devices",
        {{"NAME", "name"},
         {"STATE", "state"},
         {"COUNTER", "counter"},
         {"LABELS", "labels"},
         {"PREFIXES", "prefixes"},
         {"LAST SEEN", "last_seen"},
         {"ENDPOINTS", "endpoints", true},
         {"ACCEPTED", "accepted_at", true},
         {"CERTIFICATE ENDS", "certificate_not_after", true},
         {"ACKNOWLEDGED", "acknowledged_cursor", true},
         {"SOFTWARE", "software", true}},
        "No devices yet: cygnet token create --name NAME makes a join line.",
        true}},
      {"pairs",
       {"pairs",
        {{"A", "a"},
         {"B", "b"},
         {"STATE", "state"},
         {"MODE", "mode"},
         {"A COUNTER", "a_counter"},
         {"B COUNTER", "b_counter"},
         {"A HAS B", "a_acknowledged_b"},
         {"B HAS A", "b_acknowledged_a"},
         {"POLICY", "policy", true},
         {"VIA", "via", true}},
        "No pairs: the policy allows none, or no two of its devices are enrolled.",
        false}},
      {"dims",
       {"dims",
        {{"NAME", "name"},
         {"COUNTER", "counter"},
         {"ACCEPTED", "accepted_at"},
         {"GROUPS", "groups"},
         {"PROPOSALS", "proposals"},
         {"SIZE", "size"},
         {"LANES", "lanes", true},
         {"INITIAL", "initial_contact", true},
         {"DIGEST", "digest", true}},
        "No DIMs: no device has published yet.",
        true}},
      {"tokens",
       {"tokens",
        {{"ID", "id"},
         {"NAME", "name"},
         {"LABELS", "labels"},
         {"STATE", "state"},
         {"EXPIRES", "expires_at"},
         {"USES LEFT", "uses_left"},
         {"CREATED", "created_at", true},
         {"BY", "created_by", true}},
        "No tokens: cygnet token create makes one.",
        false}},
      {"policies",
       {"policy",
        {{"VERSION", "version"}, {"APPLIED", "applied_at"}, {"BY", "by"}, {"SUMMARY", "summary"}},
        "No policy yet: cygnet apply -f mesh.yaml applies one.",
        false}},
      {"events",
       {"events",
        {{"SEQUENCE", "sequence"},
         {"WHEN", "time"},
         {"KIND", "kind"},
         {"DEVICE", "device"},
         {"PEER", "peer"},
         {"TEXT", "text"}},
        "No events.",
        false}}};
  return all;
}

std::string target_of(const Kind& kind, const GetOptions& options) {
  std::string target = std::string("/api/v1/") + kind.path;
  std::vector<std::string> query;
  if (!options.name.empty()) {
    if (kind.named) {
      target += "/" + percent_encode(options.name);
    } else if (options.kind == "policies") {
      query.push_back("version=" + percent_encode(options.name));
    } else {
      query.push_back("device=" + percent_encode(options.name));
    }
  }
  if (!options.label.empty()) query.push_back("label=" + percent_encode(options.label));
  if (options.after) query.push_back("after=" + std::to_string(*options.after));
  return query.empty() ? target : target + "?" + rt::join(query, "&");
}

std::string short_list(const Json& list, const Style& style) {
  return list.is_array() && !list.empty() ? value_text("", list, style) : std::string();
}

}  // namespace

int run_get(Session& session, const GetOptions& options) {
  const Kind& kind = kinds().at(options.kind);
  const bool wide = session.output() == Output::kWide;
  return session.ask_and_show(
      {.target = target_of(kind, options)}, [&](const Json& json) -> std::string {
        if (options.kind == "policies" && !options.name.empty()) {
          const Json& yaml = at_path(json, "yaml");
          return yaml.is_string() ? yaml.get<std::string>() : std::string();
        }
        if (options.kind == "policies") {
          return render_table(kind.columns, at_path(json, "history"), wide, session.style(),
                              kind.empty);
        }
        const Json& items = at_path(json, "items");
        return render_table(kind.columns, items.is_array() ? items : Json::array({json}), wide,
                            session.style(), kind.empty);
      });
}

int run_describe_device(Session& session, const std::string& name) {
  const std::string path = percent_encode(name);
  return session.ask_and_show(
      {.target = "/api/v1/devices/" + path}, [&](const Json& device) -> std::string {
        std::string out = render_details(device, session.style());
        // More than one answer for people only: -o json stays what the daemon said.
        if (const auto pairs = session.try_ask({.target = "/api/v1/pairs?device=" + path})) {
          out += "\n" + bold("Pairs", session.style()) + "\n" +
                 render_table(kinds().at("pairs").columns, at_path(pairs->json, "items"),
                              session.output() == Output::kWide, session.style(),
                              kinds().at("pairs").empty);
        }
        return out;
      });
}

int run_token_create(Session& session, const TokenOptions& options) {
  Json body = Json::object();
  if (!options.name.empty()) body["name"] = options.name;
  if (!options.labels.empty()) {
    Json labels = Json::object();
    for (const auto& label : options.labels) {
      const auto equals = label.find('=');
      if (equals == std::string::npos || equals == 0) {
        return session.usage("--label \"" + label + "\" is no key=value",
                             "write --label role=branch, once for each label");
      }
      labels[label.substr(0, equals)] = label.substr(equals + 1);
    }
    body["labels"] = std::move(labels);
  }
  if (body.empty()) {
    return session.usage("a token is for a device name or for labels",
                         "add --name NAME, or --label key=value");
  }
  if (!options.ttl.empty()) {
    const auto ttl = rt::parse_duration(options.ttl);
    if (!ttl) return session.usage("--ttl: " + ttl.error().message, ttl.error().cure);
    body["ttl"] = options.ttl;
  }
  if (options.uses) body["uses"] = *options.uses;
  return session.ask_and_show(
      {.method = "POST", .target = "/api/v1/tokens", .body = std::move(body)},
      [&](const Json& token) {
        const Style& style = session.style();
        std::string out = "Token " + value_text("id", at_path(token, "id"), style);
        if (!options.name.empty()) out += " for " + options.name;
        if (const Json& ends = at_path(token, "expires_at"); !ends.is_null()) {
          out += ", ends " + value_text("expires_at", ends, style);
        }
        out += ". It is shown this once. On the device:\n\n  ";
        return out + bold(value_text("join_line", at_path(token, "join_line"), style), style) +
               "\n";
      });
}

int run_rekey(Session& session, const RekeyOptions& options) {
  if (int(options.agent) + int(options.all) + int(!options.name.empty()) != 1) {
    return session.usage("rekey needs one of NAME, --all and --agent",
                         "cygnet rekey store-0417, cygnet rekey --all, or cygnet rekey --agent on "
                         "the device itself");
  }
  if (options.agent) {
    return session.ask_and_show(
        {.daemon = Daemon::kAgent, .method = "POST", .target = "/api/v1/rekey"},
        [](const Json&) { return std::string("Rekey ordered for this device.\n"); });
  }
  const std::string target =
      options.all ? "/api/v1/rekey" : "/api/v1/devices/" + percent_encode(options.name) + "/rekey";
  return session.ask_and_show({.method = "POST", .target = target}, [&](const Json& json) {
    const std::string ordered = short_list(at_path(json, "ordered"), session.style());
    const std::string deferred = short_list(at_path(json, "deferred"), session.style());
    std::string out;
    if (!ordered.empty()) out += "Rekey ordered: " + ordered + "\n";
    if (!deferred.empty()) out += "Away, rekeys when it attaches: " + deferred + "\n";
    if (out.empty()) {
      out = options.all ? "No device to rekey.\n" : "Rekey ordered for " + options.name + ".\n";
    }
    return out;
  });
}

int run_revoke(Session& session, const std::string& name, bool yes) {
  const auto& around = session.surroundings();
  if (!yes && around.in_is_tty && around.out_is_tty) {
    around.out << "Revoke " << name << "? Its key is refused for ever. Type its name to confirm: ";
    around.out.flush();
    std::string typed;
    std::getline(around.in, typed);
    if (typed != name) {
      around.err << "Nothing was done.\n";
      return kExitError;
    }
  }
  return session.ask_and_show(
      {.method = "POST", .target = "/api/v1/devices/" + percent_encode(name) + "/revoke"},
      [&](const Json&) {
        return name +
               " is revoked: its peers drop it within one relay round, and its key is "
               "refused for ever.\n";
      });
}

int run_why(Session& session, const std::string& a, const std::string& b) {
  Request request{.target = "/api/v1/why?a=" + percent_encode(a) + "&b=" + percent_encode(b)};
  if (b.empty()) {
    request = {.daemon = Daemon::kAgent,
               .target = "/api/v1/why?peer=" + percent_encode(a) + "&probe=true"};
  }
  const Style& style = session.style();
  const auto human = [&](const Json& json) {
    std::string out = bold(value_text("a", at_path(json, "a"), style) + " - " +
                               value_text("b", at_path(json, "b"), style),
                           style) +
                      ": " + value_text("verdict", at_path(json, "verdict"), style) + "\n\n";
    const Json& steps = at_path(json, "steps");
    std::size_t longest = 0;
    for (const auto& step : steps) {
      longest = std::max(longest, value_text("", at_path(step, "name"), style).size());
    }
    for (const auto& step : steps) {
      const std::string name = value_text("", at_path(step, "name"), style);
      const std::string outcome = value_text("", at_path(step, "outcome"), style);
      out += "  " + coloured(outcome, style) +
             std::string(6 - std::min<std::size_t>(5, outcome.size()), ' ') + name +
             std::string(longest - name.size() + 2, ' ') +
             value_text("", at_path(step, "text"), style) + "\n";
    }
    if (const Json& next = at_path(json, "next_step");
        next.is_string() && !next.get<std::string>().empty()) {
      out += "\nNext: " + printable(next.get<std::string>()) + "\n";
    }
    return out;
  };
  return session.ask_and_show(request, human, [](const Json& json) {
    const Json& steps = at_path(json, "steps");
    const bool broken = std::any_of(steps.begin(), steps.end(), [](const Json& step) {
      return at_path(step, "outcome") == "fail";
    });
    const Json& verdict = at_path(json, "verdict");
    const bool down =
        verdict.is_string() && verdict.get_ref<const std::string&>().rfind("down", 0) == 0;
    return broken || down ? kExitDegraded : kExitOk;
  });
}

}  // namespace cygnet::cli
