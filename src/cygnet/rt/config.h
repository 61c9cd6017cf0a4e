// SPDX-License-Identifier: Apache-2.0
#pragma once

/// YAML configuration: parsed into a plain tree with positions, read by typed getters that collect
/// every problem instead of stopping at the first. Unknown keys, doubled keys, missing units and
/// wrong types are problems with line, column and a cure. yaml-cpp stays inside config_yaml.cpp.
///
///   CYGNET_TRY(auto document, ConfigDocument::parse(text, "agent.yaml"));
///   ConfigProblems problems;
///   {
///     auto root = document.root(problems);
///     settings.name = root.string("name");                                  // required
///     settings.every = root.map("rekey").duration("every", std::chrono::hours(1));
///     for (auto device : root.maps("devices")) …
///   }                                            // maps that end report their unknown keys
///   CYGNET_CHECK_OK(problems.to_status("agent.yaml"));
///
/// A getter without a fallback is required; the value returned beside a problem is a zero value
/// that nobody will use. Value types; any one thread at a time.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cygnet/base/result.h"
#include "cygnet/base/time.h"

namespace cygnet::rt {

inline constexpr ErrorCode kErrConfig{"config"};
inline constexpr ErrorCode kErrConfigSyntax{"config-syntax"};

struct ConfigPosition {
  std::uint32_t line = 0;  ///< from 1
  std::uint32_t column = 0;
};
struct ConfigProblem {
  ConfigPosition position;
  std::string path;  ///< "devices[3].prefixes[0]"
  std::string message;
  std::string cure;
};

class ConfigProblems {
 public:
  void add(ConfigProblem problem) { list_.push_back(std::move(problem)); }
  [[nodiscard]] bool empty() const { return list_.empty(); }
  /// In order of position.
  [[nodiscard]] std::vector<ConfigProblem> sorted() const;
  /// Success, or kErrConfig with the first problem at "source:line:column" and the number of more.
  [[nodiscard]] Status to_status(std::string_view source) const;

 private:
  std::vector<ConfigProblem> list_;
};

/// One node of the document. Immutable.
struct ConfigValue {
  enum class Kind : std::uint8_t { kNull, kScalar, kList, kMap };
  Kind kind = Kind::kNull;
  ConfigPosition position;
  std::string scalar;
  bool quoted = false;  ///< "1h" in quotes is still a duration; "true" in quotes is no bool
  std::vector<ConfigValue> items;  ///< of a list
  struct Member;
  std::vector<Member> members;  ///< of a map, in order; keys are unique
  [[nodiscard]] const ConfigValue* find(std::string_view key) const;
};
struct ConfigValue::Member {
  std::string key;
  ConfigPosition position;
  ConfigValue value;
};

class ConfigMap;

/// A scalar or node in a list, with its path: for lists whose items need their own parsing.
class ConfigItem {
 public:
  ConfigItem(const ConfigValue& value, std::string path, ConfigProblems& problems)
      : value_(&value), path_(std::move(path)), problems_(&problems) {}
  [[nodiscard]] const ConfigValue& value() const { return *value_; }
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] ConfigPosition position() const { return value_->position; }
  [[nodiscard]] bool is_map() const { return value_->kind == ConfigValue::Kind::kMap; }
  [[nodiscard]] bool is_scalar() const { return value_->kind == ConfigValue::Kind::kScalar; }
  /// Adds a problem when it is no scalar and returns "".
  [[nodiscard]] std::string string() const;
  [[nodiscard]] ConfigMap map() const;
  void problem(std::string message, std::string cure = {}) const;

 private:
  const ConfigValue* value_;
  std::string path_;
  ConfigProblems* problems_;
};

/// Reads one mapping. Remembers which keys were asked for; when it goes (or at finish()) every
/// other key is a problem that names the nearest known one. Move-only.
class ConfigMap {
 public:
  ConfigMap(const ConfigValue* value, ConfigPosition position, std::string path,
            ConfigProblems& problems);
  ConfigMap(ConfigMap&& other) noexcept;
  ConfigMap& operator=(ConfigMap&&) = delete;
  ~ConfigMap() { finish(); }
  void finish();

