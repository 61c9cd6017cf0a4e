// SPDX-License-Identifier: Apache-2.0
#include "cygnet/rt/config.h"

#include <algorithm>
#include <charconv>

#include "cygnet/rt/text.h"

namespace cygnet::rt {
namespace {

std::string kind_name(ConfigValue::Kind kind) {
  switch (kind) {
    case ConfigValue::Kind::kNull:
      return "nothing";
    case ConfigValue::Kind::kScalar:
      return "a single value";
    case ConfigValue::Kind::kList:
      return "a list";
    case ConfigValue::Kind::kMap:
      return "a mapping";
  }
  return "nothing";
}

}  // namespace

std::vector<ConfigProblem> ConfigProblems::sorted() const {
  auto out = list_;
  std::stable_sort(out.begin(), out.end(), [](const auto& a, const auto& b) {
    return std::pair(a.position.line, a.position.column) <
           std::pair(b.position.line, b.position.column);
  });
  return out;
}

Status ConfigProblems::to_status(std::string_view source) const {
  if (list_.empty()) return {};
  const auto all = sorted();
  const auto& first = all.front();
  std::string message = first.message;
  if (all.size() > 1) {
    message += " (and " + std::to_string(all.size() - 1) + " more problem" +
               (all.size() > 2 ? "s" : "") + ")";
  }
  return fail(kErrConfig, std::move(message),
              std::string(source) + ":" + std::to_string(first.position.line) + ":" +
                  std::to_string(first.position.column),
              first.cure);
}

const ConfigValue* ConfigValue::find(std::string_view key) const {
  for (const auto& member : members) {
    if (member.key == key) return &member.value;
  }
  return nullptr;
}

std::string ConfigItem::string() const {
  if (is_scalar()) return value_->scalar;
  problem(path_ + " must be a single value, not " + kind_name(value_->kind));
  return {};
}

ConfigMap ConfigItem::map() const {
  if (is_map()) return ConfigMap(value_, value_->position, path_, *problems_);
  problem(path_ + " must be a mapping, not " + kind_name(value_->kind), "write key: value pairs");
  return ConfigMap(nullptr, value_->position, path_, *problems_);
}

void ConfigItem::problem(std::string message, std::string cure) const {
  problems_->add({value_->position, path_, std::move(message), std::move(cure)});
}

ConfigMap::ConfigMap(const ConfigValue* value, ConfigPosition position, std::string path,
                     ConfigProblems& problems)
    : value_(value), position_(position), path_(std::move(path)), problems_(&problems) {}

ConfigMap::ConfigMap(ConfigMap&& other) noexcept
    : value_(other.value_),
      position_(other.position_),
      path_(std::move(other.path_)),
      problems_(other.problems_),
      known_(std::move(other.known_)),
      finished_(other.finished_) {
  other.finished_ = true;
}

void ConfigMap::finish() {
  if (finished_ || value_ == nullptr) return;
  finished_ = true;
  for (const auto& member : value_->members) {
    if (std::find(known_.begin(), known_.end(), member.key) != known_.end()) continue;
    const auto near = nearest(member.key, known_);
    auto sorted = known_;
    std::sort(sorted.begin(), sorted.end());
    problems_->add(
        {member.position, path_of(member.key),
         "unknown key \"" + member.key + "\"" + (path_.empty() ? std::string() : " in " + path_),
         near ? "did you mean \"" + *near + "\"?" : "known keys here: " + join(sorted, ", ")});
  }
}

bool ConfigMap::has(std::string_view key) { return take(key) != nullptr; }

ConfigPosition ConfigMap::position_of(std::string_view key) const {
  if (value_ != nullptr) {
    if (const auto* found = value_->find(key)) return found->position;
  }
  return position_;
}

std::string ConfigMap::path_of(std::string_view key) const {
  return path_.empty() ? std::string(key) : path_ + "." + std::string(key);
}

const ConfigValue* ConfigMap::take(std::string_view key) {
  if (std::find(known_.begin(), known_.end(), key) == known_.end()) known_.emplace_back(key);
  if (value_ == nullptr) return nullptr;
  const auto* found = value_->find(key);
  return found != nullptr && found->kind != ConfigValue::Kind::kNull ? found : nullptr;
}

const ConfigValue* ConfigMap::take_scalar(std::string_view key, bool required,
                                          std::string_view wanted) {
  const ConfigValue* found = take(key);
  if (found == nullptr) {
    if (required) {
      problems_->add({position_, path_of(key), path_of(key) + " is missing",
                      "add \"" + std::string(key) + ": <" + std::string(wanted) + ">\""});
    }
    return nullptr;
  }
  if (found->kind != ConfigValue::Kind::kScalar) {
    problems_->add(
        {found->position,
         path_of(key),
         path_of(key) + " must be a " + std::string(wanted) + ", not " + kind_name(found->kind),
         {}});
    return nullptr;
  }
  return found;
}

std::string ConfigMap::string(std::string_view key) {
  const auto* found = take_scalar(key, true, "text");
  return found == nullptr ? std::string() : found->scalar;
}

std::string ConfigMap::string(std::string_view key, std::string fallback) {
  const auto* found = take_scalar(key, false, "text");
  return found == nullptr ? std::move(fallback) : found->scalar;
}

std::optional<std::string> ConfigMap::optional_string(std::string_view key) {
  const auto* found = take_scalar(key, false, "text");
  if (found == nullptr) return std::nullopt;
  return found->scalar;
}

std::string ConfigMap::word(std::string_view key, const std::vector<std::string>& words,
                            std::string fallback) {
  const auto* found = take_scalar(key, false, "word");
  if (found == nullptr) return fallback;
  if (std::find(words.begin(), words.end(), found->scalar) != words.end()) return found->scalar;
  const auto near = nearest(found->scalar, words);
  problems_->add({found->position, path_of(key),
                  path_of(key) + " cannot be \"" + found->scalar + "\"",
                  near ? "did you mean \"" + *near + "\"?" : "use one of: " + join(words, ", ")});
  return fallback;
}

bool ConfigMap::boolean(std::string_view key, bool fallback) {
  const auto* found = take_scalar(key, false, "true or false");
  if (found == nullptr) return fallback;
  if (!found->quoted && found->scalar == "true") return true;
  if (!found->quoted && found->scalar == "false") return false;
  problems_->add({found->position, path_of(key),
                  path_of(key) + " must be true or false, not \"" + found->scalar + "\"",
                  "write true or false without quotes"});
  return fallback;
}

std::int64_t ConfigMap::integer(std::string_view key, std::int64_t min, std::int64_t max,
                                std::optional<std::int64_t> fallback) {
  const auto* found = take_scalar(key, !fallback, "number");
  if (found == nullptr) return fallback.value_or(0);
  std::int64_t value = 0;
  const char* end = found->scalar.data() + found->scalar.size();
  const auto [stop, error] = std::from_chars(found->scalar.data(), end, value);
  if (error != std::errc{} || stop != end || value < min || value > max) {
    problems_->add(
        {found->position, path_of(key), path_of(key) + " cannot be \"" + found->scalar + "\"",
         "write a whole number from " + std::to_string(min) + " to " + std::to_string(max)});
    return fallback.value_or(0);
  }
  return value;
}

double ConfigMap::fraction(std::string_view key, double fallback) {
  const auto* found = take_scalar(key, false, "fraction");
  if (found == nullptr) return fallback;
  std::string_view text = found->scalar;
  const bool percent = !text.empty() && text.back() == '%';
  if (percent) text.remove_suffix(1);
  double value = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (percent) value /= 100;
  if (error != std::errc{} || stop != text.data() + text.size() || !(value >= 0 && value <= 1)) {
    problems_->add({found->position, path_of(key),
                    path_of(key) + " cannot be \"" + found->scalar + "\"",
                    "write a share from 0% to 100%, like 10%"});
    return fallback;
  }
  return value;
}

namespace {

template <class T, class Parse>
T quantity(const ConfigValue* found, const std::string& path, ConfigProblems& problems,
           std::optional<T> fallback, Parse parse) {
  if (found == nullptr) return fallback.value_or(T{});
  auto value = parse(found->scalar);
  if (value) return *value;
  problems.add({found->position, path, path + ": " + value.error().message, value.error().cure});
  return fallback.value_or(T{});
}

}  // namespace

Duration ConfigMap::duration(std::string_view key, std::optional<Duration> fallback) {
  return quantity<Duration>(take_scalar(key, !fallback, "duration"), path_of(key), *problems_,
                            fallback, parse_duration);
}

std::uint64_t ConfigMap::size(std::string_view key, std::optional<std::uint64_t> fallback) {
  return quantity<std::uint64_t>(take_scalar(key, !fallback, "size"), path_of(key), *problems_,
                                 fallback, parse_size);
}

double ConfigMap::rate(std::string_view key, std::optional<double> fallback) {
  return quantity<double>(take_scalar(key, !fallback, "rate"), path_of(key), *problems_, fallback,
                          parse_rate);
}

std::uint64_t ConfigMap::bit_rate(std::string_view key, std::optional<std::uint64_t> fallback) {
  return quantity<std::uint64_t>(take_scalar(key, !fallback, "bit rate"), path_of(key), *problems_,
                                 fallback, parse_bit_rate);
}

std::vector<ConfigItem> ConfigMap::items(std::string_view key) {
  std::vector<ConfigItem> out;
  const ConfigValue* found = take(key);
  if (found == nullptr) return out;
  if (found->kind != ConfigValue::Kind::kList) {
    out.emplace_back(*found, path_of(key), *problems_);
    return out;
  }
  for (std::size_t i = 0; i < found->items.size(); ++i) {
    out.emplace_back(found->items[i], path_of(key) + "[" + std::to_string(i) + "]", *problems_);
  }
  return out;
}

std::vector<std::string> ConfigMap::strings(std::string_view key) {
  std::vector<std::string> out;
  for (const auto& item : items(key)) {
    if (item.is_scalar()) {
      out.push_back(item.value().scalar);
    } else {
      item.problem(item.path() + " must be a single value, not " + kind_name(item.value().kind));
    }
  }
  return out;
}

std::vector<ConfigMap> ConfigMap::maps(std::string_view key) {
  std::vector<ConfigMap> out;
  const ConfigValue* found = take(key);
  if (found != nullptr && found->kind != ConfigValue::Kind::kList) {
    problems_->add({found->position, path_of(key),
                    path_of(key) + " must be a list, not " + kind_name(found->kind),
                    "begin each entry with \"- \""});
    return out;
  }
  for (const auto& item : items(key)) {
    auto entry = item.map();
    if (entry.present()) out.push_back(std::move(entry));
  }
  return out;
}

ConfigMap ConfigMap::map(std::string_view key) {
  const ConfigValue* found = take(key);
  if (found != nullptr && found->kind != ConfigValue::Kind::kMap) {
    problems_->add({found->position, path_of(key),
                    path_of(key) + " must be a mapping, not " + kind_name(found->kind),
                    "write key: value pairs below it"});
    found = nullptr;
  }
  return ConfigMap(found, found == nullptr ? position_of(key) : found->position, path_of(key),
                   *problems_);
}

std::vector<std::pair<std::string, std::string>> ConfigMap::string_map(std::string_view key) {
  std::vector<std::pair<std::string, std::string>> out;
  auto nested = map(key);
  nested.finished_ = true;  // every key is welcome
  if (!nested.present()) return out;
  for (const auto& member : nested.value_->members) {
    if (member.value.kind == ConfigValue::Kind::kScalar) {
      out.emplace_back(member.key, member.value.scalar);
    } else {
      problems_->add({member.value.position,
                      nested.path_of(member.key),
                      nested.path_of(member.key) + " must be a single value, not " +
                          kind_name(member.value.kind),
                      {}});
    }
  }
  return out;
}

void ConfigMap::problem(std::string_view key, std::string message, std::string cure) {
  problems_->add({position_of(key), path_of(key), std::move(message), std::move(cure)});
}

ConfigMap ConfigDocument::root(ConfigProblems& problems) const {
  if (value_->kind == ConfigValue::Kind::kMap) {
    return ConfigMap(value_.get(), value_->position, "", problems);
  }
  if (value_->kind != ConfigValue::Kind::kNull) {
    problems.add({value_->position, "",
                  "the document must be a mapping, not " + kind_name(value_->kind),
                  "write key: value pairs"});
  }
  return ConfigMap(nullptr, {1, 1}, "", problems);
}

}  // namespace cygnet::rt
