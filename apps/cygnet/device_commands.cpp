// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdio>
#include <ostream>

#include "commands.h"
#include "cygnet/rt/http_client.h"
#include "cygnet/rt/text.h"
#include "exit_codes.h"

namespace cygnet::cli {
namespace {

using rt::Json;

const std::vector<Column>& peer_columns() {
  static const std::vector<Column> columns{{"PEER", "name"},
                                           {"STATE", "state"},
                                           {"OUTBOUND", "outbound"},
                                           {"CONFIRMED", "confirmed"},
                                           {"HEARD", "last_heard_ms"},
                                           {"KEY AGE", "key_age_ms"},
                                           {"RECEIVED", "rx_octets"},
                                           {"SENT", "tx_octets"},
                                           {"ENDPOINT", "endpoint"},
                                           {"MESH ADDRESS", "mesh_address", true},
                                           {"PAIRS", "pairs", true},
                                           {"COUNTER", "remote_counter", true},
                                           {"LEARNED", "endpoint_learned", true},
                                           {"RX PACKETS", "rx_packets", true},
                                           {"TX PACKETS", "tx_packets", true},
                                           {"PREFIXES", "prefixes", true}};
  return columns;
}

const std::vector<Column>& sa_columns() {
  static const std::vector<Column> columns{{"PEER", "peer"},
                                           {"PAIR", "pair"},
                                           {"LANE", "lane"},
                                           {"STATE", "state"},
                                           {"KEYS", "keys"},
                                           {"SPI IN", "spi_in"},
                                           {"SPI OUT", "spi_out"},
                                           {"IN", "in.packets"},
                                           {"OUT", "out.packets"},
                                           {"SUITE", "suite"},
                                           {"EXPIRES IN", "expires_in_ms"},
                                           {"IN OCTETS", "in.octets", true},
                                           {"OUT OCTETS", "out.octets", true},
                                           {"INSTALLED", "installed_at_ms", true}};
  return columns;
}

/// What status tells by its exit code: something needs attention.
bool degraded(const Json& status) {
  if (at_path(status, "controller.state") != "connected") return true;
  return number(at_path(status, "peers.up")) < number(at_path(status, "peers.wanted"));
}

std::string line(const char* name, const std::string& text) {
  std::string out = name;
  out.resize(14, ' ');
  return out + text + "\n";
}

std::string drops_text(const Json& drops, const Style& style) {
  std::vector<std::string> parts;
  if (drops.is_object()) {
    for (const auto& [name, count] : drops.items()) {
      if (number(count) > 0) parts.push_back(printable(name) + " " + value_text("", count, style));
    }
  }
  return parts.empty() ? "none" : rt::join(parts, ", ");
}

std::string status_text(const Json& status, const Style& style) {
  const auto text = [&](const char* path) {
    const std::string_view whole(path);
    const auto dot = whole.rfind('.');
    return value_text(dot == std::string_view::npos ? whole : whole.substr(dot + 1),
                      at_path(status, path), style);
  };
  std::string out = bold(text("name"), style) + " in mesh " + text("mesh") + "\n\n";
  out += line("mesh address", text("mesh_address"));
  std::string controller = coloured(text("controller.state"), style);
  if (!at_path(status, "controller.address").is_null()) {
    controller += " (" + text("controller.address") + ")";
  }
  if (!at_path(status, "controller.since").is_null()) {
    controller += ", since " + text("controller.since");
  }
  out += line("controller", controller);
  out += line("generation", text("generation.counter") + " " +
                                coloured(text("generation.state"), style) + ", " +
                                text("generation.age_ms") + " old");
  out += line("certificate", "ends " + text("certificate_not_after"));
  out += line("data plane", text("backend"));
  for (const auto& note : at_path(status, "notes")) {
    out += line("", "note: " + value_text("", note, style));
  }
  out += line("peers", text("peers.up") + " of " + text("peers.wanted") + " up, " +
                           text("peers.proven") + " proven" +
                           (number(at_path(status, "peers.asleep")) > 0
                                ? ", " + text("peers.asleep") + " more on demand, asleep"
                                : ""));
  if (number(at_path(status, "sa_pairs.claimed")) > 0) {
    out += line("SA pairs", text("sa_pairs.installed") + ", " + text("sa_pairs.claimed") +
                                " of them claimed: keys when the first packet needs them");
  }
  if (number(at_path(status, "path_mtu.smallest")) > 0) {
    out += line("path MTU", text("path_mtu.smallest") + " at least, " +
                                drops_text(at_path(status, "path_mtu.peers"), style));
  }
  out += line("drops", drops_text(at_path(status, "drops"), style));
  if (const std::string refused = drops_text(at_path(status, "refused"), style);
      refused != "none") {
    out += line("refused", refused);
  }
  return out;
}

std::string controller_status_text(const Json& status, const Style& style) {
  return bold("controller", style) + "\n\n" + render_details(status, style);
}

std::string rtt_text(const Json& rtt) {
  if (!rtt.is_number()) return "no answer";
  char text[40];
  std::snprintf(text, sizeof text, "%.2f ms", rtt.get<double>());
  return text;
}

}  // namespace

int run_status(Session& session) {
  // On a controller's host without an agent, `cygnet` alone still has something to say.
  if (!session.located(Daemon::kAgent)) {
    auto probe = session.try_ask({.daemon = Daemon::kAgent, .target = "/api/v1/status"});
    if (!probe && probe.error().code == rt::kErrUnreachable) {
      if (const auto controller = session.try_ask({.target = "/api/v1/status"})) {
        session.show(*controller, [&](const Json& json) {
          return controller_status_text(json, session.style());
        });
        return kExitOk;
      }
    }
  }
  return session.ask_and_show(
      {.daemon = Daemon::kAgent, .target = "/api/v1/status"},
      [&](const Json& status) {
        std::string out = status_text(status, session.style());
        if (const auto peers =
                session.try_ask({.daemon = Daemon::kAgent, .target = "/api/v1/peers"})) {
          out += "\n" + render_table(peer_columns(), at_path(peers->json, "items"),
                                     session.output() == Output::kWide, session.style(),
                                     "No peers: the policy allows none, or none has joined yet.");
        }
        return out;
      },
      [](const Json& status) { return degraded(status) ? kExitDegraded : kExitOk; });
}

int run_peers(Session& session) {
  return session.ask_and_show(
      {.daemon = Daemon::kAgent, .target = "/api/v1/peers"}, [&](const Json& json) {
        return render_table(peer_columns(), at_path(json, "items"),
                            session.output() == Output::kWide, session.style(),
                            "No peers: the policy allows none, or none has joined yet.");
      });
}

int run_sa(Session& session, const std::string& peer) {
  std::string target = "/api/v1/sa";
  if (!peer.empty()) target += "?peer=" + rt::percent_encode(peer);
  return session.ask_and_show({.daemon = Daemon::kAgent, .target = target}, [&](const Json& json) {
    return render_table(sa_columns(), at_path(json, "items"), session.output() == Output::kWide,
                        session.style(), "No SA pairs.");
  });
}

int run_ping(Session& session, const PingOptions& options) {
  const auto interval = rt::parse_duration(options.interval);
  if (!interval) {
    return session.usage("--interval: " + interval.error().message, interval.error().cure);
  }
  const auto interval_ms = std::chrono::duration_cast<std::chrono::milliseconds>(*interval);
  return session.ask_and_show(
      {.daemon = Daemon::kAgent,
       .method = "POST",
       .target = "/api/v1/ping",
       .body = {{"peer", options.peer},
                {"count", options.count},
                {"interval_ms", interval_ms.count()},
                {"lane", options.lane}},
       .extra_time = *interval * static_cast<Duration::rep>(options.count)},
      [&](const Json& json) {
        const Json& rtts = at_path(json, "rtt_ms");
        std::string out;
        double lowest = 0;
        double highest = 0;
        double sum = 0;
        std::size_t answered = 0;
        std::size_t sequence = 0;
        for (const auto& rtt : rtts) {
          out += printable(options.peer) + " lane " + std::to_string(options.lane) + " probe " +
                 std::to_string(++sequence) + ": " + rtt_text(rtt) + "\n";
          if (!rtt.is_number()) continue;
          const double ms = rtt.get<double>();
          lowest = answered == 0 ? ms : std::min(lowest, ms);
          highest = std::max(highest, ms);
          sum += ms;
          ++answered;
        }
        out += value_text("", at_path(json, "sent"), session.style()) + " sent, " +
               value_text("", at_path(json, "received"), session.style()) + " answered";
        if (answered > 0) {
          out += ", round trip least " + rtt_text(lowest) + ", mean " +
                 rtt_text(sum / static_cast<double>(answered)) + ", most " + rtt_text(highest);
        }
        return out + "\n";
      },
      [](const Json& json) {
        return number(at_path(json, "received")) > 0 ? kExitOk : kExitTimeout;
      });
}

}  // namespace cygnet::cli
