// SPDX-License-Identifier: Apache-2.0

/// The debugging verbs as a program of their own, so that the oracles run without the whole CLI:
/// `cygnet_debug_tool derive` is `cygnet debug derive`.

#include <chrono>
#include <iostream>

#include "cygnet/debug/debug.h"

int main(int argc, char** argv) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return cygnet::debug::run_debug(
      {argv + 1, argv + argc}, std::cin, std::cout,
      cygnet::ServerTime(std::chrono::duration_cast<std::chrono::milliseconds>(now)));
}