  /// False when the mapping is missing from the document.
  [[nodiscard]] bool present() const { return value_ != nullptr; }
  [[nodiscard]] ConfigPosition position() const { return position_; }
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] bool has(std::string_view key);
  [[nodiscard]] ConfigPosition position_of(std::string_view key) const;

  [[nodiscard]] std::string string(std::string_view key);
  [[nodiscard]] std::string string(std::string_view key, std::string fallback);
  [[nodiscard]] std::optional<std::string> optional_string(std::string_view key);
  /// One of the words; anything else is a problem that names the nearest.
  [[nodiscard]] std::string word(std::string_view key, const std::vector<std::string>& words,
                                 std::string fallback);
  [[nodiscard]] bool boolean(std::string_view key, bool fallback);
  [[nodiscard]] std::int64_t integer(std::string_view key, std::int64_t min, std::int64_t max,
                                     std::optional<std::int64_t> fallback = {});
  /// 0 to 1 from "10%" or "0.1".
  [[nodiscard]] double fraction(std::string_view key, double fallback);
  /// A unit is needed: "1h", "90s", "500ms".
  [[nodiscard]] Duration duration(std::string_view key, std::optional<Duration> fallback = {});
  [[nodiscard]] std::uint64_t size(std::string_view key,
                                   std::optional<std::uint64_t> fallback = {});
  /// Events per second from "200/s", "10/min".
  [[nodiscard]] double rate(std::string_view key, std::optional<double> fallback = {});
  /// Bits per second from "1Mbit/s".
  [[nodiscard]] std::uint64_t bit_rate(std::string_view key,
                                       std::optional<std::uint64_t> fallback = {});

  /// A missing list is empty; one scalar counts as a list of one.
  [[nodiscard]] std::vector<std::string> strings(std::string_view key);
  [[nodiscard]] std::vector<ConfigItem> items(std::string_view key);
  /// A list of mappings.
  [[nodiscard]] std::vector<ConfigMap> maps(std::string_view key);
  /// A nested mapping; when missing, every getter of it gives its fallback.
  [[nodiscard]] ConfigMap map(std::string_view key);
  /// A mapping whose keys are free (labels): name and scalar, in order.
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> string_map(std::string_view key);

  /// Adds a problem at a key (or at the mapping when the key is not there).
  void problem(std::string_view key, std::string message, std::string cure = {});

 private:
  const ConfigValue* take(std::string_view key);
  const ConfigValue* take_scalar(std::string_view key, bool required, std::string_view wanted);
  [[nodiscard]] std::string path_of(std::string_view key) const;

  const ConfigValue* value_;
  ConfigPosition position_;
  std::string path_;
  ConfigProblems* problems_;
  std::vector<std::string> known_;
  bool finished_ = false;
};

/// A parsed document. Cheap to copy; maps and items taken from it need it (or a copy) to live.
class ConfigDocument {
 public:
  /// Limits: 16 MiB, depth 32, one document, no anchors or aliases. @retval kErrConfigSyntax
  [[nodiscard]] static Result<ConfigDocument> parse(std::string_view yaml, std::string source);
  /// @retval as parse and read_text_file
  [[nodiscard]] static Result<ConfigDocument> load(const std::string& path);

  [[nodiscard]] ConfigMap root(ConfigProblems& problems) const;
  [[nodiscard]] const ConfigValue& value() const { return *value_; }
  [[nodiscard]] const std::string& source() const { return source_; }

 private:
  ConfigDocument(std::shared_ptr<const ConfigValue> value, std::string source)
      : value_(std::move(value)), source_(std::move(source)) {}
  std::shared_ptr<const ConfigValue> value_;
  std::string source_;
};

}  // namespace cygnet::rt
