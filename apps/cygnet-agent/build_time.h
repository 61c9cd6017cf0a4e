// SPDX-License-Identifier: Apache-2.0
#pragma once

/// When this program was built, and which version it is. In a file of its own, so that a new build
/// date compiles one file again.

#include <string>

#include "cygnet/base/time.h"

namespace cygnet::agent {

[[nodiscard]] ServerTime build_time();
[[nodiscard]] std::string program_version();  ///< "0.1.0"

}  // namespace cygnet::agent
