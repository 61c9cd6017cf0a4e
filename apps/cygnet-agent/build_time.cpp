// SPDX-License-Identifier: Apache-2.0
#include "build_time.h"

namespace cygnet::agent {

ServerTime build_time() { return ServerTime(std::chrono::seconds(CYGNET_BUILD_EPOCH)); }

std::string program_version() { return CYGNET_VERSION; }

}  // namespace cygnet::agent
