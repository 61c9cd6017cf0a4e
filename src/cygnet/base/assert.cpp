// SPDX-License-Identifier: Apache-2.0
#include "cygnet/base/assert.h"

#include <cstdio>
#include <cstdlib>

namespace cygnet {

void assertion_failed(const char* expression, const char* file, int line) noexcept {
  std::fprintf(stderr, "cygnet: invariant broken: %s at %s:%d\n", expression, file, line);
  std::abort();
}

}  // namespace cygnet
