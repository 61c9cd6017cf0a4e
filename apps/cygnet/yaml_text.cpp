// SPDX-License-Identifier: Apache-2.0
#include "yaml_text.h"

#include <algorithm>

namespace cygnet::cli {
namespace {

using rt::Json;

/// Plain only when no reader of YAML 1.1 or 1.2 can take it for anything but text.
bool plain(const std::string& text) {
  if (text.empty() || text.size() > 120) return false;
  const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  if (!letter(text.front())) return false;
  for (const char* word : {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}) {
    std::string lower = text;
    std::transform(lower.begin(), lower.end(), lower.begin(), [](char c) {
      return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    });
    if (lower == word) return false;
  }
  return std::all_of(text.begin(), text.end(), [&](char c) {
    return letter(c) || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.' || c == '/';
  });
}

/// A JSON string is a double-quoted YAML scalar as it stands.
std::string scalar(const Json& json) {
  if (json.is_string() && plain(json.get<std::string>())) return json.get<std::string>();
  return rt::dump_json(json);
}

bool is_block(const Json& json) { return json.is_structured() && !json.empty(); }

void emit(std::string& out, const Json& json, std::size_t indent, bool in_list) {
  const std::string margin(indent, ' ');
  bool first = true;
  const auto lead = [&] {
    if (!(first && in_list)) out += margin;  // the first line stands behind "- " already
    first = false;
  };
  if (json.is_array()) {
    for (const auto& item : json) {
      lead();
      out += "- ";
      if (is_block(item)) {
        emit(out, item, indent + 2, true);
      } else {
        out += scalar(item) + "\n";
      }
    }
    return;
  }
  for (const auto& [key, value] : json.items()) {
    lead();
    out += scalar(Json(key)) + ":";
    if (is_block(value)) {
      out += "\n";
      emit(out, value, indent + 2, false);
    } else {
      out += " " + scalar(value) + "\n";
    }
  }
}

}  // namespace

std::string to_yaml(const Json& json) {
  if (!is_block(json)) return scalar(json) + "\n";
  std::string out;
  emit(out, json, 0, false);
  return out;
}

}  // namespace cygnet::cli
