// SPDX-License-Identifier: Apache-2.0
#include "daemon.h"

#include <map>
#include <memory>

#include "cygnet/controller/api/api.h"
#include "cygnet/controller/driver/controller.h"
#include "cygnet/controller/driver/state_dir.h"
#include "cygnet/rt/http.h"
#include "cygnet/rt/log.h"
#include "cygnet/rt/loop.h"
#include "cygnet/rt/sd_notify.h"
#include "cygnet/rt/signals.h"

namespace cygnet::apps {
namespace {

constexpr Duration kShutdownDeadline = std::chrono::seconds(5);
/// The owner and its group: operators are put into the group.
constexpr mode_t kSocketMode = 0660;

Result<rt::HostPort> address(const std::optional<std::string>& given,
                             const std::map<std::string, std::string>& stored, const char* key,
                             const std::string& fallback) {
  const auto it = stored.find(key);
  return rt::parse_host_port(given                ? *given
                             : it != stored.end() ? it->second
                                                  : fallback,
                             controller::kDefaultPort);
}

/// Pings the service manager's watchdog from the loop, so that a stuck loop is seen.
class Watchdog {
 public:
  Watchdog(rt::Loop& loop, const rt::ServiceNotifier& notifier)
      : notifier_(notifier), timer_(loop) {
    if (notifier_.watchdog_interval()) arm();
  }

 private:
  void arm() {
    timer_.arm_after(*notifier_.watchdog_interval(), [this] {
      notifier_.watchdog();
      arm();
    });
  }
  const rt::ServiceNotifier& notifier_;
  rt::Timer timer_;
};

/// Looks once a day whether the server's certificate nears its end.
class ServerRenewal {
 public:
  ServerRenewal(rt::Loop& loop, controller::Controller& controller, rt::Path directory,
                std::string mesh)
      : loop_(loop),
        controller_(controller),
        directory_(std::move(directory)),
        mesh_(std::move(mesh)),
        timer_(loop) {
    arm();
  }

 private:
  void arm() {
    timer_.arm_after(std::chrono::hours(24), [this] {
      look();
      arm();
    });
  }
  void look() {
    auto renewed = controller::renew_server_if_due(directory_, mesh_, loop_.wall_now());
    if (!renewed) return rt::log_error("cannot renew the server certificate", renewed.error());
    if (!*renewed) return;
    if (const Status done = controller_.replace_server(std::move(**renewed)); !done) {
      return rt::log_error("cannot use the renewed server certificate", done.error());
    }
    rt::log_info("the server certificate is renewed", {{"mesh", mesh_}});
  }
  rt::Loop& loop_;
  controller::Controller& controller_;
  rt::Path directory_;
  std::string mesh_;
  rt::Timer timer_;
};

}  // namespace

Status run_daemon(const DaemonConfig& config) {
  rt::Loop loop;
  CYGNET_TRY(auto state, controller::open_state(config.state, loop.wall_now()));
  controller::ControllerOptions options;
  CYGNET_TRY(options.listen, address(config.listen, state.mesh.settings, controller::kSettingListen,
                                     "0.0.0.0:7443"));
  CYGNET_TRY(options.advertise, address(config.advertise, state.mesh.settings,
                                        controller::kSettingAdvertise, options.listen.to_string()));
  options.ca_mode =
      config.ca_mode == "external" ? controller::CaMode::kExternal : controller::CaMode::kEmbedded;
  options.limits = config.limits;
  options.test_verbs = config.test_verbs;
  const std::string mesh = state.mesh.mesh.name;
  const ServerTime server_ends = state.server.chain.front().not_after();
  CYGNET_TRY(auto controller, controller::Controller::start(
                                  loop, options, *state.store, std::move(state.mesh),
                                  std::move(state.authority), state.ca, std::move(state.server)));
  const std::string socket = config.api_socket.value_or(config.state + "/cygnetd.sock");
  CYGNET_TRY(auto server, rt::HttpServer::listen_unix(loop, socket, kSocketMode));
  const controller::Api api(*controller, *server, server_ends);

  const auto notifier = rt::ServiceNotifier::from_environment();
  const Watchdog watchdog(loop, notifier);
  auto renewal = std::make_unique<ServerRenewal>(loop, *controller, config.state, mesh);
  const rt::SignalWatcher signals(loop, {[&] {
                                           rt::log_info("stopping", {{"mesh", mesh}});
                                           notifier.stopping();
                                           controller->shut_down(kShutdownDeadline,
                                                                 [&loop] { loop.stop(); });
                                         },
                                         {}});
  rt::log_info("serving", {{"mesh", mesh},
                           {"listen", controller->options().listen.to_string()},
                           {"advertise", controller->options().advertise.to_string()},
                           {"api", socket}});
  notifier.ready();
  loop.run();
  renewal.reset();
  server.reset();
  // What is waiting becomes durable before the completions lose their listener.
  state.store->close();
  controller.reset();
  rt::log_info("stopped", {{"mesh", mesh}});
  return {};
}

}  // namespace cygnet::apps
