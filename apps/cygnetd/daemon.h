// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Wiring of `cygnetd run`: state directory, loop, controller, API, signals, service manager.

#include "config.h"
#include "cygnet/base/result.h"

namespace cygnet::apps {

/// Serves until SIGTERM or SIGINT. @return why it could not start
[[nodiscard]] Status run_daemon(const DaemonConfig& config);

}  // namespace cygnet::apps
