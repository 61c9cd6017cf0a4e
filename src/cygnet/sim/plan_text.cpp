// SPDX-License-Identifier: Apache-2.0
// A plan for people: a table, and a plot of two panels.
#include <algorithm>
#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <functional>

#include "cygnet/sim/plan.h"

namespace cygnet::sim {
namespace {

__attribute__((format(printf, 1, 2))) std::string format(const char* pattern, ...) {
  char text[512];
  va_list args;
  va_start(args, pattern);
  const int length = std::vsnprintf(text, sizeof text, pattern, args);
  va_end(args);
  return {text, text + std::clamp<int>(length, 0, sizeof text - 1)};
}

std::string cost_row(const char* what, double join, double hour) {
  return format("  %-34s %14.1f %14.1f\n", what, join, hour);
}

std::string time_row(const char* what, const PlanTimes& t) {
  return format("  %-34s %9.3f %9.3f %9.3f\n", what, t.half, t.most, t.all);
}

// ---- The plot.

constexpr double kWidth = 420, kHeight = 300, kTop = 40, kPanel = 520;

struct Axis {
  double from = 0;
  double to = 1;
  bool log = false;
  [[nodiscard]] double place(double value) const {
    if (!log) return (value - from) / (to - from);
    const double v = std::max(value, from);
    return (std::log10(v) - std::log10(from)) / (std::log10(to) - std::log10(from));
  }
};

struct Panel {
  double left = 60;
  Axis x, y;
  [[nodiscard]] double px(double value) const { return left + kWidth * x.place(value); }
  [[nodiscard]] double py(double value) const { return kTop + kHeight * (1 - y.place(value)); }
};

std::string label(double x, double y, const char* anchor, const std::string& text) {
  return format("<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">", x, y, anchor) + text +
         "</text>\n";
}

std::string number(double value) {
  if (value >= 1e6) return format("%gM", value / 1e6);
  if (value >= 1e3) return format("%gk", value / 1e3);
  return format("%.3g", value);
}

std::string frame(const Panel& p, const std::string& title, const std::string& x_title) {
  std::string out = format(
      "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" "
      "fill=\"none\" stroke=\"#888\"/>\n",
      p.left, kTop, kWidth, kHeight);
  out += label(p.left, kTop - 12, "start", title);
  out += label(p.left + kWidth / 2, kTop + kHeight + 38, "middle", x_title);
  const auto ticks = [](const Axis& axis) {
    std::vector<double> at;
    if (axis.log) {
      for (double v = axis.from; v <= axis.to * 1.0001; v *= 10) at.push_back(v);
    } else {
      for (int i = 0; i <= 4; ++i) at.push_back(axis.from + (axis.to - axis.from) * i / 4);
    }
    return at;
  };
  const auto line = [](double x1, double y1, double x2, double y2) {
    return format("<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"#ddd\"/>\n", x1,
                  y1, x2, y2);
  };
  for (const double v : ticks(p.x)) {
    out += line(p.px(v), kTop, p.px(v), kTop + kHeight);
    out += label(p.px(v), kTop + kHeight + 18, "middle", number(v));
  }
  for (const double v : ticks(p.y)) {
    out += line(p.left, p.py(v), p.left + kWidth, p.py(v));
    out += label(p.left - 6, p.py(v) + 4, "end", number(v));
  }
  return out;
}

std::string curve(const Panel& p, const std::vector<std::pair<double, double>>& points,
                  const char* colour) {
  std::string out =
      format("<polyline fill=\"none\" stroke-width=\"2\" stroke=\"%s\" points=\"", colour);
  for (const auto& [x, y] : points) out += format("%.1f,%.1f ", p.px(x), p.py(y));
  return out + "\"/>\n";
}

double next_power(double value) {
  return std::pow(10, std::ceil(std::log10(std::max(value, 1e-9))));
}

}  // namespace

std::string table(const PlanAnswer& a) {
  const PlanQuestion& q = a.question;
  std::string out = format("%u devices with %u peers each, a rekey every %.0f min\n", q.devices,
                           q.peers, in_seconds(q.rekey_every) / 60);
  out += a.measured.size() == 1 ? format("measured with %u peers\n", a.measured.front())
                                : format("measured with %u and %u peers, extended linearly to %u\n",
                                         a.measured.front(), a.measured.back(), q.peers);
  out += format("\n  %-34s %14s %14s\n", "a device", "to attach", "an hour");
  out += cost_row("DIMs published", a.join.publishes, a.hour.publishes);
  out += cost_row("DH pairs generated", a.join.dh_pairs, a.hour.dh_pairs);
  out += cost_row("SA pairs derived, one DH each", a.join.derivations, a.hour.derivations);
  out += cost_row("messages to the controller", a.join.messages_up, a.hour.messages_up);
  out += cost_row("octets to the controller", a.join.octets_up, a.hour.octets_up);
  out += cost_row("messages from the controller", a.join.messages_down, a.hour.messages_down);
  out += cost_row("octets from the controller", a.join.octets_down, a.hour.octets_down);

  out +=
      format("\n  %-34s %9s %9s %9s\n", "seconds after a DH pair is drawn", "half", "99 %", "all");
  out += time_row("the controller has the DIM", a.accepted);
  out += time_row("a peer sends on the new generation", a.peer_uses);
  out += time_row("the device itself does", a.own_uses);
  out += time_row("the last peer does", a.last_peer);

  out += format("\n  %10s %12s %12s %12s %12s %10s %8s %10s\n", "devices", "publishes/s", "DIMs/s",
                "Mbit/s out", "Mbit/s in", "cores", "link", "storm, s");
  for (const PlanLoad& l : a.loads) {
    out += format("  %10llu %12.2f %12.1f %12.2f %12.2f %10.3f %7.2f%% %10.2f\n",
                  static_cast<unsigned long long>(l.devices), l.publishes_a_second, l.dims_a_second,
                  l.octets_out_a_second * 8e-6, l.octets_in_a_second * 8e-6, l.cores_busy,
                  l.link_busy * 100, l.storm);
  }
  out +=
      "\n  cores: busy with verifying publishes; link: of the controller, out; storm: everybody "
      "rekeys at\n  once, until everybody has everybody's DIM. Octets are those of the stream, "
      "without TLS, TCP and IP.\n";
  return out;
}

std::string svg(const PlanAnswer& a) {
  const PlanQuestion& q = a.question;
  std::string out = format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" "
      "font-family=\"sans-serif\" font-size=\"12\">\n"
      "<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n",
      2 * kPanel, kTop + kHeight + 80);
  Panel times;
  times.x = {0, std::max(a.last_peer.all, 1e-3), false};
  times.y = {0, 100, false};
  out +=
      frame(times, "rekeys that have reached every peer, %", "seconds after the DH pair is drawn");
  std::vector<std::pair<double, double>> points;
  for (std::size_t i = 0; i < a.last_peer_curve.size(); ++i) {
    points.emplace_back(a.last_peer_curve[i], static_cast<double>(i));
  }
  out += curve(times, points, "#1f77b4");

