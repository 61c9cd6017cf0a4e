// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The `cygnet` command without main(): everything it takes from the process comes in as an
/// argument, so that tests run it inside themselves.

#include <functional>
#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

#include "cygnet/base/time.h"

namespace cygnet::cli {

struct Surroundings {
  std::istream& in;
  std::ostream& out;
  std::ostream& err;
  bool in_is_tty = false;
  bool out_is_tty = false;
  std::function<std::optional<std::string>(const char*)> variable;  ///< environment
  std::function<ServerTime()> now;
};

/// @param arguments  without the program's name
/// @return one of exit_codes.h
[[nodiscard]] int run_cli(std::vector<std::string> arguments, const Surroundings& surroundings);

}  // namespace cygnet::cli
