// SPDX-License-Identifier: Apache-2.0
#include "cygnet/rt/text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <limits>

namespace cygnet::rt {
namespace {

struct Unit {
  std::string_view name;
  double factor;
};

constexpr std::array kDurationUnits{Unit{"ns", 1},     Unit{"us", 1e3},   Unit{"ms", 1e6},
                                    Unit{"s", 1e9},    Unit{"m", 60e9},   Unit{"min", 60e9},
                                    Unit{"h", 3600e9}, Unit{"d", 86400e9}};
constexpr std::array kSizeUnits{
    Unit{"B", 1},      Unit{"kB", 1e3},        Unit{"MB", 1e6},           Unit{"GB", 1e9},
    Unit{"KiB", 1024}, Unit{"MiB", 1048576.0}, Unit{"GiB", 1073741824.0}, Unit{"TB", 1e12}};
constexpr std::array kRateUnits{Unit{"s", 1}, Unit{"min", 1.0 / 60}, Unit{"m", 1.0 / 60},
                                Unit{"h", 1.0 / 3600}, Unit{"d", 1.0 / 86400}};
constexpr std::array kBitRateUnits{Unit{"bit/s", 1}, Unit{"kbit/s", 1e3}, Unit{"Mbit/s", 1e6},
                                   Unit{"Gbit/s", 1e9}};

template <std::size_t N>
std::optional<double> factor_of(const std::array<Unit, N>& units, std::string_view name) {
  for (const Unit& unit : units) {
    if (unit.name == name) return unit.factor;
  }
  return std::nullopt;
}

/// Reads "<digits>[.<digits>]" off the front.
std::optional<double> take_number(std::string_view& text) {
  std::size_t length = 0;
  while (length < text.size() &&
         ((text[length] >= '0' && text[length] <= '9') || text[length] == '.')) {
    ++length;
  }
  if (length == 0 || text[0] == '.') return std::nullopt;
  double value = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + length, value);
  if (error != std::errc{} || stop != text.data() + length) return std::nullopt;
  text.remove_prefix(length);
  return value;
}

std::string_view take_letters(std::string_view& text) {
  std::size_t length = 0;
  while (length < text.size() && !(text[length] >= '0' && text[length] <= '9')) ++length;
  const auto letters = text.substr(0, length);
  text.remove_prefix(length);
  return letters;
}

tl::unexpected<Error> bad_quantity(std::string_view kind, std::string_view text, std::string cure) {
  return fail(kErrQuantity, "\"" + std::string(text) + "\" is no " + std::string(kind), {},
              std::move(cure));
}

}  // namespace

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<std::size_t>> d(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i) d[i][0] = i;
  for (std::size_t j = 0; j <= b.size(); ++j) d[0][j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t change = a[i - 1] == b[j - 1] ? 0 : 1;
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + change});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
      }
    }
  }
  return d[a.size()][b.size()];
}

