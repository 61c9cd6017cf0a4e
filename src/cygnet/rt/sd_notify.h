// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Tells systemd how the service is (sd_notify(3)): datagrams to the socket that $NOTIFY_SOCKET
/// names. Does nothing outside systemd. The environment is read once, at construction.

#include <optional>
#include <string>
#include <string_view>

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
  /// How often watchdog() is due: half of what the unit allows; nullopt when it asks for none.
  [[nodiscard]] std::optional<Duration> watchdog_interval() const;

 private:
  void send(const std::string& state) const;
  std::string socket_path_;
  std::optional<Duration> watchdog_;
};

}  // namespace cygnet::rt
