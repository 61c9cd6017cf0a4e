// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include "build_time.h"
#include "commands.h"
#include "cygnet/agent/backend/userspace/userspace_backend.h"
#include "cygnet/agent/backend/xfrm/xfrm_backend.h"
#include "cygnet/agent/driver/address_text.h"
#include "cygnet/agent/driver/agent.h"
#include "cygnet/agent/driver/local_api.h"
#include "cygnet/rt/log.h"
#include "cygnet/rt/sd_notify.h"
#include "cygnet/rt/signals.h"

namespace cygnet::agent {
namespace {

/// As the service manager knows the ESP sockets.
constexpr std::string_view kKeptSockets = "esp";

Result<std::unique_ptr<SadBackend>> make_backend(const AgentConfig& config, rt::Loop& loop,
                                                 BackendEvents& events) {
  const PostToControl post = [&loop](std::function<void()> work) { loop.post(std::move(work)); };
  const rt::ServiceNotifier notifier = rt::ServiceNotifier::from_environment();
  const std::vector<int> kept = rt::kept_descriptors(kKeptSockets);
  if (config.data_plane_kind == DataPlaneKind::kKernel) {
    xfrm::XfrmConfig kernel = kernel_config(config);
    kernel.kept_sockets = kept;
    CYGNET_TRY(std::unique_ptr<xfrm::XfrmBackend> backend,
               xfrm::XfrmBackend::create(std::move(kernel), events, post));
    // While a socket is open the kernel takes in what comes for its SAs, agent or not.
    notifier.forget(kKeptSockets);
    notifier.keep(kKeptSockets, backend->esp_sockets());
    return Result<std::unique_ptr<SadBackend>>(std::move(backend));
  }
  for (const int fd : kept) close(fd);
  notifier.forget(kKeptSockets);
  // Policies that a kernel data plane left would block what this one carries. The routes that keep
  // prefixes closed are the same, and stay.
  if (const Status opened = xfrm::XfrmBackend::open_all(kernel_config(config)); !opened) {
    rt::log_warning("what a kernel data plane may have left stays", opened.error());
  }
  CYGNET_TRY(std::unique_ptr<SadBackend> backend,
             userspace::UserspaceBackend::create(config.data_plane, events, post));
  return backend;
}

Result<AgentOptions> agent_options(const AgentConfig& config) {
  AgentOptions options;
  options.state_dir = config.state;
  for (const std::string& text : config.controllers) {
    CYGNET_TRY(rt::HostPort controller, rt::parse_host_port(text));
    options.controllers.push_back(std::move(controller));
  }
  for (const std::string& text : config.endpoints) {
    CYGNET_TRY(const UdpEndpoint endpoint, endpoint_from_text(text));
    options.endpoints.push_back(endpoint);
  }
  if (config.ppk_file) options.ppk_file = *config.ppk_file;
  // The kernel sends on one SA of a pair, whatever the number.
  options.lanes_max =
      config.data_plane_kind == DataPlaneKind::kKernel ? std::uint16_t{1} : config.lanes_max;
  options.workers = config.workers;
  options.firewall_mark = config.data_plane.routing.fwmark;
  options.build_time = build_time();
  options.software = "cygnet-agent " + program_version();
  options.make_backend = [config](rt::Loop& loop, BackendEvents& events) {
    return make_backend(config, loop, events);
  };
  return options;
}

class Watchdog {
 public:
  Watchdog(rt::Loop& loop, const rt::ServiceNotifier& notifier)
      : notifier_(notifier), timer_(loop) {
    beat();
  }

 private:
  void beat() {
    notifier_.watchdog();
    if (const auto interval = notifier_.watchdog_interval()) {
      timer_.arm_after(*interval, [this] { beat(); });
    }
  }
  const rt::ServiceNotifier& notifier_;
  rt::Timer timer_;
};

}  // namespace

Status run_agent(const AgentConfig& config) {
  CYGNET_CHECK_OK(check_config(config));
  rt::configure_log(config.log_level, config.log_format);
#ifdef CYGNET_INSECURE_KEY_EXPORT
  rt::log_warning("INSECURE test build: traffic keys can be exported; never use it for real");
#endif
  const rt::ServiceNotifier notifier = rt::ServiceNotifier::from_environment();
  rt::Loop loop;
  std::optional<Error> fault;
  bool open = false;
  CYGNET_TRY(AgentOptions options, agent_options(config));
  options.on_fault = [&](const Error& error) {
    fault = error;
    loop.stop();
  };
  CYGNET_TRY(const std::unique_ptr<Agent> agent, Agent::create(loop, std::move(options)));
  if (config.api_socket == kDefaultSocket) {
    CYGNET_CHECK_OK(rt::make_directory(rt::Path(config.api_socket).parent_path(), 0755));
  }
  CYGNET_TRY(const auto api, LocalApi::create(loop, *agent, config.api_socket, [&](bool opening) {
               open = opening;
               loop.post([&loop] { loop.stop(); });
             }));
  rt::SignalWatcher::Handlers signals;
  signals.on_terminate = [&loop] { loop.stop(); };
  const rt::SignalWatcher watcher(loop, std::move(signals));
  const Watchdog watchdog(loop, notifier);
  agent->start();
  notifier.ready();
  loop.run();
  notifier.stopping();
  rt::log_info("agent stops", {{"open", open}});
  agent->stop(open);
  if (open) notifier.forget(kKeptSockets);
  if (fault) return fail(*fault);
  return {};
}

}  // namespace cygnet::agent
