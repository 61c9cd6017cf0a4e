// SPDX-License-Identifier: Apache-2.0
#include "cygnet/load/report.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace cygnet::load {
namespace {

using Json = nlohmann::ordered_json;

double ms(Duration d) { return std::chrono::duration<double, std::milli>(d).count(); }

std::string line(const char* what, const Histogram& h) {
  if (h.count() == 0) return {};
  return fmt::format("  {:<26} p50 {:9.2f} ms   p99 {:9.2f} ms   max {:9.2f} ms   ({})\n", what,
                     ms(h.quantile(0.5)), ms(h.quantile(0.99)), ms(h.max()), h.count());
}

Json json_of(const Histogram& h) {
  return {{"count", h.count()},
          {"p50_ms", ms(h.quantile(0.5))},
          {"p99_ms", ms(h.quantile(0.99))},
          {"max_ms", ms(h.max())}};
}

Json json_of(const PhaseReport& p) {
  return {{"scenario", p.scenario},
          {"settled", p.settled},
          {"seconds", in_seconds(p.took)},
          {"spread_seconds", in_seconds(p.spread)},
          {"published", p.totals.published},
          {"accepted", p.totals.accepted},
          {"deliveries", p.totals.deliveries},
          {"deliveries_per_second", p.deliveries_per_second()},
          {"coalesced", p.totals.coalesced},
          {"again", p.totals.again},
          {"from_before", p.totals.from_before},
          {"delivered", json_of(p.times.delivered)},
          {"accepted_after", json_of(p.times.accepted)},
          {"everybody", json_of(p.times.everybody)},
          {"octets_in", p.traffic.octets_in},
          {"octets_out", p.traffic.octets_out},
          {"messages_in", p.traffic.messages_in},
          {"acks", p.traffic.acks},
          {"marks", p.traffic.marks},
          {"connects", p.traffic.connects},
          {"connects_failed", p.traffic.connects_failed},
          {"tls_resumed", p.traffic.tls_resumed},
          {"cursors_honoured", p.traffic.cursors_honoured},
          {"streams_lost", p.traffic.streams_lost},
          {"goaways", p.traffic.goaways},
          {"controller_cpu_seconds", in_seconds(p.controller_after.cpu - p.controller_before.cpu)},
          {"controller_resident", p.controller_after.resident},
          {"controller_resident_peak", p.controller_after.resident_peak},
          {"own_cpu_seconds", in_seconds(p.own_cpu)}};
}

}  // namespace

std::string to_text(const PhaseReport& p, std::uint32_t devices) {
  std::string out = fmt::format(
      "{}: {:.2f} s, {} published, {} deliveries ({:.0f}/s), {} coalesced{}\n", p.scenario,
      in_seconds(p.took), p.totals.published, p.totals.deliveries, p.deliveries_per_second(),
      p.totals.coalesced, p.settled ? "" : "; DID NOT SETTLE");
  out += line("published to durable", p.times.accepted);
  out += line("published to delivered", p.times.delivered);
  out += line("published to everybody", p.times.everybody);
  if (p.traffic.connects + p.traffic.connects_failed > 0) {
    out += fmt::format(
        "  {} streams ({} with a TLS ticket, {} cursors honoured), {} attempts failed, {} lost, "
        "{} goaways\n",
        p.traffic.connects, p.traffic.tls_resumed, p.traffic.cursors_honoured,
        p.traffic.connects_failed, p.traffic.streams_lost, p.traffic.goaways);
  }
  out += fmt::format("  {:.1f} MB in {} messages, {} acks, {} marks; this tool {:.2f} s CPU\n",
                     static_cast<double>(p.traffic.octets_in) / 1e6, p.traffic.messages_in,
                     p.traffic.acks, p.traffic.marks, in_seconds(p.own_cpu));
  if (p.controller_after.resident > 0) {
    out += fmt::format(
        "  controller: {:.2f} s CPU, {:.1f} MB resident ({:.1f} KB a device), {:.1f} MB at most\n",
        in_seconds(p.controller_after.cpu - p.controller_before.cpu),
        static_cast<double>(p.controller_after.resident) / 1e6,
        static_cast<double>(p.controller_after.resident) / 1e3 / devices,
        static_cast<double>(p.controller_after.resident_peak) / 1e6);
  }
  return out;
}

std::string conclusion(const SwarmReport& report) {
  std::string out;
  for (const Missing& m : report.missing) {
    out += fmt::format("LOST: {} holds {}.{} of {} instead of {}.{}\n", member_name(m.receiver),
                       m.held >> 32, m.held & 0xffffffff, member_name(m.sender), m.newest >> 32,
                       m.newest & 0xffffffff);
  }
  const Faults& f = report.faults;
  std::uint64_t deliveries = 0;
  for (const PhaseReport& phase : report.phases) deliveries += phase.totals.deliveries;
  if (!report.good() && !report.last_error.empty())
    out += "last error: " + report.last_error + "\n";
  out += fmt::format(
      "{}: {} deliveries, {} lost, {} out of order, {} repeated, {} altered, {} invented, {} to "
      "strangers, {} publishes refused, {} messages broken, {} streams lost\n",
      report.good() ? "GOOD" : "BAD", deliveries, report.lost, f.out_of_order, f.repeated,
      f.altered, f.invented, f.stranger, f.refused, report.messages_broken, report.streams_lost);
  return out;
}

std::string to_json(const SwarmReport& report, const SwarmOptions& options) {
  Json phases = Json::array();
  for (const PhaseReport& phase : report.phases) phases.push_back(json_of(phase));
  const Faults& f = report.faults;
  const Json all = {{"devices", options.devices},
                    {"group", options.group == 0 ? options.devices : options.group},
                    {"good", report.good()},
                    {"lost", report.lost},
                    {"out_of_order", f.out_of_order},
                    {"repeated", f.repeated},
                    {"altered", f.altered},
                    {"invented", f.invented},
                    {"strangers", f.stranger},
                    {"refused", f.refused},
                    {"messages_broken", report.messages_broken},
                    {"streams_lost", report.streams_lost},
                    {"phases", std::move(phases)}};
  return all.dump(1) + "\n";
}

}  // namespace cygnet::load