std::optional<std::string> nearest(std::string_view word, std::span<const std::string> candidates) {
  if (word.size() > 64) return std::nullopt;  // no slip of the finger, and the cost is quadratic
  std::optional<std::string> best;
  std::size_t best_distance = std::numeric_limits<std::size_t>::max();
  for (const auto& candidate : candidates) {
    const std::size_t distance = edit_distance(word, candidate);
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  const std::size_t tolerated = std::max<std::size_t>(1, word.size() / 3);
  if (best_distance > tolerated + 1 || best_distance >= word.size()) return std::nullopt;
  return best;
}

Result<Duration> parse_duration(std::string_view text) {
  constexpr std::string_view kCure = "write a number and a unit, like 500ms, 90s, 1h or 1h30m";
  std::string_view rest = trim(text);
  if (rest == "0") return Duration{0};
  if (rest.empty()) return bad_quantity("duration", text, std::string(kCure));
  double total = 0;
  double previous = std::numeric_limits<double>::infinity();
  while (!rest.empty()) {
    const auto number = take_number(rest);
    if (!number) return bad_quantity("duration", text, std::string(kCure));
    const auto unit = take_letters(rest);
    if (unit.empty()) {
      return fail(kErrQuantity, "duration \"" + std::string(text) + "\" has no unit", {},
                  std::string(kCure));
    }
    const auto factor = factor_of(kDurationUnits, unit);
    if (!factor || *factor >= previous) {
      return bad_quantity("duration", text, std::string(kCure));
    }
    previous = *factor;
    total += *number * *factor;
  }
  if (total > 9.0e18) return bad_quantity("duration", text, "write less than 290 years");
  return Duration{static_cast<std::int64_t>(std::llround(total))};
}

std::string format_duration(Duration duration) {
  if (duration == Duration{0}) return "0s";
  std::int64_t left = duration.count();
  std::string out;
  if (left < 0) {
    out.push_back('-');
    left = -left;
  }
  using Step = std::pair<std::int64_t, const char*>;
  constexpr std::array kUnits{Step{86400000000000, "d"},
                              Step{3600000000000, "h"},
                              Step{60000000000, "m"},
                              Step{1000000000, "s"},
                              Step{1000000, "ms"},
                              Step{1000, "us"},
                              Step{1, "ns"}};
  for (const auto& [size, name] : kUnits) {
    if (left >= size) {
      out += std::to_string(left / size) + name;
      left %= size;
    }
  }
  return out;
}

std::string format_duration_short(Duration duration) {
  const double seconds = std::chrono::duration<double>(duration).count();
  std::array<char, 48> text{};
  if (seconds < 0) return "-" + format_duration_short(-duration);
  const auto whole = static_cast<long long>(seconds);
  if (seconds < 0.0095) {
    std::snprintf(text.data(), text.size(), "%.2gms", seconds * 1e3);
  } else if (seconds < 1) {
    std::snprintf(text.data(), text.size(), "%.0fms", seconds * 1e3);
  } else if (seconds < 10) {
    std::snprintf(text.data(), text.size(), "%.1fs", seconds);
  } else if (whole < 120) {
    std::snprintf(text.data(), text.size(), "%llds", whole);
  } else if (whole < 3600) {
    std::snprintf(text.data(), text.size(), "%lldm", whole / 60);
  } else if (whole < 86400) {
    std::snprintf(text.data(), text.size(), "%lldh %lldm", whole / 3600, whole / 60 % 60);
  } else {
    std::snprintf(text.data(), text.size(), "%lldd %lldh", whole / 86400, whole / 3600 % 24);
  }
  return text.data();
}

Result<std::uint64_t> parse_size(std::string_view text) {
  constexpr std::string_view kCure = "write a number and a unit, like 512B, 64KiB or 1MB";
  std::string_view rest = trim(text);
  if (rest == "0") return std::uint64_t{0};
  const auto number = take_number(rest);
  if (!number) return bad_quantity("size", text, std::string(kCure));
  const auto factor = factor_of(kSizeUnits, trim(rest));
  if (!factor || *number * *factor > 1.8e19) return bad_quantity("size", text, std::string(kCure));
  return static_cast<std::uint64_t>(std::llround(*number * *factor));
}

std::string format_size(std::uint64_t octets) {
  constexpr std::array kNames{"B", "KiB", "MiB", "GiB", "TiB"};
  auto value = static_cast<double>(octets);
  std::size_t step = 0;
  while (value >= 1024 && step + 1 < kNames.size()) {
    value /= 1024;
    ++step;
  }
  std::array<char, 48> text{};
  std::snprintf(text.data(), text.size(), step == 0 || value >= 100 ? "%.0f %s" : "%.1f %s", value,
                kNames[step]);
  return text.data();
}

Result<double> parse_rate(std::string_view text) {
  constexpr std::string_view kCure = "write a number per unit of time, like 200/s, 10/min or 3/h";
  std::string_view rest = trim(text);
  const auto number = take_number(rest);
  rest = trim(rest);
  if (!number || rest.empty() || rest[0] != '/') {
    return bad_quantity("rate", text, std::string(kCure));
  }
  const auto factor = factor_of(kRateUnits, trim(rest.substr(1)));
  if (!factor) return bad_quantity("rate", text, std::string(kCure));
  return *number * *factor;
}

Result<std::uint64_t> parse_bit_rate(std::string_view text) {
  constexpr std::string_view kCure =
      "write a number and a unit, like 500kbit/s, 1Mbit/s or 10Gbit/s";
  std::string_view rest = trim(text);
  const auto number = take_number(rest);
  if (!number) return bad_quantity("bit rate", text, std::string(kCure));
  const auto factor = factor_of(kBitRateUnits, trim(rest));
  if (!factor || *number > 1e9) return bad_quantity("bit rate", text, std::string(kCure));
  return static_cast<std::uint64_t>(std::llround(*number * *factor));
}

std::string_view trim(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const auto first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  for (;;) {
    const auto at = text.find(separator);
    parts.emplace_back(text.substr(0, at));
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + 1);
  }
}

std::string join(std::span<const std::string> parts, std::string_view separator) {
  std::string out;
  for (const auto& part : parts) {
    if (&part != parts.data()) out += separator;
    out += part;
  }
  return out;
}

std::string HostPort::to_string() const {
  const bool v6 = host.find(':') != std::string::npos;
  return (v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

Result<HostPort> parse_host_port(std::string_view text, std::optional<std::uint16_t> default_port) {
  const auto refuse = [&](const std::string& why) {
    return fail(kErrHostPort, "\"" + std::string(text) + "\" " + why, {},
                "write host:port, 192.0.2.1:4500 or [2001:db8::1]:4500");
  };
  std::string_view rest = trim(text);
  HostPort out;
  std::string_view port_text;
  bool has_port = false;
  if (!rest.empty() && rest[0] == '[') {
    const auto end = rest.find(']');
    if (end == std::string_view::npos) return refuse("has an opening bracket only");
    out.host = rest.substr(1, end - 1);
    rest.remove_prefix(end + 1);
    if (!rest.empty()) {
      if (rest[0] != ':') return refuse("has something between bracket and port");
      port_text = rest.substr(1);
      has_port = true;
    }
  } else if (std::count(rest.begin(), rest.end(), ':') > 1) {
    if (!default_port) return refuse("is an IPv6 address without brackets");
    out.host = rest;
  } else {
    const auto colon = rest.find(':');
    out.host = rest.substr(0, colon);
    if (colon != std::string_view::npos) {
      port_text = rest.substr(colon + 1);
      has_port = true;
    }
  }
  if (out.host.empty()) return refuse("names no host");
  if (!has_port) {
    if (!default_port) return refuse("has no port");
    out.port = *default_port;
    return out;
  }
  std::uint32_t port = 0;
  const char* end = port_text.data() + port_text.size();
  const auto [stop, error] = std::from_chars(port_text.data(), end, port);
  if (error != std::errc{} || stop != end || port == 0 || port > 65535) {
    return refuse("has no port between 1 and 65535");
  }
  out.port = static_cast<std::uint16_t>(port);
  return out;
}

bool is_dns_label(std::string_view text) {
  if (text.empty() || text.size() > 63 || text.front() == '-' || text.back() == '-') return false;
  return std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  });
}

}  // namespace cygnet::rt
