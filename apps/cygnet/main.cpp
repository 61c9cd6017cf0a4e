// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <iostream>

#include "cli.h"

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  const cygnet::cli::Surroundings surroundings{
      .in = std::cin,
      .out = std::cout,
      .err = std::cerr,
      .in_is_tty = isatty(STDIN_FILENO) == 1,
      .out_is_tty = isatty(STDOUT_FILENO) == 1,
      .variable = [](const char* name) -> std::optional<std::string> {
        const char* value = std::getenv(name);
        if (value == nullptr || *value == '\0') return std::nullopt;
        return value;
      },
      .now =
          [] {
            return cygnet::ServerTime(std::chrono::duration_cast<std::chrono::milliseconds>(
                std::chrono::system_clock::now().time_since_epoch()));
          },
  };
  return cygnet::cli::run_cli({argv + 1, argv + argc}, surroundings);
}
