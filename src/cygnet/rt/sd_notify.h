// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Tells systemd how the service is (sd_notify(3)): datagrams to the socket that $NOTIFY_SOCKET
/// names. Does nothing outside systemd. The environment is read once, at construction.

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cygnet/base/time.h"

namespace cygnet::rt {

class ServiceNotifier {
 public:
  /// From $NOTIFY_SOCKET, $WATCHDOG_USEC and $WATCHDOG_PID.
  [[nodiscard]] static ServiceNotifier from_environment();
  ServiceNotifier(std::string socket_path, std::optional<Duration> watchdog);

  void ready() const;
  void reloading(Timestamp now) const;
  void stopping() const;
  void status(std::string_view one_line) const;
  void watchdog() const;
  /// Gives copies of descriptors into the service manager's keeping (FDSTORE=1); the unit allows so
  /// many with FileDescriptorStoreMax=. They stay open while no process of the service runs.
  void keep(std::string_view name, std::span<const int> descriptors) const;
  void forget(std::string_view name) const;
  /// How often watchdog() is due: half of what the unit allows; nullopt when it asks for none.
  [[nodiscard]] std::optional<Duration> watchdog_interval() const;

 private:
  void send(const std::string& state, std::span<const int> descriptors = {}) const;
  std::string socket_path_;
  std::optional<Duration> watchdog_;
};

/// What was kept under this name, from $LISTEN_FDS (sd_listen_fds(3)); the caller owns it. The
/// first call for a name gives all of it, another one would give it twice.
[[nodiscard]] std::vector<int> kept_descriptors(std::string_view name);

}  // namespace cygnet::rt
