// SPDX-License-Identifier: Apache-2.0
#include "config.h"

#include "cygnet/controller/driver/state_dir.h"
#include "cygnet/rt/config.h"
#include "cygnet/rt/log.h"

namespace cygnet::apps {
namespace {

std::uint32_t per_minute(rt::ConfigMap& map, std::string_view key, std::uint32_t fallback) {
  return static_cast<std::uint32_t>(map.integer(key, 1, 1'000'000, fallback));
}

std::chrono::milliseconds to_ms(Duration duration) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(duration);
}

}  // namespace

Result<DaemonConfig> load_config(const std::string& path) {
  CYGNET_TRY(auto document, rt::ConfigDocument::load(path));
  DaemonConfig config;
  rt::ConfigProblems problems;
  {
    auto root = document.root(problems);
    config.state = root.string("state", config.state);
    config.listen = root.optional_string("listen");
    config.advertise = root.optional_string("advertise");
    auto api = root.map("api");
    config.api_socket = api.optional_string("socket");
    auto ca = root.map("ca");
    config.ca_mode = ca.word("mode", {"embedded", "external"}, config.ca_mode);
    auto log = root.map("log");
    config.log_level =
        log.word("level", {"debug", "info", "warning", "error", "off"}, config.log_level);
    config.log_format = log.word("format", {"text", "json"}, config.log_format);
    auto certificates = root.map("certificates");
    config.limits.certificate_lifetime =
        to_ms(certificates.duration("lifetime", config.limits.certificate_lifetime));
    config.limits.renewal_grace =
        to_ms(certificates.duration("renewal_grace", config.limits.renewal_grace));
    auto limits = root.map("limits");
    auto& l = config.limits;
    l.messages_per_minute = per_minute(limits, "messages_per_minute", l.messages_per_minute);
    l.publishes_per_minute = per_minute(limits, "publishes_per_minute", l.publishes_per_minute);
    l.reports_per_minute = per_minute(limits, "reports_per_minute", l.reports_per_minute);
    l.bad_spi_per_minute = per_minute(limits, "bad_spi_per_minute", l.bad_spi_per_minute);
    l.wants_per_minute = per_minute(limits, "wants_per_minute", l.wants_per_minute);
    l.renewals_per_minute = per_minute(limits, "renewals_per_minute", l.renewals_per_minute);
    l.joins_per_minute = per_minute(limits, "joins_per_minute", l.joins_per_minute);
  }
  CYGNET_CHECK_OK(problems.to_status(path));
  return config;
}

std::string print_config(const DaemonConfig& config) {
  const auto& l = config.limits;
  std::string out;
  const auto line = [&out](const std::string& text) { out += text + "\n"; };
  line("state: " + config.state);
  if (config.listen) line("listen: \"" + *config.listen + "\"");
  if (config.advertise) line("advertise: \"" + *config.advertise + "\"");
  line("api:");
  line("  socket: " + config.api_socket.value_or(config.state + "/cygnetd.sock"));
  line("ca:");
  line("  mode: " + config.ca_mode);
  line("log:");
  line("  level: " + config.log_level);
  line("  format: " + config.log_format);
  line("certificates:");
  line("  lifetime: " + rt::format_duration(l.certificate_lifetime));
  line("  renewal_grace: " + rt::format_duration(l.renewal_grace));
  line("limits:");
  line("  messages_per_minute: " + std::to_string(l.messages_per_minute));
  line("  publishes_per_minute: " + std::to_string(l.publishes_per_minute));
  line("  reports_per_minute: " + std::to_string(l.reports_per_minute));
  line("  bad_spi_per_minute: " + std::to_string(l.bad_spi_per_minute));
  line("  wants_per_minute: " + std::to_string(l.wants_per_minute));
  line("  renewals_per_minute: " + std::to_string(l.renewals_per_minute));
  line("  joins_per_minute: " + std::to_string(l.joins_per_minute));
  return out;
}

Status check_config(const DaemonConfig& config) {
  if (config.listen) {
    auto parsed = rt::parse_host_port(*config.listen, controller::kDefaultPort);
    if (!parsed) return fail(std::move(parsed).error().within("listen"));
  }
  if (config.advertise) {
    auto parsed = rt::parse_host_port(*config.advertise, controller::kDefaultPort);
    if (!parsed) return fail(std::move(parsed).error().within("advertise"));
  }
  if (config.ca_mode != "embedded" && config.ca_mode != "external") {
    return fail(rt::kErrConfig, "\"" + config.ca_mode + "\" is no CA mode", "ca.mode",
                "use embedded or external");
  }
  CYGNET_TRY(const auto level, rt::parse_log_level(config.log_level));
  CYGNET_TRY(const auto format, rt::parse_log_format(config.log_format));
  (void)level;
  (void)format;
  return {};
}

}  // namespace cygnet::apps