  Panel loads;
  loads.left = 60 + kPanel;
  double low = 1e9, high = 0;
  const auto look = [&](double v) {
    if (v > 0) low = std::min(low, v);
    high = std::max(high, v);
  };
  struct Line {
    const char* name;
    const char* colour;
    std::function<double(const PlanLoad&)> value;
  };
  const std::vector<Line> lines = {
      {"DIMs relayed a second", "#1f77b4", [](const PlanLoad& l) { return l.dims_a_second; }},
      {"Mbit/s out", "#2ca02c", [](const PlanLoad& l) { return l.octets_out_a_second * 8e-6; }},
      {"storm, seconds", "#d62728", [](const PlanLoad& l) { return l.storm; }}};
  for (const PlanLoad& l : a.loads) {
    for (const Line& line : lines) look(line.value(l));
  }
  const auto devices = static_cast<double>(q.devices);
  loads.x = {next_power(static_cast<double>(a.loads.front().devices)) / 10, next_power(devices),
             true};
  loads.y = {next_power(low) / 10, next_power(high), true};
  out += frame(loads, format("the controller, %u peers a device", q.peers), "devices");
  double y = kTop + 18;
  for (const Line& line : lines) {
    points.clear();
    for (const PlanLoad& l : a.loads) {
      points.emplace_back(static_cast<double>(l.devices), line.value(l));
    }
    out += curve(loads, points, line.colour);
    out += format("<rect x=\"%.1f\" y=\"%.1f\" width=\"14\" height=\"3\" fill=\"%s\"/>\n",
                  loads.left + 10, y - 5, line.colour);
    out += label(loads.left + 30, y, "start", line.name);
    y += 16;
  }
  return out + "</svg>\n";
}

}  // namespace cygnet::sim
