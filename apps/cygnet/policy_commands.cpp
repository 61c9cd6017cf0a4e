// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <ostream>

#include "commands.h"
#include "exit_codes.h"
#include "line_diff.h"

namespace cygnet::cli {
namespace {

using rt::Json;

/// More than this many lines of one kind are summed up; -o json has all.
constexpr std::size_t kListedMax = 40;

std::string pair_text(const Json& pair, const Style& style) {
  if (pair.is_array() && pair.size() == 2) {
    return value_text("", pair[0], style) + " - " + value_text("", pair[1], style);
  }
  if (pair.is_object()) {
    return value_text("", at_path(pair, "a"), style) + " - " +
           value_text("", at_path(pair, "b"), style);
  }
  return value_text("", pair, style);
}

/// `total` may be more than the answer lists.
std::string pairs_text(const Json& plan, const std::string& key, const char* heading, char mark,
                       const char* colour, const Style& style) {
  const Json& pairs = at_path(plan, key);
  if (!pairs.is_array() || pairs.empty()) return {};
  const Json& told = at_path(plan, key + "_total");
  const std::size_t total = told.is_number_unsigned() ? told.get<std::size_t>() : pairs.size();
  std::string out = std::to_string(total) + (total == 1 ? " pair " : " pairs ") + heading +
                    (total == 1 ? "s:\n" : ":\n");
  std::size_t listed = 0;
  for (const auto& pair : pairs) {
    if (listed++ == kListedMax) break;
    const std::string line = std::string(1, mark) + " " + pair_text(pair, style);
    out += "  " + (style.colour ? colour + line + "\x1b[0m" : line) + "\n";
  }
  const std::size_t shown = std::min(pairs.size(), kListedMax);
  if (total > shown) out += "  ... and " + std::to_string(total - shown) + " more\n";
  return out;
}

std::string settings_text(const Json& plan, const Style& style) {
  std::string out;
  const Json& settings = at_path(plan, "settings");
  for (const auto& setting : settings.is_array() ? settings : Json::array()) {
    out += "Setting " + value_text("", at_path(setting, "key"), style) + ": " +
           value_text("", at_path(setting, "before"), style) + " becomes " +
           value_text("", at_path(setting, "after"), style) + "\n";
  }
  if (at_path(plan, "rolls_over_everyone") == true) out += "Every device rolls over.\n";
  return out;
}

bool failed(const Json& test) { return at_path(test, "ok") == false; }

std::string plan_text(const Json& plan, const Style& style) {
  std::string out = pairs_text(plan, "pairs_added", "appear", '+', "\x1b[32m", style) +
                    pairs_text(plan, "pairs_removed", "vanish", '-', "\x1b[31m", style) +
                    pairs_text(plan, "pairs_changed", "change", '~', "\x1b[33m", style) +
                    settings_text(plan, style);
  if (const Json& touched = at_path(plan, "devices_touched");
      touched.is_array() && !touched.empty()) {
    out += "Devices touched: " + std::to_string(touched.size());
    if (touched.size() <= kListedMax) out += " (" + value_text("", touched, style) + ")";
    out += "\n";
  }
  if (const Json& tests = at_path(plan, "tests"); tests.is_array() && !tests.empty()) {
    const auto bad = std::count_if(tests.begin(), tests.end(), failed);
    out += "Tests: " + std::to_string(static_cast<std::ptrdiff_t>(tests.size()) - bad) + " pass";
    out += bad > 0 ? ", " + std::to_string(bad) + " fail\n" : "\n";
    for (const auto& test : tests) {
      if (!failed(test)) continue;
      out += "  " + coloured("fail", style) + "  " + value_text("", at_path(test, "from"), style) +
             " to " + value_text("", at_path(test, "to"), style) + ": expected " +
             value_text("", at_path(test, "expect"), style);
      if (const Json& reason = at_path(test, "reason");
          reason.is_string() && !reason.get<std::string>().empty()) {
        out += " (" + printable(reason.get<std::string>()) + ")";
      }
      out += "\n";
    }
  }
  return out;
}

/// Errors inside an answer that is a success otherwise (plan).
bool print_errors(Session& session, const Json& plan, const std::string& file) {
  const Json& errors = at_path(plan, "errors");
  if (!errors.is_array() || errors.empty()) return false;
  auto& err = session.surroundings().err;
  if (!session.for_people()) return true;
  for (const auto& one : errors) {
    err << "error: " << place_of(one, file) << ": "
        << value_text("", at_path(one, "message"), session.style()) << '\n';
    if (const Json& cure = at_path(one, "cure");
        cure.is_string() && !cure.get<std::string>().empty()) {
      err << "  next  " << printable(cure.get<std::string>()) << '\n';
    }
  }
  return true;
}

std::string applied_text(const Json& answer, const Style& style) {
  const std::string version = value_text("", at_path(answer, "version"), style);
  if (at_path(answer, "changes") == false) {
    return plan_text(answer, style) + "Policy version " + version + ": no pair changes.\n";
  }
  return plan_text(answer, style) + "Policy version " + version + " is in force.\n";
}

}  // namespace

int run_plan(Session& session, const std::string& file) {
  const auto yaml = read_input(file, session.surroundings().in);
  if (!yaml) return session.report(yaml.error());
  int exit = kExitOk;
  const auto answer = session.ask({.method = "POST",
                                   .target = "/api/v1/policy/plan",
                                   .body = {{"yaml", *yaml}, {"source", file}},
                                   .source = file},
                                  exit);
  if (!answer) return exit;
  const Json& json = answer->json;
  const bool changes = at_path(json, "changes") == true;
  session.show(*answer, [&](const Json& plan) {
    const std::string text = plan_text(plan, session.style());
    const Json& errors = at_path(plan, "errors");
    if (errors.is_array() && !errors.empty()) return text;
    return text +
           (changes ? "cygnet apply -f " + file + " puts this in force.\n" : "No changes.\n");
  });
  if (print_errors(session, json, file)) return kExitError;
  const Json& tests = at_path(json, "tests");
  if (std::any_of(tests.begin(), tests.end(), failed)) return kExitError;
  return changes ? kExitChange : kExitOk;
}

int run_apply(Session& session, const std::string& file,
              std::optional<std::uint64_t> expect_version) {
  const auto yaml = read_input(file, session.surroundings().in);
  if (!yaml) return session.report(yaml.error());
  Json body{{"yaml", *yaml}, {"source", file}};
  if (expect_version) body["expect_version"] = *expect_version;
  return session.ask_and_show(
      {.method = "POST", .target = "/api/v1/policy/apply", .body = std::move(body), .source = file},
      [&](const Json& json) { return applied_text(json, session.style()); });
}

int run_rollback(Session& session, std::optional<std::uint64_t> version) {
  Json body = Json::object();
  if (version) body["version"] = *version;
  return session.ask_and_show(
      {.method = "POST", .target = "/api/v1/policy/rollback", .body = std::move(body)},
      [&](const Json& json) { return applied_text(json, session.style()); });
}

int run_diff(Session& session, const std::string& file, std::optional<std::uint64_t> version) {
  if (!file.empty() && version) {
    return session.usage("diff takes -f FILE or VERSION, not both", "leave one out");
  }
  int exit = kExitOk;
  const auto present = session.ask({.target = "/api/v1/policy"}, exit);
  if (!present) return exit;
  const std::uint64_t number_now = number(at_path(present->json, "version"));
  const auto text_of = [](const Json& policy) {
    const Json& yaml = at_path(policy, "yaml");
    return yaml.is_string() ? yaml.get<std::string>() : std::string();
  };
  const std::string name_now = "policy version " + std::to_string(number_now);
  std::string before = text_of(present->json);
  std::string before_name = name_now;
  std::string after;
  std::string after_name = file;
  if (!file.empty()) {
    const auto content = read_input(file, session.surroundings().in);
    if (!content) return session.report(content.error());
    after = *content;
  } else {
    const std::uint64_t old = version.value_or(number_now > 0 ? number_now - 1 : 0);
    after = std::exchange(before, {});
    after_name = name_now;
    before_name = "policy version " + std::to_string(old);
    if (old > 0) {
      const auto earlier =
          session.ask({.target = "/api/v1/policy?version=" + std::to_string(old)}, exit);
      if (!earlier) return exit;
      before = text_of(earlier->json);
    }
  }
  const std::string difference = line_diff(before, after, before_name, after_name);
  const Json json{{"before", before_name},
                  {"after", after_name},
                  {"changes", !difference.empty()},
                  {"diff", difference}};
  session.show({rt::dump_json(json), json}, [&](const Json&) {
    if (!session.style().colour) return difference;
    std::string out;
    for (std::size_t at = 0; at < difference.size();) {
      const auto end = difference.find('\n', at);
      const std::string line = difference.substr(at, end - at);
      const char* colour = line[0] == '+'   ? "\x1b[32m"
                           : line[0] == '-' ? "\x1b[31m"
                           : line[0] == '@' ? "\x1b[36m"
                                            : "";
      out += colour + line + (*colour != '\0' ? "\x1b[0m\n" : "\n");
      at = end + 1;
    }
    return out;
  });
  return difference.empty() ? kExitOk : kExitChange;
}

}  // namespace cygnet::cli
