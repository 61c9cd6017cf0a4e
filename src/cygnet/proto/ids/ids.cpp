// SPDX-License-Identifier: Apache-2.0
#include "cygnet/proto/ids/ids.h"

namespace cygnet::proto {

std::string to_string(RekeyCounter counter) {
  return std::to_string(counter.boot_count()) + "." + std::to_string(counter.sequence());
}

}  // namespace cygnet::proto
