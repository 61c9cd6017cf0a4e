// SPDX-License-Identifier: Apache-2.0
#include "cygnet/rt/log.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>

namespace cygnet::rt {
namespace {

struct State {
  std::atomic<LogLevel> level{LogLevel::kInfo};
  std::atomic<LogFormat> format{LogFormat::kText};
  std::shared_ptr<spdlog::logger> logger;
  std::mutex capture_mutex;
  std::function<void(LogLevel, const std::string&)> capture;

  State() {
    logger = std::make_shared<spdlog::logger>("cygnet",
                                              std::make_shared<spdlog::sinks::stderr_sink_mt>());
    logger->set_pattern("%v");  // the line is ours
    logger->set_level(spdlog::level::trace);
    logger->flush_on(spdlog::level::trace);
  }
};

State& state() {
  static State instance;
  return instance;
}

std::string_view level_name(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarning:
      return "warning";
    case LogLevel::kError:
      return "error";
    case LogLevel::kOff:
      break;
  }
  return "off";
}

/// JSON string escapes; octets above 0x7f pass: names and messages are UTF-8 already.
void append_json_string(std::string& out, std::string_view text) {
  out.push_back('"');
  for (const char c : text) {
    const auto octet = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out.push_back('\\');
      out.push_back(c);
    } else if (octet < 0x20) {
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", octet);
    } else {
      out.push_back(c);
    }
  }
  out.push_back('"');
}

/// Plain when it cannot be misread, else as a JSON string: a peer's name cannot forge a field.
void append_text_value(std::string& out, std::string_view text) {
  const bool plain = !text.empty() && text.find_first_of(" \"=\\") == std::string_view::npos &&
                     std::all_of(text.begin(), text.end(),
                                 [](char c) { return static_cast<unsigned char>(c) >= 0x20; });
  if (plain) {
    out.append(text);
  } else {
    append_json_string(out, text);
  }
}

void append_value(std::string& out, const LogField::Value& value, bool json) {
  if (const auto* text = std::get_if<std::string_view>(&value)) {
    json ? append_json_string(out, *text) : append_text_value(out, *text);
  } else if (const auto* integer = std::get_if<std::int64_t>(&value)) {
    fmt::format_to(std::back_inserter(out), "{}", *integer);
  } else if (const auto* natural = std::get_if<std::uint64_t>(&value)) {
    fmt::format_to(std::back_inserter(out), "{}", *natural);
  } else if (const auto* real = std::get_if<double>(&value)) {
    fmt::format_to(std::back_inserter(out), "{}", *real);
  } else {
    out.append(std::get<bool>(value) ? "true" : "false");
  }
}

void append_field(std::string& out, std::string_view name, const LogField::Value& value,
                  bool json) {
  if (json) {
    out.push_back(',');
    append_json_string(out, name);
    out.push_back(':');
  } else {
    out.push_back(' ');
    out.append(name);
    out.push_back('=');
  }
  append_value(out, value, json);
}

std::string format_line(LogLevel level, std::string_view message, const Error* error,
                        LogFields fields, bool json) {
  const auto now = std::chrono::system_clock::now();
  const auto ms =
      std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count() % 1000;
  std::string time = fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z",
                                 fmt::gmtime(std::chrono::system_clock::to_time_t(now)), ms);
  std::string out;
  if (json) {
    out = fmt::format("{{\"time\":\"{}\",\"level\":\"{}\",\"message\":", time, level_name(level));
    append_json_string(out, message);
  } else {
    std::string clean(message);
    std::replace_if(
        clean.begin(), clean.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; },
        ' ');
    out = fmt::format("{} {:<7} {}", time, level_name(level), clean);
  }
  for (const auto& field : fields) append_field(out, field.name(), field.value(), json);
  if (error != nullptr) {
    append_field(out, "errc", error->code.name(), json);
    append_field(out, "error", std::string_view(error->message), json);
    if (!error->where.empty()) append_field(out, "where", std::string_view(error->where), json);
    if (!error->cure.empty()) append_field(out, "cure", std::string_view(error->cure), json);
  }
  if (json) out.push_back('}');
  return out;
}

void emit(LogLevel level, std::string_view message, const Error* error, LogFields fields) {
  if (!log_enabled(level)) return;
  State& log_state = state();
  const std::string line =
      format_line(level, message, error, fields, log_state.format == LogFormat::kJson);
  {
    const std::lock_guard lock(log_state.capture_mutex);
    if (log_state.capture) {
      log_state.capture(level, line);
      return;
    }
  }
  log_state.logger->log(spdlog::level::info, spdlog::string_view_t(line));
}

}  // namespace

Result<LogLevel> parse_log_level(std::string_view name) {
  for (const LogLevel level :
       {LogLevel::kDebug, LogLevel::kInfo, LogLevel::kWarning, LogLevel::kError, LogLevel::kOff}) {
    if (level_name(level) == name) return level;
  }
  return fail(kErrLogSetting, "unknown log level \"" + std::string(name) + "\"", {},
              "use debug, info, warning, error or off");
}

Result<LogFormat> parse_log_format(std::string_view name) {
  if (name == "text") return LogFormat::kText;
  if (name == "json") return LogFormat::kJson;
  return fail(kErrLogSetting, "unknown log format \"" + std::string(name) + "\"", {},
              "use text or json");
}

void configure_log(LogLevel level, LogFormat format) {
  state().level = level;
  state().format = format;
}

bool log_enabled(LogLevel level) {
  return level != LogLevel::kOff && level >= state().level.load(std::memory_order_relaxed);
}

void log(LogLevel level, std::string_view message, LogFields fields) {
  emit(level, message, nullptr, fields);
}

void log(LogLevel level, std::string_view message, const Error& error, LogFields fields) {
  emit(level, message, &error, fields);
}

void capture_log(std::function<void(LogLevel, const std::string& line)> sink) {
  const std::lock_guard lock(state().capture_mutex);
  state().capture = std::move(sink);
}

}  // namespace cygnet::rt
