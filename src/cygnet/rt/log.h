// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Log lines: one message and fixed fields (docs/logging.md has the dictionary), as text or as one
/// JSON object a line, to standard error. Any thread. A secret does not convert to a field.
///
///   log_info("peer is up", {{"peer", name}, {"sa", "Tx(a2-b1)"}, {"rtt_ms", 12}});
///   log_error("cannot publish", error, {{"rc", counter}});

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>

#include "cygnet/base/error.h"
#include "cygnet/base/result.h"
#include "cygnet/base/secret.h"

namespace cygnet::rt {

inline constexpr ErrorCode kErrLogSetting{"log-setting"};

enum class LogLevel : std::uint8_t { kDebug, kInfo, kWarning, kError, kOff };
enum class LogFormat : std::uint8_t { kText, kJson };

/// "debug", "info", "warning", "error", "off". @retval kErrLogSetting
[[nodiscard]] Result<LogLevel> parse_log_level(std::string_view name);
/// "text", "json". @retval kErrLogSetting
[[nodiscard]] Result<LogFormat> parse_log_format(std::string_view name);

/// A name and a value, viewed: lives as long as the full expression that logs.
class LogField {
 public:
  using Value = std::variant<std::string_view, std::int64_t, std::uint64_t, double, bool>;

  LogField(std::string_view name, std::string_view value) : name_(name), value_(value) {}
  LogField(std::string_view name, const std::string& value)
      : name_(name), value_(std::string_view(value)) {}
  LogField(std::string_view name, const char* value)
      : name_(name), value_(std::string_view(value)) {}
  LogField(std::string_view name, bool value) : name_(name), value_(value) {}
  LogField(std::string_view name, double value) : name_(name), value_(value) {}
  template <class T, std::enable_if_t<std::is_integral_v<T> && !std::is_same_v<T, bool>, int> = 0>
  LogField(std::string_view name, T value) : name_(name) {
    if constexpr (std::is_signed_v<T>) {
      value_ = static_cast<std::int64_t>(value);
    } else {
      value_ = static_cast<std::uint64_t>(value);
    }
  }
  LogField(std::string_view name, const SecretBytes& value) = delete;

  [[nodiscard]] std::string_view name() const { return name_; }
  [[nodiscard]] const Value& value() const { return value_; }

 private:
  std::string_view name_;
  Value value_;
};
using LogFields = std::initializer_list<LogField>;

/// Sets what is written and how. Call once at start, before threads; until then: info, text.
void configure_log(LogLevel level, LogFormat format);
[[nodiscard]] bool log_enabled(LogLevel level);

void log(LogLevel level, std::string_view message, LogFields fields = {});
/// Adds the error's fields: `errc`, `error`, `where`, `cure`.
void log(LogLevel level, std::string_view message, const Error& error, LogFields fields = {});

inline void log_debug(std::string_view message, LogFields fields = {}) {
  log(LogLevel::kDebug, message, fields);
}
inline void log_info(std::string_view message, LogFields fields = {}) {
  log(LogLevel::kInfo, message, fields);
}
inline void log_warning(std::string_view message, LogFields fields = {}) {
  log(LogLevel::kWarning, message, fields);
}
inline void log_warning(std::string_view message, const Error& error, LogFields fields = {}) {
  log(LogLevel::kWarning, message, error, fields);
}
inline void log_error(std::string_view message, LogFields fields = {}) {
  log(LogLevel::kError, message, fields);
}
inline void log_error(std::string_view message, const Error& error, LogFields fields = {}) {
  log(LogLevel::kError, message, error, fields);
}

/// Test seam: gets each formatted line instead of standard error; an empty function undoes it.
void capture_log(std::function<void(LogLevel, const std::string& line)> sink);

}  // namespace cygnet::rt
