// SPDX-License-Identifier: Apache-2.0
#include "table.h"

#include <algorithm>
#include <array>

#include "cygnet/rt/text.h"

namespace cygnet::cli {
namespace {

using rt::Json;

constexpr std::size_t kCellMax = 60;

bool ends_with(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

bool is_time_key(std::string_view key) {
  return ends_with(key, "_at") || ends_with(key, "_at_ms") || ends_with(key, "_not_after") ||
         key == "last_seen" || key == "since" || key == "time";
}

/// Characters, not octets: continuation octets of UTF-8 take no room.
std::size_t width(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

std::string cut(std::string text) {
  if (width(text) <= kCellMax) return text;
  std::size_t octets = 0;
  for (std::size_t shown = 0; octets < text.size(); ++octets) {
    if ((static_cast<unsigned char>(text[octets]) & 0xC0) != 0x80 && ++shown > kCellMax - 3) break;
  }
  return text.substr(0, octets) + "...";
}

std::string time_text(std::int64_t ms, const Style& style) {
  const auto distance = std::chrono::milliseconds(ms) - style.now.time_since_epoch();
  const bool future = distance.count() > 0;
  const std::string length = rt::format_duration_short(future ? distance : -distance);
  return future ? "in " + length : length + " ago";
}

constexpr std::array<std::string_view, 13> kGood{
    "up",    "attached", "ready",   "ok",        "connected", "accepted", "chosen",
    "valid", "allow",    "allowed", "installed", "fine",      "pass"};
constexpr std::array<std::string_view, 10> kBad{"revoked", "fail",    "refused", "no-proposal",
                                                "denied",  "expired", "away",    "down",
                                                "deny",    "failed"};
constexpr std::array<std::string_view, 9> kWaiting{"starting",   "connecting",  "waiting-dim",
                                                   "installing", "draining",    "warn",
                                                   "pending",    "unconfirmed", "publishing"};

template <std::size_t N>
bool among(const std::array<std::string_view, N>& words, std::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

}  // namespace

std::string printable(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto octet = static_cast<unsigned char>(c);
    if (octet < 0x20 || octet == 0x7f) {
      constexpr std::string_view kHex = "0123456789abcdef";
      out += std::string("\\x") + kHex[octet >> 4] + kHex[octet & 15];
    } else {
      out.push_back(c);
    }
  }
  return out;
}

std::string value_text(std::string_view key, const Json& value, const Style& style) {
  if (value.is_null()) return "-";
  if (value.is_string()) {
    const auto text = printable(value.get<std::string>());
    return text.empty() ? "-" : text;
  }
  if (value.is_boolean()) return value.get<bool>() ? "yes" : "no";
  if (value.is_number()) {
    if (value.is_number_integer() && is_time_key(key)) {
      return time_text(value.get<std::int64_t>(), style);
    }
    if (ends_with(key, "_ms")) {
      return rt::format_duration_short(
          Duration(static_cast<std::int64_t>(std::clamp(value.get<double>() * 1e6, -9e18, 9e18))));
    }
    if (ends_with(key, "_octets") && value.is_number_unsigned()) {
      return rt::format_size(value.get<std::uint64_t>());
    }
    return value.dump();
  }
  std::vector<std::string> parts;
  if (value.is_array()) {
    for (const auto& item : value) parts.push_back(value_text(key, item, style));
    return parts.empty() ? "-" : rt::join(parts, ", ");
  }
  for (const auto& [name, member] : value.items()) {
    parts.push_back(printable(name) + "=" + value_text(name, member, style));
  }
  return parts.empty() ? "-" : rt::join(parts, ",");
}

const Json& at_path(const Json& object, std::string_view path) {
  static const Json null;
  const Json* at = &object;
  for (const auto& part : rt::split(path, '.')) {
    if (!at->is_object()) return null;
    const auto found = at->find(part);
    if (found == at->end()) return null;
    at = &*found;
  }
  return *at;
}

std::uint64_t number(const rt::Json& value) {
  return value.is_number_unsigned() ? value.get<std::uint64_t>() : 0;
}

std::string coloured(std::string_view word, const Style& style) {
  const std::string text(word);
  if (!style.colour) return text;
  if (among(kGood, word)) return "\x1b[32m" + text + "\x1b[0m";
  if (among(kWaiting, word)) return "\x1b[33m" + text + "\x1b[0m";
  if (among(kBad, word)) return "\x1b[31m" + text + "\x1b[0m";
  return text;
}

std::string bold(std::string_view text, const Style& style) {
  return style.colour ? "\x1b[1m" + std::string(text) + "\x1b[0m" : std::string(text);
}

std::string render_table(const std::vector<Column>& columns, const Json& items, bool wide,
                         const Style& style, std::string_view empty) {
  if (!items.is_array() || items.empty()) return std::string(empty) + "\n";
  std::vector<const Column*> shown;
  for (const auto& column : columns) {
    if (wide || !column.wide) shown.push_back(&column);
  }
  std::vector<std::size_t> widths;
  std::vector<bool> numeric;
  for (const auto* column : shown) {
    widths.push_back(width(column->heading));
    numeric.push_back(true);
  }
  std::vector<std::vector<std::string>> rows;
  for (const auto& item : items) {
    auto& row = rows.emplace_back();
    for (std::size_t i = 0; i < shown.size(); ++i) {
      const Json& value = at_path(item, shown[i]->key);
      const auto dot = shown[i]->key.rfind('.');
      const auto name = dot == std::string::npos ? shown[i]->key : shown[i]->key.substr(dot + 1);
      std::string text = value_text(name, value, style);
      if (!wide) text = cut(std::move(text));
      // Counts and sizes end under each other; times and durations read like words.
      const bool count = value.is_number() && !is_time_key(name) && !ends_with(name, "_ms");
      if (!count && !value.is_null()) numeric[i] = false;
      widths[i] = std::max(widths[i], width(text));
      row.push_back(std::move(text));
    }
  }
  std::string out;
  const auto put = [&](std::size_t i, const std::string& plain, const std::string& seen) {
    const std::string padding(widths[i] - width(plain), ' ');
    const bool last = i + 1 == shown.size();
    if (numeric[i]) {
      out += padding + seen;
    } else {
      out += seen + (last ? "" : padding);
    }
    out += last ? "\n" : "  ";
  };
  for (std::size_t i = 0; i < shown.size(); ++i) {
    put(i, shown[i]->heading, bold(shown[i]->heading, style));
  }
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) put(i, row[i], coloured(row[i], style));
  }
  return out;
}

std::string render_details(const Json& object, const Style& style) {
  std::size_t longest = 0;
  for (const auto& [key, value] : object.items()) longest = std::max(longest, width(key));
  std::string out;
  for (const auto& [key, value] : object.items()) {
    const std::string text = value_text(key, value, style);
    out +=
        printable(key) + std::string(longest - width(key) + 2, ' ') + coloured(text, style) + "\n";
  }
  return out;
}

}  // namespace cygnet::cli
